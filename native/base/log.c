/* A log in the format that CMTrace-class viewers read; the same lines the client in TypeScript writes. One that cannot be written never
   stops the work it tells of. */
#include "log.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LARGEST 250000
#define LONGEST_LINE 4000
#define TAIL_LINES 60
#define MOST_LOGS 8

static struct {
  WCHAR path[PATH_ROOM];
  char component[32];
} logs[MOST_LOGS];
static int log_count, least_type = LOG_INFO, histories = 1;
static LONGLONG largest = LARGEST;
static char tail[TAIL_LINES][1024];
static unsigned tail_next;
static CRITICAL_SECTION lock;

int log_also(const WCHAR *path, const char *component) {
  WCHAR folder[PATH_ROOM];
  if (log_count == MOST_LOGS) return 0;
  wcsncpy(logs[log_count].path, path, PATH_ROOM - 1);
  copy_to(logs[log_count].component, sizeof logs->component, component);
  folder_of(folder, path);
  make_folders(folder);
  return log_count++;
}

void log_to(const WCHAR *path, const char *component) {
  InitializeCriticalSection(&lock);
  log_also(path, component);
}

void log_rules(int level, DWORD size, int history) {
  least_type = level;
  largest = size;
  histories = history;
}

/* old_name is the name of the n-th old log: `.lo_`, `.lo_1`, `.lo_2` and so on; of the 0th that of the log itself. */
static void old_name(WCHAR to[PATH_ROOM], const WCHAR *path, int n) {
  size_t length = wcslen(path);
  wcscpy(to, path);
  if (n > 0) to[length - 1] = L'_';
  if (n > 1 && length + 1 < PATH_ROOM) to[length] = (WCHAR)(L'0' + n - 1), to[length + 1] = 0;
}

/* turn moves a full log aside, and older ones further. */
static void turn(const WCHAR *path, DWORD more) {
  LONGLONG size = file_size(path);
  if (size <= 0 || size + more <= largest || wcslen(path) < 4) return;
  WCHAR from[PATH_ROOM], to[PATH_ROOM];
  for (int n = histories; n >= 1; n--) {
    old_name(from, path, n - 1);
    old_name(to, path, n);
    MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING);
  }
  if (histories == 0) DeleteFileW(path);
}

static void append(const WCHAR *path, const char *line, DWORD length) {
  turn(path, length);
  HANDLE file = CreateFileW(path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_ALWAYS, 0, NULL);
  if (file == INVALID_HANDLE_VALUE) return;
  DWORD done;
  WriteFile(file, line, length, &done, NULL);
  CloseHandle(file);
}

static void write_line(int log, int type, const char *format, va_list arguments) {
  char one[LONGEST_LINE + 1];
  if (type < least_type) return;
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
                        one, t.wHour, t.wMinute, t.wSecond, t.wMilliseconds, t.wMonth, t.wDay, t.wYear, logs[log].component, type,
                        GetCurrentThreadId());
  instant(at, now_ticks());
  EnterCriticalSection(&lock);
  print_to(tail[tail_next++ % TAIL_LINES], sizeof tail[0], "%s %.980s", at, one);
  if (length > 0) append(logs[log].path, line, (DWORD)length < sizeof line ? (DWORD)length : (DWORD)sizeof line - 1);
  LeaveCriticalSection(&lock);
}

#define LINE(log, type)                     \
  va_list arguments;                        \
  va_start(arguments, format);              \
  write_line(log, type, format, arguments); \
  va_end(arguments)

void log_info(const char *format, ...) { LINE(0, LOG_INFO); }
void log_warn(const char *format, ...) { LINE(0, LOG_WARN); }
void log_error(const char *format, ...) { LINE(0, LOG_ERROR); }
void log_write(int log, int type, const char *format, ...) { LINE(log, type); }

void log_tail(Text *to, size_t most) {
  unsigned first = tail_next > TAIL_LINES ? tail_next - TAIL_LINES : 0;
  size_t all = 0;
  unsigned from = tail_next;
  while (from > first && all + strlen(tail[(from - 1) % TAIL_LINES]) + 1 < most) all += strlen(tail[--from % TAIL_LINES]) + 1;
  for (; from < tail_next; from++) text_format(to, "%s\n", tail[from % TAIL_LINES]);
}
