#ifndef PP_FACTS_H
#define PP_FACTS_H
#include "../base/text.h"

/* Facts is what registration, heartbeat and state messages tell of this machine. */
typedef struct {
  char name[68], domain[256], fqdn[256], os[132], version[68], architecture[17], hardwareId[129];
  const char *type;
  unsigned build;
} Facts;

void facts_find(Facts *facts);
/* facts_json adds the members that registration and heartbeat have in common, each with a comma after it. */
void facts_json(const Facts *facts, const char *clientVersion, Text *to);
/* facts_each_address calls `each` for every address at which this machine can be reached. */
void facts_each_address(void (*each)(void *context, const char *address), void *context);
#endif
