/* Which site this machine belongs to, asked of management points and of server locator points with a plain GET that nobody signs
   (src/messages/location.ts), and whether that site can take this client. client/agent/assignment.ts is the same for the agent in TypeScript. */
#include "../base/json.h"
#include "../base/stop.h"
#include "../machine/facts.h"
#include "logs.h"
#include "parts.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_QUERY 900
#define MOST_NUMBERS 6

/* Asker goes through those who may be asked, and keeps how long they are silent: that has an end only where all of them ask to wait. */
typedef struct {
  const Agent *a;
  Points points, locators;
  BOOL unheard;
  LONGLONG waitMs;
  char why[1024];
  Told told;
} Asker;

static BOOL is_code(const char *code) { return strlen(code) == 3 && only(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"); }

/* ask_place asks one of them; TRUE when it gave a JSON object. */
static BOOL ask_place(Asker *k, int which, const char *question) {
  BOOL locator = which >= k->points.count;
  Text path = {0};
  Points *one = take(sizeof *one);
  points_add(one, locator ? k->locators.url[which - k->points.count] : k->points.url[which]);
  text_format(&path, "/%s/%s", locator ? "sms_slp" : "ccm_system", question);
  Asked asked = {path.at, NULL, NULL, NULL, k->a->config.pins, NULL, NULL};
  contact_ask(one, &asked, &k->told);
  BOOL right = k->told.taken && json_valid(k->told.body.at);
  if (!k->told.taken) {
    LONGLONG wait = k->told.waitMs;
    k->waitMs = !k->unheard ? wait : k->waitMs < 0 || wait < 0 ? -1 : wait < k->waitMs ? wait : k->waitMs;
    k->unheard = TRUE;
    copy_to(k->why, sizeof k->why, k->told.why);
  }
  free(one);
  text_free(&path);
  return right;
}

static int places(const Asker *k) { return k->points.count + k->locators.count; }

static BOOL unassigned(Unassigned *why, int state, const Asker *silent, const char *format, const char *first, const char *second) {
  memset(why, 0, sizeof *why);
  why->state = state;
  why->waitMs = -1;
  if (silent && silent->unheard) why->unheard = TRUE, why->waitMs = silent->waitMs;
  print_to(why->why, sizeof why->why, format, first, second);
  return FALSE;
}

static void add_address(void *query, const char *address) {
  Text *text = query;
  if (text->length < LONGEST_QUERY) text_format(text, "%saddress=%s", strchr(text->at, '?') ? "&" : "?", address);
}

static void list_address(void *list, const char *address) {
  Text *text = list;
  text_format(text, "%s%s", text->length ? ", " : "", address);
}

static void add_point(void *points, const char *url) { points_add(points, url); }

/* location asks those of the asker where this machine is. A source that knows no site may be low in the hierarchy, so the next is asked. FALSE when
   nobody answered. */
static BOOL location(Asker *k, Located *to) {
  Text query = {0};
  BOOL answered = FALSE;
  Located *one = take(sizeof *one);
  text_add(&query, "location");
  facts_each_address(add_address, &query);
  for (int i = 0; i < places(k) && !to->site[0] && !stopping(); i++) {
    if (!ask_place(k, i, query.at)) continue;
    const char *json = k->told.body.at;
    memset(one, 0, sizeof *one);
    // What is no location at all counts as no answer.
    if (!json_strings(json, "managementPoints", add_point, &one->points) || !json_strings(json, "proxyManagementPoints", add_point, &one->proxy))
      continue;
    if (!json_string(json, "site", one->site, sizeof one->site) || !is_code(one->site)) one->site[0] = 0;
    json_string(json, "secondary", one->secondary, sizeof one->secondary);
    json_string(json, "fallbackStatusPoint", one->fsp, sizeof one->fsp);
    answered = TRUE;
    *to = *one;
  }
  free(one);
  text_free(&query);
  return answered;
}

BOOL site_locate(const Agent *a, const Points *points, Located *to) {
  Asker *k = take(sizeof *k);
  k->a = a;
  k->points = *points;
  property_points(a->config.properties, "SMSSLP", &k->locators);
  memset(to, 0, sizeof *to);
  BOOL answered = location(k, to);
  text_free(&k->told.body);
  free(k);
  return answered;
}

/* automatic gives the primary whose site boundaries hold this machine. */
static BOOL automatic(Asker *k, char code[8], Unassigned *why) {
  Text addresses = {0};
  Located *found = take(sizeof *found);
  text_add(&addresses, "");
  facts_each_address(list_address, &addresses);
  BOOL answered = location(k, found), right = found->site[0] != 0;
  if (right) {
    copy_to(code, 8, found->site);
    say_info(LOCATION_LOG, "The boundaries of site %s hold this machine (%s)", found->secondary[0] ? found->secondary : code, addresses.at);
  } else if (answered) unassigned(why, 606, NULL, "no site has a boundary that holds this machine (%.900s)%s", addresses.at, "");
  else unassigned(why, 606, k, "nobody told which site this is: %s%s", k->why[0] ? k->why : "there is nobody to ask", "");
  free(found);
  text_free(&addresses);
  return right;
}

typedef struct {
  Assigned site;
  BOOL secondary;
  char parent[8];
} Information;

/* read_site takes the answer about a site over; FALSE when it is none. */
static BOOL read_site(const char *json, const char *code, Information *to) {
  char type[16];
  memset(to, 0, sizeof *to);
  if (!json_string(json, "site", to->site.site, sizeof to->site.site) || strcmp(to->site.site, code) ||
      !json_string(json, "type", type, sizeof type) || !json_strings(json, "managementPoints", add_point, &to->site.points))
    return FALSE;
  to->secondary = !strcmp(type, "secondary");
  json_string(json, "parent", to->parent, sizeof to->parent);
  json_string(json, "version", to->site.version, sizeof to->site.version);
  json_string(json, "fallbackStatusPoint", to->site.fsp, sizeof to->site.fsp);
  return to->secondary || !strcmp(type, "primary");
}

/* ask_site gives what is known of a site. A source that does not know the version is passed over for one that does. */
static BOOL ask_site(Asker *k, const char *code, Information *to, Unassigned *why) {
  char question[16];
  BOOL known = FALSE, unknown = FALSE;
  Information *one = take(sizeof *one);
  print_to(question, sizeof question, "sites/%s", code);
  k->unheard = FALSE;
  copy_to(k->why, sizeof k->why, "there is nobody to ask");
  for (int i = 0; i < places(k) && !stopping(); i++) {
    BOOL answered = ask_place(k, i, question);
    if (answered && read_site(k->told.body.at, code, one)) {
      if (!known || one->site.version[0]) *to = *one;
      known = TRUE;
      if (one->site.version[0]) break;
    } else if (!k->told.taken && !strcmp(k->told.code, "PP_SITE_UNKNOWN")) unknown = TRUE;
    else if (k->told.taken) print_to(k->why, sizeof k->why, "%s gave no site information", k->told.point);
  }
  free(one);
  if (known) return TRUE;
  if (unknown) return unassigned(why, 602, NULL, "no site is called %s%s", code, "");
  return unassigned(why, 608, k, "the version of site %s could not be learned: %s", code, k->why);
}

/* numbers_of reads the numbers of a version, without what follows a hyphen or a plus; 0 when it does not begin with one. */
static int numbers_of(const char *version, long numbers[MOST_NUMBERS]) {
  int count = 0;
  memset(numbers, 0, MOST_NUMBERS * sizeof *numbers);
  while (count < MOST_NUMBERS && isdigit((unsigned char)*version)) {
    size_t digits = strspn(version, "0123456789");
    char one[10];
    copy_range(one, sizeof one, version, version + (digits > 9 ? 9 : digits));
    numbers[count++] = strtol(one, NULL, 10);
    if (digits > 9 || version[digits] != '.') break;
    version += digits + 1;
  }
  return count;
}

/* compatible tells whether a site can take this client: not when it is older, or of no version that can be compared. */
static BOOL compatible(const Assigned *site, Unassigned *why) {
  long own[MOST_NUMBERS], theirs[MOST_NUMBERS];
  if (!site->version[0]) return unassigned(why, 608, NULL, "nobody tells the version of site %s%s", site->site, "");
  if (!numbers_of(PRODUCT_VERSION, own)) return unassigned(why, 609, NULL, "this client has no version that can be compared (%s)%s", PRODUCT_VERSION, "");
  if (!numbers_of(site->version, theirs)) return unassigned(why, 608, NULL, "the version of site %s is none (%s)", site->site, site->version);
  for (int i = 0; i < MOST_NUMBERS; i++) {
    if (own[i] < theirs[i]) break;
    if (own[i] == theirs[i]) continue;
    char both[80];
    print_to(both, sizeof both, "%s (%s)", site->site, site->version);
    return unassigned(why, 607, NULL, "this client (%s) is newer than site %s", PRODUCT_VERSION, both);
  }
  return TRUE;
}

/* chosen goes from what is wanted to a primary site. */
static BOOL chosen(Asker *k, const char *wanted, Information *to, Unassigned *why) {
  char code[8];
  if (!strcmp(wanted, "AUTO")) {
    if (!automatic(k, code, why)) return FALSE;
  } else if (!is_code(wanted)) return unassigned(why, 602, NULL, "%.16s is no site code%s", wanted, "");
  else copy_to(code, sizeof code, wanted);
  if (!ask_site(k, code, to, why)) return FALSE;
  if (!to->secondary) return TRUE;
  if (!is_code(to->parent)) return unassigned(why, 602, NULL, "%s is a secondary site, and nobody tells of which primary%s", code, "");
  say_info(LOCATION_LOG, "Site %s is a secondary; its clients belong to its primary %s", code, to->parent);
  copy_to(code, sizeof code, to->parent);
  if (!ask_site(k, code, to, why)) return FALSE;
  return !to->secondary || unassigned(why, 602, NULL, "%s is no primary site%s", code, "");
}

BOOL site_assign(const Agent *a, const char *wanted, const Points *points, Assigned *to, Unassigned *why) {
  Asker *k = take(sizeof *k);
  Information *found = take(sizeof *found);
  k->a = a;
  k->points = *points;
  property_points(a->config.properties, "SMSSLP", &k->locators);
  BOOL right = chosen(k, wanted, found, why) && compatible(&found->site, why);
  if (right && found->site.points.count == 0)
    right = unassigned(why, 604, NULL, "site %s has no management point for its clients%s", found->site.site, "");
  if (right) {
    *to = found->site;
    say_info(LOCATION_LOG, "Site %s of version %s can take this client of version %s", to->site, to->version, PRODUCT_VERSION);
  }
  text_free(&k->told.body);
  free(found);
  free(k);
  return right;
}
