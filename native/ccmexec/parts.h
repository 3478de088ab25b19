#ifndef PP_PARTS_H
#define PP_PARTS_H
#include "agent.h"

/* Token is the one-time registration token that ccmsetup left. */
typedef struct {
  char tokenId[68], token[132], expires[INSTANT_SIZE];
} Token;

/* Agent is all that the running agent knows. */
typedef struct {
  Config config;
  Facts facts;
  Identity identity;
  Status status;
  char startedAt[INSTANT_SIZE], requestId[UUID_SIZE];
  /* What the site said its policy is, with the last reply. */
  char revision[68];
  Token token;
  BOOL mustRegister;
  int failures;
  /* When the next of each is due, in GetTickCount64. */
  ULONGLONG nextBeat, nextPolicy;
} Agent;

/* agent_points are the points to ask, best first. */
void agent_points(const Agent *a, Points *to);
/* agent_remember keeps the memory on the disk. */
void agent_remember(Agent *a);
/* policy_poll asks for the policy and does what is new in it; FALSE when nobody answered. */
BOOL policy_poll(Agent *a);
/* policy_keep leaves here the key by which the site's policy is known, made of the token when that is used up. */
void policy_keep(const Agent *a, const char *guid);
/* farewell tells the site that this client is removed. */
int farewell(void);
#endif
