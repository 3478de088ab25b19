/* The site's policy: settings at once; then removal, a move to another site, or another version of the client. Those three are done only when it is certain that the
   policy comes from the site: it was proven with the key that the push left here, or it came over TLS from a point that is known to be the
   site's. Otherwise anybody between client and site could make every client install what he likes. (client/agent/policy.ts is the same for the agent in TypeScript.) */
#include "../base/json.h"
#include "../base/log.h"
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

/* proves_site tells whether TLS alone shows that a point is the site's: it has the pinned certificate, or the installation or a proven
   policy named it. Any other
   https address may have been told by somebody between client and site, who has a good certificate for it. */
static BOOL proves_site(const Agent *a, const char *point) {
  const Memory *m = &a->identity.memory;
  BOOL named = a->config.pin[0] != 0;
  for (int i = 0; i < a->config.points.count; i++) named = named || !strcmp(a->config.points.url[i], point);
  for (int i = 0; i < m->proven.count; i++) named = named || !strcmp(m->proven.url[i], point);
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

typedef enum { NOTHING, REMOVAL, MOVE, UPGRADE } Work;

static void settings(Agent *a, const char *policy) {
  Memory *m = &a->identity.memory;
  LONGLONG number;
  char fsp[POINT_SIZE];
  Points points = {0};
  json_string(policy, "approval", m->approval, sizeof m->approval);
  if (json_number(policy, "heartbeatMinutes", &number) && number >= 1 && number <= 129600) m->heartbeatMinutes = (int)number;
  if (json_number(policy, "policyMinutes", &number) && number >= 1 && number <= 129600) m->policyMinutes = (int)number;
  if (json_strings(policy, "managementPoints", add_point, &points) && points.count) m->points = points;
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
    log_error("Could not move to site %s: %s", site, why.why);
    copy_to(a->status.lastError, sizeof a->status.lastError, why.why);
  } else {
    agent_farewell(a, "migrate");
    DeleteFileW(layout.siteKey);
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
    log_error("the policy of %s is malformed", told->point);
    return;
  }
  if (m->site[0] && strcmp(site, m->site)) {
    log_warn("%s gave the policy of site %s; this client belongs to %s", told->point, site, m->site);
    return;
  }
  log_info("Policy %s of site %s", revision, site);
  settings(a, policy);
  Work wanted = work_of(a, policy, version, work);
  BOOL proven = is_proven(a, told);
  if (proven) {
    m->proven.count = 0;
    json_strings(policy, "managementPoints", add_point, &m->proven);
  }
  if (wanted && !proven) log_error("The policy asks to %s, and nothing proves that it comes from the site; it is not done", work);
  if (!wanted || !proven) {
    // Whoever made up a policy under the revision of the site's must not keep the client from ever asking for that.
    copy_to(m->policyRevision, sizeof m->policyRevision, proven || !exists(layout.siteKey) ? revision : "");
    memset(&m->tried, 0, sizeof m->tried);
  }
  agent_remember(a);
  if (!wanted || !proven || !may_try(a, work)) return;
  log_info("The policy asks to %s", work);
  if (wanted == MOVE) {
    migrate(a, policy);
    return;
  }
  DWORD error = wanted == UPGRADE ? upgrade_by_policy(a, policy, version) : uninstall_by_policy();
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
