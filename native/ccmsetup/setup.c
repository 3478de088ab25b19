/* ccmsetup reads the mobileclient.tcf beside it, fetches the client from the management points, checks it, installs it, tells the site, and
   removes its own service. It may be run again at any time. The client in TypeScript (client/ccmsetup) does the same on lab hosts. */
#include "../base/log.h"
#include "../base/services.h"
#include "../base/stop.h"
#include "../machine/layout.h"
#include "run.h"
#include <sddl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static int finish(int code) {
  log_info("CcmSetup is exiting with return code %d", code);
  return code;
}

/* find_config looks beside the program, or where /config says: a bare name lies beside it too. */
static void find_config(Run *run, int count, WCHAR **arguments) {
  WCHAR self[PATH_ROOM], folder[PATH_ROOM];
  const WCHAR *named = CONFIG_FILE;
  for (int i = 0; i < count; i++)
    if (starts_wide(arguments[i] + 1, L"config:") && (arguments[i][0] == L'/' || arguments[i][0] == L'-')) named = arguments[i] + 8;
  GetModuleFileNameW(NULL, self, PATH_ROOM);
  folder_of(folder, self);
  if (wcschr(named, L'\\')) wcsncpy(run->configPath, named, PATH_ROOM - 1);
  else join_path(run->configPath, folder, named);
}

/* guard lets nobody but LocalSystem and administrators read the file: a token is in it. */
static void guard(const WCHAR *path) {
  PSECURITY_DESCRIPTOR access;
  if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(L"D:P(A;;FA;;;SY)(A;;FA;;;BA)", SDDL_REVISION_1, &access, NULL)) return;
  SetFileSecurityW(path, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, access);
  LocalFree(access);
}

/* short_name is the NetBIOS form of a name. */
static void short_name(const char *name, char to[16]) {
  size_t length = strcspn(name, ".");
  copy_range(to, 16, name, name + (length > 15 ? 15 : length));
}

/* for_this_machine drops a token that was made for another machine: a copied file must not let one register as the other. */
static void for_this_machine(Run *run) {
  char wanted[16], here[16];
  short_name(run->config.registration.machine, wanted);
  short_name(run->facts.name, here);
  if (!run->config.registration.tokenId[0] || same(wanted, here)) return;
  log_warn("The registration token was made for %s; it is not used", run->config.registration.machine);
  run->config.registration.tokenId[0] = 0;
}

static void read_config(Run *run) {
  run->configured = tcf_read(run->configPath, &run->config, run->configWhy);
  if (!run->configured) return;
  Text points = {0};
  for (int i = 0; i < run->config.points.count; i++) text_format(&points, "%s%s", i ? "; " : "", run->config.points.url[i]);
  log_info("Site %s, management points %s, client %s", run->config.site, points.at, run->config.version);
  text_free(&points);
  if (run->config.registration.tokenId[0]) guard(run->configPath);
  for_this_machine(run);
}

/* settle lets properties of a better source than the file have their say. */
static void settle(Run *run) {
  Config *c = &run->config;
  const char *p = run->options.properties;
  char value[POINT_SIZE];
  Points points = {0}, fsp = {0};
  if (!p[0]) return;
  log_info("Installation properties of the %s are used", run->options.propertiesFrom);
  if (property(p, "SMSSITECODE", value, sizeof value) && strlen(value) == 3 && only(value, LETTERS_DIGITS))
    copy_to(c->site, sizeof c->site, _strupr(value));
  if (property_points(p, "SMSMP", &points)) {
    for (int i = 0; i < c->points.count; i++) points_add(&points, c->points.url[i]);
    c->points = points;
  }
  if (property_points(p, "FSP", &fsp)) copy_to(c->fsp, sizeof c->fsp, fsp.url[0]);
  copy_to(c->properties, sizeof c->properties, p);
}

/* scrub takes the token out of the file beside ccmsetup: it did its work, and files stay for years. */
static void scrub(const Run *run) {
  if (run->config.registration.token[0]) tcf_hand_over(run->configPath, run->configPath, &run->config);
}

static int succeeded(Run *run, BOOL restart) {
  int code = restart ? CODE_RESTART : CODE_OK;
  report(run, restart ? 401 : 400, code, NULL);
  scrub(run);
  clear_away(run);
  log_info("Installation succeeded");
  return code;
}

static BOOL bring(Run *run, int *code) {
  BOOL restart = FALSE;
  report(run, 100, -1, NULL);
  if (is_installed(run) && !run->options.force) {
    log_info("Client %s is installed already", run->config.version);
    if (!take_over(run)) return FALSE;
  } else {
    if (!check_machine(run) || !install_prerequisites(run) || !fetch_file(run, &run->config.payload)) return FALSE;
    if (!install(run, &restart)) return FALSE;
  }
  *code = succeeded(run, restart);
  return TRUE;
}

static BOOL work(Run *run, int count, WCHAR **arguments, int *code) {
  char wrong[256] = "";
  // The file first: a wrong command line is reported too, where possible.
  read_config(run);
  options_default(&run->options);
  if (!options_policy(&run->options, wrong) || !options_read(&run->options, count, arguments, "command line", wrong))
    return fail(run, 307, CODE_ERROR, "ccmsetup does not know %s", wrong);
  if (run->options.uninstall) {
    if (!uninstall(run)) return FALSE;
    log_info("The client is removed");
    run->gone = TRUE;
    return TRUE;
  }
  if (!run->configured) return fail(run, 314, CODE_ERROR, "mobileclient.tcf cannot be used: %s", run->configWhy);
  settle(run);
  if (run->options.logon && service_state(AGENT_SERVICE) != 0) {
    log_info("A client is installed and /logon was given; nothing is done");
    report(run, 104, CODE_OK, NULL);
    return TRUE;
  }
  return bring(run, code);
}

/* remove_self marks the temporary service for deletion; it goes when this run ends. */
static void remove_self(void) {
  DWORD error = service_state(SETUP_SERVICE) ? service_delete(SETUP_SERVICE) : 0;
  if (error) log_warn("Service ccmsetup could not be deleted: %lu", error);
}

static int run_once(Run *run, int count, WCHAR **arguments) {
  int code = CODE_OK;
  // Whoever asked for a demand start gets one; from now on a restart of the machine takes the run up again.
  service_start_type(SETUP_SERVICE, SERVICE_AUTO_START);
  if (work(run, count, arguments, &code)) {
    remove_self();
    return code;
  }
  // Told to stop: the service stays, so that it goes on when the machine starts again.
  if (stopping()) {
    log_warn("ccmsetup was told to stop");
    return CODE_ERROR;
  }
  log_error("%s", run->detail);
  report(run, run->state, run->code, run->detail);
  if (run->code != CODE_RESTART) remove_self();
  return run->code;
}

int setup(int count, WCHAR **arguments) {
  log_info("==========[ ccmsetup started, %d argument(s) ]==========", count);
  HANDLE mutex = CreateMutexW(NULL, FALSE, SETUP_MUTEX);
  if (mutex && WaitForSingleObject(mutex, 0) == WAIT_TIMEOUT) {
    log_error("Another ccmsetup is running");
    return finish(CODE_RUNNING);
  }
  Run *run = take(sizeof *run);
  random_uuid(run->topicId);
  facts_find(&run->facts);
  find_config(run, count, arguments);
  int code = finish(run_once(run, count, arguments));
  if (run->gone) vanish();
  SecureZeroMemory(run, sizeof *run);
  free(run);
  if (mutex) ReleaseMutex(mutex);
  return code;
}
