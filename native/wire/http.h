#ifndef PP_HTTP_H
#define PP_HTTP_H
#include "../base/text.h"
#include "certificate.h"
#include <winhttp.h>

typedef struct {
  const char *method, *url;
  /* Lines that end with CRLF; may be empty. */
  const char *headers;
  const void *body;
  size_t length;
  /* Hexadecimal SHA-256 of the certificates to expect, with commas between; empty: the machine's trust store decides. */
  const char *pins;
  int patienceSeconds;
} HttpAsk;

typedef struct {
  HINTERNET session, connection, request;
  const CERT_CONTEXT *certificate;
  /* The certificates of which this server has to show one, where they are pinned. */
  const char *pins;
  int status;
  /* -1 when the answer does not say. */
  LONGLONG length;
  char range[80], retryAfter[64], etag[96], proof[64];
  /* Why it failed, and whether because another certificate was shown. */
  BOOL wrongPin;
  DWORD error;
  char why[200];
} HttpAnswer;

/* http_open sends a request and reads the head of the answer. No redirect is followed: a management point has none, and a client must not
   be led to somebody else. On TRUE read the body; close in either case. */
BOOL http_open(HttpAnswer *answer, const HttpAsk *ask);
/* http_read gives the octets read, 0 at the end, -1 on failure. */
int http_read(HttpAnswer *answer, void *to, DWORD size);
/* http_text reads a body of up to `most` octets. */
BOOL http_text(HttpAnswer *answer, Text *to, size_t most);
void http_close(HttpAnswer *answer);
/* retry_after_ms reads a Retry-After value, a day at most; -1 when it is none. */
LONGLONG retry_after_ms(const char *value);
#endif
