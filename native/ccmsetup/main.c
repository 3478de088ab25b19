/* The program: a service when the service manager starts it, else a console program that makes itself one (or, with /noservice, does the
   work itself). */
#include "../base/log.h"
#include "../base/services.h"
#include "../base/stop.h"
#include "../machine/layout.h"
#include "run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a run that was told to stop may take; a download that hangs is left as it is, and goes on from there the next time. */
#define STOP_MS 10000

static SERVICE_STATUS_HANDLE handle;
static SERVICE_STATUS status = {.dwServiceType = SERVICE_WIN32_OWN_PROCESS};
static int argument_count;
static WCHAR **argument_list;

static void tell(DWORD state) {
  status.dwCurrentState = state;
  status.dwControlsAccepted = state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN : 0;
  status.dwWaitHint = state == SERVICE_STOP_PENDING ? STOP_MS + 2000 : 0;
  SetServiceStatus(handle, &status);
}

static DWORD WINAPI control(DWORD code, DWORD type, void *data, void *context) {
  (void)type, (void)data, (void)context;
  if (code == SERVICE_CONTROL_INTERROGATE) return NO_ERROR;
  if (code != SERVICE_CONTROL_STOP && code != SERVICE_CONTROL_SHUTDOWN) return ERROR_CALL_NOT_IMPLEMENTED;
  tell(SERVICE_STOP_PENDING);
  stop_now();
  return NO_ERROR;
}

static DWORD WINAPI work(void *nothing) {
  (void)nothing;
  return (DWORD)setup(argument_count, argument_list);
}

static void WINAPI service_main(DWORD count, LPWSTR *arguments) {
  (void)count, (void)arguments;
  handle = RegisterServiceCtrlHandlerExW(SETUP_SERVICE, control, NULL);
  if (!handle) return;
  tell(SERVICE_RUNNING);
  HANDLE worker = CreateThread(NULL, 0, work, NULL, 0, NULL), either[2] = {worker, stop_event()};
  DWORD code = CODE_ERROR;
  if (worker) {
    if (WaitForMultipleObjects(2, either, FALSE, INFINITE) != WAIT_OBJECT_0) WaitForSingleObject(worker, STOP_MS);
    if (WaitForSingleObject(worker, 0) == WAIT_OBJECT_0) GetExitCodeThread(worker, &code);
    else log_warn("ccmsetup was told to stop; a request that hangs is left, return code %lu", code);
  }
  // A restart that is needed is a success in the words of Windows; the other codes are our own.
  status.dwWin32ExitCode = code == CODE_RESTART ? ERROR_SUCCESS_REBOOT_REQUIRED : code ? ERROR_SERVICE_SPECIFIC_ERROR : NO_ERROR;
  status.dwServiceSpecificExitCode = status.dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR ? code : 0;
  tell(SERVICE_STOPPED);
}

static BOOL WINAPI interrupted(DWORD kind) {
  (void)kind;
  stop_now();
  return TRUE;
}

static const char usage[] =
    "ccmsetup [parameters] [properties]\n"
    "  /mp:URL;URL         management points to download from\n"
    "  /source:FOLDER      folder or share to take the files from (may be repeated)\n"
    "  /retry:MINUTES      between two rounds of download tries (10)\n"
    "  /downloadtimeout:M  minutes until the download is given up (1440)\n"
    "  /noservice          do the work in this process\n"
    "  /service            as a service (default)\n"
    "  /logon              do nothing where a client is installed\n"
    "  /forceinstall       install again\n"
    "  /uninstall          remove the client\n"
    "  /config:FILE        another mobileclient.tcf\n"
    "  /skipprereq:A;B     leave out checks (os, disk, installer, restart) or prerequisites by file name\n"
    "  /BITSPriority:P     accepted, has no meaning here\n"
    "  SMSSITECODE= SMSMP= FSP= CCMHTTPPORT= ...  properties of the client\n"
    "example: ccmsetup /noservice /mp:http://mp1.example:8480 SMSSITECODE=P01\n"
    "returns 0 done, 6 failed, 7 restart needed, 8 already running, 9 machine not fit, 10 wrong hash\n";

/* copied lays a file into the folder of ccmsetup, unless it is there. */
static BOOL copied(const WCHAR *from, const WCHAR *name) {
  WCHAR to[PATH_ROOM];
  join_path(to, layout.setup, name);
  return _wcsicmp(from, to) == 0 || CopyFileW(from, to, FALSE);
}

static void command_line(Text *line) {
  char *folder = narrow(layout.setup);
  text_format(line, "\"%s\\ccmsetup.exe\" /service", folder);
  free(folder);
  for (int i = 0; i < argument_count; i++) {
    char *argument = narrow(argument_list[i]);
    // The file was copied beside the program.
    if (!starts(argument + (argument[0] != 0), "config:") && !same(argument + (argument[0] != 0), "service"))
      text_format(line, strpbrk(argument, " \t") ? " \"%s\"" : " %s", argument);
    free(argument);
  }
}

/* become_service copies the program and its file into their folder, and starts it there as a service; somebody who logs off does not end it. */
static int become_service(const WCHAR *config) {
  WCHAR self[PATH_ROOM];
  Text line = {0};
  GetModuleFileNameW(NULL, self, PATH_ROOM);
  make_folders(layout.setup);
  command_line(&line);
  WCHAR *text = wide(line.at);
  DWORD error = copied(self, L"ccmsetup.exe") && (!exists(config) || copied(config, CONFIG_FILE)) ? 0 : GetLastError();
  if (!error) error = service_set(SETUP_SERVICE, L"ccmsetup", text, SERVICE_AUTO_START);
  if (!error) error = service_start(SETUP_SERVICE);
  free(text);
  text_free(&line);
  // One that has ended already has done its work.
  if (error == ERROR_SERVICE_DOES_NOT_EXIST || error == ERROR_SERVICE_NOT_ACTIVE) error = 0;
  if (error) {
    log_error("the service ccmsetup could not be created: %lu", error);
    fprintf(stderr, "ccmsetup: the service could not be created (%lu); is this an administrator's prompt?\n", error);
    return CODE_ERROR;
  }
  puts("ccmsetup works as a service now; see ccmsetup.log");
  return CODE_OK;
}

static int by_hand(void) {
  Options *options = take(sizeof *options);
  WCHAR self[PATH_ROOM], folder[PATH_ROOM], config[PATH_ROOM];
  char wrong[256];
  options_default(options);
  BOOL right = options_read(options, argument_count, argument_list, "command line", wrong);
  if (right && options->help) {
    fputs(usage, stdout);
    return CODE_OK;
  }
  SetConsoleCtrlHandler(interrupted, TRUE);
  // A wrong command line is reported by the run itself.
  if (!right || options->noService) {
    int code = setup(argument_count, argument_list);
    if (!right) fprintf(stderr, "ccmsetup: does not know %s; /? tells the parameters\n", wrong);
    return code;
  }
  GetModuleFileNameW(NULL, self, PATH_ROOM);
  folder_of(folder, self);
  if (wcschr(options->config, L'\\')) wcscpy(config, options->config);
  else join_path(config, folder, options->config[0] ? options->config : CONFIG_FILE);
  free(options);
  return become_service(config);
}

int wmain(int count, WCHAR **arguments) {
  argument_count = count - 1;
  argument_list = arguments + 1;
  // Libraries come from the system only, not from the folder this was started in.
  SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32);
  layout_find();
  stop_prepare();
  log_to(layout.setupLog, "ccmsetup");
  SERVICE_TABLE_ENTRYW table[] = {{(WCHAR *)SETUP_SERVICE, service_main}, {NULL, NULL}};
  for (int i = 0; i < argument_count; i++)
    if (_wcsicmp(argument_list[i], L"/noservice") == 0 || _wcsicmp(argument_list[i], L"-noservice") == 0) return by_hand();
  if (StartServiceCtrlDispatcherW(table)) return 0;
  return GetLastError() == ERROR_FAILED_SERVICE_CONTROLLER_CONNECT ? by_hand() : CODE_ERROR;
}
