/* State messages of one run (topic 800). With a registration token they are signed and go to the management point; without, or when no
   management point takes them, they go to the fallback status point, where nobody can prove who sent them. A message that reaches nobody
   changes nothing: the installation is what matters, and the site sees the agent in the end. */
#include "../base/log.h"
#include "run.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TAIL 8000

typedef struct {
  Run *run;
  int state, code;
  const char *detail;
} Told800;

BOOL fail(Run *run, int state, int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print_list(run->detail, sizeof run->detail, format, arguments);
  va_end(arguments);
  run->state = state;
  run->code = code;
  return FALSE;
}

static void member(Text *body, const char *name, const char *value) {
  text_format(body, ",\"%s\":", name);
  text_json(body, value);
}

static void message(void *context, const char *time, Text *body) {
  const Told800 *told = context;
  const Run *run = told->run;
  text_format(body, "{\"topicType\":800,\"topicId\":\"%s\",\"stateId\":%d", run->topicId, told->state);
  member(body, "at", time);
  member(body, "name", run->facts.name);
  member(body, "domain", run->facts.domain);
  member(body, "site", run->config.site);
  member(body, "clientVersion", run->config.version);
  if (told->code >= 0) text_format(body, ",\"exitCode\":%d", told->code);
  if (told->detail) {
    char detail[1024];
    copy_to(detail, sizeof detail, told->detail);
    one_line(detail);
    member(body, "detail", detail);
  }
  if (told->state >= 300 && told->state < 400) {
    Text tail = {0};
    log_tail(&tail, TAIL);
    if (tail.at) member(body, "logTail", tail.at);
    text_free(&tail);
  }
  text_add(body, "}");
}

static BOOL try_points(const Points *points, const char *path, Told800 *what, const Signer *signer, const char *pins) {
  Told told = {0};
  Asked asked = {path, message, what, signer, pins, NULL, NULL};
  contact_ask(points, &asked, &told);
  if (!told.taken) log_warn("State message was not taken: %s", told.why);
  text_free(&told.body);
  return told.taken;
}

void report(Run *run, int state, int code, const char *detail) {
  const Config *config = &run->config;
  Told800 what = {run, state, code, detail};
  if (!run->configured) return;
  log_info("Sending state message, STATEID='%d'.", state);
  BOOL sent = FALSE;
  if (config->registration.tokenId[0]) {
    Signer signer = {.tokenId = config->registration.tokenId};
    sha256(config->registration.token, strlen(config->registration.token), signer.tokenKey);
    sent = try_points(&config->points, "/ccm_system/state", &what, &signer, config->pins);
    SecureZeroMemory(&signer, sizeof signer);
  }
  if (!sent && config->fsp[0]) {
    Points fallback = {0};
    points_add(&fallback, config->fsp);
    // The fallback status point may be another machine, whose certificate is not the one that is pinned.
    sent = try_points(&fallback, "/sms_fsp/.sms_fsp", &what, NULL, NULL);
  }
  if (sent) log_info("State message with TopicType 800 and TopicId {%s} has been sent", run->topicId);
}
