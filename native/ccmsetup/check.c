/* What must be so before anything is brought: the system, the disk, Windows Installer, no restart pending; and what the package declares
   that must be installed before it (sections [Requires] and [Prerequisite n] of mobileclient.tcf). */
#include "../base/log.h"
#include "../base/stop.h"
#include "../machine/layout.h"
#include "run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What must be free beside the payload itself, in part and in place. */
#define SPARE_BYTES 10000000

/* installer_version is that of Windows Installer, major * 100 + minor; 0 when there is none. */
static int installer_version(void) {
  struct {
    DWORD size, major, minor, build, platform;
  } version = {.size = sizeof version};
  HMODULE library = LoadLibraryExW(L"msi.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
  if (!library) return 0;
  HRESULT(WINAPI *get)(void *) = (void *)GetProcAddress(library, "DllGetVersion");
  BOOL told = get && get(&version) == S_OK;
  FreeLibrary(library);
  return told ? (int)(version.major * 100 + version.minor) : 0;
}

static BOOL key_exists(const WCHAR *key) {
  HKEY opened;
  if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, key, 0, KEY_READ | KEY_WOW64_64KEY, &opened) != ERROR_SUCCESS) return FALSE;
  RegCloseKey(opened);
  return TRUE;
}

static BOOL restart_pending(void) {
  return key_exists(L"SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending") ||
         key_exists(L"SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\RebootRequired") ||
         RegGetValueW(HKEY_LOCAL_MACHINE, L"SYSTEM\\CurrentControlSet\\Control\\Session Manager", L"PendingFileRenameOperations", RRF_RT_ANY,
                      NULL, NULL, NULL) == ERROR_SUCCESS;
}

static BOOL listed(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *at = list; *at;) {
    size_t part = strcspn(at, "; ,");
    if (part == length && _strnicmp(at, word, length) == 0) return TRUE;
    at += part + strspn(at + part, "; ,");
  }
  return FALSE;
}

BOOL is_msi(const File *file) {
  size_t length = strlen(file->name);
  return length > 4 && same(file->name + length - 4, ".msi");
}

static BOOL check_system(Run *run) {
  const Config *c = &run->config;
  if (!options_skip(&run->options, "os") && run->facts.build < (unsigned)c->requires.build)
    return fail(run, 319, CODE_PREREQUISITE, "the operating system is not supported: build %u, the package needs %d", run->facts.build,
                c->requires.build);
  if (!options_skip(&run->options, "os") && c->requires.architectures[0] && !listed(c->requires.architectures, run->facts.architecture))
    return fail(run, 319, CODE_PREREQUISITE, "the operating system is not supported: architecture %s, the package needs %s",
                run->facts.architecture, c->requires.architectures);
  BOOL isMsi = is_msi(&c->payload);
  // Known before anything is brought: what this program cannot run it does not fetch either.
  if (!isMsi && !c->payload.command[0])
    return fail(run, 320, CODE_PREREQUISITE, "this deployment is not possible here: %s is no file of Windows Installer, and the package has no command "
                "that installs it", c->payload.name);
  int needed = c->requires.installer ? c->requires.installer : isMsi ? 301 : 0, there = installer_version();
  if (needed && !options_skip(&run->options, "installer") && there < needed)
    return fail(run, 320, CODE_PREREQUISITE, "this deployment is not possible here: Windows Installer is %d.%02d, %d.%02d is needed",
                there / 100, there % 100, needed / 100, needed % 100);
  if (c->requires.noRestartPending && !options_skip(&run->options, "restart") && restart_pending())
    return fail(run, 317, CODE_RESTART, "a restart of this machine is pending, and the package wants it done first");
  return TRUE;
}

BOOL check_machine(Run *run) {
  const Config *c = &run->config;
  if (!check_system(run)) return FALSE;
  ULONGLONG needed = (ULONGLONG)c->payload.size * 2 + SPARE_BYTES;
  for (int i = 0; i < c->prerequisiteCount; i++) needed += (ULONGLONG)c->prerequisites[i].file.size * 2;
  if (c->requires.freeBytes > needed) needed = c->requires.freeBytes;
  make_folders(layout.setup);
  ULONGLONG free = free_bytes(layout.setup);
  if (free < needed && !options_skip(&run->options, "disk"))
    return fail(run, 312, CODE_PREREQUISITE, "the system drive has %I64u bytes free, %I64u are needed", free, needed);
  return TRUE;
}

/* is_there tells whether what a prerequisite brings is on the machine: a file, with %NAMES% in it, or a registry key. */
static BOOL is_there(const Prerequisite *one) {
  WCHAR path[PATH_ROOM];
  if (!one->check[0]) return FALSE;
  WCHAR *check = wide(one->check);
  BOOL there = FALSE;
  if (starts_wide(check, L"HKLM\\")) there = key_exists(check + 5);
  else if (ExpandEnvironmentStringsW(check, path, PATH_ROOM) <= PATH_ROOM) there = exists(path);
  free(check);
  return there;
}

static BOOL install_one(Run *run, const Prerequisite *one) {
  DWORD exit = 0;
  log_info("Installing the prerequisite %s", one->file.name);
  if (!fetch_file(run, &one->file)) return FALSE;
  WCHAR *command = wide(one->file.command);
  BOOL ran = run_command(run, NULL, command, &exit);
  free(command);
  if (!ran) return FALSE;
  log_info("Prerequisite %s ended with %lu", one->file.name, exit);
  if (is_restart(exit))
    return fail(run, 317, CODE_RESTART, "the prerequisite %s needs a restart before the installation can go on", one->file.name);
  if (exit != 0)
    return fail(run, 301, CODE_PREREQUISITE, "the prerequisite %s could not be installed: it ended with %lu", one->file.name, exit);
  return TRUE;
}

BOOL install_prerequisites(Run *run) {
  for (int i = 0; i < run->config.prerequisiteCount; i++) {
    const Prerequisite *one = &run->config.prerequisites[i];
    if (options_skip(&run->options, one->file.name)) log_info("The prerequisite %s is skipped", one->file.name);
    else if (is_there(one)) log_info("The prerequisite %s is there already", one->file.name);
    else if (!install_one(run, one)) return FALSE;
  }
  return TRUE;
}
