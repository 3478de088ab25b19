/* The installed program: the service CcmExec, the agent it supervises (/agent), `status` for people, `facts` and `keep` for an agent in another
   language. */
#include "../base/log.h"
#include "../base/stop.h"
#include "../machine/layout.h"
#include "handed.h"
#include "host.h"
#include "parts.h"
#include <stdio.h>

#define STOP_HINT_MS 20000

static SERVICE_STATUS_HANDLE handle;
static SERVICE_STATUS status = {.dwServiceType = SERVICE_WIN32_OWN_PROCESS};

static void tell(DWORD state) {
  status.dwCurrentState = state;
  status.dwControlsAccepted = state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN : 0;
  status.dwWaitHint = state == SERVICE_STOP_PENDING ? STOP_HINT_MS : 0;
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

static void WINAPI service_main(DWORD count, LPWSTR *arguments) {
  (void)count, (void)arguments;
  handle = RegisterServiceCtrlHandlerExW(AGENT_SERVICE, control, NULL);
  if (!handle) return;
  tell(SERVICE_RUNNING);
  host();
  tell(SERVICE_STOPPED);
}

/* listen_to_host ends the agent when the service closes its end of the pipe, or is gone. */
static DWORD WINAPI listen_to_host(void *nothing) {
  char octet;
  DWORD got;
  (void)nothing;
  while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), &octet, 1, &got, NULL) && got > 0) continue;
  stop_now();
  return 0;
}

static BOOL WINAPI interrupted(DWORD kind) {
  (void)kind;
  stop_now();
  return TRUE;
}

int wmain(int count, WCHAR **arguments) {
  const WCHAR *first = count > 1 ? arguments[1] : L"";
  SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32);
  layout_find();
  if (_wcsicmp(first, L"status") == 0) return agent_status(count > 2 && _wcsicmp(arguments[2], L"--json") == 0);
  if (_wcsicmp(first, L"facts") == 0) return handed_facts();
  if (_wcsicmp(first, L"keep") == 0) return handed_secret(count > 2 ? arguments[2] : L"");
  stop_prepare();
  log_to(layout.agentLog, "CcmExec");
  if (_wcsicmp(first, L"/agent") == 0) {
    SetConsoleCtrlHandler(interrupted, TRUE);
    CloseHandle(CreateThread(NULL, 0, listen_to_host, NULL, 0, NULL));
    // Without the farewells of libraries: a thread that hangs in one of them must not hold up the end.
    TerminateProcess(GetCurrentProcess(), (UINT)agent());
  }
  if (_wcsicmp(first, L"/farewell") == 0) return farewell();
  SERVICE_TABLE_ENTRYW table[] = {{(WCHAR *)AGENT_SERVICE, service_main}, {NULL, NULL}};
  if (StartServiceCtrlDispatcherW(table)) return 0;
  fputs("CcmExec is the client's service. CcmExec status [--json] tells how it is.\n", stderr);
  return 2;
}
