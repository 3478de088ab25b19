#include "options.h"
#include "../base/log.h"
#include "../machine/layout.h"
#include <shellapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void options_default(Options *options) {
  memset(options, 0, sizeof *options);
  options->retryMinutes = 10;
  options->downloadMinutes = 1440;
}

static BOOL minutes(const char *value, int most, int *to) {
  if (!value[0] || strlen(value) > 6 || !only(value, "0123456789")) return FALSE;
  *to = atoi(value);
  return *to >= 1 && *to <= most;
}

/* path_of takes a path in; one that does not fit is wrong, not cut. */
static BOOL path_of(const char *value, WCHAR to[PATH_ROOM]) {
  WCHAR *path = wide(value);
  BOOL fits = path[0] && wcslen(path) < PATH_ROOM;
  if (fits) wcscpy(to, path);
  free(path);
  return fits;
}

static BOOL points_of(const char *value, Points *to) {
  to->count = 0;
  points_read(to, value);
  return to->count > 0;
}

/* flag sets a switch; one with a value is another parameter. */
static BOOL flag(const char *value, BOOL *to) {
  *to = TRUE;
  return value[0] == 0;
}

static BOOL priority(const char *value) {
  // BITS is not used: downloads give way by the management point's bandwidth limits. The parameter is taken so that old command lines work.
  return same(value, "FOREGROUND") || same(value, "HIGH") || same(value, "NORMAL") || same(value, "LOW");
}

static BOOL parameter(Options *o, const char *name, const char *value) {
  if (same(name, "uninstall")) return flag(value, &o->uninstall);
  if (same(name, "forceinstall")) return flag(value, &o->force);
  if (same(name, "noservice")) return flag(value, &o->noService);
  if (same(name, "service") || same(name, "runservice")) return flag(value, &o->service);
  if (same(name, "logon")) return flag(value, &o->logon);
  if (same(name, "?")) return flag(value, &o->help);
  if (same(name, "retry")) return minutes(value, 1440, &o->retryMinutes);
  if (same(name, "downloadtimeout")) return minutes(value, 43200, &o->downloadMinutes);
  if (same(name, "mp")) return points_of(value, &o->points);
  if (same(name, "config")) return path_of(value, o->config);
  if (same(name, "BITSPriority")) return priority(value);
  if (same(name, "source")) return o->sourceCount < MOST_SOURCES && path_of(value, o->source[o->sourceCount++]);
  if (same(name, "skipprereq")) {
    o->skip[0] = ';';
    return value[0] && copy_to(o->skip + 1, sizeof o->skip - 2, value) && strcat(o->skip, ";");
  }
  return FALSE;
}

/* is_property tells NAME=value from anything else. */
static BOOL is_property(const char *argument) {
  const char *equals = strchr(argument, '=');
  if (!equals || equals == argument) return FALSE;
  return strspn(argument, LETTERS_DIGITS "_") == (size_t)(equals - argument) && !strchr(argument, '"');
}

static BOOL add_property(Options *o, const char *argument, const char *from) {
  // Sources are not mixed: the properties of a better one take the place of all others.
  if (o->propertiesFrom != from) o->properties[0] = 0;
  o->propertiesFrom = from;
  size_t used = strlen(o->properties), value = (size_t)(strchr(argument, '=') - argument) + 1;
  BOOL quote = argument[value] == 0 || strpbrk(argument + value, " \t") != NULL;
  if (used + strlen(argument) + 4 > sizeof o->properties) return FALSE;
  print_to(o->properties + used, sizeof o->properties - used, "%s%.*s%s%s%s", used ? " " : "", (int)value, argument, quote ? "\"" : "",
           argument + value, quote ? "\"" : "");
  return TRUE;
}

static BOOL read_one(Options *o, const char *argument, const char *from) {
  char name[32];
  if (argument[0] != '/' && argument[0] != '-') return is_property(argument) && add_property(o, argument, from);
  const char *colon = strchr(argument, ':');
  const char *end = colon ? colon : argument + strlen(argument);
  if (!copy_range(name, sizeof name, argument + 1, end)) return FALSE;
  const char *value = colon ? colon + 1 : "";
  return !(colon && !*value) && parameter(o, name, value);
}

BOOL options_read(Options *options, int count, WCHAR **arguments, const char *from, char wrong[256]) {
  // A source list of a better place takes the whole place too.
  for (int i = 0; i < count; i++)
    if (starts_wide(arguments[i], L"/source:") || starts_wide(arguments[i], L"-source:")) options->sourceCount = 0;
  for (int i = 0; i < count; i++) {
    char *argument = narrow(arguments[i]);
    BOOL known = read_one(options, argument, from);
    if (!known) {
      one_line(argument);
      copy_to(wrong, 256, argument);
    }
    free(argument);
    if (!known) return FALSE;
  }
  return TRUE;
}

BOOL options_policy(Options *options, char wrong[256]) {
  WCHAR line[4096] = L"ccmsetup ";
  DWORD size = sizeof line - 9 * sizeof(WCHAR);
  if (RegGetValueW(HKEY_LOCAL_MACHINE, POLICY_KEY, L"SetupParameters", RRF_RT_REG_SZ, NULL, line + 9, &size) != ERROR_SUCCESS) return TRUE;
  int count = 0;
  WCHAR **arguments = CommandLineToArgvW(line, &count);
  BOOL right = !arguments || options_read(options, count - 1, arguments + 1, "policy", wrong);
  LocalFree(arguments);
  if (count > 1) log_info("Parameters of group policy: %d", count - 1);
  return right;
}

BOOL options_skip(const Options *options, const char *name) {
  char wanted[160], all[600];
  if (!options->skip[0]) return FALSE;
  print_to(wanted, sizeof wanted, ";%.140s;", name);
  copy_to(all, sizeof all, options->skip);
  lower(wanted);
  lower(all);
  return strstr(all, wanted) != NULL;
}
