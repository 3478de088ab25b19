#include "crypt.h"
#include <bcrypt.h>
#include <stdio.h>

/* A machine whose own cryptography fails must not go on and trust or sign anything. */
static void must(NTSTATUS status) {
  if (status < 0) ExitProcess(ERROR_INTERNAL_ERROR);
}

static BCRYPT_ALG_HANDLE sha(ULONG flags) {
  BCRYPT_ALG_HANDLE algorithm;
  must(BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_SHA256_ALGORITHM, NULL, flags));
  return algorithm;
}

static void digest_of(const BYTE *key, size_t keyLength, const void *bytes, size_t length, BYTE digest[SHA256_SIZE]) {
  BCRYPT_ALG_HANDLE algorithm = sha(key ? BCRYPT_ALG_HANDLE_HMAC_FLAG : 0);
  BCRYPT_HASH_HANDLE hash;
  must(BCryptCreateHash(algorithm, &hash, NULL, 0, (PUCHAR)key, (ULONG)keyLength, 0));
  must(BCryptHashData(hash, (PUCHAR)bytes, (ULONG)length, 0));
  must(BCryptFinishHash(hash, digest, SHA256_SIZE, 0));
  BCryptDestroyHash(hash);
  BCryptCloseAlgorithmProvider(algorithm, 0);
}

void sha256(const void *bytes, size_t length, BYTE digest[SHA256_SIZE]) { digest_of(NULL, 0, bytes, length, digest); }

void hmac_sha256(const BYTE *key, size_t keyLength, const void *bytes, size_t length, BYTE mac[SHA256_SIZE]) {
  digest_of(key, keyLength, bytes, length, mac);
}

BOOL sha256_file(const WCHAR *path, char hex[SHA256_HEX]) {
  HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_FLAG_SEQUENTIAL_SCAN, NULL);
  if (file == INVALID_HANDLE_VALUE) return FALSE;
  BCRYPT_ALG_HANDLE algorithm = sha(0);
  BCRYPT_HASH_HANDLE hash;
  must(BCryptCreateHash(algorithm, &hash, NULL, 0, NULL, 0, 0));
  BYTE part[65536 / 2], digest[SHA256_SIZE];
  DWORD got;
  BOOL right;
  while ((right = ReadFile(file, part, sizeof part, &got, NULL)) && got > 0) must(BCryptHashData(hash, part, got, 0));
  must(BCryptFinishHash(hash, digest, sizeof digest, 0));
  BCryptDestroyHash(hash);
  BCryptCloseAlgorithmProvider(algorithm, 0);
  CloseHandle(file);
  hex_of(hex, digest, sizeof digest);
  return right;
}

void random_bytes(BYTE *to, size_t length) { must(BCryptGenRandom(NULL, to, (ULONG)length, BCRYPT_USE_SYSTEM_PREFERRED_RNG)); }

double random_fraction(void) {
  UINT32 value;
  random_bytes((BYTE *)&value, sizeof value);
  return value / 4294967296.0;
}

void random_uuid(char to[UUID_SIZE]) {
  BYTE b[16];
  random_bytes(b, sizeof b);
  b[6] = (BYTE)((b[6] & 0x0f) | 0x40);
  b[8] = (BYTE)((b[8] & 0x3f) | 0x80);
  print_to(to, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5],
           b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}
