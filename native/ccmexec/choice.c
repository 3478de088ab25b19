/* Which management points are asked in which order: proxy before local before assigned, within a class https before http and otherwise by
   chance, so that clients spread over equal points. The one that was chosen stays the first for 25 hours, or until it failed five times within
   ten minutes. One request that fails there goes to the next at once.

   Over plain HTTP anybody on the way can name points. So one of the installation or of a proven policy is asked first whenever such a list has
   changed, and once a day: what it says takes the place of that list. (client/agent/choice.ts is the same for the agent in TypeScript.) */
#include "choice.h"
#include "logs.h"
#include <stdlib.h>
#include <string.h>

#define NEVER (~0ULL)

static Classes *known;
static BOOL is_set;
static ULONGLONG trusted_due = NEVER, until;
static char heard_last[POINT_SIZE], registers_at[POINT_SIZE];
static Points order;

/* Record is what is remembered of one point: when it failed lately, and until when it comes last because it lost its place. */
static struct {
  char point[POINT_SIZE];
  ULONGLONG failed[FAILURES], last;
  int count;
} records[MOST_POINTS * 2];

static ULONGLONG in(double ms) { return GetTickCount64() + (ULONGLONG)ms; }

static void add_all(Points *to, const Points *more) {
  for (int i = 0; i < more->count; i++) points_add(to, more->url[i]);
}

static BOOL holds(const Points *points, const char *point) {
  for (int i = 0; i < points->count; i++)
    if (!strcmp(points->url[i], point)) return TRUE;
  return FALSE;
}

static BOOL same_points(const Points *a, const Points *b) {
  if (a->count != b->count) return FALSE;
  for (int i = 0; i < a->count; i++)
    if (strcmp(a->url[i], b->url[i])) return FALSE;
  return TRUE;
}

static BOOL is_trusted(const Classes *c, const char *point) { return holds(&c->proven, point) || holds(&c->anchors, point); }

/* unproven are the points that messages go to and that nothing proves. */
static void unproven(const Classes *c, Points *to) {
  const Points *lists[2] = {&c->proxy, &c->assigned};
  to->count = 0;
  for (int l = 0; l < 2; l++)
    for (int i = 0; i < lists[l]->count; i++)
      if (!is_trusted(c, lists[l]->url[i])) points_add(to, lists[l]->url[i]);
}

/* watch makes a trusted point due when others are named than before; the first list of a new client is as good as its assignment. */
static void watch(const Classes *next) {
  Points *old = take(sizeof *old), *now = take(sizeof *now);
  BOOL first = is_set && known->assigned.count == 0, others = FALSE;
  unproven(known, old);
  unproven(next, now);
  is_set = TRUE;
  for (int i = 0; i < now->count; i++) others = others || !holds(old, now->url[i]);
  if (now->count == 0 || next->proven.count + next->anchors.count == 0) trusted_due = NEVER;
  else if (first) trusted_due = in(TRUSTED_MS);
  else if (others) trusted_due = 0;
  free(old);
  free(now);
}

/* mixed adds the points of a class, those with https first, each half in an order of its own. */
static void mixed(Points *to, const Points *class) {
  int place[MOST_POINTS];
  for (int i = 0; i < class->count; i++) {
    int other = (int)(random_fraction() * (i + 1));
    place[i] = place[other];
    place[other] = i;
  }
  for (int secure = 1; secure >= 0; secure--)
    for (int i = 0; i < class->count; i++)
      if (starts(class->url[place[i]], "https:") == secure) points_add(to, class->url[place[i]]);
}

static int record_of(const char *point, BOOL make) {
  int oldest = 0, size = (int)(sizeof records / sizeof *records);
  for (int i = 0; i < size; i++) {
    if (!strcmp(records[i].point, point)) return i;
    if (records[i].failed[0] < records[oldest].failed[0]) oldest = i;
  }
  if (!make) return -1;
  memset(&records[oldest], 0, sizeof *records);
  copy_to(records[oldest].point, POINT_SIZE, point);
  return oldest;
}

static BOOL comes_last(const char *point) {
  int which = record_of(point, FALSE);
  return which >= 0 && records[which].last > GetTickCount64();
}

static void choose(void) {
  Points *all = take(sizeof *all);
  mixed(all, &known->proxy);
  mixed(all, &known->assigned);
  add_all(all, &known->anchors);
  order.count = 0;
  for (int last = 0; last < 2; last++)
    for (int i = 0; i < all->count; i++)
      if (comes_last(all->url[i]) == last) points_add(&order, all->url[i]);
  until = in(STICKY_MS);
  if (order.count) say_info(SERVICES_LOG, "Management point of this client: %s", order.url[0]);
  free(all);
}

static void list(Text *to, const char *name, const Points *points) {
  text_format(to, "%s ", name);
  if (!points->count) text_add(to, "none");
  for (int i = 0; i < points->count; i++) text_format(to, "%s%s", i ? "; " : "", points->url[i]);
}

void choice_set(const Classes *next) {
  Text line = {0};
  if (!known) known = take(sizeof *known);
  else if (same_points(&known->proxy, &next->proxy) && same_points(&known->local, &next->local) &&
           same_points(&known->assigned, &next->assigned) && same_points(&known->anchors, &next->anchors) &&
           same_points(&known->proven, &next->proven))
    return;
  watch(next);
  *known = *next;
  until = 0;
  list(&line, "proxy", &next->proxy);
  list(&line, ", local", &next->local);
  list(&line, ", assigned", &next->assigned);
  say_info(SERVICES_LOG, "Management points: %s", line.at);
  text_free(&line);
}

BOOL choice_asks_trusted(void) { return GetTickCount64() >= trusted_due; }

void choice_messages(Points *to) {
  if (GetTickCount64() >= until) choose();
  to->count = 0;
  if (choice_asks_trusted()) {
    add_all(to, &known->proven);
    add_all(to, &known->anchors);
  }
  add_all(to, &order);
}

void choice_registration(Points *to) {
  to->count = 0;
  if (registers_at[0]) points_add(to, registers_at);
  add_all(to, &known->assigned);
  add_all(to, &known->anchors);
}

void choice_content(Points *to) {
  to->count = 0;
  mixed(to, &known->proxy);
  mixed(to, &known->local);
  mixed(to, &known->assigned);
  add_all(to, &known->anchors);
}

void choice_unknown(void) { copy_to(registers_at, POINT_SIZE, is_trusted(known, heard_last) ? heard_last : ""); }

void choice_heard(const char *point, BOOL answered) {
  ULONGLONG now = GetTickCount64();
  if (!known) return;
  if (answered) copy_to(heard_last, POINT_SIZE, point);
  if (choice_asks_trusted() && is_trusted(known, point)) trusted_due = in(answered ? TRUSTED_MS : TRUSTED_AGAIN_MS);
  int which = record_of(point, !answered);
  if (answered) {
    if (which >= 0) records[which].count = 0;
    return;
  }
  ULONGLONG *failed = records[which].failed;
  int kept = 0;
  for (int i = 0; i < records[which].count; i++)
    if (now - failed[i] <= (ULONGLONG)FAILURES_WITHIN_MS) failed[kept++] = failed[i];
  failed[kept++] = now;
  records[which].count = kept;
  if (kept < FAILURES) return;
  // The oldest makes room for the next.
  memmove(failed, failed + 1, (FAILURES - 1) * sizeof *failed);
  records[which].count = FAILURES - 1;
  if (order.count < 2 || strcmp(order.url[0], point)) return;
  say_warn(SERVICES_LOG, "%s failed %d times within ten minutes; another management point is taken", point, FAILURES);
  records[which].count = 0;
  records[which].last = in(STICKY_MS);
  choose();
}
