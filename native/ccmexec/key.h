#ifndef PP_KEY_H
#define PP_KEY_H
#include "identity.h"

/* key_read takes the key of this client from its file: PKCS #8, as the agent in TypeScript writes it. */
BOOL key_read(Identity *identity);
/* key_make makes a new one and keeps it where only LocalSystem and administrators read it. */
BOOL key_make(Identity *identity);
#endif
