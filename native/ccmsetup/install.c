/* Installing and removing: the agent's own files beside the installer's, the installer itself, the note that it is done. Every step may be
   repeated; a run that was killed is simply done again. */
#include "../base/json.h"
#include "../base/log.h"
#include "../base/services.h"
#include "../base/stop.h"
#include "../machine/layout.h"
#include "run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS 60000
#define MOST_BUSY 60

BOOL is_restart(DWORD exit) { return exit == ERROR_SUCCESS_REBOOT_REQUIRED || exit == ERROR_SUCCESS_REBOOT_INITIATED; }

BOOL run_command(Run *run, const WCHAR *program, WCHAR *commandLine, DWORD *exit) {
  STARTUPINFOW start = {.cb = sizeof start};
  PROCESS_INFORMATION process;
  if (!CreateProcessW(program, commandLine, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL, layout.setup, &start, &process)) {
    *exit = GetLastError();
    return fail(run, 313, CODE_ERROR, "the installer of the client could not be started (%lu)", *exit);
  }
  CloseHandle(process.hThread);
  HANDLE either[2] = {process.hProcess, stop_event()};
  BOOL ended = WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0;
  if (ended) GetExitCodeProcess(process.hProcess, exit);
  CloseHandle(process.hProcess);
  // An installer that runs is left alone: half an installation is worse than a late one.
  return ended;
}

/* forget_key makes the agent make a new key when it starts, under the SMSID it had (RESETKEYINFORMATION=TRUE). */
static void forget_key(const Config *c) {
  char value[8];
  if (!property(c->properties, "RESETKEYINFORMATION", value, sizeof value)) return;
  if (!same(value, "true") && !same(value, "1") && !same(value, "yes")) return;
  log_info("The key of the client is forgotten, as RESETKEYINFORMATION asks");
  // An agent that runs would write its memory again.
  service_stop(AGENT_SERVICE);
  DeleteFileW(layout.key);
  DeleteFileW(layout.siteKey);
  DeleteFileW(layout.memory);
}

/* hand_over writes what the agent needs beside itself: where its points are, and the one-time token in a file of its own. */
static BOOL hand_over(Run *run) {
  const Config *c = &run->config;
  forget_key(c);
  DWORD error = tcf_hand_over(run->configPath, layout.agentConfig, c);
  if (!error && c->registration.tokenId[0]) {
    Text token = {0};
    text_format(&token, "{\"tokenId\":\"%s\",\"token\":\"%s\",\"expires\":\"%s\"}", c->registration.tokenId, c->registration.token,
                c->registration.expires);
    error = write_file(layout.token, token.at, token.length, TRUE);
    SecureZeroMemory(token.at, token.length);
    text_free(&token);
  }
  if (!error) return TRUE;
  if (error == ERROR_DISK_FULL || error == ERROR_HANDLE_DISK_FULL)
    return fail(run, 312, CODE_PREREQUISITE, "the system drive has %I64u bytes free, %d are needed", free_bytes(layout.setup), 65536);
  return fail(run, 301, CODE_ERROR, "the files of the client could not be written (%lu)", error);
}

static void registry_text(HKEY key, const WCHAR *name, const char *value) {
  WCHAR *text = wide(value);
  RegSetValueExW(key, name, 0, REG_SZ, (const BYTE *)text, (DWORD)((wcslen(text) + 1) * sizeof(WCHAR)));
  free(text);
}

/* note_installed writes that it is complete, last of all; `at` is empty for now. */
static void note_installed(const Run *run, const char *at) {
  const Config *c = &run->config;
  char now[INSTANT_SIZE];
  Text note = {0};
  HKEY key;
  instant(now, now_ticks());
  text_format(&note, "{\n  \"version\": \"%s\",\n  \"sha256\": \"%s\",\n  \"site\": \"%s\",\n  \"installedAt\": \"%s\"", c->version,
              c->payload.sha256, c->site, at[0] ? at : now);
  if (c->registration.tokenId[0]) text_format(&note, ",\n  \"tokenId\": \"%s\"", c->registration.tokenId);
  text_add(&note, "\n}\n");
  if (RegCreateKeyExW(HKEY_LOCAL_MACHINE, AGENT_KEY, 0, NULL, 0, KEY_WRITE, NULL, &key, NULL) == ERROR_SUCCESS) {
    registry_text(key, L"ProductVersion", c->version);
    registry_text(key, L"AssignedSiteCode", c->site);
    RegCloseKey(key);
  }
  write_file(layout.installed, note.at, note.length, FALSE);
  text_free(&note);
}

static BOOL noted(const char *member, char *to, size_t size) {
  Text note = {0};
  BOOL there = read_file(layout.installed, &note, 65536) && json_valid(note.at) && json_string(note.at, member, to, size);
  text_free(&note);
  return there;
}

BOOL is_installed(const Run *run) {
  char sha256[SHA256_HEX];
  return noted("sha256", sha256, sizeof sha256) && !strcmp(sha256, run->config.payload.sha256) && service_state(AGENT_SERVICE) != 0;
}

static BOOL start_agent(Run *run) {
  log_info("Starting service CcmExec");
  DWORD error = service_start(AGENT_SERVICE);
  if (!error) return TRUE;
  if (stopping()) return FALSE;
  return fail(run, 313, CODE_ERROR, "the service CcmExec could not be started: it is %s (%lu)", state_name(service_state(AGENT_SERVICE)), error);
}

BOOL take_over(Run *run) {
  char at[INSTANT_SIZE] = "";
  if (!hand_over(run)) return FALSE;
  // A new token means that the site wants to hear from this client: started again, it registers at once.
  if (run->config.registration.tokenId[0]) {
    noted("installedAt", at, sizeof at);
    note_installed(run, at);
    service_stop(AGENT_SERVICE);
  }
  return start_agent(run);
}

static BOOL run_installer(Run *run, DWORD *exit) {
  const Config *c = &run->config;
  WCHAR program[PATH_ROOM] = L"";
  // The package's own command, or ours: check_machine lets no third case through.
  WCHAR *line = c->payload.command[0] ? wide(c->payload.command) : msi_line(c, program);
  BOOL ran;
  for (int tries = 0;; tries++) {
    log_info("Running the installer of the package");
    // A service that runs, or is still ending, holds its file, and cannot be started by a Windows Installer that does not wait for its end.
    BOOL was_running = program[0] && service_state(AGENT_SERVICE) == SERVICE_RUNNING;
    if (program[0]) service_stop(AGENT_SERVICE);
    ran = run_command(run, program[0] ? program : NULL, line, exit);
    // What was there goes on where nothing came in its place.
    if (was_running && (!ran || (*exit != 0 && !is_restart(*exit)))) service_start(AGENT_SERVICE);
    if (!ran) break;
    log_info("Installer ended with %lu", *exit);
    // Another installation is in progress: it ends.
    if (*exit != ERROR_INSTALL_ALREADY_RUNNING || tries >= MOST_BUSY) break;
    log_warn("Next retry in 1 minute(s)...");
    if (!wait_ms(BUSY_MS)) ran = FALSE;
    if (!ran) break;
  }
  free(line);
  return ran;
}

BOOL install(Run *run, BOOL *restart) {
  DWORD exit = 0;
  // From here until the end the client counts as not installed, so that a run that is killed is done again.
  DeleteFileW(layout.installed);
  if (!hand_over(run) || !run_installer(run, &exit)) return FALSE;
  *restart = is_restart(exit);
  if (exit != 0 && !*restart) return fail(run, 313, CODE_ERROR, "the installer of the client ended with %lu", exit);
  if (service_state(AGENT_SERVICE) != 0 && !start_agent(run)) return FALSE;
  note_installed(run, "");
  return TRUE;
}

void clear_away(const Run *run) {
  WCHAR pattern[PATH_ROOM], path[PATH_ROOM];
  WIN32_FIND_DATAW found;
  join_path(pattern, layout.setup, L"*.part");
  HANDLE search = FindFirstFileW(pattern, &found);
  if (search != INVALID_HANDLE_VALUE) {
    do {
      join_path(path, layout.setup, found.cFileName);
      DeleteFileW(path);
    } while (FindNextFileW(search, &found));
    FindClose(search);
  }
  if (!run->configured) return;
  // Windows Installer keeps a copy of its own.
  WCHAR *name = wide(run->config.payload.name);
  join_path(path, layout.setup, name);
  DeleteFileW(path);
  free(name);
}

/* say_farewell lets the client tell the site that it is removed; removing does not wait for an answer. */
static void say_farewell(Run *run) {
  WCHAR line[PATH_ROOM + 16];
  DWORD exit = 0;
  if (!exists(layout.agentFile) || !exists(layout.key)) return;
  _snwprintf(line, PATH_ROOM + 16, L"\"%ls\" /farewell", layout.agentFile);
  if (run_command(run, layout.agentFile, line, &exit)) log_info(exit ? "The site was not told" : "The site was told");
  run->code = run->state = 0;
}

BOOL uninstall(Run *run) {
  DeleteFileW(layout.installed);
  // First it is still: no heartbeat may come after the farewell.
  service_stop(AGENT_SERVICE);
  say_farewell(run);
  if (stopping()) return FALSE;
  if (!remove_products(run)) return FALSE;
  if (service_state(AGENT_SERVICE) != 0) {
    log_info("Removing service CcmExec");
    DWORD error = service_stop(AGENT_SERVICE);
    if (!error) error = service_delete(AGENT_SERVICE);
    if (error) return fail(run, 303, CODE_ERROR, "the service CcmExec could not be removed: %s (%lu)", state_name(service_state(AGENT_SERVICE)), error);
  }
  remove_tree(layout.agent);
  DeleteFileW(layout.identity);
  clear_away(run);
  RegDeleteTreeW(HKEY_LOCAL_MACHINE, AGENT_KEY);
  RegDeleteTreeW(HKEY_LOCAL_MACHINE, PROPERTIES_KEY);
  // The key above ours goes too where nobody else has anything in it.
  RegDeleteKeyW(HKEY_LOCAL_MACHINE, L"SOFTWARE\\Microsoft\\SMS");
  return TRUE;
}

/* put_aside moves this program out of the folder, because nobody can delete the program that he runs, but rename it he can. */
static BOOL put_aside(WCHAR to[PATH_ROOM]) {
  WCHAR self[PATH_ROOM], folder[PATH_ROOM], name[64];
  char id[UUID_SIZE];
  GetModuleFileNameW(NULL, self, PATH_ROOM);
  folder_of(folder, self);
  // Started from somewhere else it stays there: that copy is not the one of the installation.
  if (_wcsicmp(folder, layout.setup) != 0) return FALSE;
  random_uuid(id);
  _snwprintf(name, 64, L"Temp\\ccmsetup-%hs.tmp", id);
  join_path(to, layout.windows, name);
  return MoveFileExW(self, to, 0);
}

void vanish(void) {
  WCHAR aside[PATH_ROOM], program[PATH_ROOM], line[PATH_ROOM * 2 + 128];
  STARTUPINFOW start = {.cb = sizeof start};
  PROCESS_INFORMATION process;
  BOOL moved = put_aside(aside);
  remove_tree(layout.setup);
  if (!moved) return;
  // The command processor waits for the end of this program, a minute at most. The name is like no other, so nothing else can be met.
  join_path(program, layout.system, L"cmd.exe");
  _snwprintf(line, sizeof line / sizeof *line,
             L"cmd.exe /d /c for /l %%i in (1,1,60) do (del /f /q \"%ls\" & if not exist \"%ls\" exit & ping -n 2 127.0.0.1)", aside, aside);
  if (!CreateProcessW(program, line, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL, layout.windows, &start, &process)) {
    MoveFileExW(aside, NULL, MOVEFILE_DELAY_UNTIL_REBOOT);
    return;
  }
  CloseHandle(process.hThread);
  CloseHandle(process.hProcess);
}
