/* Stands for a runtime: it writes how it was called, and ends when its standard input does. */
#include <windows.h>
#include <stdio.h>

int wmain(void) {
  FILE *said = _wfopen(L"stand-in.txt", L"w");
  char octet;
  DWORD got;
  if (!said) return 1;
  fprintf(said, "%ls\n", GetCommandLineW());
  fflush(said);
  while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), &octet, 1, &got, NULL) && got > 0) continue;
  fputs("told to end\n", said);
  return fclose(said) != 0;
}
