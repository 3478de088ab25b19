/* The service supervises a process, the agent: this program itself with /agent, or what the file agent.command names (an agent in another
   language with its runtime beside it). Where that is not there, this program is the agent: both keep the same files. The agent is told to
   end by the end of its standard input, and has a moment for it; whatever happens to the service, a job takes the agent with it. */
#include "host.h"
#include "../base/log.h"
#include "../base/stop.h"
#include "../machine/layout.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE_MS 300000
/* An agent that ran so long was well; its next end is a new one. */
#define WELL_MS 600000
#define GRACE_MS 8000
#define LONGEST_COMMAND 4096

static HANDLE job;

static void make_job(void) {
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {.BasicLimitInformation = {.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}};
  job = CreateJobObjectW(NULL, NULL);
  if (job) SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
}

/* other_command gives what agent.command names, with %NAMES% in it replaced; NULL where there is none. The file is trusted because only
   administrators write into this folder. */
static WCHAR *other_command(void) {
  WCHAR path[PATH_ROOM];
  Text file = {0};
  join_path(path, layout.agent, L"agent.command");
  BOOL other = read_file(path, &file, LONGEST_COMMAND);
  if (other) file.at[strcspn(file.at, "\r\n")] = 0;
  WCHAR *line = wide(other ? file.at : ""), *whole = take(LONGEST_COMMAND * sizeof(WCHAR));
  text_free(&file);
  DWORD length = line[0] ? ExpandEnvironmentStringsW(line, whole, LONGEST_COMMAND) : 0;
  free(line);
  if (length > 1 && length <= LONGEST_COMMAND) return whole;
  free(whole);
  return NULL;
}

/* own_command runs this program as the agent. */
static WCHAR *own_command(void) {
  WCHAR self[PATH_ROOM], *line = take((PATH_ROOM + 16) * sizeof(WCHAR));
  GetModuleFileNameW(NULL, self, PATH_ROOM);
  wcscpy(line, L"\"");
  wcscat(line, self);
  wcscat(line, L"\" /agent");
  return line;
}

static DWORD launch(WCHAR *line, STARTUPINFOW *start, PROCESS_INFORMATION *process) {
  DWORD flags = CREATE_NO_WINDOW | CREATE_SUSPENDED;
  return CreateProcessW(NULL, line, NULL, NULL, TRUE, flags, NULL, layout.agent, start, process) ? 0 : GetLastError();
}

/* begin starts the agent; `pipe` is our end of its standard input. */
static BOOL begin(PROCESS_INFORMATION *process, HANDLE *pipe) {
  SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
  HANDLE theirs;
  if (!CreatePipe(&theirs, pipe, &inherited, 0)) return FALSE;
  SetHandleInformation(*pipe, HANDLE_FLAG_INHERIT, 0);
  HANDLE nowhere = CreateFileW(L"NUL", GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited, OPEN_EXISTING, 0, NULL);
  STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = theirs, .hStdOutput = nowhere, .hStdError = nowhere};
  WCHAR *line = other_command();
  DWORD error = line ? launch(line, &start, process) : 0;
  // Its runtime is not there yet, or not any more: a machine must not be without an agent for that.
  if (line && error) log_error("What agent.command names could not be started (%lu); CcmExec.exe is the agent meanwhile", error);
  if (!line || error) {
    free(line);
    line = own_command();
    error = launch(line, &start, process);
  }
  free(line);
  BOOL started = error == 0;
  CloseHandle(theirs);
  CloseHandle(nowhere);
  if (started) {
    // Suspended until it is in the job, so that it cannot leave children behind.
    if (job) AssignProcessToJobObject(job, process->hProcess);
    ResumeThread(process->hThread);
    CloseHandle(process->hThread);
  } else {
    CloseHandle(*pipe);
    log_error("The agent could not be started (%lu)", error);
  }
  return started;
}

/* once runs the agent to its end. */
static void once(void) {
  PROCESS_INFORMATION process;
  HANDLE pipe;
  DWORD exit = 0;
  if (!begin(&process, &pipe)) return;
  log_info("The agent runs as process %lu", process.dwProcessId);
  HANDLE either[2] = {process.hProcess, stop_event()};
  BOOL ended = WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0;
  CloseHandle(pipe);
  if (!ended && WaitForSingleObject(process.hProcess, GRACE_MS) != WAIT_OBJECT_0) {
    log_warn("The agent did not end by itself and is ended");
    TerminateProcess(process.hProcess, 1);
    WaitForSingleObject(process.hProcess, GRACE_MS);
  }
  GetExitCodeProcess(process.hProcess, &exit);
  CloseHandle(process.hProcess);
  if (ended) log_warn("The agent ended with %lu", exit);
}

void host(void) {
  ULONGLONG pause = FIRST_PAUSE_MS;
  make_job();
  while (!stopping()) {
    ULONGLONG began = GetTickCount64();
    once();
    if (stopping()) break;
    if (GetTickCount64() - began > WELL_MS) pause = FIRST_PAUSE_MS;
    log_info("The agent is started again in %I64u second(s)", pause / 1000);
    if (!wait_ms(pause)) break;
    pause = pause * 2 > LONGEST_PAUSE_MS ? LONGEST_PAUSE_MS : pause * 2;
  }
  log_info("Service stops");
}
