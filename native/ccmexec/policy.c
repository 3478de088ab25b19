/* The site's policy: settings at once; then removal, or another version of the client. Those two are done only when it is certain that the
   policy comes from the site: it was proven with the key that the push left here, or it came over TLS from a point that is known to be the
   site's. Otherwise anybody between client and site could make every client install what he likes. (client/agent/policy.ts is the same for the agent in TypeScript.) */
#include "../base/json.h"
#include "../base/log.h"
#include "../base/services.h"
#include "../machine/layout.h"
#include "parts.h"
#include <stdlib.h>
#include <string.h>

#define HOUR_TICKS (3600000ULL * TICKS_MS)

static void policy_key(const char *token, const char *guid, BYTE key[SHA256_SIZE]) {
  BYTE tokenKey[SHA256_SIZE];
  Text text = {0};
  sha256(token, strlen(token), tokenKey);
  text_format(&text, "policy\n%s", guid);
  hmac_sha256(tokenKey, sizeof tokenKey, text.at, text.length, key);
  SecureZeroMemory(tokenKey, sizeof tokenKey);
  text_free(&text);
}

void policy_keep(const Agent *a, const char *guid) {
  BYTE key[SHA256_SIZE];
  if (!a->token.tokenId[0]) return;
  policy_key(a->token.token, guid, key);
  DWORD error = write_file(layout.siteKey, key, sizeof key, TRUE);
  if (error) log_warn("site.key could not be written (%lu)", error);
  SecureZeroMemory(key, sizeof key);
}

/* proves_site tells whether TLS alone shows that a point is the site's: it has the pinned certificate, or the installation named it. Any other
   https address may have been told by somebody between client and site, who has a good certificate for it. */
static BOOL proves_site(const Agent *a, const char *point) {
  BOOL named = a->config.pin[0] != 0;
  for (int i = 0; i < a->config.points.count; i++) named = named || !strcmp(a->config.points.url[i], point);
  return named && starts(point, "https:");
}

/* is_proven tells whether this answer comes from the site. */
static BOOL is_proven(const Agent *a, const Told *told) {
  Text key = {0}, text = {0}, proof = {0};
  BYTE digest[SHA256_SIZE], mac[SHA256_SIZE];
  char hex[SHA256_HEX];
  if (proves_site(a, told->point)) return TRUE;
  BOOL right = read_file(layout.siteKey, &key, SHA256_SIZE) && key.length == SHA256_SIZE;
  if (right) {
    sha256(told->body.at, told->body.length, digest);
    hex_of(hex, digest, sizeof digest);
    text_format(&text, "policy\n%s\n%s", told->nonce, hex);
    hmac_sha256((const BYTE *)key.at, key.length, text.at, text.length, mac);
    base64_of(&proof, mac, sizeof mac);
    // One nonce is asked about once, so that the time this takes tells nobody anything.
    right = !strcmp(proof.at, told->proof);
  }
  if (key.at) SecureZeroMemory(key.at, key.length);
  text_free(&key);
  text_free(&text);
  text_free(&proof);
  return right;
}

static void add_point(void *points, const char *url) { points_add(points, url); }

static void settings(Agent *a, const char *policy) {
  Memory *m = &a->identity.memory;
  LONGLONG number;
  Points points = {0};
  json_string(policy, "approval", m->approval, sizeof m->approval);
  if (json_number(policy, "heartbeatMinutes", &number) && number >= 1 && number <= 129600) m->heartbeatMinutes = (int)number;
  if (json_number(policy, "policyMinutes", &number) && number >= 1 && number <= 129600) m->policyMinutes = (int)number;
  if (json_strings(policy, "managementPoints", add_point, &points) && points.count) m->points = points;
}

/* may_try spaces failed tries of the same work: an hour, four, a day. */
static BOOL may_try(Agent *a, const char *work) {
  Memory *m = &a->identity.memory;
  ULONGLONG now = site_ticks(), since = m->tried.at[0] ? ticks_of(m->tried.at) : 0;
  LONGLONG hours = m->tried.times <= 1 ? 1 : m->tried.times == 2 ? 4 : 24;
  BOOL again = !strcmp(m->tried.what, work);
  // A clock that was set back does not make a client wait for years.
  if (again && since <= now && now - since < (ULONGLONG)hours * HOUR_TICKS) return FALSE;
  m->tried.times = again ? m->tried.times + 1 : 1;
  copy_to(m->tried.what, sizeof m->tried.what, work);
  instant(m->tried.at, now);
  agent_remember(a);
  return TRUE;
}

/* start_setup lets ccmsetup run as its own service, which goes on when it stops this agent. */
static DWORD start_setup(const char *arguments) {
  WCHAR from[PATH_ROOM], to[PATH_ROOM];
  Text line = {0};
  DWORD state = service_state(SETUP_SERVICE);
  if (state != 0 && state != SERVICE_STOPPED) return ERROR_SERVICE_ALREADY_RUNNING;
  join_path(from, layout.agent, L"ccmsetup.exe");
  join_path(to, layout.setup, L"ccmsetup.exe");
  make_folders(layout.setup);
  // From its own folder: the one of the client is what it removes or replaces.
  if (!CopyFileW(from, to, FALSE) && !exists(to)) return GetLastError();
  char *path = narrow(to);
  text_format(&line, "\"%s\" %s", path, arguments);
  WCHAR *command = wide(line.at);
  DWORD error = service_set(SETUP_SERVICE, L"ccmsetup", command, SERVICE_DEMAND_START);
  if (!error) error = service_start(SETUP_SERVICE);
  free(path);
  free(command);
  text_free(&line);
  // One that has ended already has done its work.
  return error == ERROR_SERVICE_NOT_ACTIVE || error == ERROR_SERVICE_DOES_NOT_EXIST ? 0 : error;
}

typedef struct {
  char wanted[132];
  File payload;
  BOOL found;
} Chosen;

/* choose takes the file that the policy names as the payload, else the one that is not the bootstrap. */
static void choose(void *context, const char *object) {
  Chosen *c = context;
  File file = {0};
  LONGLONG size;
  if (!json_string(object, "name", file.name, sizeof file.name) || !json_string(object, "sha256", file.sha256, sizeof file.sha256) ||
      !json_number(object, "size", &size) || size < 1 || !is_hex(file.sha256, 64) || !only(file.name, LETTERS_DIGITS "._-") || file.name[0] == '.')
    return;
  file.size = size;
  BOOL fits = c->wanted[0] ? !strcmp(file.name, c->wanted) : !starts(file.name, "ccmsetup.");
  if (!fits || c->found) return;
  c->payload = file;
  c->found = TRUE;
}

/* upgrade lays a mobileclient.tcf that names the new payload beside ccmsetup and starts it: from there it is what a push is. */
static DWORD upgrade(Agent *a, const char *policy, const char *version) {
  const char *object = json_object(policy, "upgrade");
  WCHAR tcf[PATH_ROOM];
  char arguments[1028];
  Chosen chosen = {0};
  json_string(object, "payload", chosen.wanted, sizeof chosen.wanted);
  if (!json_objects(object, "files", choose, &chosen) || !chosen.found) return ERROR_INVALID_DATA;
  json_string(object, "command", chosen.payload.command, sizeof chosen.payload.command);
  json_string(object, "arguments", arguments, sizeof arguments);
  Config *config = take(sizeof *config);
  *config = a->config;
  config->payload = chosen.payload;
  copy_to(config->version, sizeof config->version, version);
  // From now on these are what the installation named, so only points of this policy, which is proven, and those that were that already.
  config->points.count = 0;
  json_strings(policy, "managementPoints", add_point, &config->points);
  for (int i = 0; i < a->config.points.count; i++) points_add(&config->points, a->config.points.url[i]);
  join_path(tcf, layout.setup, CONFIG_FILE);
  DWORD error = tcf_hand_over(layout.agentConfig, tcf, config);
  free(config);
  return error ? error : start_setup(arguments);
}

/* work_of names what a policy asks for beside settings; FALSE when it is so already, or not yet due. */
static BOOL work_of(const Agent *a, const char *policy, char version[36], char work[64]) {
  char notBefore[INSTANT_SIZE];
  const char *object = json_object(policy, "upgrade");
  version[0] = 0;
  if (json_true(policy, "uninstall")) return copy_to(work, 64, "uninstall this client");
  if (!object || !json_string(object, "version", version, 36) || !strcmp(version, a->status.version)) return FALSE;
  if (!only(version, LETTERS_DIGITS ".+_-")) return FALSE;
  if (json_string(object, "notBefore", notBefore, sizeof notBefore) && ticks_of(notBefore) > site_ticks()) return FALSE;
  print_to(work, 64, "upgrade to %s", version);
  return TRUE;
}

static void apply(Agent *a, const Told *told) {
  const char *policy = told->body.at;
  Memory *m = &a->identity.memory;
  char revision[68], site[8], version[36], work[64];
  if (!json_valid(policy) || !json_string(policy, "revision", revision, sizeof revision) || !json_string(policy, "site", site, sizeof site)) {
    log_error("the policy of %s is malformed", told->point);
    return;
  }
  if (m->site[0] && strcmp(site, m->site)) {
    log_warn("%s gave the policy of site %s; this client belongs to %s", told->point, site, m->site);
    return;
  }
  log_info("Policy %s of site %s", revision, site);
  settings(a, policy);
  BOOL wanted = work_of(a, policy, version, work), proven = is_proven(a, told);
  if (wanted && !proven) log_error("The policy asks to %s, and nothing proves that it comes from the site; it is not done", work);
  if (json_object(policy, "migrate")) log_warn("The policy asks to move to another site, which this agent cannot do");
  if (!wanted || !proven) {
    // Whoever made up a policy under the revision of the site's must not keep the client from ever asking for that.
    copy_to(m->policyRevision, sizeof m->policyRevision, proven || !exists(layout.siteKey) ? revision : "");
    memset(&m->tried, 0, sizeof m->tried);
  }
  agent_remember(a);
  if (!wanted || !proven || !may_try(a, work)) return;
  log_info("The policy asks to %s", work);
  DWORD error = version[0] ? upgrade(a, policy, version) : start_setup("/uninstall");
  if (error) log_error("Could not %s (%lu)", work, error);
}

BOOL policy_poll(Agent *a) {
  Memory *m = &a->identity.memory;
  Told *told = take(sizeof *told);
  Points points;
  Signer signer = {.client = m->guid, .sign = identity_sign, .key = &a->identity};
  // What was tried and did not come to its end is asked for again as a whole.
  const char *known = m->policyRevision[0] && !m->tried.what[0] ? m->policyRevision : NULL;
  Asked asked = {"/ccm_system/policy", NULL, NULL, &signer, a->config.pin, "PP_CLIENT_UNKNOWN PP_CLIENT_BLOCKED PP_MP_NOT_HERE", known};
  agent_points(a, &points);
  contact_ask(&points, &asked, told);
  BOOL taken = told->taken;
  if (taken && told->status == 200) apply(a, told);
  if (!taken) log_warn("%s", told->why);
  // Secrets may have been in it.
  if (told->body.at) SecureZeroMemory(told->body.at, told->body.length);
  text_free(&told->body);
  free(told);
  return taken;
}
