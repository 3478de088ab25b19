#ifndef PP_TIMES_H
#define PP_TIMES_H

/* Every period of the agent. A build that is made for tests divides them all: what takes a day takes minutes there. */
#ifndef HURRY
#define HURRY 1
#endif
#define PERIOD(ms) ((ms) / HURRY)
#define MINUTE_MS PERIOD(60000.0)
#define HOUR_MS (60 * MINUTE_MS)

#define FIRST_BACK_OFF_MS PERIOD(30000.0)
#define LONGEST_BACK_OFF_MS HOUR_MS
/* After a start the first heartbeat is spread over this time, so that an estate that comes up together does not call together. */
#define START_SPREAD_MS PERIOD(10000.0)
/* A change of addresses often meets a whole building, so the heartbeats that tell of it are spread too. */
#define NEWS_SPREAD_MS MINUTE_MS
/* A client that is new asks for its policy and its place a little later: those who come with it in a storm ask for their registration. */
#define POLICY_SPREAD_MS (2 * MINUTE_MS)
#define LOCATE_SPREAD_MS HOUR_MS
/* How long a list of management points is good, and a choice among them (facts E). */
#define LOCATE_MS (25 * HOUR_MS)
#define STICKY_MS (25 * HOUR_MS)
#define FAILURES 5
#define FAILURES_WITHIN_MS (10 * MINUTE_MS)
/* How long points that nothing proves come before those that are known to be the site's, and how soon one is asked again that did not answer. */
#define TRUSTED_MS (24 * HOUR_MS)
#define TRUSTED_AGAIN_MS HOUR_MS
/* The agent looks at the machine at least so often. */
#define LOOK_MS (15 * MINUTE_MS)
#define POLICY_AGAIN_MS (10 * MINUTE_MS)
/* After a failed assignment it is tried again. */
#define ASSIGN_AGAIN_MS (10 * MINUTE_MS)
#endif
