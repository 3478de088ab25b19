#ifndef PP_CRYPT_H
#define PP_CRYPT_H
#include "text.h"

#define SHA256_SIZE 32
#define SHA256_HEX 65

void sha256(const void *bytes, size_t length, BYTE digest[SHA256_SIZE]);
/* sha256_file gives the hash of a file in hexadecimal digits; false when it cannot be read. */
BOOL sha256_file(const WCHAR *path, char hex[SHA256_HEX]);
void hmac_sha256(const BYTE *key, size_t keyLength, const void *bytes, size_t length, BYTE mac[SHA256_SIZE]);
void random_bytes(BYTE *to, size_t length);
/* random_fraction is in [0, 1). */
double random_fraction(void);
#define UUID_SIZE 37
void random_uuid(char to[UUID_SIZE]);
#endif
