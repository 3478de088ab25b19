#ifndef PP_HOST_H
#define PP_HOST_H
#include <winsock2.h>
#include <windows.h>

/* host keeps the agent's process running until this program is to end: started again with growing pauses when it ends by itself. */
void host(void);
#endif
