#include "json.h"
#include <stdlib.h>
#include <string.h>

#define DEEPEST 16

static const char *blank(const char *p) {
  while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n') p++;
  return p;
}

static int hex4(const char *p) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    char c = p[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

static size_t utf8(char *to, int c) {
  if (c < 0x80) return to[0] = (char)c, 1;
  if (c < 0x800) return to[0] = (char)(0xc0 | c >> 6), to[1] = (char)(0x80 | (c & 63)), 2;
  return to[0] = (char)(0xe0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63)), to[2] = (char)(0x80 | (c & 63)), 3;
}

/* text_of reads a string literal; `to` may be NULL to skip it. NULL when it is none or does not fit. */
static const char *text_of(const char *p, char *to, size_t size) {
  if (*p++ != '"') return NULL;
  size_t used = 0;
  for (; *p != '"'; p++) {
    char three[3] = {*p};
    size_t octets = 1;
    if ((unsigned char)*p < 0x20) return NULL;
    if (*p == '\\') {
      static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
      const char *which = p[1] ? strchr(names, p[1]) : NULL;
      if (p[1] == 'u') {
        int c = hex4(p + 2);
        // Nothing of ours holds a NUL or needs more than the first plane.
        if (c <= 0) return NULL;
        octets = utf8(three, c);
        p += 5;
      } else if (which) {
        three[0] = values[which - names];
        p++;
      } else return NULL;
    }
    if (to) {
      if (used + octets >= size) return NULL;
      memcpy(to + used, three, octets);
      used += octets;
    }
  }
  if (to) to[used] = 0;
  return p + 1;
}

static const char *skip(const char *p, int depth);

static const char *skip_list(const char *p, char end, int depth) {
  p = blank(p + 1);
  if (*p == end) return p + 1;
  for (;;) {
    if (end == '}') {
      p = text_of(p, NULL, 0);
      if (!p || *(p = blank(p)) != ':') return NULL;
      p = blank(p + 1);
    }
    p = skip(p, depth + 1);
    if (!p) return NULL;
    p = blank(p);
    if (*p == end) return p + 1;
    if (*p != ',') return NULL;
    p = blank(p + 1);
  }
}

static const char *skip(const char *p, int depth) {
  if (depth > DEEPEST) return NULL;
  if (*p == '"') return text_of(p, NULL, 0);
  if (*p == '{') return skip_list(p, '}', depth);
  if (*p == '[') return skip_list(p, ']', depth);
  size_t word = strspn(p, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
  return word ? p + word : NULL;
}

BOOL json_valid(const char *json) {
  json = blank(json);
  if (*json != '{') return FALSE;
  const char *end = skip(json, 0);
  return end && *blank(end) == 0;
}

static const char *value_of(const char *json, const char *member) {
  const char *p = blank(json);
  if (*p != '{') return NULL;
  p = blank(p + 1);
  while (*p == '"') {
    char name[64];
    const char *after = text_of(p, name, sizeof name);
    BOOL wanted = after && !strcmp(name, member);
    if (!after) after = text_of(p, NULL, 0);
    if (!after || *(p = blank(after)) != ':') return NULL;
    p = blank(p + 1);
    if (wanted) return p;
    p = skip(p, 1);
    if (!p) return NULL;
    p = blank(p);
    if (*p != ',') return NULL;
    p = blank(p + 1);
  }
  return NULL;
}

BOOL json_string(const char *json, const char *member, char *to, size_t size) {
  const char *p = value_of(json, member);
  to[0] = 0;
  if (p && text_of(p, to, size)) return TRUE;
  to[0] = 0;
  return FALSE;
}

BOOL json_number(const char *json, const char *member, LONGLONG *to) {
  const char *p = value_of(json, member);
  if (!p || !(*p == '-' || (*p >= '0' && *p <= '9'))) return FALSE;
  *to = strtoll(p, NULL, 10);
  return TRUE;
}

BOOL json_true(const char *json, const char *member) {
  const char *p = value_of(json, member);
  return p && !strncmp(p, "true", 4);
}

BOOL json_strings(const char *json, const char *member, void (*each)(void *, const char *), void *context) {
  const char *p = value_of(json, member);
  if (!p || *p != '[') return FALSE;
  for (p = blank(p + 1); *p == '"';) {
    char value[512];
    const char *after = text_of(p, value, sizeof value);
    if (after) each(context, value);
    else if (!(after = text_of(p, NULL, 0))) return FALSE;
    p = blank(after);
    if (*p != ',') break;
    p = blank(p + 1);
  }
  return *p == ']';
}

BOOL json_objects(const char *json, const char *member, void (*each)(void *, const char *), void *context) {
  const char *p = value_of(json, member);
  if (!p || *p != '[') return FALSE;
  for (p = blank(p + 1); *p == '{';) {
    const char *after = skip(p, 1);
    if (!after) return FALSE;
    each(context, p);
    p = blank(after);
    if (*p != ',') break;
    p = blank(p + 1);
  }
  return *p == ']';
}

const char *json_object(const char *json, const char *member) {
  const char *p = value_of(json, member);
  return p && *p == '{' ? p : NULL;
}
