#include "tcf.h"
#include "layout.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 65536

/* unicode tells whether a file is UTF-16: with a BOM, or a first character that can only be half of one. */
static BOOL decoded(const Text *raw, Text *to) {
  const BYTE *b = (const BYTE *)raw->at;
  size_t from = 0;
  if (raw->length >= 2 && b[0] == 0xfe && b[1] == 0xff) {
    for (size_t i = 0; i + 1 < raw->length; i += 2) {
      char c = raw->at[i];
      raw->at[i] = raw->at[i + 1];
      raw->at[i + 1] = c;
    }
  }
  BOOL marked = raw->length >= 2 && b[0] == 0xff && b[1] == 0xfe;
  if (marked || (raw->length >= 2 && b[0] && !b[1])) {
    WCHAR *text = take(raw->length + 4);
    from = marked ? 2 : 0;
    memcpy(text, b + from, (raw->length - from) & ~(size_t)1);
    char *plain = narrow(text);
    text_add(to, plain);
    free(plain);
    free(text);
    return TRUE;
  }
  from = raw->length >= 3 && b[0] == 0xef && b[1] == 0xbb && b[2] == 0xbf ? 3 : 0;
  text_bytes(to, b + from, raw->length - from);
  return to->length == strlen(to->at);
}

/* one_of finds `section`.`key`; of a repeated key the first counts, as in Windows' own reader. */
static BOOL one_of(const char *ini, const char *section, const char *key, char *to, size_t size) {
  BOOL inside = FALSE;
  char name[64];
  to[0] = 0;
  for (const char *line = ini; *line;) {
    const char *end = line + strcspn(line, "\r\n"), *next = end + strspn(end, "\r\n"), *first = line, *last = end;
    while (first < last && (*first == ' ' || *first == '\t')) first++;
    while (last > first && (last[-1] == ' ' || last[-1] == '\t')) last--;
    line = next;
    if (first == last || *first == ';' || *first == '#') continue;
    if (*first == '[' && last[-1] == ']') {
      copy_range(name, sizeof name, first + 1, last - 1);
      inside = same(name, section);
      continue;
    }
    const char *equals = memchr(first, '=', (size_t)(last - first));
    if (!inside || !equals || !copy_range(name, sizeof name, first, equals) || !same(name, key)) continue;
    return copy_range(to, size, equals + 1, last);
  }
  return FALSE;
}

BOOL is_hex(const char *s, size_t length) { return strlen(s) == length && only(s, "0123456789abcdef"); }

static LONGLONG number_of(const char *ini, const char *section, const char *key) {
  char value[24];
  if (!one_of(ini, section, key, value, sizeof value) || !value[0] || !only(value, "0123456789") || strlen(value) > 15) return 0;
  return strtoll(value, NULL, 10);
}

static BOOL file_of(const char *ini, const char *section, File *to) {
  one_of(ini, section, "File", to->name, sizeof to->name);
  one_of(ini, section, "SHA256", to->sha256, sizeof to->sha256);
  one_of(ini, section, "Command", to->command, sizeof to->command);
  lower(to->sha256);
  to->size = number_of(ini, section, "Size");
  // A name without any folder: it becomes a file beside ccmsetup.
  return to->name[0] && to->name[0] != '.' && to->name[0] != '-' && only(to->name, LETTERS_DIGITS "._-") && is_hex(to->sha256, 64) &&
         to->size >= 1 && to->size <= 4294967296LL;
}

static BOOL install_of(const char *ini, Config *to) {
  char line[2100];
  if (!one_of(ini, "Client Install", "Install", line, sizeof line)) return line[0] == 0;
  const char *at = line;
  if (starts(at, "INSTALL")) {
    at += 7;
    at += strspn(at, " ");
    if (*at == '=') at++;
    at += strspn(at, " ");
    if (starts(at, "ALL")) at += 3;
    else at = line;
  }
  return copy_range(to->properties, sizeof to->properties, at, at + strlen(at));
}

/* pins_of takes what people paste: with colons, blanks, capitals. A list that does not fit, or with an empty place in it, is no list. */
static BOOL pins_of(const char *ini, Config *to) {
  char value[2 * PINS_SIZE], *end = to->pins;
  const char *at = value;
  if (!one_of(ini, "Trust", "CertificatePin", value, sizeof value) && value[0]) return FALSE;
  for (; *at && end < to->pins + PINS_SIZE - 1; at++)
    if (!strchr(": \t", *at)) *end++ = *at;
  *end = 0;
  lower(to->pins);
  size_t length = (size_t)(end - to->pins);
  BOOL right = !*at && (length + 1) % SHA256_HEX == 0;
  for (size_t i = 0; i < length; i++) right = right && (i % SHA256_HEX == 64 ? to->pins[i] == ',' : isxdigit((BYTE)to->pins[i]) != 0);
  return right || !value[0];
}

static void token_of(const char *ini, Config *to) {
  one_of(ini, "Registration", "Machine", to->registration.machine, sizeof to->registration.machine);
  one_of(ini, "Registration", "TokenId", to->registration.tokenId, sizeof to->registration.tokenId);
  one_of(ini, "Registration", "Token", to->registration.token, sizeof to->registration.token);
  one_of(ini, "Registration", "Expires", to->registration.expires, sizeof to->registration.expires);
  const char *allowed = LETTERS_DIGITS "-_";
  if (strlen(to->registration.token) < 16 || !only(to->registration.token, allowed) || !only(to->registration.tokenId, allowed))
    to->registration.tokenId[0] = 0;
}

static void requires_of(const char *ini, Config *to) {
  char value[8];
  to->requires.build = (int)number_of(ini, "Requires", "MinimumBuild");
  to->requires.installer = (int)number_of(ini, "Requires", "WindowsInstaller");
  to->requires.freeBytes = (ULONGLONG)number_of(ini, "Requires", "FreeBytes");
  one_of(ini, "Requires", "Architectures", to->requires.architectures, sizeof to->requires.architectures);
  one_of(ini, "Requires", "NoRestartPending", value, sizeof value);
  to->requires.noRestartPending = !strcmp(value, "1") || same(value, "true");
}

static BOOL prerequisites_of(const char *ini, Config *to) {
  for (int i = 0; i < MOST_PREREQUISITES; i++) {
    char section[24], file[8];
    Prerequisite *one = &to->prerequisites[i];
    print_to(section, sizeof section, "Prerequisite %d", i + 1);
    if (!one_of(ini, section, "File", file, sizeof file) && !file[0]) break;
    if (!file_of(ini, section, &one->file) || !one->file.command[0]) return FALSE;
    one_of(ini, section, "Check", one->check, sizeof one->check);
    to->prerequisiteCount = i + 1;
  }
  return TRUE;
}

static const char *parse(const char *ini, Config *to) {
  char list[8400];
  memset(to, 0, sizeof *to);
  one_of(ini, "Site", "MP", list, sizeof list);
  points_read(&to->points, list);
  if (to->points.count == 0) return "it names no management point ([Site] MP)";
  one_of(ini, "Site", "SiteCode", to->site, sizeof to->site);
  _strupr(to->site);
  if (strlen(to->site) != 3 || !only(to->site, LETTERS_DIGITS)) return "site is not of the right form";
  one_of(ini, "Site", "FSP", to->fsp, sizeof to->fsp);
  if (!install_of(ini, to)) return "properties is not of the right form";
  if (!file_of(ini, "Payload", &to->payload)) return "payload is not of the right form";
  one_of(ini, "Payload", "Version", to->version, sizeof to->version);
  if (!to->version[0] || !only(to->version, LETTERS_DIGITS ".+_-")) return "payload is not of the right form";
  if (!pins_of(ini, to)) return "certificatePins is not of the right form";
  token_of(ini, to);
  requires_of(ini, to);
  return prerequisites_of(ini, to) ? NULL : "a prerequisite is not of the right form";
}

BOOL tcf_read(const WCHAR *path, Config *to, char why[256]) {
  Text raw = {0}, ini = {0};
  const char *wrong = NULL;
  char *shown = narrow(path);
  if (!exists(path)) wrong = "";
  else if (!read_file(path, &raw, LONGEST)) wrong = "it cannot be read, or is longer than 65536 bytes";
  else if (!decoded(&raw, &ini)) wrong = "it holds a NUL";
  else wrong = parse(ini.at, to);
  if (wrong && !wrong[0]) print_to(why, 256, "%.200s is not there", shown);
  else if (wrong) print_to(why, 256, "%s", wrong);
  free(shown);
  // The token was in it.
  if (raw.at) SecureZeroMemory(raw.at, raw.length);
  text_free(&raw);
  text_free(&ini);
  return wrong == NULL;
}

/* settled gives the value this run uses for a key of the file, where it may differ from what stands there. */
static BOOL settled(const Config *config, const char *section, const char *key, Text *to) {
  if (same(section, "Client Install") && same(key, "Install")) {
    text_format(to, "INSTALL=ALL %s", config->properties);
    return TRUE;
  }
  if (!same(section, "Site")) return FALSE;
  if (same(key, "SiteCode")) text_add(to, config->site);
  else if (same(key, "FSP")) text_add(to, config->fsp);
  else if (same(key, "MP"))
    for (int i = 0; i < config->points.count; i++) text_format(to, "%s%s", i ? ";" : "", config->points.url[i]);
  else return FALSE;
  return TRUE;
}

/* requirements writes what a machine must have, and what is installed first. */
static void requirements(const Config *config, Text *to) {
  if (config->requires.build || config->requires.architectures[0] || config->requires.freeBytes || config->requires.installer ||
      config->requires.noRestartPending)
    text_add(to, "\r\n[Requires]\r\n");
  if (config->requires.build) text_format(to, "MinimumBuild=%d\r\n", config->requires.build);
  if (config->requires.architectures[0]) text_format(to, "Architectures=%s\r\n", config->requires.architectures);
  if (config->requires.freeBytes) text_format(to, "FreeBytes=%I64u\r\n", config->requires.freeBytes);
  if (config->requires.installer) text_format(to, "WindowsInstaller=%d\r\n", config->requires.installer);
  if (config->requires.noRestartPending) text_add(to, "NoRestartPending=1\r\n");
  for (int i = 0; i < config->prerequisiteCount; i++) {
    const Prerequisite *one = &config->prerequisites[i];
    text_format(to, "\r\n[Prerequisite %d]\r\nFile=%s\r\nSHA256=%s\r\nSize=%I64d\r\nCommand=%s\r\n", i + 1, one->file.name,
                one->file.sha256, one->file.size, one->file.command);
    if (one->check[0]) text_format(to, "Check=%s\r\n", one->check);
  }
}

static void payload_sections(const Config *config, Text *to) {
  const File *p = &config->payload;
  text_format(to, "[Payload]\r\nFile=%s\r\nSHA256=%s\r\nSize=%I64d\r\nVersion=%s\r\n", p->name, p->sha256, p->size, config->version);
  if (p->command[0]) text_format(to, "Command=%s\r\n", p->command);
  requirements(config, to);
  text_add(to, "\r\n");
}

/* line_over takes one line over, with the value that this run settled on where it has one. */
static void line_over(const char *line, const char *end, const char *section, const Config *config, Text *to) {
  char key[64];
  Text value = {0};
  const char *equals = memchr(line, '=', (size_t)(end - line));
  if (equals && copy_range(key, sizeof key, line, equals) && settled(config, section, key, &value))
    text_format(to, "%s=%s\r\n", key, value.at ? value.at : "");
  else {
    text_bytes(to, line, (size_t)(end - line));
    text_add(to, "\r\n");
  }
  text_free(&value);
}

/* copied takes the lines over, but not the section with the token; the payload and what it asks for are written anew. What we do not know is
   kept for agents that do. */
static void copied(const char *ini, const Config *config, Text *to) {
  char section[64] = "";
  for (const char *line = ini; *line;) {
    const char *end = line + strcspn(line, "\r\n");
    BOOL heading = *line == '[';
    if (heading) copy_range(section, sizeof section, line + 1, end > line + 1 ? end - 1 : end);
    BOOL payload = same(section, "Payload");
    if (payload && heading) payload_sections(config, to);
    if (!payload && !same(section, "Registration") && !same(section, "Requires") && !starts(section, "Prerequisite "))
      line_over(line, end, section, config, to);
    line = end + (end[0] == '\r' && end[1] == '\n' ? 2 : end[0] != 0);
  }
}

DWORD tcf_hand_over(const WCHAR *from, const WCHAR *to, const Config *config) {
  Text raw = {0}, ini = {0}, out = {0};
  DWORD error = 0;
  if (!read_file(from, &raw, LONGEST) || !decoded(&raw, &ini)) error = ERROR_FILE_NOT_FOUND;
  else {
    copied(ini.at, config, &out);
    BOOL ascii = TRUE;
    for (size_t i = 0; i < out.length; i++) ascii = ascii && (unsigned char)out.at[i] < 0x80;
    if (ascii) error = write_file(to, out.at, out.length, FALSE);
    else {
      text_clear(&ini);
      text_add(&ini, "\xef\xbb\xbf");
      text_bytes(&ini, out.at, out.length);
      WCHAR *unicode = wide(ini.at);
      error = write_file(to, unicode, wcslen(unicode) * sizeof(WCHAR), FALSE);
      free(unicode);
    }
  }
  if (raw.at) SecureZeroMemory(raw.at, raw.length);
  if (ini.at) SecureZeroMemory(ini.at, ini.length);
  text_free(&raw);
  text_free(&ini);
  text_free(&out);
  return error;
}

BOOL property(const char *properties, const char *name, char *to, size_t size) {
  size_t length = strlen(name);
  to[0] = 0;
  for (const char *at = properties; *at;) {
    at += strspn(at, " ");
    const char *end = at;
    for (BOOL quoted = FALSE; *end && (quoted || *end != ' '); end++)
      if (*end == '"') quoted = !quoted;
    if ((size_t)(end - at) > length && _strnicmp(at, name, length) == 0 && at[length] == '=') {
      const char *value = at + length + 1, *last = end;
      if (last - value >= 2 && *value == '"' && last[-1] == '"') value++, last--;
      return copy_range(to, size, value, last);
    }
    at = end;
  }
  return FALSE;
}

/* port_of is the port for points that are named without one. */
static void port_of(const char *properties, BOOL secure, char to[8]) {
  if (!property(properties, secure ? "CCMHTTPSPORT" : "CCMHTTPPORT", to, 8) || !to[0] || !only(to, "0123456789") || strlen(to) > 5)
    copy_to(to, 8, secure ? "8443" : "8480");
}

BOOL property_points(const char *properties, const char *name, Points *to) {
  char list[1024], one[POINT_SIZE], url[POINT_SIZE + 24], port[8];
  int before = to->count;
  if (!property(properties, name, list, sizeof list)) return FALSE;
  for (const char *at = list; *at;) {
    const char *end = at + strcspn(at, ";");
    if (copy_range(one, sizeof one, at, end) && one[0]) {
      BOOL secure = starts(one, "https://");
      const char *bare = strstr(one, "://") ? strstr(one, "://") + 3 : one;
      port_of(properties, secure, port);
      // The colons of an address in brackets are not those of a port.
      const char *last = strrchr(bare, ']'), *colon = strchr(last ? last : bare, ':');
      print_to(url, sizeof url, "http%s://%s%s%s", secure ? "s" : "", bare, colon ? "" : ":", colon ? "" : port);
      points_add(to, url);
    }
    at = *end ? end + 1 : end;
  }
  return to->count > before;
}
