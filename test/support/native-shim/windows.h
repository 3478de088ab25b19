/* Just enough of Windows' own header to run the portable parts of native/ under the sanitizers of a compiler for this system. */
#pragma once
#include <stddef.h>
#include <stdint.h>
typedef int BOOL;
typedef long long LONGLONG;
typedef unsigned long long ULONGLONG;
typedef unsigned char BYTE;
typedef unsigned short WCHAR;
typedef unsigned DWORD;
#define TRUE 1
#define FALSE 0
