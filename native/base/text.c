#include "text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *take(size_t size) {
  void *memory = calloc(1, size ? size : 1);
  if (!memory) ExitProcess(ERROR_NOT_ENOUGH_MEMORY);
  return memory;
}

int print_list(char *to, size_t size, const char *format, va_list arguments) {
  int length = _vsnprintf(to, size, format, arguments);
  if (length < 0 || (size_t)length >= size) length = (int)size - 1;
  to[length] = 0;
  return length;
}

int print_to(char *to, size_t size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = print_list(to, size, format, arguments);
  va_end(arguments);
  return length;
}

void text_free(Text *t) {
  free(t->at);
  memset(t, 0, sizeof *t);
}

void text_clear(Text *t) {
  t->length = 0;
  if (t->at) t->at[0] = 0;
}

void text_bytes(Text *t, const void *bytes, size_t length) {
  if (t->length + length + 1 > t->room) {
    size_t room = (t->length + length + 1) * 2;
    char *at = realloc(t->at, room);
    if (!at) ExitProcess(ERROR_NOT_ENOUGH_MEMORY);
    t->at = at;
    t->room = room;
  }
  memcpy(t->at + t->length, bytes, length);
  t->length += length;
  t->at[t->length] = 0;
}

void text_add(Text *t, const char *s) { text_bytes(t, s, strlen(s)); }

void text_format(Text *t, const char *format, ...) {
  char line[4096];
  va_list arguments;
  va_start(arguments, format);
  int length = print_list(line, sizeof line, format, arguments);
  va_end(arguments);
  text_bytes(t, line, (size_t)length);
}

void text_json(Text *t, const char *s) {
  text_add(t, "\"");
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') {
      char pair[2] = {'\\', *s};
      text_bytes(t, pair, 2);
    } else if (c < 0x20) text_format(t, "\\u%04x", c);
    else text_bytes(t, s, 1);
  }
  text_add(t, "\"");
}

char *narrow(const WCHAR *s) {
  int size = WideCharToMultiByte(CP_UTF8, 0, s, -1, NULL, 0, NULL, NULL);
  char *to = take((size_t)(size > 0 ? size : 1));
  if (size > 0) WideCharToMultiByte(CP_UTF8, 0, s, -1, to, size, NULL, NULL);
  return to;
}

WCHAR *wide(const char *s) {
  int size = MultiByteToWideChar(CP_UTF8, 0, s, -1, NULL, 0);
  WCHAR *to = take(sizeof(WCHAR) * (size_t)(size > 0 ? size : 1));
  if (size > 0) MultiByteToWideChar(CP_UTF8, 0, s, -1, to, size);
  return to;
}

BOOL copy_to(char *to, size_t size, const char *from) {
  size_t length = strlen(from);
  BOOL whole = length < size;
  if (!whole) length = size - 1;
  memcpy(to, from, length);
  to[length] = 0;
  return whole;
}

BOOL copy_range(char *to, size_t size, const char *from, const char *end) {
  while (from < end && (unsigned char)*from <= ' ') from++;
  while (end > from && (unsigned char)end[-1] <= ' ') end--;
  size_t length = (size_t)(end - from);
  BOOL whole = length < size;
  if (!whole) length = size - 1;
  memcpy(to, from, length);
  to[length] = 0;
  return whole;
}

void lower(char *s) {
  for (; *s; s++)
    if (*s >= 'A' && *s <= 'Z') *s = (char)(*s + 32);
}

BOOL same(const char *a, const char *b) { return _stricmp(a, b) == 0; }

BOOL starts(const char *s, const char *prefix) { return _strnicmp(s, prefix, strlen(prefix)) == 0; }

BOOL starts_wide(const WCHAR *s, const WCHAR *prefix) { return _wcsnicmp(s, prefix, wcslen(prefix)) == 0; }

static BOOL is_control(char c) { return (unsigned char)c < 0x20 || c == 0x7f; }

void one_line(char *s) {
  char *to = s;
  for (; *s; s++) {
    if (!is_control(*s)) *to++ = *s;
    else if (!s[1] || !is_control(s[1])) *to++ = ' ';
  }
  *to = 0;
}

BOOL only(const char *s, const char *allowed) { return strspn(s, allowed) == strlen(s); }

void hex_of(char *to, const BYTE *bytes, size_t length) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < length; i++) {
    *to++ = digits[bytes[i] >> 4];
    *to++ = digits[bytes[i] & 15];
  }
  *to = 0;
}

static void base64(Text *t, const BYTE *bytes, size_t length, const char *last, BOOL pad) {
  char alphabet[] = LETTERS_DIGITS "+/";
  memcpy(alphabet + 62, last, 2);
  for (size_t i = 0; i < length; i += 3) {
    size_t left = length - i;
    unsigned long three = (unsigned long)bytes[i] << 16;
    if (left > 1) three |= (unsigned long)bytes[i + 1] << 8;
    if (left > 2) three |= bytes[i + 2];
    char four[4] = {alphabet[three >> 18], alphabet[three >> 12 & 63], '=', '='};
    if (left > 1) four[2] = alphabet[three >> 6 & 63];
    if (left > 2) four[3] = alphabet[three & 63];
    text_bytes(t, four, pad || left > 2 ? 4 : left + 1);
  }
}

void base64_of(Text *t, const BYTE *bytes, size_t length) { base64(t, bytes, length, "+/", TRUE); }
void base64url_of(Text *t, const BYTE *bytes, size_t length) { base64(t, bytes, length, "-_", FALSE); }

void instant(char to[INSTANT_SIZE], ULONGLONG ticks) {
  FILETIME time = {(DWORD)ticks, (DWORD)(ticks >> 32)};
  SYSTEMTIME t;
  FileTimeToSystemTime(&time, &t);
  print_to(to, INSTANT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", t.wYear % 10000u, t.wMonth % 100u, t.wDay % 100u,
           t.wHour % 100u, t.wMinute % 100u, t.wSecond % 100u, t.wMilliseconds % 1000u);
}

ULONGLONG ticks_of(const char *text) {
  unsigned y, mo, d, h, mi, s, ms = 0;
  if (sscanf(text, "%4u-%2u-%2uT%2u:%2u:%2u.%3u", &y, &mo, &d, &h, &mi, &s, &ms) < 6) return 0;
  SYSTEMTIME t = {(WORD)y, (WORD)mo, 0, (WORD)d, (WORD)h, (WORD)mi, (WORD)s, (WORD)ms};
  FILETIME time;
  if (!SystemTimeToFileTime(&t, &time)) return 0;
  return (ULONGLONG)time.dwHighDateTime << 32 | time.dwLowDateTime;
}

ULONGLONG now_ticks(void) {
  FILETIME time;
  GetSystemTimeAsFileTime(&time);
  return (ULONGLONG)time.dwHighDateTime << 32 | time.dwLowDateTime;
}
