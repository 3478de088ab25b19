#ifndef PP_IDENTITY_H
#define PP_IDENTITY_H
#include "../machine/facts.h"
#include "../wire/contact.h"
#include <bcrypt.h>

#define SMSID_SIZE 44

/* Memory is what the agent has to remember of its site (client.json); all of it belongs to one key. The agent in TypeScript keeps the same
   file, so that either can go on where the other stopped. */
typedef struct {
  char guid[SMSID_SIZE], site[8], approval[16], registeredAt[INSTANT_SIZE], requestId[UUID_SIZE], requestToken[68];
  char policyRevision[68];
  /* What the assignment was asked for (a site code or AUTO), and when there was one; whom to tell what nobody signs. */
  char wanted[64], assignedAt[INSTANT_SIZE], siteVersion[36], fsp[POINT_SIZE];
  /* The last state of the assignment that was told, so that a failure that lasts is told once. */
  LONGLONG toldState;
  char topicId[UUID_SIZE];
  /* What a policy asked for and did not come to its end yet, when it was tried last, and how often. */
  struct {
    char what[64], at[INSTANT_SIZE];
    LONGLONG times;
  } tried;
  int heartbeatMinutes, policyMinutes;
  /* CCMLOGLEVEL as the policy has it, -1 where it says nothing; and SMSCACHESIZE, 0 likewise. */
  int logLevel, cacheMegabytes;
  LONGLONG sequence;
  /* Of the assigned site; those that a policy named that was proven; of the secondary in whose boundaries the machine is; of another primary
     likewise. */
  Points points, proven, proxy, local;
} Memory;

typedef struct {
  BCRYPT_KEY_HANDLE key;
  /* base64 SPKI, as it is registered and compared. */
  char publicKey[128];
  /* The SMSID this machine had before, for the registration. */
  char previousGuid[SMSID_SIZE];
  Memory memory;
} Identity;

/* identity_load finds out who this client is: see identity.c for what can have happened since the last run. */
BOOL identity_load(Identity *identity, const Facts *facts, char why[256]);
/* identity_remember keeps what changed on the disk before anybody acts on it. */
DWORD identity_remember(const Identity *identity, const Facts *facts);
/* identity_become takes the SMSID that the site gave. */
void identity_become(Identity *identity, const Facts *facts, const char *guid, const char *site);
/* identity_sign is for Signer. */
BOOL identity_sign(void *identity, const BYTE digest[SHA256_SIZE], BYTE signature[64]);
/* identity_renew makes a new key: the site says that another machine has this one. */
BOOL identity_renew(Identity *identity, const Facts *facts);
/* smsid_of takes a UUID in any case, with or without braces or the prefix. */
BOOL smsid_of(const char *value, char to[SMSID_SIZE]);
#endif
