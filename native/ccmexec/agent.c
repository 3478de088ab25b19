/* The client itself: it finds its site, registers there, sends a heartbeat at the interval the site gives and when the machine has changed, and
   does what the site's policy says. Between two works it holds one timer and nothing else. client/agent in TypeScript does the same; both
   write the same files. */
#include "../base/json.h"
#include "../base/stop.h"
#include "choice.h"
#include "logs.h"
#include "parts.h"
#include <stdlib.h>
#include <string.h>

#define DEFAULT_HEARTBEAT_MINUTES 10080
/* An agent that is told to stop is waited for so long; a request that hangs is left as it is. The service waits eight seconds. */
#define STOP_MS 3000

static void tell(Agent *a) { status_write(&a->status, &a->identity.memory); }

void agent_remember(Agent *a) {
  DWORD error = identity_remember(&a->identity, &a->facts);
  if (error) log_warn("client.json could not be written (%lu)", error);
}

static ULONGLONG in(double ms) { return GetTickCount64() + (ULONGLONG)ms; }
static BOOL is_due(ULONGLONG when) { return GetTickCount64() >= when; }

/* interval is the site's, up to a twentieth earlier, so that clients that were installed together drift apart. */
static double interval(const Agent *a) {
  int minutes = a->identity.memory.heartbeatMinutes;
  return (minutes ? minutes : DEFAULT_HEARTBEAT_MINUTES) * MINUTE_MS * (1 - 0.05 * random_fraction());
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
    choice_unknown();
    a->status.state = "unregistered";
    return START_SPREAD_MS * random_fraction();
  }
  if (!strcmp(told->code, "PP_CLIENT_BLOCKED")) {
    a->status.state = "blocked";
    a->nextBeat = 0;
    return interval(a);
  }
  return back_off(a, told->waitMs);
}

/* register_once registers; it gives 0, or how long to wait before it is tried again. */
static double register_once(Agent *a) {
  Told *told = take(sizeof *told);
  Points *points = take(sizeof *points);
  facts_find(&a->facts);
  BOOL right = register_client(a, told, TRUE);
  double wait = right ? 0 : failed(a, told);
  if (right) {
    choice_messages(points);
    a->nextBeat = in(interval(a));
    a->nextPolicy = in(POLICY_SPREAD_MS * random_fraction());
    // Where there are several management points, one may be a proxy, which is asked before the others.
    a->nextLocate = in((points->count > 1 ? START_SPREAD_MS : LOCATE_SPREAD_MS) * random_fraction());
    member_succeeded(a);
  } else if (!a->identity.memory.registeredAt[0]) member_failed(a, 603, a->status.lastError);
  SecureZeroMemory(&a->token, sizeof a->token);
  text_free(&told->body);
  free(points);
  free(told);
  return wait;
}

/* beat_once says that the client lives, and what its machine is now. */
static double beat_once(Agent *a) {
  Told *told = take(sizeof *told);
  facts_find(&a->facts);
  BOOL right = beat(a, told, TRUE);
  double wait = right ? 0 : failed(a, told);
  if (right) a->nextBeat = in(interval(a));
  // What the site says its policy is: asked for once for each thing it says.
  if (right && a->revision[0] && strcmp(a->revision, a->identity.memory.policyRevision)) a->nextPolicy = 0;
  a->revision[0] = 0;
  text_free(&told->body);
  free(told);
  return wait;
}

/* policy_once never holds up the heartbeat: a site that has no policy to give is still a site. */
static double policy_once(Agent *a) {
  Told *told = take(sizeof *told);
  double wait = policy_poll(a, told), longest = interval(a), again = wait < 0 ? failed(a, told) : 0;
  a->nextPolicy = in((wait < 0 ? POLICY_AGAIN_MS : wait) * (1 - 0.05 * random_fraction()));
  // A shorter interval counts from now; a longer one after the heartbeat that is due.
  if (a->nextBeat > in(longest)) a->nextBeat = in(longest);
  free(told);
  return again;
}

/* assign_once finds the site, where the installation asks for another than there is; it gives 0, or how long to wait while there is none. */
static double assign_once(Agent *a) {
  Unassigned why;
  if (is_due(a->nextAssign)) {
    facts_find(&a->facts);
    BOOL right = member_assign(a, &why);
    if (right) a->mustRegister = TRUE, a->failures = 0;
    else if (why.unheard && !a->identity.memory.assignedAt[0]) return back_off(a, why.waitMs);
    a->nextAssign = in(ASSIGN_AGAIN_MS);
  }
  ULONGLONG now = GetTickCount64();
  if (a->identity.memory.assignedAt[0]) return 0;
  return a->nextAssign > now ? (double)(a->nextAssign - now) : 1;
}

/* work_once does what is due, and gives how long to wait until the next time. */
static double work_once(Agent *a) {
  double wait = member_due(a) ? assign_once(a) : 0;
  if (wait > 0) return wait;
  if (registration_due(a)) wait = register_once(a);
  else if (is_due(a->nextBeat)) wait = beat_once(a);
  if (wait > 0) return wait;
  if (is_due(a->nextLocate)) a->nextLocate = in(member_locate(a) ? LOCATE_MS : POLICY_AGAIN_MS);
  if (is_due(a->nextPolicy)) wait = policy_once(a);
  if (wait > 0) return wait;
  // The policy may have taken this client to another site.
  if (registration_due(a)) return 0;
  a->failures = 0;
  a->status.lastError[0] = 0;
  ULONGLONG now = GetTickCount64(), next = a->nextBeat;
  if (a->nextPolicy < next) next = a->nextPolicy;
  if (a->nextLocate < next) next = a->nextLocate;
  if (member_due(a) && a->nextAssign < next) next = a->nextAssign;
  return next > now ? (double)(next - now) : 0;
}

/* rest waits, and looks at the machine meanwhile: what changed on it is told soon. FALSE when the program is to end. */
static BOOL rest(Agent *a, ULONGLONG ms) {
  const ULONGLONG look = (ULONGLONG)LOOK_MS;
  ULONGLONG end = GetTickCount64() + ms, now;
  while ((now = GetTickCount64()) < end) {
    if (!wait_ms(end - now < look ? end - now : look)) return FALSE;
    if (GetTickCount64() >= end || a->nextBeat == 0 || !has_news(a)) continue;
    log_info("The name, an address or the system of this machine has changed");
    a->nextBeat = a->nextLocate = 0;
    return wait_ms((ULONGLONG)(NEWS_SPREAD_MS * random_fraction()) + 1);
  }
  return !stopping();
}

static DWORD WINAPI work(void *agent) {
  Agent *a = agent;
  tell(a);
  if (!member_due(a) && !registration_due(a) && !wait_ms((ULONGLONG)(START_SPREAD_MS * random_fraction()) + 1)) return 0;
  while (!stopping()) {
    ULONGLONG wait = (ULONGLONG)work_once(a) + 1;
    if (stopping()) break;
    instant(a->status.nextContactAt, now_ticks() + wait * TICKS_MS);
    tell(a);
    if (!rest(a, wait)) break;
  }
  return 0;
}

int agent(void) {
  Agent *a = take(sizeof *a);
  char why[256] = "";
  logs_open();
  facts_find(&a->facts);
  if (!agent_config(&a->config, why) || !identity_load(&a->identity, &a->facts, why)) {
    log_error("%s", why);
    return ERROR_FILE_NOT_FOUND;
  }
  logs_rules(a->config.properties, a->identity.memory.logLevel);
  a->status.cacheMegabytes = property_within(a->config.properties, "SMSCACHESIZE", 1, 1048576, 0);
  agent_version(&a->config, a->status.version);
  log_info("Client %s (agent %s) starts", a->status.version, PRODUCT_VERSION);
  instant(a->startedAt, now_ticks());
  copy_to(a->status.startedAt, sizeof a->status.startedAt, a->startedAt);
  a->status.state = "starting";
  points_watch(a);
  points_refresh(a);
  HANDLE worker = CreateThread(NULL, 0, work, a, 0, NULL), either[2] = {worker, stop_event()};
  if (!worker) return (int)GetLastError();
  // A request that hangs must not hold up a machine that is switched off. All that is kept is written as a whole or not at all.
  if (WaitForMultipleObjects(2, either, FALSE, INFINITE) != WAIT_OBJECT_0) WaitForSingleObject(worker, STOP_MS);
  a->status.state = "stopped";
  a->status.nextContactAt[0] = 0;
  tell(a);
  log_info("Client stops");
  return 0;
}
