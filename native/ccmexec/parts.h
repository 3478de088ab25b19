#ifndef PP_PARTS_H
#define PP_PARTS_H
#include "../machine/published.h"
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
  /* What the site was last told of the machine. */
  Text told;
  /* When the next of each is due, in GetTickCount64, which goes on while a machine sleeps and knows no calendar. */
  ULONGLONG nextBeat, nextLocate, nextPolicy, nextAssign;
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

/* Located is where this machine is: the primary whose boundaries hold it, and the secondary below it; no site where nobody's do. */
typedef struct {
  char site[8], secondary[8], fsp[POINT_SIZE];
  Points points, proxy;
} Located;

/* site_locate asks points and locator points; FALSE when nobody answered. */
BOOL site_locate(const Agent *a, const Points *points, Located *to);

/* points_refresh tells the choice which points there are now. */
void points_refresh(const Agent *a);
/* points_anchors are those that came with the installation; points_fallback those for state messages that nobody can sign. */
void points_anchors(const Agent *a, Points *to);
void points_fallback(const Agent *a, Points *to);
/* points_usable adds what a pinned client may speak to. */
void points_usable(const Agent *a, const Points *from, Points *to);
/* points_own takes the proxies out of a list: nobody registers there. */
void points_own(const Agent *a, Points *list);
/* points_prove tells whether TLS alone shows that a point is the site's. */
BOOL points_prove(const void *agent, const char *point);
/* points_watch lets the choice hear who answers. */
void points_watch(const Agent *a);

/* member_locate learns where the machine is now; FALSE when nobody told. */
BOOL member_locate(Agent *a);
/* agent_remember keeps the memory on the disk. */
void agent_remember(Agent *a);
/* policy_poll asks for the policy and does what is new in it. It gives how long to wait until it is asked for again, or a negative number when
   the site does not know this client or has blocked it, which `told` says. */
double policy_poll(Agent *a, Told *told);
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
BOOL beat(Agent *a, Told *told, BOOL mayRepeat);
/* has_news tells whether the machine is another than the site was told: name, addresses, system. */
BOOL has_news(Agent *a);
/* agent_farewell tells the site that this client leaves: `uninstall` or `migrate`. */
BOOL agent_farewell(Agent *a, const char *reason);
/* farewell tells the site that this client is removed. */
int farewell(void);
#endif
