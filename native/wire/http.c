#include "http.h"
#include "../base/crypt.h"
#include "../base/files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000LL
#define IGNORE_ALL                                                                                      \
  (SECURITY_FLAG_IGNORE_UNKNOWN_CA | SECURITY_FLAG_IGNORE_CERT_CN_INVALID | SECURITY_FLAG_IGNORE_CERT_DATE_INVALID | \
   SECURITY_FLAG_IGNORE_CERT_WRONG_USAGE)
#ifndef ERROR_WINHTTP_CLIENT_CERT_NO_PRIVATE_KEY
#define ERROR_WINHTTP_CLIENT_CERT_NO_PRIVATE_KEY 12185
#define ERROR_WINHTTP_CLIENT_CERT_NO_ACCESS_PRIVATE_KEY 12186
#endif
#ifndef WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_3
#define WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_3 0x2000
#endif

static const struct {
  DWORD error;
  const char *text;
} reasons[] = {
    {ERROR_WINHTTP_TIMEOUT, "no answer in time"},
    {ERROR_WINHTTP_NAME_NOT_RESOLVED, "the name is not known"},
    {ERROR_WINHTTP_CANNOT_CONNECT, "nobody listens there"},
    {ERROR_WINHTTP_CONNECTION_ERROR, "the connection was cut"},
    {ERROR_WINHTTP_INVALID_SERVER_RESPONSE, "the answer is no HTTP"},
    {ERROR_WINHTTP_SECURE_CHANNEL_ERROR, "no secure channel could be made"},
    {ERROR_WINHTTP_SECURE_FAILURE, "its certificate is not trusted on this machine"},
    {ERROR_WINHTTP_SECURE_INVALID_CA, "its certificate is of an authority that this machine does not trust"},
    {ERROR_WINHTTP_SECURE_CERT_CN_INVALID, "its certificate is for another name"},
    {ERROR_WINHTTP_SECURE_CERT_DATE_INVALID, "its certificate is not valid at this time"},
    {ERROR_WINHTTP_SECURE_INVALID_CERT, "its certificate is not trusted on this machine"},
    {ERROR_WINHTTP_SECURE_CERT_REVOKED, "its certificate is revoked"},
    {ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED, "it asks for a client certificate"},
    {ERROR_WINHTTP_INVALID_URL, "the address is wrong"},
};

static BOOL failed(HttpAnswer *a) {
  a->error = GetLastError();
  const char *text = "it failed";
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (reasons[i].error == a->error) text = reasons[i].text;
  print_to(a->why, sizeof a->why, "%s (%lu)", text, a->error);
  return FALSE;
}

/* fits tells whether the server shows a certificate that is expected: 1, 0, or -1 when it cannot be seen. */
static int fits(HINTERNET request, const char *pins) {
  const CERT_CONTEXT *certificate = NULL;
  DWORD size = sizeof certificate;
  if (!WinHttpQueryOption(request, WINHTTP_OPTION_SERVER_CERT_CONTEXT, &certificate, &size)) return -1;
  BYTE digest[SHA256_SIZE];
  char hex[SHA256_HEX];
  sha256(certificate->pbCertEncoded, certificate->cbCertEncoded, digest);
  CertFreeCertificateContext(certificate);
  hex_of(hex, digest, sizeof digest);
  for (const char *at = pins; *at; at += strcspn(at, ","), at += *at == ',')
    if (strcspn(at, ",") == SHA256_HEX - 1 && starts(at, hex)) return 1;
  return 0;
}

/* sending is called when there is a secure channel and nothing was sent in it. Who shows another certificate gets nothing: closing the request
   cancels it. (Wine goes on all the same; there he sees the head of the request, and never the body.) */
static void CALLBACK sending(HINTERNET request, DWORD_PTR context, DWORD status, void *information, DWORD length) {
  HttpAnswer *a = (HttpAnswer *)context;
  (void)information, (void)length;
  if (status != WINHTTP_CALLBACK_STATUS_SENDING_REQUEST || !a || request != a->request || a->wrongPin || fits(request, a->pins) != 0) return;
  a->wrongPin = TRUE;
  WinHttpCloseHandle(request);
}

/* shown tells the same before one octet of the body is sent or read. */
static BOOL shown(HttpAnswer *a) {
  int right = a->wrongPin ? 0 : fits(a->request, a->pins);
  if (right == 1) return TRUE;
  // What the callback closed is not closed again.
  if (a->wrongPin) a->request = NULL;
  a->wrongPin = right == 0;
  if (a->wrongPin) SetLastError(ERROR_WINHTTP_SECURE_FAILURE);
  return failed(a);
}

static void head(HttpAnswer *a, DWORD which, const WCHAR *name, char *to, size_t size) {
  WCHAR value[128];
  DWORD length = sizeof value;
  to[0] = 0;
  if (!WinHttpQueryHeaders(a->request, which, name, value, &length, WINHTTP_NO_HEADER_INDEX)) return;
  char *plain = narrow(value);
  copy_to(to, size, plain);
  free(plain);
}

static BOOL read_head(HttpAnswer *a) {
  DWORD status = 0, size = sizeof status;
  char length[32];
  if (!WinHttpQueryHeaders(a->request, WINHTTP_QUERY_STATUS_CODE | WINHTTP_QUERY_FLAG_NUMBER, WINHTTP_HEADER_NAME_BY_INDEX, &status,
                           &size, WINHTTP_NO_HEADER_INDEX))
    return failed(a);
  a->status = (int)status;
  head(a, WINHTTP_QUERY_CONTENT_LENGTH, NULL, length, sizeof length);
  a->length = length[0] && only(length, "0123456789") ? strtoll(length, NULL, 10) : -1;
  head(a, WINHTTP_QUERY_CONTENT_RANGE, NULL, a->range, sizeof a->range);
  head(a, WINHTTP_QUERY_RETRY_AFTER, NULL, a->retryAfter, sizeof a->retryAfter);
  head(a, WINHTTP_QUERY_ETAG, NULL, a->etag, sizeof a->etag);
  head(a, WINHTTP_QUERY_CUSTOM, L"x-pushpoint-policy-proof", a->proof, sizeof a->proof);
  return TRUE;
}

static void prepare(HttpAnswer *a, const HttpAsk *ask) {
  // 1.3 is not known to older systems, which refuse the whole mask then.
  DWORD protocols = WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_2 | WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_3;
  if (!WinHttpSetOption(a->session, WINHTTP_OPTION_SECURE_PROTOCOLS, &protocols, sizeof protocols)) {
    protocols = WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_2;
    WinHttpSetOption(a->session, WINHTTP_OPTION_SECURE_PROTOCOLS, &protocols, sizeof protocols);
  }
  int ms = ask->patienceSeconds * 1000;
  WinHttpSetTimeouts(a->session, ms, ms, ms, ms);
}

static BOOL connect_to(HttpAnswer *a, const HttpAsk *ask, BOOL *secure) {
  WCHAR host[256], path[1024], *url = wide(ask->url), *method = wide(ask->method);
  URL_COMPONENTS parts = {.dwStructSize = sizeof parts, .lpszHostName = host, .dwHostNameLength = 256, .lpszUrlPath = path,
                          .dwUrlPathLength = 1024};
  BOOL right = WinHttpCrackUrl(url, 0, 0, &parts);
  *secure = parts.nScheme == INTERNET_SCHEME_HTTPS;
  right = right && (a->connection = WinHttpConnect(a->session, host, parts.nPort, 0)) != NULL;
  right = right && (a->request = WinHttpOpenRequest(a->connection, method, path[0] ? path : L"/", NULL, WINHTTP_NO_REFERER,
                                                    WINHTTP_DEFAULT_ACCEPT_TYPES, *secure ? WINHTTP_FLAG_SECURE : 0)) != NULL;
  if (!right) failed(a);
  free(url);
  free(method);
  return right;
}

/* show_certificate lets this machine prove itself to points that ask for it; the others never see the certificate. */
static void show_certificate(HttpAnswer *a, BOOL mayShow) {
  a->certificate = mayShow ? machine_certificate() : NULL;
  if (a->certificate)
    WinHttpSetOption(a->request, WINHTTP_OPTION_CLIENT_CERT_CONTEXT, (void *)a->certificate, sizeof *a->certificate);
  // Who only would like to have one gets an answer without.
  else WinHttpSetOption(a->request, WINHTTP_OPTION_CLIENT_CERT_CONTEXT, WINHTTP_NO_CLIENT_CERT_CONTEXT, 0);
}

static BOOL attempt(HttpAnswer *a, const HttpAsk *ask, BOOL mayShow) {
  BOOL secure;
  memset(a, 0, sizeof *a);
  // No proxy: management points are inside, and a proxy that is set for a user says nothing about the machine.
  a->session = WinHttpOpen(L"ccmsetup", WINHTTP_ACCESS_TYPE_NO_PROXY, NULL, NULL, 0);
  if (!a->session) return failed(a);
  prepare(a, ask);
  if (!connect_to(a, ask, &secure)) return FALSE;
  DWORD off = WINHTTP_DISABLE_REDIRECTS | WINHTTP_DISABLE_COOKIES | WINHTTP_DISABLE_AUTHENTICATION, ignore = IGNORE_ALL;
  WinHttpSetOption(a->request, WINHTTP_OPTION_DISABLE_FEATURE, &off, sizeof off);
  BOOL pinned = secure && ask->pins && ask->pins[0];
  if (secure) show_certificate(a, mayShow);
  if (pinned) {
    a->pins = ask->pins;
    WinHttpSetOption(a->request, WINHTTP_OPTION_SECURITY_FLAGS, &ignore, sizeof ignore);
    WinHttpSetStatusCallback(a->request, sending, WINHTTP_CALLBACK_FLAG_SEND_REQUEST, 0);
  }
  WCHAR *headers = wide(ask->headers ? ask->headers : "");
  BOOL sent = WinHttpSendRequest(a->request, headers[0] ? headers : WINHTTP_NO_ADDITIONAL_HEADERS, (DWORD)-1, WINHTTP_NO_REQUEST_DATA, 0,
                                 (DWORD)ask->length, (DWORD_PTR)a);
  DWORD error = sent ? 0 : GetLastError();
  free(headers);
  SetLastError(error);
  if (!sent && !a->wrongPin) return failed(a);
  if (pinned && !shown(a)) return FALSE;
  DWORD written;
  if (ask->length > 0 && !WinHttpWriteData(a->request, ask->body, (DWORD)ask->length, &written)) return failed(a);
  if (!WinHttpReceiveResponse(a->request, NULL)) return failed(a);
  return read_head(a);
}

/* unusable tells whether it failed because the machine's own certificate cannot be used, its key being gone or closed to this account. */
static BOOL unusable(const HttpAnswer *a) {
  return a->certificate && (a->error == (DWORD)SEC_E_UNKNOWN_CREDENTIALS || a->error == (DWORD)SEC_E_NO_CREDENTIALS ||
                            a->error == ERROR_WINHTTP_CLIENT_CERT_NO_PRIVATE_KEY || a->error == ERROR_WINHTTP_CLIENT_CERT_NO_ACCESS_PRIVATE_KEY);
}

BOOL http_open(HttpAnswer *a, const HttpAsk *ask) {
  if (attempt(a, ask, TRUE)) return TRUE;
  if (!unusable(a)) return FALSE;
  http_close(a);
  return attempt(a, ask, FALSE);
}

int http_read(HttpAnswer *a, void *to, DWORD size) {
  DWORD got = 0;
  if (WinHttpReadData(a->request, to, size, &got)) return (int)got;
  failed(a);
  return -1;
}

BOOL http_text(HttpAnswer *a, Text *to, size_t most) {
  char part[4096];
  int got;
  text_clear(to);
  text_add(to, "");
  while ((got = http_read(a, part, sizeof part)) > 0) {
    text_bytes(to, part, (size_t)got);
    if (to->length > most) {
      print_to(a->why, sizeof a->why, "the answer is longer than %u bytes", (unsigned)most);
      return FALSE;
    }
  }
  return got == 0;
}

void http_close(HttpAnswer *a) {
  if (a->request) WinHttpCloseHandle(a->request);
  if (a->connection) WinHttpCloseHandle(a->connection);
  if (a->session) WinHttpCloseHandle(a->session);
  if (a->certificate) CertFreeCertificateContext(a->certificate);
  a->request = a->connection = a->session = NULL;
  a->certificate = NULL;
}

/* date_ms is how long it is until an HTTP date; -1 when it is none. */
static LONGLONG date_ms(const char *value) {
  SYSTEMTIME time;
  FILETIME file;
  WCHAR *text = wide(value);
  BOOL right = WinHttpTimeToSystemTime(text, &time) && SystemTimeToFileTime(&time, &file);
  free(text);
  if (!right) return -1;
  ULONGLONG then = (ULONGLONG)file.dwHighDateTime << 32 | file.dwLowDateTime, now = now_ticks();
  return then > now ? (LONGLONG)((then - now) / TICKS_MS) : 0;
}

LONGLONG retry_after_ms(const char *value) {
  if (!value[0]) return -1;
  BOOL seconds = strlen(value) < 10 && only(value, "0123456789");
  LONGLONG ms = seconds ? strtoll(value, NULL, 10) * 1000 : date_ms(value);
  return ms > DAY_MS ? DAY_MS : ms;
}
