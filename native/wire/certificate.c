#include "certificate.h"
#include <stdlib.h>
#include <string.h>

/* for_clients tells whether a certificate may prove a client: it names no purpose at all, or this one. */
static BOOL for_clients(const CERT_CONTEXT *certificate) {
  DWORD size = 0;
  // No purposes at all is said with the error "not found".
  SetLastError(0);
  if (!CertGetEnhancedKeyUsage(certificate, 0, NULL, &size)) return GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
  CERT_ENHKEY_USAGE *usage = malloc(size);
  BOOL right = FALSE;
  if (usage && CertGetEnhancedKeyUsage(certificate, 0, usage, &size)) {
    right = usage->cUsageIdentifier == 0 && GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
    for (DWORD i = 0; i < usage->cUsageIdentifier; i++)
      right = right || !strcmp(usage->rgpszUsageIdentifier[i], szOID_PKIX_KP_CLIENT_AUTH);
  }
  free(usage);
  return right;
}

static BOOL has_key(const CERT_CONTEXT *certificate) {
  DWORD size = 0;
  return CertGetCertificateContextProperty(certificate, CERT_KEY_PROV_INFO_PROP_ID, NULL, &size) && size > 0;
}

const CERT_CONTEXT *machine_certificate(void) {
  DWORD flags = CERT_SYSTEM_STORE_LOCAL_MACHINE | CERT_STORE_OPEN_EXISTING_FLAG | CERT_STORE_READONLY_FLAG;
  HCERTSTORE store = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, flags, L"MY");
  const CERT_CONTEXT *best = NULL;
  if (!store) return NULL;
  for (const CERT_CONTEXT *one = NULL; (one = CertEnumCertificatesInStore(store, one)) != NULL;) {
    if (CertVerifyTimeValidity(NULL, one->pCertInfo) != 0 || !for_clients(one) || !has_key(one)) continue;
    if (best && CompareFileTime(&one->pCertInfo->NotAfter, &best->pCertInfo->NotAfter) <= 0) continue;
    if (best) CertFreeCertificateContext(best);
    best = CertDuplicateCertificateContext(one);
  }
  CertCloseStore(store, 0);
  return best;
}
