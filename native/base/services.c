#include "services.h"
#include "stop.h"

#define PATIENCE_MS 60000
#define POLL_MS 250

static SC_HANDLE opened(const WCHAR *name, DWORD rights, SC_HANDLE *manager) {
  *manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
  if (!*manager) return NULL;
  SC_HANDLE service = OpenServiceW(*manager, name, rights);
  if (!service) {
    DWORD error = GetLastError();
    CloseServiceHandle(*manager);
    SetLastError(error);
  }
  return service;
}

static DWORD closed(SC_HANDLE manager, SC_HANDLE service, DWORD error) {
  CloseServiceHandle(service);
  CloseServiceHandle(manager);
  return error;
}

DWORD service_state(const WCHAR *name) {
  SC_HANDLE manager, service = opened(name, SERVICE_QUERY_STATUS, &manager);
  if (!service) return 0;
  SERVICE_STATUS status = {0};
  QueryServiceStatus(service, &status);
  closed(manager, service, 0);
  return status.dwCurrentState;
}

/* reach waits for a state; what cannot come any more is not waited for. */
static DWORD reach(const WCHAR *name, DWORD wanted) {
  ULONGLONG end = GetTickCount64() + PATIENCE_MS;
  for (;;) {
    DWORD state = service_state(name);
    if (state == wanted) return 0;
    if (state == 0) return ERROR_SERVICE_DOES_NOT_EXIST;
    if (wanted == SERVICE_RUNNING && state == SERVICE_STOPPED) return ERROR_SERVICE_NOT_ACTIVE;
    if (GetTickCount64() > end) return ERROR_SERVICE_REQUEST_TIMEOUT;
    if (!wait_ms(POLL_MS)) return ERROR_CANCELLED;
  }
}

DWORD service_start(const WCHAR *name) {
  SC_HANDLE manager, service = opened(name, SERVICE_START | SERVICE_QUERY_STATUS, &manager);
  if (!service) return GetLastError();
  DWORD error = StartServiceW(service, 0, NULL) ? 0 : GetLastError();
  if (error == ERROR_SERVICE_ALREADY_RUNNING) error = 0;
  closed(manager, service, 0);
  return error ? error : reach(name, SERVICE_RUNNING);
}

DWORD service_stop(const WCHAR *name) {
  SC_HANDLE manager, service = opened(name, SERVICE_STOP | SERVICE_QUERY_STATUS, &manager);
  if (!service) return GetLastError() == ERROR_SERVICE_DOES_NOT_EXIST ? 0 : GetLastError();
  SERVICE_STATUS status;
  DWORD error = ControlService(service, SERVICE_CONTROL_STOP, &status) ? 0 : GetLastError();
  closed(manager, service, 0);
  if (error == ERROR_SERVICE_NOT_ACTIVE) return 0;
  // It is stopping or starting already: what counts is that it ends.
  if (error == ERROR_SERVICE_CANNOT_ACCEPT_CTRL) error = 0;
  return error ? error : reach(name, SERVICE_STOPPED);
}

DWORD service_delete(const WCHAR *name) {
  SC_HANDLE manager, service = opened(name, DELETE, &manager);
  if (!service) return GetLastError() == ERROR_SERVICE_DOES_NOT_EXIST ? 0 : GetLastError();
  DWORD error = DeleteService(service) ? 0 : GetLastError();
  return closed(manager, service, error == ERROR_SERVICE_MARKED_FOR_DELETE ? 0 : error);
}

DWORD service_set(const WCHAR *name, const WCHAR *displayName, const WCHAR *commandLine, DWORD startType) {
  SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE);
  if (!manager) return GetLastError();
  SC_HANDLE service = CreateServiceW(manager, name, displayName, SERVICE_ALL_ACCESS, SERVICE_WIN32_OWN_PROCESS, startType,
                                     SERVICE_ERROR_NORMAL, commandLine, NULL, NULL, NULL, NULL, NULL);
  DWORD error = service ? 0 : GetLastError();
  if (error == ERROR_SERVICE_EXISTS && (service = OpenServiceW(manager, name, SERVICE_CHANGE_CONFIG)) != NULL)
    error = ChangeServiceConfigW(service, SERVICE_NO_CHANGE, startType, SERVICE_NO_CHANGE, commandLine, NULL, NULL, NULL, NULL, NULL,
                                 displayName)
                ? 0
                : GetLastError();
  if (service) CloseServiceHandle(service);
  CloseServiceHandle(manager);
  return error;
}

DWORD service_start_type(const WCHAR *name, DWORD startType) {
  SC_HANDLE manager, service = opened(name, SERVICE_CHANGE_CONFIG, &manager);
  if (!service) return GetLastError();
  BOOL done = ChangeServiceConfigW(service, SERVICE_NO_CHANGE, startType, SERVICE_NO_CHANGE, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
  return closed(manager, service, done ? 0 : GetLastError());
}

const char *state_name(DWORD state) {
  static const char *const names[] = {"not there", "stopped", "start-pending", "stop-pending", "running", "continue-pending",
                                      "pause-pending", "paused"};
  return names[state < 8 ? state : 0];
}
