/* What this client says to its site: its registration, its heartbeats, and its farewell. */
#include "../base/json.h"
#include "../machine/layout.h"
#include "choice.h"
#include "logs.h"
#include "parts.h"
#include <stdlib.h>
#include <string.h>

/* The largest number that every JSON reader holds exactly; one that is said to be heard beyond it is no sequence. */
#define LAST_SEQUENCE 9007199254740991LL
#define TOKEN_REFUSALS "PP_CLIENT_TOKEN_UNKNOWN PP_CLIENT_TOKEN_EXPIRED PP_CLIENT_TOKEN_USED"

/* read_token gives the one-time token that ccmsetup left, unless it is over. */
static BOOL read_token(Token *token) {
  Text file = {0};
  memset(token, 0, sizeof *token);
  BOOL there = exists(layout.token);
  BOOL right = there && read_file(layout.token, &file, 4096) && json_valid(file.at) &&
               json_string(file.at, "tokenId", token->tokenId, sizeof token->tokenId) &&
               json_string(file.at, "token", token->token, sizeof token->token) &&
               json_string(file.at, "expires", token->expires, sizeof token->expires) && ticks_of(token->expires) > site_ticks() &&
               only(token->tokenId, LETTERS_DIGITS "-_");
  if (file.at) SecureZeroMemory(file.at, file.length);
  text_free(&file);
  // Nothing that is over, damaged or half written needs to lie there; ccmsetup writes a new one when it comes again.
  if (there && !right) DeleteFileW(layout.token);
  return right;
}

BOOL registration_due(const Agent *a) {
  Token token;
  const Memory *m = &a->identity.memory;
  BOOL due = a->mustRegister || !m->guid[0] || !m->registeredAt[0] || read_token(&token);
  SecureZeroMemory(&token, sizeof token);
  return due;
}

static void registration(void *context, const char *time, Text *body) {
  Agent *a = context;
  const Memory *m = &a->identity.memory;
  const char *guid = m->guid[0] ? m->guid : a->identity.previousGuid;
  text_format(body, "{\"requestId\":\"%s\",\"publicKey\":\"%s\",", a->requestId, a->identity.publicKey);
  if (guid[0]) text_format(body, "\"guid\":\"%s\",", guid);
  facts_json(&a->facts, a->status.version, body);
  text_format(body, "\"site\":\"%s\",", m->site);
  if (a->token.tokenId[0]) {
    Text proof = {0};
    BYTE key[SHA256_SIZE], mac[SHA256_SIZE];
    sha256(a->token.token, strlen(a->token.token), key);
    text_format(&proof, "register\n%s\n%s", a->identity.publicKey, time);
    hmac_sha256(key, sizeof key, proof.at, proof.length, mac);
    text_format(body, "\"tokenId\":\"%s\",\"tokenProof\":\"", a->token.tokenId);
    base64_of(body, mac, sizeof mac);
    text_add(body, "\",");
    SecureZeroMemory(key, sizeof key);
    text_free(&proof);
  }
  text_format(body, "\"time\":\"%s\"}", time);
}

static void heartbeat(void *context, const char *time, Text *body) {
  Agent *a = context;
  text_format(body, "{\"guid\":\"%s\",", a->identity.memory.guid);
  facts_json(&a->facts, a->status.version, body);
  text_format(body, "\"sequence\":%I64d,\"startedAt\":\"%s\",\"sentAt\":\"%s\"}", a->identity.memory.sequence, a->startedAt, time);
}

static void add_point(void *points, const char *url) { points_add(points, url); }

/* facts_now is what the site is told of the machine, as text. */
static void facts_now(const Agent *a, Text *to) {
  text_clear(to);
  text_add(to, "");
  facts_json(&a->facts, a->status.version, to);
}

BOOL has_news(Agent *a) {
  Text now = {0};
  facts_find(&a->facts);
  facts_now(a, &now);
  BOOL news = a->told.length && strcmp(now.at, a->told.at);
  text_free(&now);
  return news;
}

void points_own(const Agent *a, Points *list) {
  const Points *proxy = &a->identity.memory.proxy;
  int kept = 0;
  for (int i = 0; i < list->count; i++) {
    BOOL other = FALSE;
    for (int k = 0; k < proxy->count; k++) other = other || !strcmp(proxy->url[k], list->url[i]);
    if (!other) memmove(list->url[kept++], list->url[i], POINT_SIZE);
  }
  list->count = kept;
}

/* keep takes over what every reply of a management point tells a client to do from now on. */
static BOOL keep(Agent *a, const Told *told) {
  Memory *m = &a->identity.memory;
  char site[8], approval[16];
  LONGLONG minutes;
  Points points = {0};
  if (!json_valid(told->body.at) || !json_string(told->body.at, "site", site, sizeof site) || strlen(site) != 3 ||
      !json_string(told->body.at, "approval", approval, sizeof approval) || !json_number(told->body.at, "heartbeatMinutes", &minutes) ||
      minutes < 1 || minutes > 129600) {
    copy_to(a->status.lastError, sizeof a->status.lastError, "the reply of the management point is malformed");
    return FALSE;
  }
  // Only an assignment takes a client to another site.
  BOOL own = !strcmp(site, m->site);
  if (!own) say_warn(SERVICES_LOG, "%s speaks for site %s; this client belongs to %s and stays there", told->point, site, m->site);
  copy_to(m->approval, sizeof m->approval, approval);
  m->heartbeatMinutes = (int)minutes;
  json_strings(told->body.at, "managementPoints", add_point, &points);
  // The list begins with the proxies where there are some; those are kept apart, because nobody registers there.
  points_own(a, &points);
  if (own && points.count) m->points = points;
  points_refresh(a);
  json_string(told->body.at, "policyRevision", a->revision, sizeof a->revision);
  a->status.state = "registered";
  copy_to(a->status.point, sizeof a->status.point, told->point);
  return TRUE;
}

static BOOL listed(const char *codes, const char *code) { return code[0] && strstr(codes, code) != NULL; }

/* registered takes the SMSID the site gave. */
static BOOL registered(Agent *a, const Told *told) {
  char text[64], guid[SMSID_SIZE];
  Memory *m = &a->identity.memory;
  if (!keep(a, told)) return FALSE;
  if (!json_string(told->body.at, "guid", text, sizeof text) || !smsid_of(text, guid)) {
    copy_to(a->status.lastError, sizeof a->status.lastError, "the reply of the management point holds no SMSID");
    return FALSE;
  }
  identity_become(&a->identity, &a->facts, guid, m->site);
  instant(m->registeredAt, now_ticks());
  m->requestId[0] = 0;
  agent_remember(a);
  policy_keep(a, guid);
  DeleteFileW(layout.token);
  a->mustRegister = FALSE;
  say_info(IDENTITY_LOG, "Registered with site %s as %s (%s)", m->site, m->guid, m->approval);
  return TRUE;
}

BOOL register_client(Agent *a, Told *told, BOOL mayRenew) {
  Memory *m = &a->identity.memory;
  Points points;
  read_token(&a->token);
  // Kept before it is sent: a registration that was cut off goes out again as the same one.
  if (!m->requestId[0] || strcmp(m->requestToken, a->token.tokenId)) {
    random_uuid(m->requestId);
    copy_to(m->requestToken, sizeof m->requestToken, a->token.tokenId);
    agent_remember(a);
  }
  copy_to(a->requestId, sizeof a->requestId, m->requestId);
  facts_now(a, &a->told);
  Signer signer = {.sign = identity_sign, .key = &a->identity};
  Asked asked = {"/ccm_system/registration", registration, a, &signer, a->config.pins, TOKEN_REFUSALS " PP_CLIENT_BLOCKED PP_CLIENT_KEY_RETIRED", NULL};
  choice_registration(&points);
  contact_ask(&points, &asked, told);
  if (told->taken) return registered(a, told);
  if (!strcmp(told->code, "PP_CLIENT_KEY_RETIRED") && mayRenew) {
    say_warn(IDENTITY_LOG, "The site says that another machine has the key of this client; it makes a new one");
    return identity_renew(&a->identity, &a->facts) && register_client(a, told, FALSE);
  }
  if (!a->token.tokenId[0] || !listed(TOKEN_REFUSALS, told->code)) return FALSE;
  say_warn(IDENTITY_LOG, "The registration token %s was refused; registering without it", a->token.tokenId);
  DeleteFileW(layout.token);
  m->requestId[0] = 0;
  return register_client(a, told, mayRenew);
}

BOOL beat(Agent *a, Told *told, BOOL mayRepeat) {
  Memory *m = &a->identity.memory;
  Points points;
  LONGLONG last;
  m->sequence++;
  agent_remember(a);
  facts_now(a, &a->told);
  Signer signer = {.client = m->guid, .sign = identity_sign, .key = &a->identity};
  Asked asked = {"/ccm_system/heartbeat", heartbeat, a, &signer, a->config.pins, "PP_CLIENT_UNKNOWN PP_CLIENT_BLOCKED", NULL};
  choice_messages(&points);
  contact_ask(&points, &asked, told);
  if (!told->taken || !keep(a, told)) return FALSE;
  if (json_number(told->body.at, "lastSequence", &last) && last >= m->sequence) {
    // This machine was set back to an older copy of its disk; it goes on from where the site is.
    say_warn(IDENTITY_LOG, "The site has heard heartbeat %I64d of this client already; its memory is an older copy", last);
    if (last < LAST_SEQUENCE) m->sequence = last;
    agent_remember(a);
    if (mayRepeat) return beat(a, told, FALSE);
    copy_to(a->status.lastError, sizeof a->status.lastError, "the reply to a heartbeat asks for a newer sequence twice");
    return FALSE;
  }
  agent_remember(a);
  instant(a->status.lastHeartbeatAt, now_ticks());
  return TRUE;
}

typedef struct {
  const Agent *a;
  const char *reason;
} Goodbye;

static void goodbye(void *context, const char *time, Text *body) {
  const Goodbye *g = context;
  text_format(body, "{\"guid\":\"%s\",\"reason\":\"%s\",\"sentAt\":\"%s\"}", g->a->identity.memory.guid, g->reason, time);
}

BOOL agent_farewell(Agent *a, const char *reason) {
  Told told = {0};
  Points points;
  Goodbye g = {a, reason};
  Signer signer = {.client = a->identity.memory.guid, .sign = identity_sign, .key = &a->identity};
  Asked asked = {"/ccm_system/farewell", goodbye, &g, &signer, a->config.pins, NULL, NULL};
  choice_messages(&points);
  contact_ask(&points, &asked, &told);
  if (told.taken) say_info(EXEC_LOG, "The site was told that this client %s", strcmp(reason, "migrate") ? "is removed" : "moves to another site");
  else say_warn(EXEC_LOG, "The site was not told: %s", told.why);
  text_free(&told.body);
  return told.taken;
}

int farewell(void) {
  Agent *a = take(sizeof *a);
  char why[256];
  logs_open();
  facts_find(&a->facts);
  // Without a key and an SMSID there is nobody to say it; none are made for that.
  if (!exists(layout.key) || !agent_config(&a->config, why) || !identity_load(&a->identity, &a->facts, why) || !a->identity.memory.guid[0])
    return 0;
  points_refresh(a);
  return !agent_farewell(a, "uninstall");
}
