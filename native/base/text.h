#ifndef PP_TEXT_H
#define PP_TEXT_H
#include <stdarg.h>
#include <stddef.h>
#include <winsock2.h>
#include <windows.h>

/* Text is a growing UTF-8 string. Memory that is not there ends the process: a half-done string must never be sent or written. */
typedef struct {
  char *at;
  size_t length, room;
} Text;

void *take(size_t size);
/* print_to is snprintf that always ends the string; it gives the length that was written. */
int print_to(char *to, size_t size, const char *format, ...) __attribute__((format(ms_printf, 3, 4)));
int print_list(char *to, size_t size, const char *format, va_list arguments);
void text_free(Text *t);
void text_clear(Text *t);
void text_bytes(Text *t, const void *bytes, size_t length);
void text_add(Text *t, const char *s);
void text_format(Text *t, const char *format, ...) __attribute__((format(ms_printf, 2, 3)));
/* text_json adds a JSON string with its quotes. */
void text_json(Text *t, const char *s);

/* narrow and wide convert between UTF-8 and UTF-16; the result is the caller's. */
char *narrow(const WCHAR *s);
WCHAR *wide(const char *s);

/* copy_to copies a string into an array, cut to its size; false when it was cut. */
BOOL copy_to(char *to, size_t size, const char *from);
/* copy_range copies the part [from, end) without outer blanks. */
BOOL copy_range(char *to, size_t size, const char *from, const char *end);
void lower(char *s);
BOOL same(const char *a, const char *b);
BOOL starts(const char *s, const char *prefix);
BOOL starts_wide(const WCHAR *s, const WCHAR *prefix);
/* one_line turns control characters into blanks, so that nothing can start a line of its own in a log. */
void one_line(char *s);
BOOL only(const char *s, const char *allowed);

#define LETTERS_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

void hex_of(char *to, const BYTE *bytes, size_t length);
void base64_of(Text *t, const BYTE *bytes, size_t length);
/* base64url_of is the same with the other alphabet and without padding. */
void base64url_of(Text *t, const BYTE *bytes, size_t length);

#define INSTANT_SIZE 28
/* instant writes a FILETIME as ISO 8601 in UTC with milliseconds. */
void instant(char to[INSTANT_SIZE], ULONGLONG ticks);
/* ticks_of reads such a text; 0 when it is none. Ticks are 100 ns since 1601. */
ULONGLONG ticks_of(const char *text);
ULONGLONG now_ticks(void);
#define TICKS_MS 10000ULL
#endif
