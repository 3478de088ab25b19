/* Windows Installer: how it is told to install, to repair and to remove, and what it knows to be installed. */
#include "../base/log.h"
#include "../base/services.h"
#include "../machine/layout.h"
#include "run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of Windows Installer's own interface that is used here; loaded, because ccmsetup also has to tell that it is not there. */
typedef struct {
  HMODULE library;
  UINT(WINAPI *openDatabase)(LPCWSTR, LPCWSTR, ULONG *);
  UINT(WINAPI *openView)(ULONG, LPCWSTR, ULONG *);
  UINT(WINAPI *execute)(ULONG, ULONG);
  UINT(WINAPI *fetch)(ULONG, ULONG *);
  UINT(WINAPI *getString)(ULONG, UINT, LPWSTR, DWORD *);
  UINT(WINAPI *close)(ULONG);
  int(WINAPI *productState)(LPCWSTR);
  UINT(WINAPI *related)(LPCWSTR, DWORD, DWORD, LPWSTR);
} Installer;

/* INSTALLSTATE_DEFAULT: installed for this machine or this user. */
#define INSTALLED 5

static BOOL open_installer(Installer *i) {
  i->library = LoadLibraryExW(L"msi.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
  if (!i->library) return FALSE;
  const struct {
    const char *name;
    void *to;
  } parts[] = {{"MsiOpenDatabaseW", &i->openDatabase}, {"MsiDatabaseOpenViewW", &i->openView},      {"MsiViewExecute", &i->execute},
               {"MsiViewFetch", &i->fetch},            {"MsiRecordGetStringW", &i->getString},      {"MsiCloseHandle", &i->close},
               {"MsiQueryProductStateW", &i->productState}, {"MsiEnumRelatedProductsW", &i->related}};
  for (size_t n = 0; n < sizeof parts / sizeof *parts; n++) {
    FARPROC found = GetProcAddress(i->library, parts[n].name);
    if (!found) {
      FreeLibrary(i->library);
      return FALSE;
    }
    memcpy(parts[n].to, &found, sizeof found);
  }
  return TRUE;
}

/* product_of reads the product code out of an installer file. */
static BOOL product_of(const Installer *i, const WCHAR *path, WCHAR product[40]) {
  ULONG database = 0, view = 0, record = 0;
  DWORD size = 40;
  BOOL found = i->openDatabase(path, NULL, &database) == ERROR_SUCCESS &&
               i->openView(database, L"SELECT `Value` FROM `Property` WHERE `Property` = 'ProductCode'", &view) == ERROR_SUCCESS &&
               i->execute(view, 0) == ERROR_SUCCESS && i->fetch(view, &record) == ERROR_SUCCESS &&
               i->getString(record, 1, product, &size) == ERROR_SUCCESS;
  if (record) i->close(record);
  if (view) i->close(view);
  if (database) i->close(database);
  return found;
}

/* is_product_there tells whether exactly this product is installed: then Windows Installer would look at nothing, and has to be told to repair. */
static BOOL is_product_there(const char *name) {
  Installer i;
  WCHAR path[PATH_ROOM], product[40], *file = wide(name);
  if (!open_installer(&i)) return FALSE;
  join_path(path, layout.setup, file);
  free(file);
  BOOL there = product_of(&i, path, product) && i.productState(product) == INSTALLED;
  FreeLibrary(i.library);
  return there;
}

WCHAR *msi_line(const Config *c, WCHAR program[PATH_ROOM]) {
  Text text = {0};
  text_format(&text, "msiexec.exe /i \"%s\" /qn /norestart /l*v \"logs\\client.msi.log\" REBOOT=ReallySuppress ", c->payload.name);
  if (is_product_there(c->payload.name)) {
    log_info("The product is installed already; it is repaired");
    text_add(&text, "REINSTALL=ALL REINSTALLMODE=vamus ");
  }
  text_add(&text, c->properties);
  WCHAR *line = wide(text.at);
  text_free(&text);
  join_path(program, layout.system, L"msiexec.exe");
  return line;
}

BOOL remove_products(Run *run) {
  Installer i;
  if (!open_installer(&i)) return TRUE;
  WCHAR product[40], line[256], program[PATH_ROOM];
  BOOL right = TRUE;
  join_path(program, layout.system, L"msiexec.exe");
  for (int tries = 0; right && tries < 8 && i.related(UPGRADE_CODE, 0, 0, product) == ERROR_SUCCESS; tries++) {
    DWORD exit = 0;
    _snwprintf(line, 256, L"msiexec.exe /x %ls /qn /norestart /l*v \"logs\\client.msi.log\" REBOOT=ReallySuppress", product);
    log_info("Removing the product %ls", product);
    right = run_command(run, program, line, &exit);
    log_info("Installer ended with %lu", exit);
    if (right && exit != 0 && !is_restart(exit) && exit != ERROR_UNKNOWN_PRODUCT)
      right = fail(run, 313, CODE_ERROR, "the installer of the client ended with %lu", exit);
  }
  FreeLibrary(i.library);
  return right;
}
