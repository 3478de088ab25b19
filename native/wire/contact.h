#ifndef PP_CONTACT_H
#define PP_CONTACT_H
#include "../base/crypt.h"

#define POINT_SIZE 260
#define MOST_POINTS 32

typedef struct {
  char url[MOST_POINTS][POINT_SIZE];
  int count;
} Points;

/* points_add adds an address that is not there yet, without a slash at its end; what is no http or https address is left out. */
BOOL points_add(Points *points, const char *url);
/* points_read takes a list with `;` between. */
void points_read(Points *points, const char *list);

/* Signer is who signs a request: a key, with the SMSID it belongs to, or the holder of a one-time token; or nobody. */
typedef struct {
  const char *client;
  /* sign writes r || s, 64 octets, over a SHA-256 digest. */
  BOOL (*sign)(void *key, const BYTE digest[SHA256_SIZE], BYTE signature[64]);
  void *key;
  const char *tokenId;
  BYTE tokenKey[SHA256_SIZE];
} Signer;

/* Asked is one request to whichever management point takes it. The message is made when it is sent, because the time in it must be the one
   that is signed. */
typedef struct {
  const char *path;
  /* NULL: a question without a body, sent as GET. */
  void (*message)(void *context, const char *time, Text *body);
  void *context;
  const Signer *signer;
  const char *pins;
  /* Codes of refusals that no other point will judge otherwise, with blanks between. */
  const char *final;
  /* What is known already, for a question; NULL: nothing. */
  const char *etag;
} Asked;

typedef struct {
  BOOL taken;
  /* 304: what is known is right. */
  int status;
  /* Of a question: its nonce and the proof that came with the answer. */
  char nonce[32], proof[64];
  /* Which point took it, and what it said. */
  char point[POINT_SIZE];
  Text body;
  /* The code of the last refusal, whether it was final, and all reasons in one line. */
  char code[64];
  BOOL final;
  char why[1024];
  /* How long all points together ask to wait; -1 when they do not. */
  LONGLONG waitMs;
} Told;

/* ContactWatch is told of each point that was asked whether it answered at all, and says of which points an answer proves that it is the
   site's. Without one https does, because then all points are those of the installation. */
typedef struct {
  void (*heard)(const char *point, BOOL answered);
  BOOL (*proves)(const void *context, const char *point);
  const void *context;
} ContactWatch;
void contact_watch(const ContactWatch *watch);
void contact_ask(const Points *points, const Asked *asked, Told *told);
/* site_ticks is the time as the site has it, as far as known. */
ULONGLONG site_ticks(void);
/* left_alone_ms is how much longer a point wants to be left alone. */
LONGLONG left_alone_ms(const char *point);
void leave_alone(const char *point, LONGLONG ms);
#endif
