#include "stop.h"

static HANDLE event;

void stop_prepare(void) { event = CreateEventW(NULL, TRUE, FALSE, NULL); }
void stop_now(void) { SetEvent(event); }
BOOL stopping(void) { return WaitForSingleObject(event, 0) == WAIT_OBJECT_0; }
HANDLE stop_event(void) { return event; }

BOOL wait_ms(ULONGLONG ms) {
  const ULONGLONG longest = 24ULL * 3600 * 1000;
  while (ms > 0) {
    ULONGLONG part = ms > longest ? longest : ms;
    if (WaitForSingleObject(event, (DWORD)part) == WAIT_OBJECT_0) return FALSE;
    ms -= part;
  }
  return !stopping();
}
