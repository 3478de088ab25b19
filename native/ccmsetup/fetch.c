/* Downloads, from the management points in their order or from a folder. What has come is kept in a `.part` file that is named after the
   hash, so that a cut connection, a restart of the machine or a second run goes on where it stopped (Range), and another version never mixes
   in. Nothing is given out before the whole file on the disk has the size and the SHA-256 of mobileclient.tcf. */
#include "../base/json.h"
#include "../base/log.h"
#include "../base/stop.h"
#include "../machine/layout.h"
#include "../machine/published.h"
#include "../wire/http.h"
#include "run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A point that sends less than LEAST in STALL is left for the next one: octet by octet, it would hold the client for ever. */
#define STALL_MS 60000
#define STALL_SECONDS (STALL_MS / 1000)
#define LEAST 4096
#define RESUME_MS 5000
#define MOST_RESUMES 50
#define CHUNK 32768
#define LARGEST_PROBLEM 65536

/* How one try at one point ended. */
typedef enum { CAME, CUT, REFUSED, MISSING, WRONG, PIN, FULL, STOPPED } Ending;

typedef struct {
  Run *run;
  const File *file;
  WCHAR part[PATH_ROOM], whole[PATH_ROOM];
  LONGLONG have;
  /* Which point of this round wants a client certificate that this machine could not show; empty: none. */
  char certificate[600];
  char why[1024];
} Fetch;

static void again(Fetch *f) {
  DeleteFileW(f->part);
  f->have = 0;
}

static void measure(Fetch *f) {
  LONGLONG size = file_size(f->part);
  f->have = size > 0 ? size : 0;
}

static Ending append(Fetch *f, HANDLE to, const void *bytes, DWORD length) {
  DWORD done = 0;
  if (f->have + length > f->file->size) return WRONG;
  BOOL right = WriteFile(to, bytes, length, &done, NULL);
  DWORD error = right ? 0 : GetLastError();
  f->have += done;
  if (right && done == length) return CAME;
  if (right || error == ERROR_DISK_FULL || error == ERROR_HANDLE_DISK_FULL) return FULL;
  print_to(f->why, sizeof f->why, "%s could not be written (%lu)", f->file->name, error);
  return REFUSED;
}

static HANDLE open_part(Fetch *f) {
  return CreateFileW(f->part, FILE_APPEND_DATA, FILE_SHARE_READ, NULL, OPEN_ALWAYS, FILE_FLAG_SEQUENTIAL_SCAN, NULL);
}

/* accept decides by the head of an answer whether its body belongs at the end of what is there. */
static Ending accept_answer(Fetch *f, const HttpAnswer *answer, const char *point, const char *url) {
  if (answer->status == 206) {
    LONGLONG from = -1, to, all = f->file->size;
    BOOL fits = sscanf(answer->range, "bytes %I64d-%I64d/%I64d", &from, &to, &all) >= 2 && from == f->have && all == f->file->size;
    return fits ? CAME : WRONG;
  }
  if (answer->status == 200) {
    if (f->have > 0) again(f);
    return answer->length < 0 || answer->length == f->file->size ? CAME : WRONG;
  }
  if (answer->status == 416) again(f);
  LONGLONG wait = retry_after_ms(answer->retryAfter);
  if (wait > 0 && (answer->status == 429 || answer->status == 503)) leave_alone(point, wait);
  print_to(f->why, sizeof f->why, "the management point %s answered %d ", url, answer->status);
  return answer->status == 404 ? MISSING : REFUSED;
}

/* refused_certificate takes note where a point in native mode refused the client certificate, or that there was none. */
static void refused_certificate(Fetch *f, HttpAnswer *answer, const char *url) {
  char code[64] = "", detail[256] = "";
  Text body = {0};
  if (answer->status == 403 && http_text(answer, &body, LARGEST_PROBLEM) && json_valid(body.at)) {
    json_string(body.at, "code", code, sizeof code);
    json_string(body.at, "detail", detail, sizeof detail);
  }
  text_free(&body);
  if (strcmp(code, "PP_MP_CERTIFICATE")) return;
  one_line(detail);
  print_to(f->why, sizeof f->why, "the management point %s wants a client certificate: %s", url, detail);
  copy_to(f->certificate, sizeof f->certificate, f->why);
}

static Ending receive(Fetch *f, HttpAnswer *answer, HANDLE to, const char *url) {
  static BYTE chunk[CHUNK];
  ULONGLONG since = GetTickCount64();
  LONGLONG few = 0;
  for (;;) {
    if (stopping()) return STOPPED;
    int got = http_read(answer, chunk, sizeof chunk);
    if (got < 0) {
      print_to(f->why, sizeof f->why, "the management point %s cannot be reached: %s", url, answer->why);
      return CUT;
    }
    if (got == 0) break;
    Ending ending = append(f, to, chunk, (DWORD)got);
    if (ending != CAME) return ending;
    few += got;
    if (few >= LEAST) few = 0, since = GetTickCount64();
    else if (GetTickCount64() - since > STALL_MS) {
      print_to(f->why, sizeof f->why, "the management point %s cannot be reached: next to nothing came for %d s", url, STALL_SECONDS);
      return CUT;
    }
  }
  if (f->have >= f->file->size) return CAME;
  print_to(f->why, sizeof f->why, "the management point %s cannot be reached: the connection ended early", url);
  return CUT;
}

static Ending piece(Fetch *f, const char *point, const char *url) {
  char headers[256];
  HttpAnswer answer;
  const char *token = f->run->config.registration.tokenId;
  // No content coding: sizes and ranges must be those of the file.
  int length = print_to(headers, sizeof headers, "Accept-Encoding: identity\r\n");
  // It names its push, unsigned: the site may refuse its files to a machine that it has blocked.
  if (token[0]) length += print_to(headers + length, sizeof headers - (size_t)length, "x-pushpoint-token: %s\r\n", token);
  if (f->have > 0) print_to(headers + length, sizeof headers - (size_t)length, "Range: bytes=%I64d-\r\n", f->have);
  log_info("Downloading %s from byte %I64d", url, f->have);
  HttpAsk ask = {"GET", url, headers, NULL, 0, f->run->config.pins, STALL_SECONDS};
  Ending ending = CUT;
  if (!http_open(&answer, &ask)) {
    if (answer.wrongPin) print_to(f->why, sizeof f->why, "%s shows another certificate than the one this client was told to expect", url);
    else print_to(f->why, sizeof f->why, "the management point %s cannot be reached: %s", url, answer.why);
    if (answer.error == ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED) copy_to(f->certificate, sizeof f->certificate, f->why);
    ending = answer.wrongPin ? PIN : CUT;
  } else if ((ending = accept_answer(f, &answer, point, url)) == CAME) {
    HANDLE to = open_part(f);
    if (to == INVALID_HANDLE_VALUE) {
      print_to(f->why, sizeof f->why, "%s could not be written (%lu)", f->file->name, GetLastError());
      ending = REFUSED;
    } else {
      ending = receive(f, &answer, to, url);
      CloseHandle(to);
    }
  }
  if (ending == REFUSED && answer.status == 403) refused_certificate(f, &answer, url);
  http_close(&answer);
  return ending;
}

/* whole takes a cut connection up again as long as each try brings something. */
static Ending whole(Fetch *f, const char *point, const char *url) {
  for (int resumes = 0;; resumes++) {
    LONGLONG before = f->have;
    Ending ending = piece(f, point, url);
    if (ending != CUT || f->have <= before || resumes >= MOST_RESUMES) return ending;
    log_warn("Download was cut at %I64d of %I64d bytes: %s", f->have, f->file->size, f->why);
    if (!wait_ms(RESUME_MS)) return STOPPED;
  }
}

/* verified is the only way for a file to be taken: the whole of it, on the disk, has the right size and hash. */
static Ending verified(Fetch *f) {
  char hash[SHA256_HEX];
  if (file_size(f->part) == f->file->size && sha256_file(f->part, hash) && !strcmp(hash, f->file->sha256)) {
    log_info("Hash of %s is right: %s", f->file->name, hash);
    if (MoveFileExW(f->part, f->whole, MOVEFILE_REPLACE_EXISTING)) return CAME;
    print_to(f->why, sizeof f->why, "%s could not be written (%lu)", f->file->name, GetLastError());
    return REFUSED;
  }
  again(f);
  return WRONG;
}

/* from_point asks by the hash, which names exactly this content, and where the point does not know that, by the plain name. */
static Ending from_point(Fetch *f, const char *point) {
  char url[POINT_SIZE + 256];
  if (f->have >= f->file->size) return verified(f);
  print_to(url, sizeof url, "%s/CCM_Client/%s/%s", point, f->file->sha256, f->file->name);
  Ending ending = whole(f, point, url);
  if (ending == MISSING) {
    print_to(url, sizeof url, "%s/CCM_Client/%s", point, f->file->name);
    ending = whole(f, point, url);
  }
  return ending == CAME ? verified(f) : ending;
}

/* from_folder copies from a local folder or a share. */
static Ending from_folder(Fetch *f, const WCHAR *folder) {
  static BYTE chunk[CHUNK];
  WCHAR path[PATH_ROOM], *name = wide(f->file->name);
  char *shown;
  join_path(path, folder, name);
  free(name);
  shown = narrow(path);
  log_info("Copying %s", shown);
  HANDLE from = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_FLAG_SEQUENTIAL_SCAN, NULL);
  Ending ending = CAME;
  if (from == INVALID_HANDLE_VALUE) {
    print_to(f->why, sizeof f->why, "the source %.900s cannot be read (%lu)", shown, GetLastError());
    ending = REFUSED;
  }
  free(shown);
  if (ending != CAME) return ending;
  again(f);
  HANDLE to = open_part(f);
  DWORD got = 0;
  while (ending == CAME && ReadFile(from, chunk, sizeof chunk, &got, NULL) && got > 0) {
    if (stopping()) ending = STOPPED;
    else ending = append(f, to, chunk, got);
  }
  CloseHandle(to);
  CloseHandle(from);
  return ending == CAME ? verified(f) : ending;
}

static BOOL disk_full(Fetch *f) {
  return fail(f->run, 312, CODE_PREREQUISITE, "the system drive has %I64u bytes free, %I64d are needed", free_bytes(layout.setup),
              f->file->size - f->have);
}

/* tried sorts how one place ended: whether it is over, and how. */
static void tried(Fetch *f, Ending ending, Ending *worst, BOOL *over) {
  *over = ending == CAME || ending == FULL || ending == STOPPED;
  measure(f);
  if (ending == FULL) disk_full(f);
  if (*over) return;
  if (ending == WRONG) {
    again(f);
    print_to(f->why, sizeof f->why, "%s does not have the expected hash", f->file->name);
  }
  log_warn("%s", f->why);
  // Another certificate or other bytes than the trust anchor says do not get better by waiting; another point may be right.
  if (ending == WRONG || ending == PIN) *worst = ending;
}

/* ask_points asks points in their order until one settles it. */
static void ask_points(Fetch *f, const Points *points, Ending *worst, BOOL *over) {
  for (int i = 0; i < points->count && !*over; i++)
    if (left_alone_ms(points->url[i]) <= 0) tried(f, from_point(f, points->url[i]), worst, over);
}

/* ask_published asks the points that DNS names and nobody else did. Whoever answers there, the hash judges what he gives. */
static void ask_published(Fetch *f, const Points *known, Ending *worst, BOOL *over) {
  Points *all = take(sizeof *all), *more = take(sizeof *more);
  *all = *known;
  published_points(f->run->config.properties, f->run->config.site, all);
  for (int i = known->count; i < all->count; i++) points_add(more, all->url[i]);
  if (more->count > 0) log_info("DNS names %d more management point(s)", more->count);
  ask_points(f, more, worst, over);
  free(all);
  free(more);
}

/* round_of asks every place once: folders, the points that were named, and where those gave nothing the ones in DNS. */
static BOOL round_of(Fetch *f, const Points *points, BOOL *over) {
  Ending worst = REFUSED;
  const Options *options = &f->run->options;
  f->certificate[0] = 0;
  for (int i = 0; i < options->sourceCount && !*over; i++) tried(f, from_folder(f, options->source[i]), &worst, over);
  if (!*over) ask_points(f, points, &worst, over);
  if (!*over && worst == REFUSED) ask_published(f, points, &worst, over);
  if (*over) return f->run->code == 0 && !stopping();
  if (worst == REFUSED) return FALSE;
  *over = TRUE;
  if (worst == PIN) return fail(f->run, 308, CODE_ERROR, "%s", f->why);
  return fail(f->run, 325, CODE_HASH, "%s does not have the expected hash", f->file->name);
}

static ULONGLONG pause_ms(const Run *run, const Points *points) {
  LONGLONG normal = run->options.retryMinutes * 60000LL, least = normal;
  for (int i = 0; i < points->count; i++) {
    LONGLONG left = left_alone_ms(points->url[i]);
    if (i == 0 || (left > 0 ? left : normal) < least) least = left > 0 ? left : normal;
  }
  return least < 1000 ? 1000 : (ULONGLONG)least;
}

BOOL fetch_file(Run *run, const File *file) {
  Fetch f = {.run = run, .file = file};
  WCHAR name[256], *plain = wide(file->name);
  const Points *points = run->options.points.count > 0 ? &run->options.points : &run->config.points;
  ULONGLONG end = GetTickCount64() + (ULONGLONG)run->options.downloadMinutes * 60000;
  make_folders(layout.setup);
  join_path(f.whole, layout.setup, plain);
  _snwprintf(name, 256, L"%ls.%.16hs.part", plain, file->sha256);
  join_path(f.part, layout.setup, name);
  free(plain);
  measure(&f);
  for (int round = 1;; round++) {
    BOOL over = FALSE;
    if (round_of(&f, points, &over)) return TRUE;
    if (over || stopping()) return FALSE;
    if (round == 1) report(run, 101, -1, NULL);
    ULONGLONG wait = pause_ms(run, points);
    // A certificate may come while it waits, by enrolment; but the administrator is to hear what it waits for.
    if (GetTickCount64() + wait > end && f.certificate[0])
      return fail(run, 315, CODE_ERROR, "%s could not be downloaded within %d minutes, for want of a client certificate: %s", file->name,
                  run->options.downloadMinutes, f.certificate);
    if (GetTickCount64() + wait > end)
      return fail(run, 308, CODE_ERROR, "%s could not be downloaded from any management point within %d minutes", file->name,
                  run->options.downloadMinutes);
    log_warn("Next retry in %I64u minute(s)...", (wait + 59999) / 60000);
    if (!wait_ms(wait)) return FALSE;
  }
}
