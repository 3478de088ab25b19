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

/* of_installer makes the settings of what client.msi was given by hand or by group policy: SMSMP, SMSSITECODE and the ports. */
static BOOL of_installer(Config *config) {
  char mp[256], port[8], url[POINT_SIZE];
  memset(config, 0, sizeof *config);
  if (!installer_property(L"SMSMP", mp, sizeof mp) || !installer_property(L"SMSSITECODE", config->site, sizeof config->site)) return FALSE;
  _strupr(config->site);
  if (strlen(config->site) != 3 || !only(config->site, LETTERS_DIGITS)) return FALSE;
  BOOL secure = starts(mp, "https://");
  const char *bare = strstr(mp, "://") ? strstr(mp, "://") + 3 : mp;
  installer_property(secure ? L"CCMHTTPSPORT" : L"CCMHTTPPORT", port, sizeof port);
  BOOL add = port[0] && only(port, "0123456789") && !strpbrk(bare, ":/");
  print_to(url, sizeof url, "http%s://%s%s%s", secure ? "s" : "", bare, add ? ":" : "", add ? port : "");
  copy_to(config->version, sizeof config->version, CLIENT_VERSION);
  return points_add(&config->points, url);
}

BOOL agent_config(Config *config, char why[256]) {
  BOOL there = exists(layout.agentConfig);
  if (there && tcf_read(layout.agentConfig, config, why)) return TRUE;
  if (!there && of_installer(config)) return TRUE;
  if (!there) copy_to(why, 256, "the client is not installed completely: mobileclient.tcf is missing, and the installer was given no SMSMP and SMSSITECODE");
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

void status_write(const Status *status, const Config *config, const Memory *memory) {
  Text json = {0};
  text_format(&json, "{\n  \"state\": \"%s\",\n  \"version\": ", status->state);
  text_json(&json, status->version);
  text_add(&json, ",\n  \"site\": ");
  text_json(&json, memory->site[0] ? memory->site : config->site);
  member(&json, "guid", memory->guid);
  member(&json, "approval", memory->approval);
  member(&json, "managementPoint", status->point);
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
  static const char *const names[] = {"state", "version", "site", "guid", "approval", "managementPoint", "registeredAt", "lastHeartbeatAt",
                                      "nextContactAt", "lastError"};
  Text file = {0};
  char value[1100], state[32] = "";
  BOOL there = read_file(layout.status, &file, 65536) && json_valid(file.at);
  if (!there) text_clear(&file), text_add(&file, "{\"state\":\"stopped\",\"version\":\"\",\"site\":\"\"}");
  json_string(file.at, "state", state, sizeof state);
  if (json) puts(file.at);
  else
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (json_string(file.at, names[i], value, sizeof value)) printf("%s: %s\n", names[i], value);
  text_free(&file);
  return strcmp(state, "registered") != 0;
}
