/* Who this client is: its key, its SMSID and what it agreed with the site. The SMSID also stands in SMSCFG.INI, as in the original. Three
   things can have happened since the last run:
   - the key is gone: a new key, registered under the old SMSID;
   - SMSCFG.INI is gone: whoever prepares an image deletes it, so this is to become a new client: new key, no SMSID;
   - SMSCFG.INI or the memory is of other hardware: a copied disk, so likewise. */
#include "identity.h"
#include "../base/json.h"
#include "../machine/layout.h"
#include "key.h"
#include <stdlib.h>
#include <string.h>

#define SECTION L"Configuration - Client Properties"
#define SMALL_FILE 65536

BOOL smsid_of(const char *value, char to[SMSID_SIZE]) {
  static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (starts(value, "GUID:")) value += 5;
  if (*value == '{') value++;
  char upper[SMSID_SIZE];
  if (!copy_to(upper, sizeof upper, value)) return FALSE;
  upper[strcspn(upper, "}")] = 0;
  _strupr(upper);
  to[0] = 0;
  if (strlen(upper) != sizeof form - 1) return FALSE;
  for (size_t i = 0; form[i]; i++)
    if (form[i] == '-' ? upper[i] != '-' : !strchr("0123456789ABCDEF", upper[i])) return FALSE;
  print_to(to, SMSID_SIZE, "GUID:%s", upper);
  return TRUE;
}

typedef struct {
  char guid[SMSID_SIZE], hardwareId[132];
} Known;

static void ini_value(const WCHAR *key, char *to, size_t size) {
  WCHAR value[160];
  GetPrivateProfileStringW(SECTION, key, L"", value, 160, layout.identity);
  char *plain = narrow(value);
  copy_to(to, size, plain);
  free(plain);
}

static void read_known(Known *known) {
  char guid[64];
  ini_value(L"SMS Unique Identifier", guid, sizeof guid);
  smsid_of(guid, known->guid);
  ini_value(L"SMS Hardware Identifier", known->hardwareId, sizeof known->hardwareId);
}

static void add_point(void *points, const char *url) { points_add(points, url); }

/* of_assignment reads what the assignment left. A client of an older release that is registered where it is to be has its site. */
static void of_assignment(Memory *m, const char *json) {
  json_string(json, "wanted", m->wanted, sizeof m->wanted);
  json_string(json, "assignedAt", m->assignedAt, sizeof m->assignedAt);
  json_string(json, "siteVersion", m->siteVersion, sizeof m->siteVersion);
  json_string(json, "fallbackStatusPoint", m->fsp, sizeof m->fsp);
  json_string(json, "topicId", m->topicId, sizeof m->topicId);
  json_number(json, "toldState", &m->toldState);
  if (m->assignedAt[0] || m->wanted[0] || m->toldState || !m->site[0] || !m->registeredAt[0]) return;
  copy_to(m->wanted, sizeof m->wanted, m->site);
  copy_to(m->assignedAt, sizeof m->assignedAt, m->registeredAt);
}

/* read_memory gives false when there is none, or it is damaged: all of it can be made again. */
static BOOL read_memory(Memory *m, char publicKey[128], char hardwareId[132]) {
  Text file = {0};
  LONGLONG number;
  memset(m, 0, sizeof *m);
  m->logLevel = -1;
  const char *json = read_file(layout.memory, &file, SMALL_FILE) && json_valid(file.at) ? file.at : NULL;
  BOOL right = json && json_string(json, "publicKey", publicKey, 128) && json_string(json, "hardwareId", hardwareId, 132);
  if (right) {
    char guid[64];
    if (json_string(json, "guid", guid, sizeof guid)) smsid_of(guid, m->guid);
    json_string(json, "site", m->site, sizeof m->site);
    json_string(json, "approval", m->approval, sizeof m->approval);
    json_string(json, "registeredAt", m->registeredAt, sizeof m->registeredAt);
    json_string(json, "requestId", m->requestId, sizeof m->requestId);
    json_string(json, "requestToken", m->requestToken, sizeof m->requestToken);
    const char *tried = json_object(json, "tried");
    json_string(json, "policyRevision", m->policyRevision, sizeof m->policyRevision);
    if (tried && json_string(tried, "what", m->tried.what, sizeof m->tried.what) && json_string(tried, "at", m->tried.at, sizeof m->tried.at))
      json_number(tried, "times", &m->tried.times);
    if (json_number(json, "policyMinutes", &number) && number >= 1 && number <= 129600) m->policyMinutes = (int)number;
    if (json_number(json, "heartbeatMinutes", &number) && number >= 1 && number <= 129600) m->heartbeatMinutes = (int)number;
    if (json_number(json, "sequence", &number) && number >= 0) m->sequence = number;
    json_strings(json, "managementPoints", add_point, &m->points);
    json_strings(json, "provenPoints", add_point, &m->proven);
    json_strings(json, "proxyPoints", add_point, &m->proxy);
    json_strings(json, "localPoints", add_point, &m->local);
    if (json_number(json, "logLevel", &number) && number >= 0 && number <= 3) m->logLevel = (int)number;
    if (json_number(json, "cacheMegabytes", &number) && number >= 1 && number <= 1048576) m->cacheMegabytes = (int)number;
    of_assignment(m, json);
  }
  text_free(&file);
  return right;
}

static void member(Text *to, const char *name, const char *value) {
  if (!value[0]) return;
  text_format(to, ",\n  \"%s\": ", name);
  text_json(to, value);
}

static void points_member(Text *to, const char *name, const Points *points) {
  if (!points->count) return;
  text_format(to, ",\n  \"%s\": [", name);
  for (int i = 0; i < points->count; i++) {
    text_add(to, i ? ", " : "");
    text_json(to, points->url[i]);
  }
  text_add(to, "]");
}

DWORD identity_remember(const Identity *identity, const Facts *facts) {
  const Memory *m = &identity->memory;
  Text json = {0};
  text_format(&json, "{\n  \"sequence\": %I64d", m->sequence);
  member(&json, "publicKey", identity->publicKey);
  member(&json, "hardwareId", facts->hardwareId);
  member(&json, "guid", m->guid);
  member(&json, "site", m->site);
  member(&json, "approval", m->approval);
  member(&json, "registeredAt", m->registeredAt);
  member(&json, "requestId", m->requestId);
  member(&json, "requestToken", m->requestToken);
  member(&json, "policyRevision", m->policyRevision);
  if (m->tried.what[0]) {
    text_add(&json, ",\n  \"tried\": {\"what\": ");
    text_json(&json, m->tried.what);
    text_format(&json, ", \"at\": \"%s\", \"times\": %I64d}", m->tried.at, m->tried.times);
  }
  if (m->policyMinutes) text_format(&json, ",\n  \"policyMinutes\": %d", m->policyMinutes);
  if (m->heartbeatMinutes) text_format(&json, ",\n  \"heartbeatMinutes\": %d", m->heartbeatMinutes);
  member(&json, "wanted", m->wanted);
  member(&json, "assignedAt", m->assignedAt);
  member(&json, "siteVersion", m->siteVersion);
  member(&json, "fallbackStatusPoint", m->fsp);
  member(&json, "topicId", m->topicId);
  if (m->toldState) text_format(&json, ",\n  \"toldState\": %I64d", m->toldState);
  points_member(&json, "managementPoints", &m->points);
  points_member(&json, "provenPoints", &m->proven);
  points_member(&json, "proxyPoints", &m->proxy);
  points_member(&json, "localPoints", &m->local);
  if (m->logLevel >= 0) text_format(&json, ",\n  \"logLevel\": %d", m->logLevel);
  if (m->cacheMegabytes) text_format(&json, ",\n  \"cacheMegabytes\": %d", m->cacheMegabytes);
  text_add(&json, "\n}\n");
  DWORD error = write_file(layout.memory, json.at, json.length, FALSE);
  text_free(&json);
  return error;
}

BOOL identity_load(Identity *identity, const Facts *facts, char why[256]) {
  Known known = {0};
  char publicKey[128] = "", hardwareId[132] = "";
  memset(identity, 0, sizeof *identity);
  read_known(&known);
  BOOL key = key_read(identity), memory = read_memory(&identity->memory, publicKey, hardwareId);
  BOOL cloned = (known.hardwareId[0] && strcmp(known.hardwareId, facts->hardwareId)) || (memory && strcmp(hardwareId, facts->hardwareId));
  BOOL forgotten = memory && identity->memory.guid[0] && !known.guid[0];
  if (!cloned) copy_to(identity->previousGuid, SMSID_SIZE, known.guid);
  if (key && memory && !cloned && !forgotten && !strcmp(publicKey, identity->publicKey)) return TRUE;
  memset(&identity->memory, 0, sizeof identity->memory);
  identity->memory.logLevel = -1;
  if ((!key || cloned || forgotten) && !key_make(identity)) {
    copy_to(why, 256, "a key could not be made or kept");
    return FALSE;
  }
  DWORD error = identity_remember(identity, facts);
  if (error) print_to(why, 256, "client.json could not be written (%lu)", error);
  return error == 0;
}

BOOL identity_renew(Identity *identity, const Facts *facts) {
  Memory *m = &identity->memory, *old = take(sizeof *old);
  *old = *m;
  memset(m, 0, sizeof *m);
  // The key and what was agreed under it are over, the site is not.
  copy_to(m->site, sizeof m->site, old->site);
  copy_to(m->wanted, sizeof m->wanted, old->wanted);
  copy_to(m->assignedAt, sizeof m->assignedAt, old->assignedAt);
  copy_to(m->siteVersion, sizeof m->siteVersion, old->siteVersion);
  copy_to(m->fsp, sizeof m->fsp, old->fsp);
  copy_to(m->topicId, sizeof m->topicId, old->topicId);
  m->toldState = old->toldState;
  m->points = old->points;
  m->proxy = old->proxy;
  m->logLevel = -1;
  free(old);
  identity->previousGuid[0] = 0;
  DeleteFileW(layout.siteKey);
  DeleteFileW(layout.secrets);
  return key_make(identity) && identity_remember(identity, facts) == 0;
}

void identity_become(Identity *identity, const Facts *facts, const char *guid, const char *site) {
  Text ini = {0};
  text_format(&ini, "[Configuration - Client Properties]\r\nSMS Unique Identifier=%s\r\nSMS Hardware Identifier=%s\r\nAssigned Site Code=%s\r\n",
              guid, facts->hardwareId, site);
  write_file(layout.identity, ini.at, ini.length, FALSE);
  text_free(&ini);
  copy_to(identity->memory.guid, SMSID_SIZE, guid);
  copy_to(identity->memory.site, sizeof identity->memory.site, site);
}

BOOL identity_sign(void *context, const BYTE digest[SHA256_SIZE], BYTE signature[64]) {
  const Identity *identity = context;
  ULONG size = 0;
  return BCryptSignHash(identity->key, NULL, (PUCHAR)digest, SHA256_SIZE, signature, 64, &size, 0) >= 0 && size == 64;
}
