/* The service supervises a process, the agent: this program itself with /agent, or what the file agent.command names (an agent in another
   language with its runtime beside it). The agent is told to end by the end of its standard input, and has a moment for it; whatever happens
   to the service, a job takes the agent with it. */
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

static HANDLE job;

static void make_job(void) {
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {.BasicLimitInformation = {.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}};
  job = CreateJobObjectW(NULL, NULL);
  if (job) SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
}

/* command gives what is run. The file is trusted because only administrators write into this folder. */
static WCHAR *command(void) {
  WCHAR path[PATH_ROOM], self[PATH_ROOM];
  Text file = {0};
  join_path(path, layout.agent, L"agent.command");
  BOOL other = read_file(path, &file, 4096);
  if (other) file.at[strcspn(file.at, "\r\n")] = 0;
  WCHAR *line = wide(other ? file.at : "");
  text_free(&file);
  if (line[0]) return line;
  free(line);
  GetModuleFileNameW(NULL, self, PATH_ROOM);
  line = take((PATH_ROOM + 16) * sizeof(WCHAR));
  wcscpy(line, L"\"");
  wcscat(line, self);
  wcscat(line, L"\" /agent");
  return line;
}

/* begin starts the agent; `pipe` is our end of its standard input. */
static BOOL begin(PROCESS_INFORMATION *process, HANDLE *pipe) {
  SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
  HANDLE theirs;
  if (!CreatePipe(&theirs, pipe, &inherited, 0)) return FALSE;
  SetHandleInformation(*pipe, HANDLE_FLAG_INHERIT, 0);
  HANDLE nowhere = CreateFileW(L"NUL", GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited, OPEN_EXISTING, 0, NULL);
  STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = theirs, .hStdOutput = nowhere, .hStdError = nowhere};
  WCHAR *line = command();
  BOOL started = CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_NO_WINDOW | CREATE_SUSPENDED, NULL, layout.agent, &start, process);
  DWORD error = started ? 0 : GetLastError();
  free(line);
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
