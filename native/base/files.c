#include "files.h"
#include <sddl.h>
#include <stdlib.h>
#include <string.h>

BOOL read_file(const WCHAR *path, Text *to, size_t most) {
  HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);
  if (file == INVALID_HANDLE_VALUE) return FALSE;
  char part[8192];
  DWORD got;
  BOOL right = TRUE;
  text_bytes(to, "", 0);
  while ((right = ReadFile(file, part, sizeof part, &got, NULL)) && got > 0) {
    text_bytes(to, part, got);
    if (to->length > most) {
      right = FALSE;
      break;
    }
  }
  CloseHandle(file);
  return right;
}

DWORD make_folders(const WCHAR *path) {
  WCHAR part[PATH_ROOM];
  wcsncpy(part, path, PATH_ROOM - 1);
  part[PATH_ROOM - 1] = 0;
  for (WCHAR *at = part + 3; *at; at++) {
    if (*at != L'\\') continue;
    *at = 0;
    CreateDirectoryW(part, NULL);
    *at = L'\\';
  }
  if (CreateDirectoryW(part, NULL) || GetLastError() == ERROR_ALREADY_EXISTS) return 0;
  return GetLastError();
}

static DWORD write_new(const WCHAR *path, const void *bytes, size_t length, BOOL secret) {
  SECURITY_ATTRIBUTES access = {sizeof access, NULL, FALSE};
  if (secret && !ConvertStringSecurityDescriptorToSecurityDescriptorW(L"D:P(A;;FA;;;SY)(A;;FA;;;BA)", SDDL_REVISION_1,
                                                                     &access.lpSecurityDescriptor, NULL))
    return GetLastError();
  HANDLE file = CreateFileW(path, GENERIC_WRITE, 0, secret ? &access : NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
  DWORD error = file == INVALID_HANDLE_VALUE ? GetLastError() : 0;
  if (access.lpSecurityDescriptor) LocalFree(access.lpSecurityDescriptor);
  if (error) return error;
  DWORD done = 0;
  if (!WriteFile(file, bytes, (DWORD)length, &done, NULL)) error = GetLastError();
  else if (done != length) error = ERROR_DISK_FULL;
  else FlushFileBuffers(file);
  CloseHandle(file);
  return error;
}

DWORD write_file(const WCHAR *path, const void *bytes, size_t length, BOOL secret) {
  WCHAR folder[PATH_ROOM], beside[PATH_ROOM];
  folder_of(folder, path);
  DWORD error = make_folders(folder);
  if (error) return error;
  if (wcslen(path) + 5 > PATH_ROOM) return ERROR_FILENAME_EXCED_RANGE;
  wcscpy(beside, path);
  wcscat(beside, L".new");
  // An older one may have rights that are too wide.
  DeleteFileW(beside);
  error = write_new(beside, bytes, length, secret);
  if (!error && !MoveFileExW(beside, path, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)) error = GetLastError();
  if (error) DeleteFileW(beside);
  return error;
}

void remove_tree(const WCHAR *path) {
  DWORD kind = GetFileAttributesW(path);
  if (kind == INVALID_FILE_ATTRIBUTES) return;
  if (!(kind & FILE_ATTRIBUTE_DIRECTORY)) {
    if (kind & FILE_ATTRIBUTE_READONLY) SetFileAttributesW(path, FILE_ATTRIBUTE_NORMAL);
    DeleteFileW(path);
    return;
  }
  if (!(kind & FILE_ATTRIBUTE_REPARSE_POINT)) {
    WCHAR inside[PATH_ROOM];
    WIN32_FIND_DATAW found;
    join_path(inside, path, L"*");
    HANDLE search = FindFirstFileW(inside, &found);
    if (search != INVALID_HANDLE_VALUE) {
      do {
        if (!wcscmp(found.cFileName, L".") || !wcscmp(found.cFileName, L"..")) continue;
        join_path(inside, path, found.cFileName);
        remove_tree(inside);
      } while (FindNextFileW(search, &found));
      FindClose(search);
    }
  }
  RemoveDirectoryW(path);
}

BOOL exists(const WCHAR *path) { return GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES; }

LONGLONG file_size(const WCHAR *path) {
  WIN32_FILE_ATTRIBUTE_DATA data;
  if (!GetFileAttributesExW(path, GetFileExInfoStandard, &data)) return -1;
  return (LONGLONG)data.nFileSizeHigh << 32 | data.nFileSizeLow;
}

ULONGLONG free_bytes(const WCHAR *folder) {
  ULARGE_INTEGER free;
  return GetDiskFreeSpaceExW(folder, &free, NULL, NULL) ? free.QuadPart : 0;
}

void join_path(WCHAR to[PATH_ROOM], const WCHAR *folder, const WCHAR *name) {
  size_t length = wcslen(folder), more = wcslen(name);
  if (length + more + 2 > PATH_ROOM) {
    to[0] = 0;
    return;
  }
  memmove(to, folder, (length + 1) * sizeof(WCHAR));
  if (length && to[length - 1] != L'\\') to[length++] = L'\\';
  memcpy(to + length, name, (more + 1) * sizeof(WCHAR));
}

void folder_of(WCHAR to[PATH_ROOM], const WCHAR *path) {
  wcsncpy(to, path, PATH_ROOM - 1);
  to[PATH_ROOM - 1] = 0;
  WCHAR *last = wcsrchr(to, L'\\');
  if (last) *last = 0;
  else wcscpy(to, L".");
}
