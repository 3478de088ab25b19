import { test } from 'node:test';
import assert from 'node:assert/strict';

import { isCode } from '#base/errors';
import { readCcrFile, writeCcrFile } from '#components/ccm';

const bytes = (text: string) => new TextEncoder().encode(text);

/** The file of the retry folder as it was described in February 2007, typed from there. */
const SAMPLE = [
  '[NT Client Configuration Request]',
  'Machine Name=Computer001',
  'Domain=XXX',
  'IP Address 1=192.168.100.200',
  'Initial Request Date=02/20/2007 10:35:19',
  '',
  '[IP Address ]',
  'IP Address 1=192.168.100.200',
  '',
  '[Resource Names ]',
  'Resource Names 1=Computer001',
  '',
  '[Request Processing]',
  'Latest Processing Attempt=02/21/2007 09:37:28',
  'Last Error Code=5',
  'Number of Processing Attempts=99',
  'Error Event Created=02/21/2007 10:49:35',
  '',
  '[IDENT]',
  'TYPE=Client Config Request File',
  '',
].join('\r\n');

function wrongLine(text: string | Uint8Array, line: number, why: RegExp): void {
  assert.throws(
    () => readCcrFile(typeof text === 'string' ? bytes(text) : text),
    (error: unknown) => {
      assert.ok(isCode(error, 'PP_CCR_FILE_MALFORMED'), String(error));
      assert.equal(error.params['line'], line);
      assert.match(error.message, why);
      return true;
    },
  );
}

test('the sample of 2007 is read with every value', () => {
  const file = readCcrFile(bytes(SAMPLE));
  assert.equal(file.machineName, 'Computer001');
  assert.equal(file.domain, 'XXX');
  assert.deepEqual(file.ipAddresses, ['192.168.100.200']);
  assert.deepEqual(file.resourceNames, ['Computer001']);
  assert.equal(file.initialRequestDate?.toISOString(), '2007-02-20T10:35:19.000Z');
  assert.equal(file.processing.latestAttempt?.toISOString(), '2007-02-21T09:37:28.000Z');
  assert.equal(file.processing.lastErrorCode, 5);
  assert.equal(file.processing.attempts, 99);
  assert.equal(file.processing.errorEventCreated?.toISOString(), '2007-02-21T10:49:35.000Z');
  assert.equal(file.forced, false);
  assert.deepEqual(file.unknown, []);
});

test('the sample of 2007 is written again byte by byte', () => {
  const { unknown: _unknown, ...file } = readCcrFile(bytes(SAMPLE));
  assert.equal(writeCcrFile(file), SAMPLE);
});

test('the sample as pasted from a page, with empty and non-breaking lines between, reads the same', () => {
  const pasted = SAMPLE.replaceAll('\r\n', '\n\n').replaceAll('\n\n\n\n', '\n\n\u00a0\n\n');
  const { unknown: _unknown, ...file } = readCcrFile(bytes(pasted));
  assert.equal(writeCcrFile(file), SAMPLE);
});

test('two lines suffice, without an end of line, in any line ending', () => {
  for (const end of ['\r\n', '\n', '\r'])
    assert.equal(readCcrFile(bytes(`[NT Client Configuration Request]${end}Machine Name=PC042`)).machineName, 'PC042');
});

test('old writers: blanks around =, leading blanks and lines, empty sections, other cases, quotes', () => {
  const file = readCcrFile(
    bytes(
      '\n\n; made by hand\n  [nt client configuration request ]\n   Machine Name = PC042\n\tforced CCR = TRUE\nPushClientEvenIfDC=1\nClient  Type = 1\n' +
        'Domain="CORP"\n[IP Address]\n[Resource Names]\nResource Names 1 = PC042\nResource Names 2 = pc042.corp.example\n[Request Processing ]\n[IDENT ]\nTYPE = client config request file\n\u001a',
    ),
  );
  assert.equal(file.machineName, 'PC042');
  assert.equal(file.domain, 'CORP');
  assert.equal(file.forced, true);
  assert.equal(file.pushEvenIfDc, true);
  assert.equal(file.clientType, 1);
  assert.deepEqual(file.resourceNames, ['PC042', 'pc042.corp.example']);
});

test('booleans: TRUE, 1 and YES are true, FALSE, 0, NO and nothing are false, others are refused', () => {
  const forced = (value: string) =>
    readCcrFile(bytes(`[NT Client Configuration Request]\nMachine Name=A\nForced CCR=${value}`)).forced;
  for (const value of ['TRUE', 'true', '1', 'YES', 'yes', '-1']) assert.equal(forced(value), true, value);
  for (const value of ['FALSE', '0', 'NO', '']) assert.equal(forced(value), false, value);
  wrongLine('[NT Client Configuration Request]\nMachine Name=A\nForced CCR=perhaps', 3, /neither TRUE nor FALSE/);
});

test('UTF-8 with a mark, UTF-16 of both orders with and without a mark, and Windows-1252 are read', () => {
  const text = '[NT Client Configuration Request]\r\nMachine Name=PC042\r\n[Owner]\r\nName=Müller\r\n';
  const little = Buffer.from(text, 'utf16le');
  const big = Buffer.from(little).swap16();
  const forms: Uint8Array[] = [
    bytes(`\ufeff${text}`),
    little,
    big,
    Buffer.concat([Buffer.from([0xff, 0xfe]), little]),
    Buffer.concat([Buffer.from([0xfe, 0xff]), big]),
    Buffer.from(text, 'latin1'),
  ];
  for (const form of forms) {
    const file = readCcrFile(form);
    assert.equal(file.machineName, 'PC042');
    assert.equal(file.unknown[0]?.value, 'Müller');
  }
});

test('unknown keys are kept and ignored; the first of two equal keys counts', () => {
  const file = readCcrFile(bytes('[NT Client Configuration Request]\nMachine Name=ONE\nMachine Name=TWO\nAD Site=Berlin\n'));
  assert.equal(file.machineName, 'ONE');
  assert.deepEqual(
    file.unknown.map((e) => `${e.line}:${e.key}=${e.value}`),
    ['3:Machine Name=TWO', '4:AD Site=Berlin'],
  );
});

test('our own keys stand in [Pushpoint], before the type stamp, and come back', () => {
  const text = writeCcrFile({
    machineName: 'PC042',
    domain: 'CORP',
    ipAddresses: ['10.0.0.1', 'fd00::1'],
    resourceNames: ['PC042', 'pc042.corp.example'],
    forced: true,
    pushEvenIfDc: true,
    initialRequestDate: new Date('2026-01-05T08:00:00Z'),
    processing: { latestAttempt: new Date('2026-01-05T09:00:00Z'), lastErrorCode: 53, attempts: 2 },
    pushpoint: { reinstall: true, inspectOnly: true, package: 'agent', requestedBy: 'anna\r\nTYPE=evil', state: 'retry' },
  });
  assert.ok(text.indexOf('[Pushpoint]') < text.indexOf('[IDENT]'));
  assert.ok(!/^TYPE=evil/m.test(text), 'a value cannot make a line of its own');
  const file = readCcrFile(bytes(text));
  assert.deepEqual(file.pushpoint, {
    reinstall: true,
    inspectOnly: true,
    package: 'agent',
    requestedBy: 'anna TYPE=evil',
    state: 'retry',
  });
  assert.equal(file.processing.lastErrorCode, 53);
  assert.deepEqual(file.ipAddresses, ['10.0.0.1', 'fd00::1']);
});

test('what is no CCR is refused with its line', () => {
  const head = '[NT Client Configuration Request]\n';
  wrongLine('', 1, /no "Machine Name"/);
  wrongLine('Machine Name=A\n', 1, /before the first/);
  wrongLine(`${head}Domain=CORP`, 2, /no "Machine Name"/);
  wrongLine(`${head}Machine Name=`, 2, /empty/);
  wrongLine(`${head}Machine Name=A\njust words`, 3, /neither/);
  wrongLine('[NT Client', 1, /must end with/);
  wrongLine(`${head}Machine Name=A\0B`, 2, /control character 0x00 at column 15/);
  wrongLine(`${head}Machine Name=A\nDomain=C\u0007`, 3, /0x07/);
  wrongLine(`${head}Machine Name=A\n[IP Address ]\nIP Address 1=999.1.1.1`, 4, /no IPv4 or IPv6/);
  wrongLine(`${head}Machine Name=A\nInitial Request Date=2007-02-20`, 3, /MM\/DD\/YYYY/);
  wrongLine(`${head}Machine Name=A\nInitial Request Date=02/30/2007 10:00:00`, 3, /does not exist/);
  wrongLine(`${head}Machine Name=A\n[Request Processing]\nLast Error Code=five`, 4, /whole number/);
  wrongLine(`${head}Machine Name=A\n[IDENT]\nTYPE=Something Else`, 4, /not the type/);
  wrongLine(Buffer.from([0x4d, 0x5a, 0x90, 0x00, 0x03]), 1, /control character/);
  wrongLine(Buffer.from([0xff, 0xfe, 0x41]), 1, /half a character/);
});

test('hostile names are refused with their line', () => {
  for (const name of [
    'host@8080',
    'a b',
    '\\\\server\\share',
    '../etc',
    'a/b',
    'a:445',
    'a..b',
    '-rf',
    'x'.repeat(64),
    '$(id)',
    'ä',
  ])
    wrongLine(`[NT Client Configuration Request]\n\nMachine Name=${name}`, 3, /is no name/);
  wrongLine('[NT Client Configuration Request]\nMachine Name=10.0.0.1', 2, /is an address/);
  wrongLine('[NT Client Configuration Request]\nMachine Name=A\nDomain=CORP@evil', 3, /is no name/);
  wrongLine('[NT Client Configuration Request]\nMachine Name=A\n[Resource Names ]\nResource Names 1=a@b', 4, /is no name/);
});

test('64 KiB is the limit; ten megabytes are refused at once', () => {
  const fits = `[NT Client Configuration Request]\nMachine Name=A\n${'\n'.repeat(64 * 1024 - 49)}`;
  assert.equal(fits.length, 64 * 1024);
  assert.equal(readCcrFile(bytes(fits)).machineName, 'A');
  for (const size of [64 * 1024 + 1, 10_000_000])
    assert.throws(
      () => readCcrFile(new Uint8Array(size)),
      (error: unknown) => isCode(error, 'PP_CCR_FILE_TOO_LARGE') && error.params['bytes'] === size,
    );
});

test('random damage of a real file yields a CCR or the one error, never anything else', () => {
  const original = bytes(SAMPLE);
  let seed = 12345;
  const next = (limit: number) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % limit;
  for (let round = 0; round < 3000; round++) {
    const copy = original.slice(0, 1 + next(original.length));
    for (let i = 0; i < next(4); i++) copy[next(copy.length)] = next(256);
    try {
      assert.ok(readCcrFile(copy).machineName.length > 0);
    } catch (error) {
      assert.ok(isCode(error, 'PP_CCR_FILE_MALFORMED'), String(error));
    }
  }
});
