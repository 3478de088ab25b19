/* Which site this client belongs to. Once assigned it stays assigned, wherever the machine goes; only an administrator changes that: by an
   installation that names another site, or by policy. A client without a site stays installed and asks again every ten minutes.
   (client/agent/membership.ts is the same for the agent in TypeScript.) */
#include "choice.h"
#include "logs.h"
#include "parts.h"
#include <stdlib.h>
#include <string.h>

/* wanted_of is what the installation asks for. */
static void wanted_of(const Agent *a, char to[64]) {
  property(a->config.properties, "SMSSITECODE", to, 64);
  if (!to[0]) copy_to(to, 64, a->config.site);
  _strupr(to);
}

BOOL member_due(const Agent *a) {
  const Memory *m = &a->identity.memory;
  char wanted[64], again[8];
  wanted_of(a, wanted);
  if (!m->assignedAt[0]) return TRUE;
  if (!strcmp(wanted, m->wanted)) return FALSE;
  // AUTO is for those who have no site yet, unless it is said otherwise.
  property(a->config.properties, "SITEREASSIGN", again, sizeof again);
  return strcmp(wanted, "AUTO") != 0 || same(again, "true") || same(again, "yes") || !strcmp(again, "1");
}

typedef struct {
  const Agent *a;
  int state;
  const char *detail;
} Message;

static void member(Text *body, const char *name, const char *value) {
  if (!value[0]) return;
  text_format(body, ",\"%s\":", name);
  text_json(body, value);
}

static void message(void *context, const char *time, Text *body) {
  const Message *what = context;
  const Agent *a = what->a;
  const Memory *m = &a->identity.memory;
  char detail[1024] = "";
  text_format(body, "{\"topicType\":800,\"topicId\":\"%s\",\"stateId\":%d,\"at\":\"%s\",\"name\":", m->topicId, what->state, time);
  text_json(body, a->facts.name);
  // The name of a domain may be empty, and has to be there.
  text_add(body, ",\"domain\":");
  text_json(body, a->facts.domain);
  member(body, "site", m->site);
  member(body, "guid", m->guid);
  member(body, "clientVersion", a->status.version);
  if (what->detail) copy_to(detail, sizeof detail, what->detail);
  one_line(detail);
  member(body, "detail", detail);
  text_add(body, "}");
}

static BOOL try_points(const Points *points, const char *path, Message *what, const Signer *signer, const char *pins) {
  Told told = {0};
  Asked asked = {path, message, what, signer, pins, NULL, NULL};
  contact_ask(points, &asked, &told);
  if (!told.taken && points->count) say_warn(STATE_LOG, "State message was not taken: %s", told.why);
  text_free(&told.body);
  return told.taken;
}

/* tell sends a state of the assignment, signed to the management points as soon as this client has a key there, else to the fallback status
   point. Messages of one assignment have one TopicId. */
static void tell(Agent *a, int state, const char *detail) {
  Memory *m = &a->identity.memory;
  if (m->toldState == state) return;
  if (state == 500 || !m->topicId[0]) random_uuid(m->topicId);
  m->toldState = state;
  agent_remember(a);
  Message what = {a, state, detail};
  Signer signer = {.client = m->guid, .sign = identity_sign, .key = &a->identity};
  Points *points = take(sizeof *points), *fallback = take(sizeof *fallback);
  choice_messages(points);
  points_fallback(a, fallback);
  say_info(STATE_LOG, "Sending state message, STATEID='%d'.", state);
  BOOL sent = m->guid[0] && m->registeredAt[0] && try_points(points, "/ccm_system/state", &what, &signer, a->config.pins);
  // The fallback status point may be another machine, whose certificate is not the one that is pinned.
  if (!sent) sent = try_points(fallback, "/sms_fsp/.sms_fsp", &what, NULL, NULL);
  if (sent) say_info(STATE_LOG, "State message with TopicType 800 and TopicId {%s} has been sent", m->topicId);
  free(points);
  free(fallback);
}

static void note(Agent *a, int state, const char *why) {
  wanted_of(a, a->status.assignment.wanted);
  a->status.assignment.stateId = state;
  copy_to(a->status.assignment.why, sizeof a->status.assignment.why, why);
  instant(a->status.assignment.at, now_ticks());
}

void member_failed(Agent *a, int state, const char *why) {
  say_error(LOCATION_LOG, "Site assignment failed, state %d: %s", state, why);
  note(a, state, why);
  copy_to(a->status.lastError, sizeof a->status.lastError, why);
  if (!a->identity.memory.assignedAt[0]) a->status.state = "unassigned";
  tell(a, state, why);
}

void member_succeeded(Agent *a) {
  if (a->identity.memory.toldState == 700) return;
  say_info(LOCATION_LOG, "Site assignment succeeded");
  note(a, 700, "");
  tell(a, 700, NULL);
}

void member_take(Agent *a, const Assigned *site) {
  Memory *m = &a->identity.memory;
  BOOL other = m->site[0] && strcmp(m->site, site->site);
  wanted_of(a, m->wanted);
  copy_to(m->site, sizeof m->site, site->site);
  copy_to(m->siteVersion, sizeof m->siteVersion, site->version);
  instant(m->assignedAt, now_ticks());
  m->points = site->points;
  if (site->fsp[0]) copy_to(m->fsp, sizeof m->fsp, site->fsp);
  if (other) m->policyRevision[0] = m->registeredAt[0] = 0, m->proxy.count = m->local.count = 0;
  agent_remember(a);
  points_refresh(a);
  say_info(LOCATION_LOG, "Assigned to site %s", m->site);
}

BOOL member_assign(Agent *a, Unassigned *why) {
  char wanted[64];
  Assigned *found = take(sizeof *found);
  Points *points = take(sizeof *points);
  const Memory *m = &a->identity.memory;
  wanted_of(a, wanted);
  say_info(LOCATION_LOG, "Site assignment begins, site code %s", wanted);
  if (!m->toldState) tell(a, 500, NULL);
  points_anchors(a, points);
  points_usable(a, &m->points, points);
  Points *published = take(sizeof *published);
  published_points(a->config.properties, wanted, published);
  points_usable(a, published, points);
  free(published);
  BOOL right = site_assign(a, wanted, points, found, why);
  if (right) member_take(a, found);
  else member_failed(a, why->state, why->why);
  free(found);
  free(points);
  return right;
}

BOOL member_locate(Agent *a) {
  Memory *m = &a->identity.memory;
  Points *points = take(sizeof *points);
  Located *found = take(sizeof *found);
  choice_messages(points);
  BOOL answered = site_locate(a, points, found);
  if (answered) {
    BOOL home = found->site[0] && !strcmp(found->site, m->site);
    m->proxy.count = m->local.count = 0;
    if (home) m->proxy = found->proxy;
    else if (found->site[0]) m->local = found->points;
    if (home && found->points.count) m->points = found->points;
    points->count = 0;
    if (home && points_add(points, found->fsp)) copy_to(m->fsp, sizeof m->fsp, found->fsp);
    agent_remember(a);
    points_refresh(a);
  } else say_warn(SERVICES_LOG, "Nobody told where this machine is; what was known of management points stays");
  free(points);
  free(found);
  return answered;
}
