/* The files the agent writes for people (client/agent/logs.ts is the same for the agent in TypeScript). */
#include "logs.h"
#include "../machine/layout.h"
#include "../machine/tcf.h"
#include <stdlib.h>

#define USUAL_SIZE 250000
#define LEAST_SIZE 10000
#define LARGEST_SIZE 100000000

void logs_open(void) {
  static const struct {
    const WCHAR *name;
    const char *component;
  } all[] = {{L"logs\\ClientIDManagerStartup.log", "ClientIDManagerStartup"},
             {L"logs\\LocationServices.log", "LocationServices"},
             {L"logs\\ClientLocation.log", "ClientLocation"},
             {L"logs\\PolicyAgent.log", "PolicyAgent"},
             {L"logs\\FSPStateMessage.log", "FSPStateMessage"}};
  WCHAR path[PATH_ROOM];
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    join_path(path, layout.agent, all[i].name);
    log_also(path, all[i].component);
  }
}

int property_within(const char *properties, const char *name, int least, int most, int usual) {
  char text[12];
  if (!property(properties, name, text, sizeof text) || !text[0] || strlen(text) > 9 || !only(text, "0123456789")) return usual;
  int value = atoi(text);
  return value >= least && value <= most ? value : usual;
}

void logs_rules(const char *properties, LONGLONG policyLevel) {
  int level = policyLevel >= 0 ? (int)policyLevel : property_within(properties, "CCMLOGLEVEL", 0, 3, 1);
  DWORD size = (DWORD)property_within(properties, "CCMLOGMAXSIZE", LEAST_SIZE, LARGEST_SIZE, USUAL_SIZE);
  log_rules(level, size, property_within(properties, "CCMLOGMAXHISTORY", 0, 9, 1));
}
