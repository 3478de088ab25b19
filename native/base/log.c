/* A log in the format that CMTrace-class viewers read; the same lines the client in TypeScript writes. One that cannot be written never
   stops the work it tells of. */
#include "log.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LARGEST 250000
#define LONGEST_LINE 4000
#define TAIL_LINES 60

static WCHAR log_path[PATH_ROOM];
static char log_component[32];
static char tail[TAIL_LINES][1024];
static unsigned tail_next;
static CRITICAL_SECTION lock;

void log_to(const WCHAR *path, const char *component) {
  WCHAR folder[PATH_ROOM];
  InitializeCriticalSection(&lock);
  wcsncpy(log_path, path, PATH_ROOM - 1);
  copy_to(log_component, sizeof log_component, component);
  folder_of(folder, path);
  make_folders(folder);
}

/* turn moves a full log aside, as `.lo_`. */
static void turn(DWORD more) {
  LONGLONG size = file_size(log_path);
  size_t length = wcslen(log_path);
  if (size < 0 || size + more <= LARGEST || length < 4) return;
  WCHAR old[PATH_ROOM];
  wcscpy(old, log_path);
  old[length - 1] = L'_';
  MoveFileExW(log_path, old, MOVEFILE_REPLACE_EXISTING);
}

static void append(const char *line, DWORD length) {
  turn(length);
  HANDLE file = CreateFileW(log_path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_ALWAYS, 0, NULL);
  if (file == INVALID_HANDLE_VALUE) return;
  DWORD done;
  WriteFile(file, line, length, &done, NULL);
  CloseHandle(file);
}

static void write_line(int type, const char *format, va_list arguments) {
  char one[LONGEST_LINE + 1];
  print_list(one, sizeof one, format, arguments);
  one[LONGEST_LINE] = 0;
  one_line(one);
  // Whoever chose a part of this text must not end the line and begin one of his own.
  for (char *end = one; (end = strstr(end, "]LOG]!>")) != NULL;) *end = ' ';
  SYSTEMTIME t;
  GetSystemTime(&t);
  char line[LONGEST_LINE + 256], at[INSTANT_SIZE];
  int length = print_to(line, sizeof line,
                        "<![LOG[%s]LOG]!><time=\"%02u:%02u:%02u.%03u+000\" date=\"%02u-%02u-%04u\" component=\"%s\" context=\"\" "
                        "type=\"%d\" thread=\"%lu\" file=\"\">\r\n",
                        one, t.wHour, t.wMinute, t.wSecond, t.wMilliseconds, t.wMonth, t.wDay, t.wYear, log_component, type,
                        GetCurrentThreadId());
  instant(at, now_ticks());
  EnterCriticalSection(&lock);
  print_to(tail[tail_next++ % TAIL_LINES], sizeof tail[0], "%s %.980s", at, one);
  if (length > 0) append(line, (DWORD)length < sizeof line ? (DWORD)length : (DWORD)sizeof line - 1);
  LeaveCriticalSection(&lock);
}

#define LINE(type)                \
  va_list arguments;              \
  va_start(arguments, format);    \
  write_line(type, format, arguments); \
  va_end(arguments)

void log_info(const char *format, ...) { LINE(1); }
void log_warn(const char *format, ...) { LINE(2); }
void log_error(const char *format, ...) { LINE(3); }

void log_tail(Text *to, size_t most) {
  unsigned first = tail_next > TAIL_LINES ? tail_next - TAIL_LINES : 0;
  size_t all = 0;
  unsigned from = tail_next;
  while (from > first && all + strlen(tail[(from - 1) % TAIL_LINES]) + 1 < most) all += strlen(tail[--from % TAIL_LINES]) + 1;
  for (; from < tail_next; from++) text_format(to, "%s\n", tail[from % TAIL_LINES]);
}
