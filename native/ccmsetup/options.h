#ifndef PP_OPTIONS_H
#define PP_OPTIONS_H
#include "../machine/tcf.h"
#include "../base/files.h"

#define MOST_SOURCES 8

/* Options is what ccmsetup was told (docs/windows-client.md lists the parameters). */
typedef struct {
  BOOL uninstall, force, noService, service, logon, help;
  int retryMinutes, downloadMinutes;
  /* Management points to download from, instead of those in the file. */
  Points points;
  /* Folders to take the files from, before any management point is asked. */
  WCHAR source[MOST_SOURCES][PATH_ROOM];
  int sourceCount;
  WCHAR config[PATH_ROOM];
  /* Names of checks and prerequisites to leave out, `;` between, with one at each end. */
  char skip[600];
  /* NAME=value properties, and where they were found. */
  char properties[2052];
  const char *propertiesFrom;
} Options;

void options_default(Options *options);
/* options_read takes arguments in; later calls win. On FALSE `wrong` is the argument that is not known. */
BOOL options_read(Options *options, int count, WCHAR **arguments, const char *from, char wrong[256]);
/* options_policy takes in what group policy provisions in the registry, to be called before the command line is read. */
BOOL options_policy(Options *options, char wrong[256]);
BOOL options_skip(const Options *options, const char *name);
#endif
