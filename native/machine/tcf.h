#ifndef PP_TCF_H
#define PP_TCF_H
#include "../wire/contact.h"

#define MOST_PREREQUISITES 8
/* One for each management point, at most. */
#define PINS_SIZE (MOST_POINTS * SHA256_HEX)

/* File is one file of the client content. */
typedef struct {
  char name[132], sha256[SHA256_HEX];
  LONGLONG size;
  char command[1028];
} File;

/* Prerequisite is a file that is installed first, unless what it brings is there already. */
typedef struct {
  File file;
  /* Name for /skipprereq, and a file or registry key (`HKLM\…`) that shows that it is there. */
  char check[512];
} Prerequisite;

/* Config is mobileclient.tcf (src/messages/mobile-client.ts): the trust anchor, laid here over the signed SMB session. */
typedef struct {
  char properties[2052], site[8], fsp[POINT_SIZE], version[36];
  /* In lower case, with commas between: any of them is right at any of the points. */
  char pins[PINS_SIZE];
  Points points;
  File payload;
  struct {
    char machine[68], tokenId[68], token[132], expires[INSTANT_SIZE];
  } registration;
  struct {
    int build, installer;
    ULONGLONG freeBytes;
    char architectures[132];
    BOOL noRestartPending;
  } requires;
  Prerequisite prerequisites[MOST_PREREQUISITES];
  int prerequisiteCount;
} Config;

/* tcf_read reads the file; on FALSE `why` says what is wrong. A missing file and a malformed one differ in the sentence only. */
BOOL tcf_read(const WCHAR *path, Config *to, char why[256]);
/* tcf_hand_over writes a copy of the file for the agent: without the token, and with the values that this run settled on. */
DWORD tcf_hand_over(const WCHAR *from, const WCHAR *to, const Config *config);
/* property gives the value of NAME in a line of NAME=value properties; quotes are taken off. */
BOOL property(const char *properties, const char *name, char *to, size_t size);
/* property_points adds the points that NAME names, with `;` between: names, or whole addresses; where no port is said, that of CCMHTTPPORT or
   CCMHTTPSPORT, else 8480 or 8443. */
BOOL property_points(const char *properties, const char *name, Points *to);
BOOL is_hex(const char *s, size_t length);
#endif
