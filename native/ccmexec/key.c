/* The client's own ECDSA P-256 key. Windows' bcrypt has no PKCS #8 for such keys; the encoding of one curve is a frame of fixed octets. */
#include "key.h"
#include "../machine/layout.h"
#include <string.h>

#define COORDINATE 32
#define AT_SECRET 36
#define AT_POINT 74
#define PKCS8_SIZE 138

static const BYTE pkcs8_head[AT_SECRET] = {0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86,
                                           0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                           0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20};
static const BYTE pkcs8_middle[6] = {0xa1, 0x44, 0x03, 0x42, 0x00, 0x04};
static const BYTE spki_head[27] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                   0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

typedef struct {
  BCRYPT_ECCKEY_BLOB head;
  BYTE x[COORDINATE], y[COORDINATE], d[COORDINATE];
} PrivateBlob;

static BCRYPT_ALG_HANDLE ecdsa(void) {
  static BCRYPT_ALG_HANDLE algorithm;
  if (!algorithm) BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_ECDSA_P256_ALGORITHM, NULL, 0);
  return algorithm;
}

static BOOL export_public(Identity *identity, const PrivateBlob *blob) {
  BYTE spki[sizeof spki_head + 2 * COORDINATE];
  Text text = {0};
  memcpy(spki, spki_head, sizeof spki_head);
  memcpy(spki + sizeof spki_head, blob->x, 2 * COORDINATE);
  base64_of(&text, spki, sizeof spki);
  BOOL whole = copy_to(identity->publicKey, sizeof identity->publicKey, text.at);
  text_free(&text);
  return whole;
}

static BOOL take_blob(Identity *identity, PrivateBlob *blob) {
  if (identity->key) BCryptDestroyKey(identity->key);
  identity->key = NULL;
  return BCryptImportKeyPair(ecdsa(), NULL, BCRYPT_ECCPRIVATE_BLOB, &identity->key, (PUCHAR)blob, sizeof *blob, 0) >= 0 &&
         export_public(identity, blob);
}

BOOL key_read(Identity *identity) {
  Text file = {0};
  PrivateBlob blob = {.head = {BCRYPT_ECDSA_PRIVATE_P256_MAGIC, COORDINATE}};
  BOOL right = read_file(layout.key, &file, 4096) && file.length == PKCS8_SIZE && !memcmp(file.at, pkcs8_head, sizeof pkcs8_head) &&
               !memcmp(file.at + AT_SECRET + COORDINATE, pkcs8_middle, sizeof pkcs8_middle);
  if (right) {
    memcpy(blob.d, file.at + AT_SECRET, COORDINATE);
    memcpy(blob.x, file.at + AT_POINT, 2 * COORDINATE);
    right = take_blob(identity, &blob);
  }
  if (file.at) SecureZeroMemory(file.at, file.length);
  SecureZeroMemory(&blob, sizeof blob);
  text_free(&file);
  return right;
}

static BOOL keep(const PrivateBlob *blob) {
  BYTE file[PKCS8_SIZE];
  memcpy(file, pkcs8_head, sizeof pkcs8_head);
  memcpy(file + AT_SECRET, blob->d, COORDINATE);
  memcpy(file + AT_SECRET + COORDINATE, pkcs8_middle, sizeof pkcs8_middle);
  memcpy(file + AT_POINT, blob->x, 2 * COORDINATE);
  DWORD error = write_file(layout.key, file, sizeof file, TRUE);
  SecureZeroMemory(file, sizeof file);
  return error == 0;
}

BOOL key_make(Identity *identity) {
  BCRYPT_KEY_HANDLE made = NULL;
  PrivateBlob blob;
  ULONG size = 0;
  BOOL right = BCryptGenerateKeyPair(ecdsa(), &made, 256, 0) >= 0 && BCryptFinalizeKeyPair(made, 0) >= 0 &&
               BCryptExportKey(made, NULL, BCRYPT_ECCPRIVATE_BLOB, (PUCHAR)&blob, sizeof blob, &size, 0) >= 0 && size == sizeof blob &&
               take_blob(identity, &blob) && keep(&blob);
  if (made) BCryptDestroyKey(made);
  SecureZeroMemory(&blob, sizeof blob);
  return right;
}
