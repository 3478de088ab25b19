/* Puts the certificate of a PFX file and its key into the store of the machine: `import-pfx FILE`, no password. */
#include <windows.h>
#include <wincrypt.h>
#include <stdio.h>

int main(int count, char **arguments) {
  static BYTE bytes[65536];
  FILE *file = count > 1 ? fopen(arguments[1], "rb") : NULL;
  if (!file) return 2;
  CRYPT_DATA_BLOB blob = {(DWORD)fread(bytes, 1, sizeof bytes, file), bytes};
  fclose(file);
  HCERTSTORE from = PFXImportCertStore(&blob, L"", CRYPT_EXPORTABLE);
  HCERTSTORE to = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, CERT_SYSTEM_STORE_LOCAL_MACHINE, L"MY");
  if (!from || !to) return 3;
  for (const CERT_CONTEXT *one = NULL; (one = CertEnumCertificatesInStore(from, one)) != NULL;)
    if (!CertAddCertificateContextToStore(to, one, CERT_STORE_ADD_REPLACE_EXISTING, NULL)) return 4;
  return CertCloseStore(to, 0) ? 0 : 5;
}
