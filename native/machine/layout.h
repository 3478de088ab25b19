#ifndef PP_LAYOUT_H
#define PP_LAYOUT_H
#include "../base/files.h"

/* Where the client keeps its things on a Windows machine: the same places as client/host/layout.ts, below the folder that Windows is in. */
typedef struct {
  WCHAR windows[PATH_ROOM], setup[PATH_ROOM], setupLog[PATH_ROOM], agent[PATH_ROOM], agentLog[PATH_ROOM], agentFile[PATH_ROOM];
  WCHAR agentConfig[PATH_ROOM], agentConfigBefore[PATH_ROOM], installed[PATH_ROOM], token[PATH_ROOM], key[PATH_ROOM], siteKey[PATH_ROOM], secrets[PATH_ROOM], memory[PATH_ROOM], status[PATH_ROOM];
  WCHAR identity[PATH_ROOM], system[PATH_ROOM];
} Layout;

extern Layout layout;
void layout_find(void);

#define CONFIG_FILE L"mobileclient.tcf"
#define AGENT_SERVICE L"CcmExec"
#define SETUP_SERVICE L"ccmsetup"
#define SETUP_MUTEX L"Global\\ccmsetup"
#define AGENT_KEY L"SOFTWARE\\Microsoft\\SMS\\Mobile Client"
#define PROPERTIES_KEY L"SOFTWARE\\Microsoft\\CCM"
#define POLICY_KEY L"SOFTWARE\\Policies\\Microsoft\\ccmsetup"
#define UPGRADE_CODE L"{7C2B6E0F-5A4D-4B1E-9D3C-1F6A8E2C9B70}"
#endif
