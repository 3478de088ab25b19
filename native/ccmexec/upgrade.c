/* Another version of the client, or none, as the policy asks for. The bootstrap does it, as its own service that goes on when it stops this
   agent. (client/agent/setup-run.ts is the same for the agent in TypeScript.) */
#include "../base/json.h"
#include "../base/services.h"
#include "../base/stop.h"
#include "../machine/layout.h"
#include "../wire/http.h"
#include "choice.h"
#include "logs.h"
#include "parts.h"
#include <stdlib.h>
#include <string.h>

#define STALL_SECONDS 60
/* A point that sends octet by octet must not hold the agent; what did not come is tried again with the policy. */
#define LONGEST_DOWNLOAD_MS (30 * 60000ULL)
#define CHUNK 32768

static void add_point(void *points, const char *url) { points_add(points, url); }

static BOOL setup_runs(void) {
  DWORD state = service_state(SETUP_SERVICE);
  return state != 0 && state != SERVICE_STOPPED;
}

static DWORD start_setup(const WCHAR *program, const char *arguments) {
  Text line = {0};
  if (setup_runs()) return ERROR_SERVICE_ALREADY_RUNNING;
  char *path = narrow(program);
  text_format(&line, "\"%s\" %s", path, arguments);
  WCHAR *command = wide(line.at);
  DWORD error = service_set(SETUP_SERVICE, L"ccmsetup", command, SERVICE_DEMAND_START);
  if (!error) error = service_start(SETUP_SERVICE);
  free(path);
  free(command);
  text_free(&line);
  // One that has ended already has done its work.
  return error == ERROR_SERVICE_NOT_ACTIVE || error == ERROR_SERVICE_DOES_NOT_EXIST ? 0 : error;
}

DWORD uninstall_by_policy(void) {
  WCHAR from[PATH_ROOM], to[PATH_ROOM];
  join_path(from, layout.agent, L"ccmsetup.exe");
  join_path(to, layout.setup, L"ccmsetup.exe");
  make_folders(layout.setup);
  // From its own folder: the one of the client is what it removes.
  if (!CopyFileW(from, to, FALSE) && !exists(to)) return GetLastError();
  return start_setup(to, "/uninstall");
}

/* Chosen is one file of an upgrade: the one that is called `wanted`, else the bootstrap (`ccmsetup.` something), else the one that is not `other`. */
typedef struct {
  char wanted[132], other[132];
  File file;
  BOOL found;
} Chosen;

static void choose(void *context, const char *object) {
  Chosen *c = context;
  File file = {0};
  LONGLONG size;
  if (!json_string(object, "name", file.name, sizeof file.name) || !json_string(object, "sha256", file.sha256, sizeof file.sha256) ||
      !json_number(object, "size", &size) || size < 1 || !is_hex(file.sha256, 64) || !only(file.name, LETTERS_DIGITS "._-") || file.name[0] == '.')
    return;
  file.size = size;
  BOOL fits = c->wanted[0] ? !strcmp(file.name, c->wanted) : c->other[0] ? strcmp(file.name, c->other) != 0 : starts(file.name, "ccmsetup.");
  if (!fits || c->found) return;
  c->file = file;
  c->found = TRUE;
}

/* receive writes the body of an answer to a file: not more than it is to have, and not for ever. */
static BOOL receive(HttpAnswer *answer, const WCHAR *path, LONGLONG size) {
  static BYTE chunk[CHUNK];
  ULONGLONG end = GetTickCount64() + LONGEST_DOWNLOAD_MS;
  int got = 0;
  HANDLE to = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
  if (to == INVALID_HANDLE_VALUE) return FALSE;
  BOOL right = TRUE;
  while (right && (got = http_read(answer, chunk, sizeof chunk)) > 0) {
    DWORD done = 0;
    size -= got;
    right = size >= 0 && !stopping() && GetTickCount64() < end && WriteFile(to, chunk, (DWORD)got, &done, NULL) && done == (DWORD)got;
  }
  CloseHandle(to);
  return right && got == 0 && size == 0;
}

static BOOL has_hash(const WCHAR *path, const char *wanted) {
  char hash[SHA256_HEX];
  return sha256_file(path, hash) && !strcmp(hash, wanted);
}

/* fetch_from brings a file from one point; only the whole of it with the right hash takes its place. */
static BOOL fetch_from(const Agent *a, const char *point, const File *file, const WCHAR *part) {
  char url[POINT_SIZE + 256], headers[128];
  HttpAnswer answer;
  const char *guid = a->identity.memory.guid;
  print_to(url, sizeof url, "%s/CCM_Client/%s/%s", point, file->sha256, file->name);
  say_info(POLICY_LOG, "Downloading %s", url);
  // No content coding: the size must be that of the file.
  int length = print_to(headers, sizeof headers, "Accept-Encoding: identity\r\n");
  // It names itself, unsigned: the site may refuse its files to a client that it has blocked.
  if (guid[0]) print_to(headers + length, sizeof headers - (size_t)length, "x-pushpoint-client: %s\r\n", guid);
  HttpAsk ask = {"GET", url, headers, NULL, 0, a->config.pins, STALL_SECONDS};
  BOOL right = FALSE;
  if (!http_open(&answer, &ask)) say_warn(POLICY_LOG, "%s: %s", url, answer.wrongPin ? "another certificate than the expected one" : answer.why);
  else if (answer.status != 200) say_warn(POLICY_LOG, "the management point %s answered %d", url, answer.status);
  else if (!(right = receive(&answer, part, file->size) && has_hash(part, file->sha256)))
    say_warn(POLICY_LOG, "%s did not come with the expected hash", url);
  http_close(&answer);
  return right;
}

/* fetch_setup brings the bootstrap of the new version, unless exactly that is there. */
static DWORD fetch_setup(const Agent *a, const File *file, const WCHAR *path) {
  WCHAR part[PATH_ROOM];
  Points *points = take(sizeof *points);
  BOOL right = has_hash(path, file->sha256);
  DWORD error = 0;
  join_path(part, layout.setup, L"bootstrap.part");
  make_folders(layout.setup);
  choice_content(points);
  for (int i = 0; !right && i < points->count && !stopping(); i++) {
    if (left_alone_ms(points->url[i]) > 0 || !fetch_from(a, points->url[i], file, part)) continue;
    right = TRUE;
    if (!MoveFileExW(part, path, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) error = GetLastError();
  }
  DeleteFileW(part);
  free(points);
  if (!right) say_error(POLICY_LOG, "%s of the new version could not be had from any management point", file->name);
  return right ? error : ERROR_FILE_NOT_FOUND;
}

/* Wanted is an upgrade while its prerequisites are read. */
typedef struct {
  const char *upgrade;
  Config *config;
  BOOL whole;
} Wanted;

static void add_prerequisite(void *context, const char *object) {
  Wanted *w = context;
  Chosen bytes = {0};
  if (w->config->prerequisiteCount == MOST_PREREQUISITES) return;
  Prerequisite *one = &w->config->prerequisites[w->config->prerequisiteCount];
  BOOL named = json_string(object, "file", bytes.wanted, sizeof bytes.wanted) && bytes.wanted[0];
  if (named) json_objects(w->upgrade, "files", choose, &bytes);
  memset(one, 0, sizeof *one);
  one->file = bytes.file;
  w->whole = w->whole && bytes.found && json_string(object, "command", one->file.command, sizeof one->file.command) && one->file.command[0];
  json_string(object, "check", one->check, sizeof one->check);
  w->config->prerequisiteCount++;
}

static void add_architecture(void *architectures, const char *one) {
  char all[132];
  copy_to(all, sizeof all, architectures);
  print_to(architectures, sizeof all, "%s%s%s", all, all[0] ? ";" : "", one);
}

/* wants reads what the new version asks for, in place of what the one before did; FALSE where a prerequisite does not come with it. */
static BOOL wants(const char *upgrade, Config *config) {
  const char *object = json_object(upgrade, "requires");
  LONGLONG number = 0;
  Wanted w = {upgrade, config, TRUE};
  memset(&config->requires, 0, sizeof config->requires);
  config->prerequisiteCount = 0;
  if (object) {
    if (json_number(object, "minimumBuild", &number)) config->requires.build = (int)number;
    if (json_number(object, "windowsInstaller", &number)) config->requires.installer = (int)number;
    if (json_number(object, "freeBytes", &number)) config->requires.freeBytes = (ULONGLONG)number;
    config->requires.noRestartPending = json_true(object, "noRestartPending");
    json_strings(object, "architectures", add_architecture, config->requires.architectures);
  }
  json_objects(upgrade, "prerequisites", add_prerequisite, &w);
  return w.whole;
}

/* lay_config lays the mobileclient.tcf of the new version beside its bootstrap. */
static DWORD lay_config(const Agent *a, const char *policy, const File *payload, const char *version) {
  const Memory *m = &a->identity.memory;
  WCHAR tcf[PATH_ROOM];
  Config *config = take(sizeof *config);
  BOOL elsewhere = m->site[0] && strcmp(m->site, a->config.site);
  *config = a->config;
  config->payload = *payload;
  copy_to(config->version, sizeof config->version, version);
  if (m->site[0]) copy_to(config->site, sizeof config->site, m->site);
  // From now on these are what the installation named, so only points of this policy, which is proven, and those that were that already.
  config->points.count = 0;
  json_strings(policy, "managementPoints", add_point, &config->points);
  for (int i = 0; i < m->proven.count; i++) points_add(&config->points, m->proven.url[i]);
  for (int i = 0; i < a->config.points.count && !elsewhere; i++) points_add(&config->points, a->config.points.url[i]);
  join_path(tcf, layout.setup, CONFIG_FILE);
  DWORD error = ERROR_INVALID_DATA;
  if (wants(json_object(policy, "upgrade"), config)) error = tcf_hand_over(layout.agentConfig, tcf, config);
  else say_error(POLICY_LOG, "The upgrade does not bring all of its prerequisites");
  free(config);
  return error;
}

DWORD upgrade_by_policy(const Agent *a, const char *policy, const char *version) {
  const char *object = json_object(policy, "upgrade");
  WCHAR path[PATH_ROOM];
  char arguments[1028];
  Chosen setup = {0}, payload = {0};
  if (setup_runs()) return ERROR_SERVICE_ALREADY_RUNNING;
  json_string(object, "bootstrap", setup.wanted, sizeof setup.wanted);
  json_string(object, "payload", payload.wanted, sizeof payload.wanted);
  json_string(object, "arguments", arguments, sizeof arguments);
  BOOL right = json_objects(object, "files", choose, &setup) && setup.found;
  size_t length = strlen(setup.file.name);
  if (!right || length < 5 || !same(setup.file.name + length - 4, ".exe")) {
    say_error(POLICY_LOG, "The upgrade has no bootstrap");
    return ERROR_INVALID_DATA;
  }
  copy_to(payload.other, sizeof payload.other, setup.file.name);
  if (!json_objects(object, "files", choose, &payload) || !payload.found) {
    say_error(POLICY_LOG, "The upgrade has no payload");
    return ERROR_INVALID_DATA;
  }
  json_string(object, "command", payload.file.command, sizeof payload.file.command);
  WCHAR *name = wide(setup.file.name);
  join_path(path, layout.setup, name);
  free(name);
  DWORD error = fetch_setup(a, &setup.file, path);
  if (!error) error = lay_config(a, policy, &payload.file, version);
  return error ? error : start_setup(path, arguments);
}
