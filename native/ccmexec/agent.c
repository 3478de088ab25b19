/* The client itself, as small as it can be: it finds its site, registers there, and sends its heartbeats. Between two contacts it holds one
   timer and nothing else. client/agent in TypeScript does the same; both write the same files. */
#include "../base/json.h"
#include "../base/log.h"
#include "../base/stop.h"
#include "parts.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_BACK_OFF_MS 30000.0
#define LONGEST_BACK_OFF_MS 3600000.0
/* After a start the first heartbeat is spread over this time, so that an estate that comes up together does not call together. */
#define START_SPREAD_MS 10000.0
/* After a failed assignment it is tried again. */
#define ASSIGN_AGAIN_MS 600000
#define DEFAULT_HEARTBEAT_MINUTES 10080
#define DEFAULT_POLICY_MINUTES 60

static void tell(Agent *a) { status_write(&a->status, &a->identity.memory); }

void agent_remember(Agent *a) {
  DWORD error = identity_remember(&a->identity, &a->facts);
  if (error) log_warn("client.json could not be written (%lu)", error);
}

/* interval is the site's, up to a twentieth earlier, so that clients that were installed together drift apart. */
static double interval(const Agent *a) {
  int minutes = a->identity.memory.heartbeatMinutes;
  return (minutes ? minutes : DEFAULT_HEARTBEAT_MINUTES) * 60000.0 * (1 - 0.05 * random_fraction());
}

/* back_off is how long to wait after a failed contact: as long as the points ask for, else longer from time to time. */
static double back_off(Agent *a, LONGLONG waitMs) {
  if (waitMs >= 0) return (double)waitMs * (1 + 0.2 * random_fraction()) + 1;
  double wait = FIRST_BACK_OFF_MS;
  for (int i = 0; i < a->failures && wait < LONGEST_BACK_OFF_MS; i++) wait *= 2;
  a->failures++;
  if (wait > LONGEST_BACK_OFF_MS) wait = LONGEST_BACK_OFF_MS;
  return wait * (0.5 + 0.5 * random_fraction());
}

static double failed(Agent *a, const Told *told) {
  if (!told->taken) copy_to(a->status.lastError, sizeof a->status.lastError, told->why);
  log_error("%s", a->status.lastError);
  if (!strcmp(told->code, "PP_CLIENT_UNKNOWN")) {
    // The site lost this client: register again, after a short pause in case it lost all of them.
    a->mustRegister = TRUE;
    a->status.state = "unregistered";
    return START_SPREAD_MS * random_fraction();
  }
  if (!strcmp(told->code, "PP_CLIENT_BLOCKED")) {
    a->status.state = "blocked";
    return interval(a);
  }
  return back_off(a, told->waitMs);
}

/* beat_once registers or says that it lives; it gives 0, or how long to wait before it is tried again. */
static double beat_once(Agent *a) {
  Told told = {0};
  // Addresses, names and the system change while the agent runs.
  facts_find(&a->facts);
  BOOL anew = registration_due(a), right = anew ? register_client(a, &told, TRUE) : beat(a, &told);
  double wait = right ? 0 : failed(a, &told);
  // The site is the right one, but its management point does not take this client.
  if (anew && !right && !a->identity.memory.registeredAt[0]) member_failed(a, 603, a->status.lastError);
  if (anew && right) member_succeeded(a);
  if (right) {
    a->failures = 0;
    a->status.lastError[0] = 0;
    a->nextBeat = GetTickCount64() + (ULONGLONG)interval(a);
  }
  SecureZeroMemory(&a->token, sizeof a->token);
  text_free(&told.body);
  return wait;
}

/* assign_once finds the site, where the installation asks for another than there is; it gives 0, or how long to wait while there is none. */
static double assign_once(Agent *a) {
  Unassigned why;
  if (GetTickCount64() >= a->nextAssign) {
    facts_find(&a->facts);
    BOOL right = member_assign(a, &why);
    if (right) a->mustRegister = TRUE, a->failures = 0;
    else if (why.unheard && !a->identity.memory.assignedAt[0]) return back_off(a, why.waitMs);
    a->nextAssign = GetTickCount64() + ASSIGN_AGAIN_MS;
  }
  ULONGLONG now = GetTickCount64();
  if (a->identity.memory.assignedAt[0]) return 0;
  return a->nextAssign > now ? (double)(a->nextAssign - now) : 1;
}

/* contact_once does what is due, and gives how long to wait until the next time. */
static double contact_once(Agent *a) {
  const Memory *m = &a->identity.memory;
  if (member_due(a)) {
    double wait = assign_once(a);
    if (wait > 0) return wait;
  }
  if (GetTickCount64() >= a->nextBeat || registration_due(a)) {
    double wait = beat_once(a);
    if (wait > 0) return wait;
  }
  BOOL changed = a->revision[0] && strcmp(a->revision, m->policyRevision);
  if (changed || GetTickCount64() >= a->nextPolicy) {
    policy_poll(a);
    // Asked for once for each thing the site says; what could not be had or done comes with the next regular time.
    a->revision[0] = 0;
    ULONGLONG minutes = m->policyMinutes ? (ULONGLONG)m->policyMinutes : DEFAULT_POLICY_MINUTES;
    a->nextPolicy = GetTickCount64() + (ULONGLONG)((double)(minutes * 60000) * (1 - 0.05 * random_fraction()));
  }
  // The policy may have taken this client to another site.
  if (registration_due(a)) return 0;
  ULONGLONG now = GetTickCount64(), next = a->nextBeat < a->nextPolicy ? a->nextBeat : a->nextPolicy;
  if (member_due(a) && a->nextAssign < next) next = a->nextAssign;
  return next > now ? (double)(next - now) : 0;
}

static void work(Agent *a) {
  tell(a);
  if (!member_due(a) && !registration_due(a) && !wait_ms((ULONGLONG)(START_SPREAD_MS * random_fraction()) + 1)) return;
  while (!stopping()) {
    ULONGLONG wait = (ULONGLONG)contact_once(a) + 1;
    instant(a->status.nextContactAt, now_ticks() + wait * TICKS_MS);
    tell(a);
    if (!wait_ms(wait)) return;
  }
}

int agent(void) {
  Agent *a = take(sizeof *a);
  char why[256] = "";
  facts_find(&a->facts);
  if (!agent_config(&a->config, why) || !identity_load(&a->identity, &a->facts, why)) {
    log_error("%s", why);
    return ERROR_FILE_NOT_FOUND;
  }
  agent_version(&a->config, a->status.version);
  log_info("Client %s starts", a->status.version);
  instant(a->startedAt, now_ticks());
  a->status.state = "starting";
  work(a);
  a->status.state = "stopped";
  a->status.nextContactAt[0] = 0;
  tell(a);
  log_info("Client stops");
  return 0;
}
