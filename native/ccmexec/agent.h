#ifndef PP_AGENT_H
#define PP_AGENT_H
#include "../machine/tcf.h"
#include "identity.h"

/* agent registers this client once, then sends a heartbeat at the interval the site gives, until the program is to end. */
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
  char version[36], point[POINT_SIZE], lastHeartbeatAt[INSTANT_SIZE], nextContactAt[INSTANT_SIZE], lastError[1100];
} Status;
void status_write(const Status *status, const Config *config, const Memory *memory);
#endif
