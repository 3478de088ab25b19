import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '#base/errors';
import { parseDevices, validName, whyNotName } from '#records/resource';

const bytes = (text: string) => new TextEncoder().encode(text);
const utf16 = (text: string, big = false) => {
  const out = new Uint8Array(text.length * 2);
  const view = new DataView(out.buffer);
  for (let i = 0; i < text.length; i++) view.setUint16(i * 2, text.charCodeAt(i), !big);
  return out;
};

test('CSV: header in any order and case, several addresses, quotes, CRLF, empty lines', () => {
  const parsed = parseDevices(
    bytes(
      '﻿Name,IP,Domain,OS,Type,MAC,adsite,guid,smbPort,sshPort,Room\r\nPC1,"10.0.0.1;10.0.0.2",CORP,"Windows ""11"", Pro",workstation,,Berlin,,,,7\r\n\r\n"PC\r\n2",,,,,,,,,,\r\nPC3,,,,,,,,4450,2222,',
    ),
    'csv',
  );
  assert.deepEqual(parsed.rejected, []);
  assert.deepEqual(parsed.ignored, ['Room']);
  assert.deepEqual(
    parsed.rows.map((r) => [r.line, r.name]),
    [
      [2, 'PC1'],
      [4, 'PC\r\n2'],
      [6, 'PC3'],
    ],
  );
  assert.deepEqual(parsed.rows[0]!.addresses, ['10.0.0.1', '10.0.0.2']);
  assert.equal(parsed.rows[0]!.os, 'Windows "11", Pro');
  assert.equal(parsed.rows[0]!.adSite, 'Berlin');
  assert.deepEqual([parsed.rows[2]!.smbPort, parsed.rows[2]!.sshPort], ['4450', '2222']);
});

test('CSV: bad records are rejected with the line they begin in, and the next ones are read', () => {
  const parsed = parseDevices(bytes('name,domain\nA,B,C\nD\nE"x,F\n"G"h,I\nJ,K\n"never closed,L\nM,N\n'), 'csv');
  assert.deepEqual(
    parsed.rows.map((r) => r.name),
    ['J'],
  );
  assert.deepEqual(
    parsed.rejected.map((r) => r.line),
    [2, 3, 4, 5, 7],
  );
  assert.match(parsed.rejected[0]!.reason, /3 fields.* 2/);
  assert.match(parsed.rejected[4]!.reason, /not closed/);
});

test('CSV in UTF-16 with and without a mark, and with the separators of spreadsheets', () => {
  const text = 'name;domain\r\nPC1;CORP\r\n';
  for (const file of [
    utf16(`﻿${text}`),
    utf16(`﻿${text}`, true),
    utf16(text),
    utf16(text, true),
    bytes(text.replaceAll(';', '\t')),
  ])
    assert.deepEqual(parseDevices(file, 'csv').rows, [{ line: 2, name: 'PC1', domain: 'CORP' }]);
});

test('files that cannot be read at all are refused with the reason', () => {
  for (const [file, format] of [
    [bytes(''), 'csv'],
    [bytes('machine,ip\nPC1,1.2.3.4\n'), 'csv'],
    [bytes('name,Name\nPC1,PC2\n'), 'csv'],
    [new Uint8Array([0x6e, 0xff, 0xfe, 0x31]), 'csv'],
    [bytes('{"name":"PC1"}'), 'json'],
    [bytes('[{"name":'), 'json'],
  ] as const)
    assert.throws(
      () => parseDevices(file, format),
      (e) => isCode(e, 'PP_IMPORT_UNREADABLE'),
    );
});

test('JSON: our own device list comes back, wrong members are rejected by their place', () => {
  const parsed = parseDevices(
    bytes(
      JSON.stringify({
        items: [
          {
            name: 'PC1',
            domain: 'CORP',
            addresses: ['10.0.0.1'],
            type: 'server',
            trusted: true,
            client: { installed: true },
            id: 7,
          },
          { name: 'PC2', ip: '10.0.0.2;10.0.0.3', smbPort: 4450, mac: null, floor: 3 },
          { name: 7 },
          'PC4',
          { name: 'PC5', addresses: [1] },
          null,
        ],
      }),
    ),
    'json',
  );
  assert.deepEqual(
    parsed.rows.map((r) => [r.line, r.name, r.addresses, r.smbPort]),
    [
      [1, 'PC1', ['10.0.0.1'], undefined],
      [2, 'PC2', ['10.0.0.2', '10.0.0.3'], 4450],
    ],
  );
  assert.deepEqual(
    parsed.rejected.map((r) => r.line),
    [3, 4, 5, 6],
  );
  assert.deepEqual(parsed.ignored, ['floor']);
});

test('names: NetBIOS or full DNS name, and nothing that could mean another host or protocol', () => {
  assert.deepEqual(validName('PC-1'), { name: 'PC-1', domain: '' });
  assert.deepEqual(validName('web-frontend-01.corp.example.'), {
    name: 'web-frontend-01',
    domain: 'corp.example',
    fqdn: 'web-frontend-01.corp.example',
  });
  assert.equal(whyNotName('123'), undefined);
  assert.equal(whyNotName(`${'a'.repeat(63)}.example`), undefined);
  for (const name of [
    `${'a'.repeat(64)}.example`,
    `${'abc.'.repeat(63)}example`,
    'pc_1',
    'PC1@80',
    'pc:1',
    'ümlaut',
    '..',
    '10.0.0.1',
    'pc1 ',
    '\u202epc',
  ])
    assert.notEqual(whyNotName(name), undefined, name);
});
