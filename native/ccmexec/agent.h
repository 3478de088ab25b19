#ifndef PP_AGENT_H
#define PP_AGENT_H
#include "../machine/tcf.h"
#include "identity.h"

/* PRODUCT_VERSION is the release this agent belongs to, whatever version the package has that brought it: what the site's version is compared
   with. client/native/build.ts takes it from package.json. */
#ifndef PRODUCT_VERSION
#error "PRODUCT_VERSION is for the build to give"
#endif

/* agent finds its site, registers this client there once, then sends a heartbeat at the interval the site gives, until the program is to end. */
int agent(void);
/* agent_status prints what the running agent last said of itself: 0 when the client is registered. */
int agent_status(BOOL json);
/* agent_config finds where the management points are: mobileclient.tcf, or the properties of an installation by hand. */
BOOL agent_config(Config *config, char why[256]);
/* agent_version is the version of the client that is installed. */
void agent_version(const Config *config, char to[36]);

/* Status is what the agent says of itself to whoever asks on the machine (status.json). */
typedef struct {
  const char *state;
  /* What came of the last site assignment: 0 when none was tried since the start. */
  struct {
    char wanted[64], why[1024], at[INSTANT_SIZE];
    int stateId;
  } assignment;
  /* SMSCACHESIZE of the installation, 0 where it says nothing: for packages that have a cache. */
  int cacheMegabytes;
  char version[36], point[POINT_SIZE], startedAt[INSTANT_SIZE], lastPolicyAt[INSTANT_SIZE], lastHeartbeatAt[INSTANT_SIZE], nextContactAt[INSTANT_SIZE], lastError[1100];
} Status;
void status_write(const Status *status, const Memory *memory);
#endif
