#ifndef PP_FILES_H
#define PP_FILES_H
#include "text.h"

/* A path has at most so many characters here: all of ours are short, and what comes from outside is cut before. */
#define PATH_ROOM 520

/* read_file reads a file of up to `most` bytes into `to`; false when it is not there or too large. */
BOOL read_file(const WCHAR *path, Text *to, size_t most);
/* write_file replaces a file as a whole (written beside it, then moved over), and makes missing folders. A secret one can be read by
   LocalSystem and administrators only. Returns 0 or a Win32 code. */
DWORD write_file(const WCHAR *path, const void *bytes, size_t length, BOOL secret);
DWORD make_folders(const WCHAR *path);
/* remove_tree deletes a file or a folder with all in it; links are taken away and not followed. */
void remove_tree(const WCHAR *path);
BOOL exists(const WCHAR *path);
LONGLONG file_size(const WCHAR *path);
/* free_bytes is the free space for this process where `folder` lies. */
ULONGLONG free_bytes(const WCHAR *folder);
void join_path(WCHAR to[PATH_ROOM], const WCHAR *folder, const WCHAR *name);
/* folder_of cuts the last part off. */
void folder_of(WCHAR to[PATH_ROOM], const WCHAR *path);
#endif
