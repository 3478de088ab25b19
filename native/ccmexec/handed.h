#ifndef PP_HANDED_H
#define PP_HANDED_H
#include <winsock2.h>
#include <windows.h>

/* handed_facts prints what this machine is as JSON, for an agent in another language: the same values that the agent here tells its site. */
int handed_facts(void);
/* handed_secret keeps what comes on standard input as one of the client's secret files, as the agent here keeps its key. */
int handed_secret(const WCHAR *name);
#endif
