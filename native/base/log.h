#ifndef PP_LOG_H
#define PP_LOG_H
#include "files.h"

/* log_to says where the log of this program is, and what it calls itself there. */
void log_to(const WCHAR *path, const char *component);
void log_info(const char *format, ...) __attribute__((format(ms_printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(ms_printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(ms_printf, 1, 2)));
/* log_tail adds the last lines, text only, `most` bytes at most. */
void log_tail(Text *to, size_t most);
#endif
