#include "facts.h"
#include "../base/crypt.h"
#include <ws2tcpip.h>
#include <iphlpapi.h>
#include <lm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ADDRESSES 32
#define NAME_CHARACTERS LETTERS_DIGITS "._-"

static void computer_name(COMPUTER_NAME_FORMAT which, char *to, size_t size) {
  WCHAR name[256];
  DWORD length = 256;
  to[0] = 0;
  if (!GetComputerNameExW(which, name, &length)) return;
  char *plain = narrow(name);
  // What the site would refuse is left empty: a name with other letters must not keep a client from registering.
  if (only(plain, NAME_CHARACTERS)) copy_to(to, size, plain);
  free(plain);
}

static void domain_of(Facts *facts) {
  LPWSTR name = NULL;
  NETSETUP_JOIN_STATUS status = NetSetupUnknownStatus;
  facts->domain[0] = 0;
  if (NetGetJoinInformation(NULL, &name, &status) == NERR_Success && name) {
    char *plain = narrow(name);
    if (status == NetSetupDomainName && only(plain, NAME_CHARACTERS)) copy_to(facts->domain, sizeof facts->domain, plain);
    free(plain);
    NetApiBufferFree(name);
  }
}

static void registry_text(const WCHAR *key, const WCHAR *value, char *to, size_t size) {
  WCHAR text[256];
  DWORD length = sizeof text;
  if (RegGetValueW(HKEY_LOCAL_MACHINE, key, value, RRF_RT_REG_SZ, NULL, text, &length) != ERROR_SUCCESS) return;
  char *plain = narrow(text);
  one_line(plain);
  copy_to(to, size, plain);
  free(plain);
}

static void system_of(Facts *facts) {
  OSVERSIONINFOEXW info = {.dwOSVersionInfoSize = sizeof info};
  // GetVersionEx lies to programs that are older than the system.
  LONG(WINAPI *version)(OSVERSIONINFOEXW *) = (void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "RtlGetVersion");
  if (version) version(&info);
  facts->build = info.dwBuildNumber;
  print_to(facts->version, sizeof facts->version, "%lu.%lu.%lu", info.dwMajorVersion, info.dwMinorVersion, info.dwBuildNumber);
  facts->type = info.wProductType == VER_NT_WORKSTATION        ? "workstation"
                : info.wProductType == VER_NT_DOMAIN_CONTROLLER ? "dc"
                : info.wProductType == VER_NT_SERVER            ? "server"
                                                                : "unknown";
  copy_to(facts->os, sizeof facts->os, "Windows");
  registry_text(L"SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion", L"ProductName", facts->os, sizeof facts->os);
  // Windows 11 still calls itself 10 there.
  char *ten = strstr(facts->os, "Windows 10");
  if (ten && facts->build >= 22000 && info.wProductType == VER_NT_WORKSTATION) ten[9] = '1';
  SYSTEM_INFO hardware;
  GetNativeSystemInfo(&hardware);
  WORD kind = hardware.wProcessorArchitecture;
  copy_to(facts->architecture, sizeof facts->architecture, kind == 9 ? "x64" : kind == 12 ? "arm64" : kind == 0 ? "x86" : "unknown");
}

/* smbios_uuid reads the UUID of the system from the firmware's tables (SMBIOS, type 1, offset 8). */
static BOOL smbios_uuid(char to[UUID_SIZE]) {
  BYTE table[65536 / 2];
  UINT size = GetSystemFirmwareTable(0x52534D42 /* RSMB */, 0, table, sizeof table);
  if (size < 8 || size > sizeof table) return FALSE;
  for (BYTE *at = table + 8, *end = table + size; at + 4 <= end && at[1] >= 4 && at + at[1] <= end;) {
    if (at[0] == 1 && at[1] >= 24) {
      BYTE *u = at + 8, all = u[0], any = 0;
      for (int i = 0; i < 16; i++) any |= u[i] ^ all;
      // All octets alike: the maker did not fill it in.
      if (!any) return FALSE;
      print_to(to, UUID_SIZE, "%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X", u[3], u[2], u[1], u[0], u[5], u[4],
               u[7], u[6], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
      return TRUE;
    }
    for (at += at[1]; at + 1 < end && (at[0] || at[1]);) at++;
    at += 2;
  }
  return FALSE;
}

static IP_ADAPTER_ADDRESSES *adapters(void) {
  ULONG size = 32768;
  for (int tries = 0; tries < 3; tries++) {
    IP_ADAPTER_ADDRESSES *all = take(size);
    ULONG error = GetAdaptersAddresses(AF_UNSPEC, GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER, NULL, all, &size);
    if (error == ERROR_SUCCESS) return all;
    free(all);
    if (error != ERROR_BUFFER_OVERFLOW) break;
  }
  return NULL;
}

/* hardware_of names the hardware, not the disk: the firmware's UUID, else the lowest network address of the machine. */
static void hardware_of(Facts *facts) {
  char id[UUID_SIZE];
  if (smbios_uuid(id)) {
    copy_to(facts->hardwareId, sizeof facts->hardwareId, id);
    return;
  }
  BYTE lowest[6] = {255, 255, 255, 255, 255, 255};
  IP_ADAPTER_ADDRESSES *all = adapters();
  for (IP_ADAPTER_ADDRESSES *a = all; a; a = a->Next)
    if (a->PhysicalAddressLength == 6 && a->IfType != IF_TYPE_SOFTWARE_LOOPBACK && !(a->PhysicalAddress[0] & 2) &&
        memcmp(a->PhysicalAddress, lowest, 6) < 0)
      memcpy(lowest, a->PhysicalAddress, 6);
  free(all);
  char mac[16];
  hex_of(mac, lowest, 6);
  print_to(facts->hardwareId, sizeof facts->hardwareId, "%s:%s", lowest[0] == 255 ? "NAME" : "MAC", lowest[0] == 255 ? facts->name : mac);
}

void facts_find(Facts *facts) {
  memset(facts, 0, sizeof *facts);
  computer_name(ComputerNameNetBIOS, facts->name, sizeof facts->name);
  if (!facts->name[0]) computer_name(ComputerNameDnsHostname, facts->name, sizeof facts->name);
  computer_name(ComputerNameDnsFullyQualified, facts->fqdn, sizeof facts->fqdn);
  domain_of(facts);
  system_of(facts);
  hardware_of(facts);
}

void facts_each_address(void (*each)(void *, const char *), void *context) {
  IP_ADAPTER_ADDRESSES *all = adapters();
  int count = 0;
  for (IP_ADAPTER_ADDRESSES *a = all; a; a = a->Next) {
    if (a->IfType == IF_TYPE_SOFTWARE_LOOPBACK || a->OperStatus != IfOperStatusUp) continue;
    for (IP_ADAPTER_UNICAST_ADDRESS *u = a->FirstUnicastAddress; u && count < MOST_ADDRESSES; u = u->Next) {
      char text[64];
      const struct sockaddr *address = u->Address.lpSockaddr;
      const void *raw = address->sa_family == AF_INET ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                                                      : (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;
      if (!InetNtopA(address->sa_family, (void *)raw, text, sizeof text) || starts(text, "fe80:")) continue;
      count++;
      each(context, text);
    }
  }
  free(all);
}

static void address_json(void *to, const char *address) {
  Text *text = to;
  if (text->at[text->length - 1] != '[') text_add(text, ",");
  text_json(text, address);
}

static void member(Text *to, const char *name, const char *value) {
  text_format(to, "\"%s\":", name);
  text_json(to, value);
  text_add(to, ",");
}

void facts_json(const Facts *facts, const char *clientVersion, Text *to) {
  member(to, "name", facts->name);
  member(to, "domain", facts->domain);
  member(to, "fqdn", facts->fqdn);
  text_add(to, "\"addresses\":[");
  facts_each_address(address_json, to);
  text_add(to, "],\"os\":{");
  member(to, "name", facts->os);
  member(to, "version", facts->version);
  text_add(to, "\"type\":");
  text_json(to, facts->type);
  text_add(to, "},");
  member(to, "hardwareId", facts->hardwareId);
  member(to, "architecture", facts->architecture);
  member(to, "clientVersion", clientVersion);
}
