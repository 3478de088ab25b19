#include "layout.h"

Layout layout;

void layout_find(void) {
  if (!GetSystemWindowsDirectoryW(layout.windows, MAX_PATH)) wcscpy(layout.windows, L"C:\\Windows");
  if (!GetSystemDirectoryW(layout.system, MAX_PATH)) join_path(layout.system, layout.windows, L"system32");
  join_path(layout.setup, layout.windows, L"ccmsetup");
  join_path(layout.setupLog, layout.setup, L"logs\\ccmsetup.log");
  join_path(layout.agent, layout.windows, L"CCM");
  join_path(layout.agentLog, layout.agent, L"logs\\CcmExec.log");
  join_path(layout.agentFile, layout.agent, L"CcmExec.exe");
  join_path(layout.agentConfig, layout.agent, CONFIG_FILE);
  join_path(layout.agentConfigBefore, layout.agent, L"mobileclient.bak");
  join_path(layout.installed, layout.agent, L"installed.json");
  join_path(layout.token, layout.agent, L"registration.token");
  join_path(layout.key, layout.agent, L"client.key");
  join_path(layout.siteKey, layout.agent, L"site.key");
  join_path(layout.secrets, layout.agent, L"secrets.json");
  join_path(layout.memory, layout.agent, L"client.json");
  join_path(layout.status, layout.agent, L"status.json");
  join_path(layout.identity, layout.windows, L"SMSCFG.INI");
}
