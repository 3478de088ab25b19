/* What the agent reads and writes beside its identity: where its points are, which version it is, what it says of itself. */
#include "../base/json.h"
#include "../machine/layout.h"
#include "agent.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef CLIENT_VERSION
#define CLIENT_VERSION "0"
#endif

static BOOL installer_property(const WCHAR *name, char *to, size_t size) {
  WCHAR value[300];
  DWORD length = sizeof value;
  to[0] = 0;
  if (RegGetValueW(HKEY_LOCAL_MACHINE, PROPERTIES_KEY, name, RRF_RT_REG_SZ, NULL, value, &length) != ERROR_SUCCESS) return FALSE;
  char *plain = narrow(value);
  BOOL whole = copy_to(to, size, plain) && to[0];
  free(plain);
  return whole;
}

/* of_installer makes the settings of what client.msi was given by hand or by group policy: SMSSITECODE, and SMSMP or SMSSLP. */
static BOOL of_installer(Config *config) {
  static const char *const names[] = {"SMSSITECODE", "SMSMP", "SMSSLP", "DNSSUFFIX", "FSP", "CCMHTTPPORT", "CCMHTTPSPORT", "SITEREASSIGN", "CCMLOGLEVEL",
                                      "CCMLOGMAXSIZE", "CCMLOGMAXHISTORY", "SMSCACHESIZE"};
  char value[256], *all = config->properties;
  Points locators = {0}, fallback = {0};
  memset(config, 0, sizeof *config);
  for (size_t i = 0, used = 0; i < sizeof names / sizeof *names; i++) {
    WCHAR *name = wide(names[i]);
    if (installer_property(name, value, sizeof value) && !strpbrk(value, " \"\t"))
      used += (size_t)print_to(all + used, sizeof config->properties - used, "%s%s=%s", used ? " " : "", names[i], value);
    free(name);
  }
  property_points(all, "SMSMP", &config->points);
  property_points(all, "SMSSLP", &locators);
  if (property_points(all, "FSP", &fallback)) copy_to(config->fsp, sizeof config->fsp, fallback.url[0]);
  copy_to(config->version, sizeof config->version, CLIENT_VERSION);
  if (!property(all, "SMSSITECODE", value, sizeof value) || !value[0]) return FALSE;
  if (strlen(value) == 3) copy_to(config->site, sizeof config->site, _strupr(value));
  return config->points.count + locators.count > 0 || property(all, "DNSSUFFIX", value, sizeof value);
}

/* keep_copy keeps what could be read, for when it cannot: a client that forgets where its site is would be lost. */
static void keep_copy(void) {
  Text now = {0}, before = {0};
  if (read_file(layout.agentConfig, &now, 65536) &&
      !(read_file(layout.agentConfigBefore, &before, 65536) && before.length == now.length && !memcmp(before.at, now.at, now.length)))
    write_file(layout.agentConfigBefore, now.at, now.length, FALSE);
  text_free(&now);
  text_free(&before);
}

BOOL agent_config(Config *config, char why[256]) {
  BOOL there = exists(layout.agentConfig);
  if (there && tcf_read(layout.agentConfig, config, why)) {
    keep_copy();
    return TRUE;
  }
  char other[256];
  if (exists(layout.agentConfigBefore) && tcf_read(layout.agentConfigBefore, config, other)) return TRUE;
  if (!there && of_installer(config)) return TRUE;
  if (!there) copy_to(why, 256, "the client is not installed completely: mobileclient.tcf is missing, and the installer was given no SMSSITECODE, or none of SMSMP, SMSSLP and DNSSUFFIX");
  return FALSE;
}

void agent_version(const Config *config, char to[36]) {
  Text note = {0};
  if (!read_file(layout.installed, &note, 65536) || !json_valid(note.at) || !json_string(note.at, "version", to, 36))
    copy_to(to, 36, config->version);
  text_free(&note);
}

static void member(Text *to, const char *name, const char *value) {
  if (!value[0]) return;
  text_format(to, ",\n  \"%s\": ", name);
  text_json(to, value);
}

static void points_member(Text *to, const char *name, const Points *points) {
  for (int i = 0; i < points->count; i++) {
    if (i) text_add(to, ", ");
    else text_format(to, ",\n  \"%s\": [", name);
    text_json(to, points->url[i]);
  }
  if (points->count) text_add(to, "]");
}

void status_write(const Status *status, const Memory *memory) {
  Text json = {0};
  text_format(&json, "{\n  \"state\": \"%s\",\n  \"version\": ", status->state);
  text_json(&json, status->version);
  text_add(&json, ",\n  \"site\": ");
  text_json(&json, memory->site);
  member(&json, "product", PRODUCT_VERSION);
  member(&json, "siteVersion", memory->siteVersion);
  if (status->assignment.stateId) {
    text_add(&json, ",\n  \"assignment\": {\"wanted\": ");
    text_json(&json, status->assignment.wanted);
    text_format(&json, ", \"stateId\": %d", status->assignment.stateId);
    if (status->assignment.why[0]) {
      text_add(&json, ", \"why\": ");
      text_json(&json, status->assignment.why);
    }
    text_format(&json, ", \"at\": \"%s\"}", status->assignment.at);
  }
  member(&json, "guid", memory->guid);
  member(&json, "approval", memory->approval);
  member(&json, "managementPoint", status->point);
  points_member(&json, "managementPoints", &memory->points);
  points_member(&json, "proxyManagementPoints", &memory->proxy);
  member(&json, "policyRevision", memory->policyRevision);
  member(&json, "lastPolicyAt", status->lastPolicyAt);
  member(&json, "startedAt", status->startedAt);
  int cache = memory->cacheMegabytes ? memory->cacheMegabytes : status->cacheMegabytes;
  if (cache) text_format(&json, ",\n  \"cacheMegabytes\": %d", cache);
  member(&json, "registeredAt", memory->registeredAt);
  member(&json, "lastHeartbeatAt", status->lastHeartbeatAt);
  member(&json, "nextContactAt", status->nextContactAt);
  member(&json, "lastError", status->lastError);
  text_add(&json, "\n}\n");
  // The status is for people; the site hears the heartbeat. A full disk does not stop an agent.
  write_file(layout.status, json.at, json.length, FALSE);
  text_free(&json);
}

int agent_status(BOOL json) {
  static const char *const names[] = {"state", "version", "product", "site", "siteVersion", "guid", "approval", "managementPoint", "policyRevision", "lastPolicyAt",
                                      "startedAt", "registeredAt", "lastHeartbeatAt", "nextContactAt", "lastError"};
  Text file = {0};
  char value[1100], state[32] = "";
  BOOL there = read_file(layout.status, &file, 65536) && json_valid(file.at);
  if (!there) text_clear(&file), text_add(&file, "{\"state\":\"stopped\",\"version\":\"\",\"site\":\"\"}");
  json_string(file.at, "state", state, sizeof state);
  if (json) puts(file.at);
  else {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (json_string(file.at, names[i], value, sizeof value)) printf("%s: %s\n", names[i], value);
    const char *assignment = json_object(file.at, "assignment");
    LONGLONG stateId;
    char why[1024];
    if (assignment && json_string(assignment, "wanted", value, sizeof value) && json_number(assignment, "stateId", &stateId)) {
      json_string(assignment, "why", why, sizeof why);
      printf("assignment: %s, state %I64d%s%s\n", value, stateId, why[0] ? ": " : "", why);
    }
  }
  text_free(&file);
  return strcmp(state, "registered") != 0;
}
