#ifndef PP_SERVICES_H
#define PP_SERVICES_H
#include "text.h"

/* service_state is a SERVICE_* state; 0 when there is no such service. */
DWORD service_state(const WCHAR *name);
/* service_start and service_stop see it done, a minute at most. They return 0 or a Win32 code. */
DWORD service_start(const WCHAR *name);
DWORD service_stop(const WCHAR *name);
/* service_delete marks for deletion; a running service goes when it ends. */
DWORD service_delete(const WCHAR *name);
/* service_set makes a service, or changes one that is there. */
DWORD service_set(const WCHAR *name, const WCHAR *displayName, const WCHAR *commandLine, DWORD startType);
/* service_start_type changes only how it is started. */
DWORD service_start_type(const WCHAR *name, DWORD startType);
/* state_name is the word for a state, for sentences. */
const char *state_name(DWORD state);
#endif
