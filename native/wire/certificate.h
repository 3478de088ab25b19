#ifndef PP_CERTIFICATE_H
#define PP_CERTIFICATE_H
#include <winsock2.h>
#include <windows.h>
#include <wincrypt.h>

/* machine_certificate gives the certificate with which this machine proves itself to points in native mode: of those in the machine's own
   store that are for client authentication, valid now, and have a key, the one that is valid longest. NULL when there is none. The caller frees. */
const CERT_CONTEXT *machine_certificate(void);
#endif
