/* The site's policy: settings at once; then removal, a move to another site, or another version of the client. Those three are done only when it is certain that the
   policy comes from the site: it was proven with the key that the push left here, or it came over TLS from a point that is known to be the
   site's. Otherwise anybody between client and site could make every client install what he likes. (client/agent/policy.ts is the same for the agent in TypeScript.) */
#include "../base/json.h"
#include "../machine/layout.h"
#include "choice.h"
#include "logs.h"
#include "parts.h"
#include <stdlib.h>
#include <string.h>

#define DEFAULT_POLICY_MINUTES 60
#define HOUR_TICKS ((ULONGLONG)HOUR_MS * TICKS_MS)

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
  if (error) say_warn(POLICY_LOG, "site.key could not be written (%lu)", error);
  SecureZeroMemory(key, sizeof key);
}

/* is_proven tells whether this answer comes from the site. */
static BOOL is_proven(const Agent *a, const Told *told) {
  Text key = {0}, text = {0}, proof = {0};
  BYTE digest[SHA256_SIZE], mac[SHA256_SIZE];
  char hex[SHA256_HEX];
  if (points_prove(a, told->point)) return TRUE;
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

typedef enum { NOTHING, REMOVAL, MOVE, UPGRADE } Work;

static void settings(Agent *a, const char *policy) {
  Memory *m = &a->identity.memory;
  LONGLONG number;
  char fsp[POINT_SIZE];
  Points points = {0};
  json_string(policy, "approval", m->approval, sizeof m->approval);
  if (json_number(policy, "heartbeatMinutes", &number) && number >= 1 && number <= 129600) m->heartbeatMinutes = (int)number;
  if (json_number(policy, "policyMinutes", &number) && number >= 1 && number <= 129600) m->policyMinutes = (int)number;
  m->logLevel = json_number(policy, "logLevel", &number) && number >= 0 && number <= 3 ? (int)number : -1;
  m->cacheMegabytes = json_number(policy, "cacheMegabytes", &number) && number >= 1 && number <= 1048576 ? (int)number : 0;
  logs_rules(a->config.properties, m->logLevel);
  json_strings(policy, "managementPoints", add_point, &points);
  points_own(a, &points);
  if (points.count) m->points = points;
  points.count = 0;
  if (json_string(policy, "fallbackStatusPoint", fsp, sizeof fsp) && points_add(&points, fsp)) copy_to(m->fsp, sizeof m->fsp, fsp);
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

/* migrate looks first whether the other site takes this client; only then it leaves the old one. */
static BOOL migrate(Agent *a, const char *policy) {
  const char *object = json_object(policy, "migrate");
  Memory *m = &a->identity.memory;
  Points *points = take(sizeof *points);
  Assigned *found = take(sizeof *found);
  Unassigned why = {0};
  char site[8];
  json_string(object, "site", site, sizeof site);
  json_strings(object, "managementPoints", add_point, points);
  BOOL right = site_assign(a, site, points, found, &why);
  if (right && strcmp(found->site, site)) {
    right = FALSE;
    print_to(why.why, sizeof why.why, "%s is no primary site", site);
  }
  if (!right) {
    say_error(POLICY_LOG, "Could not move to site %s: %s", site, why.why);
    copy_to(a->status.lastError, sizeof a->status.lastError, why.why);
  } else {
    agent_farewell(a, "migrate");
    DeleteFileW(layout.siteKey);
    DeleteFileW(layout.secrets);
    memset(&m->tried, 0, sizeof m->tried);
    m->toldState = 0;
    m->topicId[0] = 0;
    m->proven = found->points = *points;
    member_take(a, found);
    a->mustRegister = TRUE;
  }
  free(points);
  free(found);
  return right;
}

/* work_of names what a policy asks for beside settings; NOTHING when it is so already, or not yet due. */
static Work work_of(const Agent *a, const char *policy, char version[36], char work[64]) {
  char notBefore[INSTANT_SIZE], site[8];
  const char *object = json_object(policy, "upgrade"), *move = json_object(policy, "migrate");
  version[0] = 0;
  if (json_true(policy, "uninstall")) return copy_to(work, 64, "uninstall this client"), REMOVAL;
  if (move && json_string(move, "site", site, sizeof site) && strcmp(site, a->identity.memory.site)) {
    print_to(work, 64, "move to site %s", site);
    return MOVE;
  }
  if (!object || !json_string(object, "version", version, 36) || !strcmp(version, a->status.version)) return NOTHING;
  if (!only(version, LETTERS_DIGITS ".+_-")) return NOTHING;
  if (json_string(object, "notBefore", notBefore, sizeof notBefore) && ticks_of(notBefore) > site_ticks()) return NOTHING;
  print_to(work, 64, "upgrade to %s", version);
  return UPGRADE;
}

static void apply(Agent *a, const Told *told) {
  const char *policy = told->body.at;
  Memory *m = &a->identity.memory;
  char revision[68], site[8], version[36], work[64];
  if (!json_valid(policy) || !json_string(policy, "revision", revision, sizeof revision) || !json_string(policy, "site", site, sizeof site)) {
    say_error(POLICY_LOG, "the policy of %s is malformed", told->point);
    return;
  }
  if (m->site[0] && strcmp(site, m->site)) {
    say_warn(POLICY_LOG, "%s gave the policy of site %s; this client belongs to %s", told->point, site, m->site);
    return;
  }
  say_info(POLICY_LOG, "Policy %s of site %s", revision, site);
  settings(a, policy);
  Work wanted = work_of(a, policy, version, work);
  BOOL proven = is_proven(a, told);
  if (proven) {
    m->proven.count = 0;
    json_strings(policy, "managementPoints", add_point, &m->proven);
  }
  points_refresh(a);
  if (wanted && !proven) say_error(POLICY_LOG, "The policy asks to %s, and nothing proves that it comes from the site; it is not done", work);
  if (!wanted || !proven) {
    // Whoever made up a policy under the revision of the site's must not keep the client from ever asking for that.
    copy_to(m->policyRevision, sizeof m->policyRevision, proven || !exists(layout.siteKey) ? revision : "");
    memset(&m->tried, 0, sizeof m->tried);
  }
  agent_remember(a);
  if (!wanted || !proven || !may_try(a, work)) return;
  say_info(POLICY_LOG, "The policy asks to %s", work);
  if (wanted == MOVE) {
    migrate(a, policy);
    return;
  }
  DWORD error = wanted == UPGRADE ? upgrade_by_policy(a, policy, version) : uninstall_by_policy();
  if (error) say_error(POLICY_LOG, "Could not %s (%lu)", work, error);
}

/* unheard is how long to wait after a policy that could not be had. */
static double unheard(const Agent *a, const Told *told) {
  const Memory *m = &a->identity.memory;
  // A management point of an older release has no policies at all.
  if (!strcmp(told->code, "PP_MP_NOT_HERE")) return (m->policyMinutes ? m->policyMinutes : DEFAULT_POLICY_MINUTES) * MINUTE_MS;
  return told->waitMs >= 0 ? (double)told->waitMs * (1 + 0.2 * random_fraction()) + 1 : POLICY_AGAIN_MS;
}

double policy_poll(Agent *a, Told *told) {
  Memory *m = &a->identity.memory;
  Points points;
  Signer signer = {.client = m->guid, .sign = identity_sign, .key = &a->identity};
  // What was tried and did not come to its end is asked for again as a whole. A trusted point that is asked because of the list shall say its own,
  // not that the policy is the same.
  const char *known = m->policyRevision[0] && !m->tried.what[0] && !choice_asks_trusted() ? m->policyRevision : NULL;
  Asked asked = {"/ccm_system/policy", NULL, NULL, &signer, a->config.pins, "PP_CLIENT_UNKNOWN PP_CLIENT_BLOCKED", known};
  choice_messages(&points);
  contact_ask(&points, &asked, told);
  if (told->taken) {
    instant(a->status.lastPolicyAt, now_ticks());
    if (told->status == 200) apply(a, told);
  } else say_warn(POLICY_LOG, "No policy: %s", told->why);
  // Secrets may have been in it.
  if (told->body.at) SecureZeroMemory(told->body.at, told->body.length);
  text_free(&told->body);
  if (told->taken) return (m->policyMinutes ? m->policyMinutes : DEFAULT_POLICY_MINUTES) * MINUTE_MS;
  return told->final ? -1 : unheard(a, told);
}
