import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULT, faultName, STATUS, statusName, WIN32, win32Name, win32OfFault, win32OfStatus } from '#wire/status';

test('a status has the name and the Win32 code that administrators search by', () => {
  const rows: [number, string, number | undefined][] = [
    [0xc000006d, 'STATUS_LOGON_FAILURE', 1326],
    [0xc0000022, 'STATUS_ACCESS_DENIED', 5],
    [0xc0000234, 'STATUS_ACCOUNT_LOCKED_OUT', 1909],
    [0xc0000072, 'STATUS_ACCOUNT_DISABLED', 1331],
    [0xc0000071, 'STATUS_PASSWORD_EXPIRED', 1330],
    [0xc0000193, 'STATUS_ACCOUNT_EXPIRED', 1793],
    [0xc00000cc, 'STATUS_BAD_NETWORK_NAME', 67],
    [0xc0000034, 'STATUS_OBJECT_NAME_NOT_FOUND', 2],
    [0xc00000ac, 'STATUS_PIPE_NOT_AVAILABLE', 231],
    [0xc0000043, 'STATUS_SHARING_VIOLATION', 32],
    [0xc0000205, 'STATUS_INSUFF_SERVER_RESOURCES', 1130],
    [0x80000005, 'STATUS_BUFFER_OVERFLOW', 234],
    [0xc0020017, 'RPC_NT_SERVER_UNAVAILABLE', 1722],
    [0xc007052e, '0xC007052E', 1326],
    [0xc0fe1234, '0xC0FE1234', undefined],
  ];
  for (const [code, name, win32] of rows) {
    assert.equal(statusName(code), name);
    assert.equal(statusName(code | 0), name, 'a signed number is the same status');
    assert.equal(win32OfStatus(code), win32, name);
  }
});

test('every Win32 code a status maps to has a name', () => {
  for (const code of Object.values(STATUS)) {
    const win32 = win32OfStatus(code);
    if (win32 !== undefined) assert.doesNotMatch(win32Name(win32), /^error /, statusName(code));
  }
});

test('no two names share a code', () => {
  for (const table of [STATUS, WIN32, FAULT]) {
    const codes = Object.values(table);
    assert.equal(new Set(codes).size, codes.length);
  }
});

test('win32Name knows plain codes, HRESULTs that wrap them, and says the number otherwise', () => {
  assert.equal(win32Name(5), 'ERROR_ACCESS_DENIED');
  assert.equal(win32Name(1722), 'RPC_S_SERVER_UNAVAILABLE');
  assert.equal(win32Name(0x800706ba), 'RPC_S_SERVER_UNAVAILABLE');
  assert.equal(win32Name(-2147024891), 'ERROR_ACCESS_DENIED');
  assert.equal(win32Name(0x80004005), 'E_FAIL');
  assert.equal(win32Name(10709), 'error 10709');
});

test('the codes that push knows remedies for are all named', () => {
  const push = [
    2, 5, 8, 21, 51, 52, 53, 64, 65, 67, 86, 112, 120, 1003, 1053, 1058, 1060, 1068, 1130, 1203, 1208, 1219, 1305, 1326, 1327,
  ];
  const more = [
    1330, 1331, 1909, 1385, 1396, 1450, 1460, 121, 1789, 1603, 1117, 1618, 1622, 2250, 1723, 1056, 1062, 1072, 1073, 1078,
  ];
  for (const code of [...push, ...more]) assert.match(win32Name(code), /^[A-Z]/, String(code));
});

test('an RPC fault is named, whether it is one of the protocol or a Win32 code', () => {
  assert.equal(faultName(0x1c010002), 'nca_s_op_rng_error');
  assert.equal(win32OfFault(0x1c010002), 1745);
  assert.equal(win32OfFault(0x1c00001a), 6);
  assert.equal(faultName(5), 'ERROR_ACCESS_DENIED');
  assert.equal(win32OfFault(5), 5);
  assert.equal(win32OfFault(0x1c000012), 1726);
});
