/* What an agent in another language (agent.command) is handed by this program, so that a machine is the same client whichever of them runs:
   facts that only Windows' own functions give exactly, and files that are secret from their first octet. */
#include "handed.h"
#include "../base/files.h"
#include "../machine/facts.h"
#include "../machine/layout.h"
#include "agent.h"
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>

/* The secrets of a policy, all of them: 64 names of at most 8 KB each, and some air. */
#define LARGEST_SECRET (1 << 20)

/* path_member adds a member whose value is a path. */
static void path_member(Text *to, const char *name, const WCHAR *path) {
  char *plain = narrow(path);
  text_format(to, "\"%s\":", name);
  text_json(to, plain);
  text_add(to, ",");
  free(plain);
}

int handed_facts(void) {
  Facts facts;
  Text json = {0};
  char why[256];
  Config *config = take(sizeof *config);
  facts_find(&facts);
  // Of an installation by hand: there mobileclient.tcf is missing, and the installer was told where the site is.
  BOOL byHand = !exists(layout.agentConfig) && agent_config(config, why);
  text_add(&json, "{");
  path_member(&json, "windows", layout.windows);
  facts_json(&facts, byHand ? config->version : "", &json);
  text_add(&json, "\"properties\":");
  text_json(&json, byHand ? config->properties : "");
  text_add(&json, "}\n");
  _setmode(_fileno(stdout), _O_BINARY);
  BOOL told = fwrite(json.at, 1, json.length, stdout) == json.length && fflush(stdout) == 0;
  text_free(&json);
  free(config);
  return !told;
}

static const WCHAR *place_of(const WCHAR *name) {
  if (_wcsicmp(name, L"client.key") == 0) return layout.key;
  if (_wcsicmp(name, L"site.key") == 0) return layout.siteKey;
  return _wcsicmp(name, L"secrets.json") == 0 ? layout.secrets : NULL;
}

int handed_secret(const WCHAR *name) {
  const WCHAR *path = place_of(name);
  DWORD length = 0, got = 0;
  if (!path) return ERROR_INVALID_PARAMETER;
  BYTE *octets = take(LARGEST_SECRET);
  while (length < LARGEST_SECRET && ReadFile(GetStdHandle(STD_INPUT_HANDLE), octets + length, LARGEST_SECRET - length, &got, NULL) && got > 0)
    length += got;
  // Nothing is no secret, and what fills the room may have been cut.
  DWORD error = length == 0 || length == LARGEST_SECRET ? ERROR_INVALID_DATA : write_file(path, octets, length, TRUE);
  SecureZeroMemory(octets, length);
  free(octets);
  return (int)error;
}
