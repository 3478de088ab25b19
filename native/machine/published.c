/* The management points of a site that DNS names: `_mssms_mp_<site>._tcp.<domain>`. Priority and weight are not heeded, as in the original; the
   port tells whether it is https. */
#include "published.h"
#include "tcf.h"
#include <stdlib.h>
#include <string.h>
#include <windns.h>

void published_points(const char *properties, const char *site, Points *to) {
  char domain[256], code[8], name[320], url[POINT_SIZE];
  DNS_RECORDW *found = NULL;
  if (!property(properties, "DNSSUFFIX", domain, sizeof domain) || !domain[0] || !only(domain, LETTERS_DIGITS ".-")) return;
  if (strlen(site) != 3 || !only(site, LETTERS_DIGITS)) return;
  copy_to(code, sizeof code, site);
  lower(code);
  print_to(name, sizeof name, "_mssms_mp_%s._tcp.%s", code, domain);
  WCHAR *question = wide(name);
  DNS_STATUS status = DnsQuery_W(question, DNS_TYPE_SRV, DNS_QUERY_STANDARD, NULL, &found, NULL);
  free(question);
  for (DNS_RECORDW *one = status == ERROR_SUCCESS ? found : NULL; one; one = one->pNext) {
    if (one->wType != DNS_TYPE_SRV || !one->Data.SRV.wPort || !one->Data.SRV.pNameTarget) continue;
    char *host = narrow(one->Data.SRV.pNameTarget);
    WORD port = one->Data.SRV.wPort;
    // A name that DNS gives is put into an address, so it is no more than a name.
    if (host[0] && host[0] != '.' && host[0] != '-' && only(host, LETTERS_DIGITS ".-")) {
      print_to(url, sizeof url, "http%s://%s:%u", port == 443 || port == 8443 ? "s" : "", host, port);
      points_add(to, url);
    }
    free(host);
  }
  if (found) DnsRecordListFree(found, DnsFreeRecordList);
}
