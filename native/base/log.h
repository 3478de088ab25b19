#ifndef PP_LOG_H
#define PP_LOG_H
#include "files.h"

/* log_to says where the log of this program is, and what it calls itself there. */
void log_to(const WCHAR *path, const char *component);
void log_info(const char *format, ...) __attribute__((format(ms_printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(ms_printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(ms_printf, 1, 2)));
/* A program may have further logs, each about one thing: log_also adds one and gives its number (the log of log_to is 0), log_write writes a
   line of one of the kinds of CMTrace into it. */
enum { LOG_INFO = 1, LOG_WARN, LOG_ERROR };
int log_also(const WCHAR *path, const char *component);
void log_write(int log, int type, const char *format, ...) __attribute__((format(ms_printf, 3, 4)));
/* log_rules tells what is written (CCMLOGLEVEL: 0 and 1 everything, 2 warnings and errors, 3 errors only), from which size on a log is turned,
   and how many old ones are kept. */
void log_rules(int level, DWORD largest, int history);
/* log_tail adds the last lines, text only, `most` bytes at most. */
void log_tail(Text *to, size_t most);
#endif
