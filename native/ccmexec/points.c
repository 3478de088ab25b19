/* Which management points this client knows, by what they are to it (client/agent/parts.ts is the same for the agent in TypeScript). */
#include "choice.h"
#include "parts.h"
#include <stdlib.h>
#include <string.h>

void points_usable(const Agent *a, const Points *from, Points *to) {
  for (int i = 0; i < from->count; i++)
    if (!a->config.pins[0] || starts(from->url[i], "https:")) points_add(to, from->url[i]);
}

/* host_of gives the name in an address. */
static void host_of(const char *url, char to[POINT_SIZE]) {
  const char *host = strstr(url, "://");
  host = host ? host + 3 : url;
  const char *end = *host == '[' ? strchr(host, ']') : NULL;
  copy_range(to, POINT_SIZE, host, host + (end ? (size_t)(end - host) : strcspn(host, ":/")));
  lower(to);
}

void points_anchors(const Agent *a, Points *to) {
  Points *named = take(sizeof *named);
  char one[POINT_SIZE], other[POINT_SIZE];
  points_usable(a, &a->config.points, to);
  property_points(a->config.properties, "SMSMP", named);
  // SMSMP is a name only, of a point whose whole address stands in the file as a rule.
  for (int i = 0; i < named->count; i++) {
    BOOL there = a->config.pins[0] && !starts(named->url[i], "https:");
    host_of(named->url[i], one);
    for (int k = 0; k < a->config.points.count && !there; k++) {
      host_of(a->config.points.url[k], other);
      there = !strcmp(one, other);
    }
    if (!there) points_add(to, named->url[i]);
  }
  free(named);
}

void points_fallback(const Agent *a, Points *to) {
  points_add(to, a->identity.memory.fsp);
  property_points(a->config.properties, "FSP", to);
  points_add(to, a->config.fsp);
}

BOOL points_prove(const void *agent, const char *point) {
  const Agent *a = agent;
  const Memory *m = &a->identity.memory;
  BOOL named = a->config.pins[0] != 0;
  Points *anchors = take(sizeof *anchors);
  points_anchors(a, anchors);
  for (int i = 0; i < anchors->count; i++) named = named || !strcmp(anchors->url[i], point);
  for (int i = 0; i < m->proven.count; i++) named = named || !strcmp(m->proven.url[i], point);
  free(anchors);
  return named && starts(point, "https:");
}

void points_refresh(const Agent *a) {
  const Memory *m = &a->identity.memory;
  Classes *c = take(sizeof *c);
  points_usable(a, &m->proxy, &c->proxy);
  points_usable(a, &m->local, &c->local);
  points_usable(a, &m->points, &c->assigned);
  points_usable(a, &m->proven, &c->proven);
  // In another site nobody at the points of the installation would know this client.
  if (!m->site[0] || !strcmp(m->site, a->config.site) || !c->assigned.count) points_anchors(a, &c->anchors);
  choice_set(c);
  free(c);
}

void points_watch(const Agent *a) {
  static ContactWatch watch = {choice_heard, points_prove, NULL};
  watch.context = a;
  contact_watch(&watch);
}
