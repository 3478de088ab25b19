import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '#base/errors';
import { readMobileClient, writeMobileClient, type MobileClient } from '#messages';

const full: MobileClient = {
  properties: 'SMSSITECODE=P01 FSP=fsp.corp.example SMSCACHESIZE=5120',
  site: 'P01',
  managementPoints: ['http://mp1.corp.example:8480', 'https://mp2.corp.example'],
  fallbackStatusPoint: 'http://fsp.corp.example',
  payload: {
    file: 'client-1.2.3.mjs',
    sha256: 'ab'.repeat(32),
    size: 4711,
    version: '1.2.3',
    command: 'msiexec /i client.msi /qn',
  },
  requires: {
    minimumBuild: 9600,
    architectures: ['x64', 'arm64'],
    freeBytes: 100_000_000,
    windowsInstaller: 301,
    noRestartPending: true,
  },
  prerequisites: [
    { file: 'vcredist.exe', sha256: 'ef'.repeat(32), size: 12, command: 'vcredist.exe /q', check: 'HKLM\\SOFTWARE\\VC' },
    { file: 'bits.msu', sha256: '01'.repeat(32), size: 99, command: 'wusa bits.msu /quiet' },
  ],
  certificatePins: ['cd'.repeat(32), 'ef'.repeat(32)],
  registration: { machine: 'PC042', tokenId: 'tok_12345678', token: 'q'.repeat(43), expires: '2026-01-12T08:00:00.000Z' },
};
const ascii = (text: string) => new Uint8Array(Buffer.from(text, 'latin1'));
const malformed = (error: unknown) => isCode(error, 'PP_TCF_MALFORMED');

test('mobileclient.tcf comes back as it was written, in the layout of the original', () => {
  const bytes = writeMobileClient(full);
  const lines = Buffer.from(bytes).toString('ascii').split('\r\n');
  assert.equal(lines[0], '[Client Install]');
  assert.equal(lines[1], 'Install=INSTALL=ALL SMSSITECODE=P01 FSP=fsp.corp.example SMSCACHESIZE=5120');
  assert.ok(lines.includes('TYPE=Target Configuration File'));
  assert.deepEqual(readMobileClient(bytes), full);
});

test('the site-wide file holds no registration section', () => {
  const { registration: _, ...siteWide } = full;
  const bytes = writeMobileClient(siteWide);
  assert.doesNotMatch(Buffer.from(bytes).toString(), /Registration|Token/);
  assert.deepEqual(readMobileClient(bytes), siteWide);
});

test('text that is not ASCII is written so that the INI reader of Windows takes it', () => {
  const value = { ...full, properties: 'SMSCACHEDIR="D:\\Zwischenablage für Öfen" SMSSITECODE=P01' };
  const bytes = writeMobileClient(value);
  assert.deepEqual([bytes[0], bytes[1]], [0xff, 0xfe]);
  assert.deepEqual(readMobileClient(bytes), value);
});

test('no value can bring a line, a key or a section of its own', () => {
  for (const evil of [
    'a\r\n[Trust]',
    'a\n[Payload]\nFile=x',
    'a\rb',
    'a\u0000b',
    'a\u0085b',
    'a\u2028b',
    ' a',
    'a ',
    '"a"',
    'a\tb',
  ]) {
    assert.throws(() => writeMobileClient({ ...full, properties: evil }), malformed, JSON.stringify(evil));
    assert.throws(
      () => writeMobileClient({ ...full, payload: { ...full.payload, command: evil } }),
      malformed,
      JSON.stringify(evil),
    );
  }
  for (const file of ['..\\evil.exe', 'a/b', 'C:\\x', '..', 'a;b', '']) {
    assert.throws(() => writeMobileClient({ ...full, payload: { ...full.payload, file } }), malformed, file);
  }
  for (const mp of ['ftp://x', 'http://user:pw@x', 'http://a;http://b', 'http://x/?q', 'javascript:1', 'http://x y']) {
    assert.throws(() => writeMobileClient({ ...full, managementPoints: [mp] }), malformed, mp);
  }
  assert.throws(() => writeMobileClient({ ...full, managementPoints: [] }), malformed);
});

const byHand = [
  '; made by hand',
  '',
  '  [ site ]',
  ' SITECODE = p01',
  'mp = http://a ; http://b ;',
  '[payload]',
  'File=agent.mjs',
  `sha256=${'AB'.repeat(32)}`,
  'Size=12',
  'Version=1.0',
  'Version=9.9',
  'Unknown=1',
  'no equals sign',
  '[Trust]',
  `CertificatePin=${Array(32).fill('CD').join(':')}`,
];

test('a file written by hand is read: bare LF, blanks, case, comments, unknown keys, first of a repeated key', () => {
  const read = readMobileClient(ascii(byHand.join('\n')));
  assert.equal(read.site, 'P01');
  assert.deepEqual(read.managementPoints, ['http://a', 'http://b']);
  assert.equal(read.payload.version, '1.0');
  assert.deepEqual(read.certificatePins, ['cd'.repeat(32)]);
  assert.equal(read.properties, '');
});

test('one pin, and several, are one key with commas between; a list with an empty or a wrong place is refused', () => {
  const [a, b] = ['ab'.repeat(32), 'cd'.repeat(32)];
  const keyOf = (certificatePins: string[]) =>
    /^CertificatePin=(.*)\r$/m.exec(Buffer.from(writeMobileClient({ ...full, certificatePins })).toString())?.[1];
  assert.deepEqual([keyOf([a]), keyOf([a, b])], [a, `${a},${b}`]);
  assert.throws(() => keyOf([]), malformed);
  const readPins = (list: string) =>
    readMobileClient(ascii([...byHand.slice(0, -1), `CertificatePin=${list}`].join('\n'))).certificatePins;
  assert.deepEqual(readPins(`${a.toUpperCase()} ,\t${b}`), [a, b]);
  assert.equal(readPins(''), undefined);
  for (const wrong of [',', `${a},`, `,${a}`, `${a},,${b}`, `${a};${b}`, `${a}${b}`, ':', `${a},12`, Array(33).fill(a).join(',')])
    assert.throws(() => readPins(wrong), malformed, wrong);
});

test('every encoding an editor of Windows saves in is read', () => {
  const textForm = byHand.join('\r\n');
  const be = Buffer.from(`\ufeff${textForm}`, 'utf16le').swap16();
  const forms = [
    Buffer.from(`\ufeff${textForm}`),
    Buffer.from(`\ufeff${textForm}`, 'utf16le'),
    be,
    Buffer.from(textForm, 'utf16le'),
  ];
  for (const form of forms) assert.equal(readMobileClient(new Uint8Array(form)).site, 'P01');
});

test('what cannot be used is refused with the part that is wrong', () => {
  const without = (line: RegExp) => ascii(byHand.filter((l) => !line.test(l)).join('\n'));
  assert.throws(() => readMobileClient(without(/^mp/)), /management point/);
  assert.throws(() => readMobileClient(without(/^sha256/)), /payload/);
  assert.throws(() => readMobileClient(without(/SITECODE/)), /site/);
  assert.throws(() => readMobileClient(ascii(byHand.join('\n').replace('Size=12', 'Size=99999999999'))), /payload/);
  assert.throws(() => readMobileClient(ascii(byHand.join('\n').replace('agent.mjs', '..\\\\agent.mjs'))), /payload/);
  assert.throws(() => readMobileClient(new Uint8Array(65_537)), /65536/);
  assert.throws(() => readMobileClient(new Uint8Array()), malformed);
});
