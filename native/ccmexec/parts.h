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
  ULONGLONG nextBeat, nextPolicy, nextAssign;
} Agent;

/* Assigned is the site a client belongs to from now on: always a primary. */
typedef struct {
  char site[8], version[36], fsp[POINT_SIZE];
  Points points;
} Assigned;

/* Unassigned is why it belongs to none, with the state of topic 800; and whether nobody answered at all, and how long those ask to wait (-1:
   they do not). */
typedef struct {
  int state;
  BOOL unheard;
  LONGLONG waitMs;
  char why[1200];
} Unassigned;

/* site_assign finds the site that is wanted (a code, or AUTO) and checks that it can take this client. */
BOOL site_assign(const Agent *a, const char *wanted, const Points *points, Assigned *to, Unassigned *why);

/* member_due tells whether the installation asks for another site than the one this client has. */
BOOL member_due(const Agent *a);
/* member_assign finds the site and remembers it; FALSE tells why there is none, which the site was told where it can be. */
BOOL member_assign(Agent *a, Unassigned *why);
/* member_take makes a site the one of this client. */
void member_take(Agent *a, const Assigned *site);
/* member_failed and member_succeeded tell what came of it, once as long as it stays the same. */
void member_failed(Agent *a, int state, const char *why);
void member_succeeded(Agent *a);

/* agent_points are the points to ask, best first. */
void agent_points(const Agent *a, Points *to);
/* agent_remember keeps the memory on the disk. */
void agent_remember(Agent *a);
/* policy_poll asks for the policy and does what is new in it; FALSE when nobody answered. */
BOOL policy_poll(Agent *a);
/* policy_keep leaves here the key by which the site's policy is known, made of the token when that is used up. */
void policy_keep(const Agent *a, const char *guid);
/* uninstall_by_policy and upgrade_by_policy let ccmsetup run as its own service, which goes on when it stops this agent: the installed one, or
   that of the new version, which is fetched by its hash. They return 0 or a Win32 code. */
DWORD uninstall_by_policy(void);
DWORD upgrade_by_policy(const Agent *a, const char *policy, const char *version);
/* registration_due tells whether the next contact is a registration: nobody knows this client, or ccmsetup left a token. */
BOOL registration_due(const Agent *a);
/* register_client and beat say who this client is, and that it lives; FALSE leaves in `told` why nobody took it. */
BOOL register_client(Agent *a, Told *told, BOOL mayRenew);
BOOL beat(Agent *a, Told *told);
/* agent_farewell tells the site that this client leaves: `uninstall` or `migrate`. */
BOOL agent_farewell(Agent *a, const char *reason);
/* farewell tells the site that this client is removed. */
int farewell(void);
#endif
