#ifndef PP_LOGS_H
#define PP_LOGS_H
#include "../base/log.h"

/* The logs of the agent, each about one thing. Their numbers are in the order in which logs_open adds them; EXEC_LOG is that of log_to. */
enum { EXEC_LOG, IDENTITY_LOG, SERVICES_LOG, LOCATION_LOG, POLICY_LOG, STATE_LOG };

void logs_open(void);
/* logs_rules takes CCMLOGLEVEL, CCMLOGMAXSIZE and CCMLOGMAXHISTORY of the installation; the site's policy may say another level, else it is -1. */
void logs_rules(const char *properties, LONGLONG policyLevel);

/* property_within gives a number among the properties, or the usual one where it has no sense. */
int property_within(const char *properties, const char *name, int least, int most, int usual);

#define say_info(log, ...) log_write(log, LOG_INFO, __VA_ARGS__)
#define say_warn(log, ...) log_write(log, LOG_WARN, __VA_ARGS__)
#define say_error(log, ...) log_write(log, LOG_ERROR, __VA_ARGS__)
#endif
