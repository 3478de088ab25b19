/* Signed requests to the management points, in their order (src/messages/signing.ts is the other end). A point that answered 429 or 503 with
   Retry-After is left alone until then; the site's clock, where it differs, is kept for all later signatures. */
#include "contact.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../base/stop.h"
#include "http.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far a point that nothing proves may set the clock forward: whatever is signed for a time to come could be sent again then. Back it may be set
   as far as it likes, and from a time before this release, which is certainly wrong, too. */
#define FARTHEST_TICKS (86400000ULL * TICKS_MS)
#define RELEASE "2026-11-01T00:00:00.000Z"
#define LARGEST_ANSWER 262144
#define PATIENCE 30

static LONGLONG offset_ticks;
static const ContactWatch *watching;

void contact_watch(const ContactWatch *watch) { watching = watch; }

static void heard(const char *point, BOOL answered) {
  if (watching && !stopping()) watching->heard(point, answered);
}

static BOOL proves(const char *point) { return watching ? watching->proves(watching->context, point) : starts(point, "https:"); }

static struct {
  char point[POINT_SIZE];
  ULONGLONG until;
} resting[MOST_POINTS * 2];

ULONGLONG site_ticks(void) { return now_ticks() + (ULONGLONG)offset_ticks; }

LONGLONG left_alone_ms(const char *point) {
  ULONGLONG now = GetTickCount64();
  for (size_t i = 0; i < sizeof resting / sizeof *resting; i++)
    if (!strcmp(resting[i].point, point)) return resting[i].until > now ? (LONGLONG)(resting[i].until - now) : 0;
  return 0;
}

void leave_alone(const char *point, LONGLONG ms) {
  size_t place = 0;
  for (size_t i = 0; i < sizeof resting / sizeof *resting; i++) {
    if (!strcmp(resting[i].point, point)) {
      place = i;
      break;
    }
    if (resting[i].until < resting[place].until) place = i;
  }
  copy_to(resting[place].point, POINT_SIZE, point);
  resting[place].until = GetTickCount64() + (ULONGLONG)ms;
}

BOOL points_add(Points *points, const char *url) {
  char one[POINT_SIZE];
  if (!starts(url, "http://") && !starts(url, "https://")) return FALSE;
  if (!copy_to(one, sizeof one, url) || !only(one, LETTERS_DIGITS "._:[]-/~")) return FALSE;
  for (size_t length = strlen(one); length > 0 && one[length - 1] == '/';) one[--length] = 0;
  for (int i = 0; i < points->count; i++)
    if (!strcmp(points->url[i], one)) return TRUE;
  if (points->count == MOST_POINTS) return FALSE;
  copy_to(points->url[points->count++], POINT_SIZE, one);
  return TRUE;
}

void points_read(Points *points, const char *list) {
  while (*list) {
    const char *end = strchr(list, ';');
    if (!end) end = list + strlen(list);
    char one[POINT_SIZE];
    if (copy_range(one, sizeof one, list, end)) points_add(points, one);
    list = *end ? end + 1 : end;
  }
}

/* path_of is the request target of an address: what the signature covers. */
static const char *path_of(const char *url) {
  const char *host = strstr(url, "://");
  const char *path = host ? strchr(host + 3, '/') : NULL;
  return path ? path : "/";
}

static void sign(Text *headers, const Signer *signer, const char *method, const char *url, const char *time, const Text *body, char used[32]) {
  BYTE raw[16], digest[SHA256_SIZE], signature[64];
  char hex[SHA256_HEX];
  Text nonce = {0}, message = {0}, encoded = {0};
  random_bytes(raw, sizeof raw);
  base64url_of(&nonce, raw, sizeof raw);
  copy_to(used, 32, nonce.at);
  sha256(body->at, body->length, digest);
  hex_of(hex, digest, sizeof digest);
  text_format(&message, "%s\n%s\n%s\n%s\n%s", method, path_of(url), time, nonce.at, hex);
  if (signer->tokenId) {
    hmac_sha256(signer->tokenKey, SHA256_SIZE, message.at, message.length, signature);
    base64_of(&encoded, signature, SHA256_SIZE);
    text_format(headers, "x-pushpoint-token: %s\r\n", signer->tokenId);
  } else {
    sha256(message.at, message.length, digest);
    if (signer->sign(signer->key, digest, signature)) base64_of(&encoded, signature, sizeof signature);
    if (signer->client) text_format(headers, "x-pushpoint-client: %s\r\n", signer->client);
  }
  text_format(headers, "x-pushpoint-time: %s\r\nx-pushpoint-nonce: %s\r\nx-pushpoint-signature: %s\r\n", time, nonce.at,
              encoded.at ? encoded.at : "");
  text_free(&nonce);
  text_free(&message);
  text_free(&encoded);
}

static void reason(Told *told, const char *format, const char *url, const char *why) {
  size_t used = strlen(told->why);
  if (used + 4 < sizeof told->why)
    print_to(told->why + used, sizeof told->why - used, format, used ? "; " : "", url, why);
}

static BOOL listed(const char *codes, const char *code) {
  const char *at = codes && code[0] ? strstr(codes, code) : NULL;
  size_t length = strlen(code);
  return at && (at == codes || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0);
}

/* corrected takes the clock of a site over; FALSE where it is farther off than may be believed. */
static BOOL corrected(const char *point, const char *time) {
  ULONGLONG site = ticks_of(time), own = now_ticks();
  if (!site) return FALSE;
  if (site > own + FARTHEST_TICKS && own > ticks_of(RELEASE) && !proves(point)) {
    log_warn("%s says that it is %s; the clock of this machine is not set forward that far by a point that nothing proves", point, time);
    return FALSE;
  }
  offset_ticks = (LONGLONG)(site - own);
  return TRUE;
}

/* refused notes a refusal; TRUE when the clock was off and the request is to be signed once more. */
static BOOL refused(Told *told, const Asked *asked, const HttpAnswer *answer, const char *point, const char *url, BOOL mayCorrect) {
  char time[INSTANT_SIZE], status[96];
  told->code[0] = 0;
  if (json_valid(told->body.at)) {
    json_string(told->body.at, "code", told->code, sizeof told->code);
    if (!strcmp(told->code, "PP_MSG_TIME_OFF") && mayCorrect && json_string(told->body.at, "serverTime", time, sizeof time) && corrected(point, time))
      return TRUE;
  }
  LONGLONG wait = retry_after_ms(answer->retryAfter);
  if (wait > 0 && (answer->status == 429 || answer->status == 503)) leave_alone(point, wait);
  print_to(status, sizeof status, "%d %s", answer->status, told->code);
  reason(told, "%sthe management point %s answered %s", url, status);
  told->final = listed(asked->final, told->code);
  return FALSE;
}

static void ask_one(const char *point, const Asked *asked, Told *told, BOOL mayCorrect) {
  char url[POINT_SIZE + 1024], time[INSTANT_SIZE];
  Text body = {0}, headers = {0};
  HttpAnswer answer;
  print_to(url, sizeof url, "%s%s", point, asked->path);
  instant(time, site_ticks());
  const char *method = asked->message ? "POST" : "GET";
  text_add(&body, "");
  if (asked->message) asked->message(asked->context, time, &body);
  text_add(&headers, asked->message ? "Content-Type: application/json\r\nAccept: application/json\r\n" : "Accept: application/json\r\n");
  if (asked->etag) text_format(&headers, "If-None-Match: \"%s\"\r\n", asked->etag);
  if (asked->signer) sign(&headers, asked->signer, method, url, time, &body, told->nonce);
  HttpAsk ask = {method, url, headers.at, body.at, body.length, asked->pins, PATIENCE};
  BOOL again = FALSE;
  BOOL whole = http_open(&answer, &ask) && http_text(&answer, &told->body, LARGEST_ANSWER);
  heard(point, whole && answer.status < 500);
  if (!whole) {
    if (answer.wrongPin) reason(told, "%s%s shows another certificate than the one this client was told to expect%s", url, "");
    else reason(told, "%sthe management point %s cannot be reached: %s", url, answer.why);
  } else if ((answer.status >= 200 && answer.status < 300) || (answer.status == 304 && asked->etag)) {
    told->taken = TRUE;
    told->status = answer.status;
    copy_to(told->proof, sizeof told->proof, answer.proof);
    copy_to(told->point, sizeof told->point, point);
  } else again = refused(told, asked, &answer, point, url, mayCorrect);
  http_close(&answer);
  text_free(&body);
  text_free(&headers);
  if (again) ask_one(point, asked, told, FALSE);
}

void contact_ask(const Points *points, const Asked *asked, Told *told) {
  told->taken = told->final = FALSE;
  told->why[0] = told->code[0] = 0;
  told->waitMs = -1;
  for (int i = 0; i < points->count && !told->taken && !told->final && !stopping(); i++) {
    if (left_alone_ms(points->url[i]) > 0) continue;
    ask_one(points->url[i], asked, told, TRUE);
  }
  if (told->taken || told->final) return;
  if (!told->why[0]) copy_to(told->why, sizeof told->why, "no management point may be asked yet");
  int waiting = 0;
  for (int i = 0; i < points->count; i++) {
    LONGLONG left = left_alone_ms(points->url[i]);
    if (left <= 0) continue;
    waiting++;
    if (told->waitMs < 0 || left < told->waitMs) told->waitMs = left;
  }
  if (waiting < points->count) told->waitMs = -1;
}
