#ifndef PP_STOP_H
#define PP_STOP_H
#include <winsock2.h>
#include <windows.h>

/* One event says that this program is to end: the service manager's stop, a shutdown, or Ctrl+C. */
void stop_prepare(void);
void stop_now(void);
BOOL stopping(void);
/* wait_ms waits; false when the program is to end. */
BOOL wait_ms(ULONGLONG ms);
HANDLE stop_event(void);
#endif
