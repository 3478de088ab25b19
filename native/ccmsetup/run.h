#ifndef PP_RUN_H
#define PP_RUN_H
#include "../machine/facts.h"
#include "options.h"

/* Return codes of ccmsetup. */
enum { CODE_OK = 0, CODE_ERROR = 6, CODE_RESTART = 7, CODE_RUNNING = 8, CODE_PREREQUISITE = 9, CODE_HASH = 10 };

/* Run is one run of ccmsetup. */
typedef struct {
  Options options;
  Config config;
  BOOL configured;
  WCHAR configPath[PATH_ROOM];
  char configWhy[256];
  Facts facts;
  char topicId[UUID_SIZE];
  /* How it ends, when it fails: the state message of topic 800, the return code, the sentence. */
  int state, code;
  char detail[1100];
  /* The client is removed, and this program with its folder is to go too. */
  BOOL gone;
} Run;

/* fail notes how the run ends, and is FALSE. */
BOOL fail(Run *run, int state, int code, const char *format, ...) __attribute__((format(ms_printf, 4, 5)));

/* report sends a state message; `code` < 0 leaves the exit code out. */
void report(Run *run, int state, int code, const char *detail);

/* fetch_file brings a file of the client content into the folder of ccmsetup and proves its size and hash. */
BOOL fetch_file(Run *run, const File *file);
/* check_machine looks whether this machine can take the package at all. */
BOOL check_machine(Run *run);
/* install_prerequisites brings what the package declares and this machine does not have yet. */
BOOL install_prerequisites(Run *run);
/* is_msi tells whether a file is one of Windows Installer, which this program can install without a command. */
BOOL is_msi(const File *file);

/* run_command runs a command in the folder of ccmsetup; FALSE when it could not be started or this run is to end. */
BOOL run_command(Run *run, const WCHAR *program, WCHAR *commandLine, DWORD *exit);
BOOL is_restart(DWORD exit);

/* msi_line is how Windows Installer is started for the payload; a product that is there is written anew, every file, key and value of it. */
WCHAR *msi_line(const Config *config, WCHAR program[PATH_ROOM]);
/* remove_products lets Windows Installer take away every version of the client it knows. */
BOOL remove_products(Run *run);

/* is_installed tells whether exactly this payload is installed. */
BOOL is_installed(const Run *run);
BOOL take_over(Run *run);
/* install runs the installer; *restart tells whether the machine has to be restarted. */
BOOL install(Run *run, BOOL *restart);
void clear_away(const Run *run);
BOOL uninstall(Run *run);
/* vanish takes the folder of ccmsetup away, its log and this program with it; nothing may be written afterwards. */
void vanish(void);

/* setup is the whole of ccmsetup, from the mutex to the return code. */
int setup(int count, WCHAR **arguments);
#endif
