/* Joins TCP with \\.\pipe\svcctl of this machine's service manager: each connection gets a pipe of its own; requests are passed on PDU by
   PDU, and answers get the call id of their request, because Wine answers all of them with the same one. */
#include <winsock2.h>
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 65536

static BOOL whole(SOCKET s, char *to, int length) {
  for (int got; length > 0; to += got, length -= got)
    if ((got = recv(s, to, length, 0)) <= 0) return FALSE;
  return TRUE;
}

static BOOL answers(HANDLE pipe, SOCKET s, const char *callId, char *pdu) {
  for (;;) {
    DWORD got = 0;
    if (!ReadFile(pipe, pdu, MOST, &got, NULL) || got < 16) return FALSE;
    memcpy(pdu + 12, callId, 4);
    if (send(s, pdu, (int)got, 0) != (int)got) return FALSE;
    if (pdu[3] & 2) return TRUE;
  }
}

static HANDLE open_pipe(void) {
  for (int tries = 0; tries < 100; tries++) {
    HANDLE pipe = CreateFileA("\\\\.\\pipe\\svcctl", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (pipe != INVALID_HANDLE_VALUE) {
      DWORD mode = PIPE_READMODE_MESSAGE;
      SetNamedPipeHandleState(pipe, &mode, NULL, NULL);
      return pipe;
    }
    if (GetLastError() == ERROR_PIPE_BUSY) WaitNamedPipeA("\\\\.\\pipe\\svcctl", 1000);
    else Sleep(50);
  }
  return INVALID_HANDLE_VALUE;
}

static DWORD WINAPI serve(void *context) {
  SOCKET s = (SOCKET)context;
  HANDLE pipe = open_pipe();
  char *pdu = malloc(MOST), callId[4];
  while (pipe != INVALID_HANDLE_VALUE && whole(s, pdu, 16)) {
    int length = (unsigned char)pdu[8] | (unsigned char)pdu[9] << 8;
    DWORD done;
    if (length < 16 || !whole(s, pdu + 16, length - 16)) break;
    memcpy(callId, pdu + 12, 4);
    if (!WriteFile(pipe, pdu, (DWORD)length, &done, NULL)) break;
    // The answer comes after the last fragment of a request.
    if ((pdu[3] & 2) && !answers(pipe, s, callId, pdu)) break;
  }
  free(pdu);
  CloseHandle(pipe);
  closesocket(s);
  return 0;
}

int main(int count, char **arguments) {
  WSADATA data;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int size = sizeof address;
  WSAStartup(MAKEWORD(2, 2), &data);
  SOCKET listener = socket(AF_INET, SOCK_STREAM, 0);
  if (count < 2 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 16)) return 1;
  getsockname(listener, (struct sockaddr *)&address, &size);
  FILE *file = fopen(arguments[1], "wb");
  if (!file) return 1;
  fprintf(file, "%d\n", ntohs(address.sin_port));
  fclose(file);
  for (;;) {
    SOCKET s = accept(listener, NULL, NULL);
    if (s == INVALID_SOCKET) return 1;
    CloseHandle(CreateThread(NULL, 0, serve, (void *)s, 0, NULL));
  }
}
