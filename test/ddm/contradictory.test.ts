import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { PushpointError } from '#base/errors';
import { systemRandom } from '#base/random';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { DiscoveryRecord } from '#records/discovery';
import { parseDevices, ResourceRecord, type RawDevice } from '#records/resource';
import { SiteRecord } from '#records/site';
import { testDatabase, type TestDatabase } from '#test/database';

// Files that contradict themselves, or want to do harm: each says what is wrong, nothing beside it is lost, and nothing is half done.

let base: TestDatabase;
let resource: ResourceRecord;
let discovery: DiscoveryRecord;
let clock: ManualClock;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate boundary, site, site_point, resource, resource_source, ccr, client');
  clock = new ManualClock(new Date('2026-11-21T00:00:00Z'));
  const site = new SiteRecord(base.db, clock, systemRandom);
  resource = new ResourceRecord(base.db, clock);
  const parts = { site, resource, boundary: new BoundaryRecord(base.db, clock), ccr: new CcrRecord(base.db, clock) };
  discovery = new DiscoveryRecord(base.db, clock, parts);
  await site.create({ code: 'P01', kind: 'primary' });
});

const take = (rows: RawDevice[], source = 'import') => discovery.take(rows, { source, site: 'P01', trusted: true });
const guid = (n: number) => `${String(n).repeat(8)}-0000-4000-8000-000000000000`;
test('one file that says two things of a machine: the later row counts, and each is one machine', async () => {
  const cases: [what: string, rows: RawDevice[], expected: object[]][] = [
    [
      'two addresses and types',
      [
        { name: 'A', addresses: ['10.0.0.1'], type: 'workstation' },
        { name: 'A', addresses: ['10.0.0.2'], type: 'dc' },
      ],
      [{ name: 'A', addresses: ['10.0.0.2'], type: 'dc' }],
    ],
    [
      'one GUID under two names',
      [
        { name: 'A', guid: guid(1) },
        { name: 'B', guid: guid(1) },
      ],
      [{ name: 'B', guid: guid(1) }],
    ],
    [
      'two GUIDs for one name',
      [
        { name: 'A', guid: guid(1) },
        { name: 'A', guid: guid(2) },
      ],
      [{ name: 'A', guid: guid(2) }],
    ],
    [
      'the GUID of one machine with the name of another',
      [
        { name: 'A', guid: guid(1), addresses: ['10.0.0.1'] },
        { name: 'B', guid: guid(2), addresses: ['10.0.0.2'] },
        { name: 'B', guid: guid(1) },
      ],
      [{ name: 'B', guid: guid(1), addresses: ['10.0.0.1'] }],
    ],
    [
      'the hardware id of one machine with the GUID of another',
      [
        { name: 'A', guid: guid(1), hardwareId: 'BOARD-A' },
        { name: 'B', guid: guid(2), hardwareId: 'BOARD-B' },
        { name: 'C', guid: guid(1), hardwareId: 'BOARD-B' },
      ],
      [
        { name: 'A', guid: guid(1), hardwareId: 'BOARD-A' },
        { name: 'C', hardwareId: 'BOARD-B' },
      ],
    ],
    [
      'one address of two machines',
      [
        { name: 'A', addresses: ['10.0.0.1'] },
        { name: 'B', addresses: ['10.0.0.1'] },
      ],
      [
        { name: 'A', addresses: ['10.0.0.1'] },
        { name: 'B', addresses: ['10.0.0.1'] },
      ],
    ],
    [
      'a name that is its own domain twice over',
      [{ name: 'A', domain: 'CORP' }, { name: 'A.corp.example' }, { name: 'a', domain: 'corp.example', fqdn: 'a.corp.example' }],
      [{ name: 'a', domain: 'corp.example' }],
    ],
  ];
  for (const [what, rows, expected] of cases) {
    await base.db.query('truncate resource cascade');
    const done = await take(rows);
    assert.deepEqual(done.rejected, [], what);
    const { items } = await resource.list();
    assert.equal(items.length, expected.length, `${what}: ${items.map((d) => d.name).join(', ')}`);
    expected.forEach((one, i) => {
      for (const [key, value] of Object.entries(one)) assert.deepEqual(items[i]![key as 'name'], value, `${what}: ${key}`);
    });
  }
});

/** dice is a fixed sequence of numbers below n. */
function dice(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((x / 2 ** 32) * n);
  };
}

test('whatever names, ids and domains a file mixes up, it is taken whole, and no name is had by two', async () => {
  for (let seed = 1; seed <= 25; seed++) {
    await base.db.query('truncate resource cascade');
    const roll = dice(seed);
    const some = <T>(from: readonly T[]): T | undefined => (roll(3) === 0 ? undefined : from[roll(from.length)]);
    const rows = Array.from({ length: 60 }, (): RawDevice => {
      const tag = some(['T1', 'T2', 'T3']);
      return {
        name: ['A', 'B', 'C', 'D', 'E'][roll(5)]!,
        domain: some(['CORP', 'corp.example', 'EAST', 'east.example']),
        guid: some([guid(1), guid(2), guid(3), guid(4)]),
        hardwareId: some(['BOARD-1', 'BOARD-2', 'BOARD-3']),
        addresses: [`10.0.0.${1 + roll(4)}`],
        macs: [`02:00:00:00:00:0${roll(4)}`],
        keys: tag ? { tag } : undefined,
      };
    });
    for (let at = 0; at < rows.length; at += 20) {
      const { outcomes } = await take(rows.slice(at, at + 20), ['import', 'ad', 'network'][at / 20]);
      for (const one of outcomes) assert.notEqual(one.outcome, 'rejected', `seed ${seed}: ${JSON.stringify(one)}`);
    }
    const living = (await resource.list()).items.map((d) => `${d.name}.${d.domain}`.toUpperCase());
    assert.equal(new Set(living).size, living.length, `seed ${seed}`);
    // Told again and again it makes no more machines than there are rows.
    for (let again = 0; again < 3; again++) await take(rows);
    const [all] = await base.db.query<{ n: number }>('select count(*) as n from resource');
    assert.ok(all!.n <= rows.length, `seed ${seed}: ${all!.n} machines of ${rows.length} rows`);
  }
});

test('hostile values, one by one: refused with a reason that can be shown, or kept as plain text; the rows beside them are taken', async () => {
  const evil = [
    '\u0000',
    '\u001b[2J',
    '\u202e',
    '\ud800',
    '\r\nINJECTED,10.0.0.9',
    'x'.repeat(1_000_000),
    "'; drop table resource; --",
    '../../etc',
  ];
  const fields = [
    'name',
    'domain',
    'fqdn',
    'os',
    'osVersion',
    'adSite',
    'ou',
    'hardwareId',
    'guid',
    'type',
    'architecture',
    'at',
  ];
  for (const field of fields)
    for (const value of evil) {
      const rows = [{ name: 'FIRST' }, { name: 'MIDDLE', [field]: value }, { name: 'LAST' }] as RawDevice[];
      const { rejected, outcomes } = await take(rows);
      assert.notEqual(outcomes[0]!.outcome, 'rejected');
      assert.notEqual(outcomes[2]!.outcome, 'rejected');
      for (const { line, reason } of rejected) {
        assert.equal(line, 2);
        assert.ok(
          reason.length < 500 && !/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/.test(reason),
          `${field}: ${reason.slice(0, 100)}`,
        );
      }
    }
  for (const device of (await resource.list()).items)
    assert.doesNotMatch(JSON.stringify(device), /\\u0000|\\u001b|\u202e|\\ud800|INJECTED|x{300}/);
});

test('JSON of wrong types, one by one, rejects that machine and no other', () => {
  const wrong: unknown[] = [7, true, {}, [], [[]], { a: 1 }, -1];
  const fields = [
    'name',
    'domain',
    'fqdn',
    'addresses',
    'macs',
    'os',
    'type',
    'guid',
    'hardwareId',
    'osBuild',
    'smbPort',
    'keys',
    'at',
  ];
  for (const field of fields)
    for (const value of wrong) {
      const text = JSON.stringify([{ name: 'A' }, { name: 'B', [field]: value }, { name: 'C' }]);
      const { rows, rejected } = parseDevices(new TextEncoder().encode(text), 'json');
      const names = rows.map((row) => row.name);
      assert.ok(names.includes('A') && names.includes('C'), `${field}: ${text}`);
      assert.equal(rows.length + rejected.length, 3, text);
    }
});

test('CSV that is no CSV, one by one: the reason names the file or the line, and other lines are taken', () => {
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const files: [what: string, file: Uint8Array, names: string[], wrong: RegExp | undefined][] = [
    ['a mark and CR alone', utf8('\ufeffname,ip\rA,10.0.0.1\rB,10.0.0.2\r'), ['A', 'B'], undefined],
    ['mixed ends of lines', utf8('name,ip\nA,10.0.0.1\r\nB,10.0.0.2\r\n\n\nC,10.0.0.3'), ['A', 'B', 'C'], undefined],
    ['a quote in the middle', utf8('name,os\nA,Windows "11"\nB,x\n'), ['B'], /^2: .*quote/],
    ['a quote that goes over lines', utf8('name,os\nA,"two\nlines"\nB,x\n'), ['A', 'B'], undefined],
    ['more fields than columns', utf8('name,ip\nA,10.0.0.1,more\nB,10.0.0.2\n'), ['B'], /^2: /],
    ['fewer fields than columns', utf8('name,ip,os\nA\nB,10.0.0.2,x\n'), ['B'], /^2: /],
    [
      'octets of another encoding',
      Uint8Array.of(...utf8('name,os\nA,'), 0xe4, 0xf6, ...utf8('\n')),
      [],
      /neither UTF-8 nor UTF-16/,
    ],
    ['half of a UTF-16 character', Uint8Array.of(0xff, 0xfe, 0x6e, 0x00, 0x61), [], /UTF-16|UTF-8/],
    ['octets of a program', Uint8Array.from({ length: 4096 }, (_, i) => (i * 197) & 255), [], /./],
    ['no header', utf8('PC1,10.0.0.1\nPC2,10.0.0.2\n'), [], /./],
    ['a column twice', utf8('name,ip,IP Address\nA,10.0.0.1,10.0.0.2\n'), [], /./],
    ['one line of a megabyte', utf8(`name,os\nA,${'x'.repeat(1_000_000)}\nB,y\n`), ['A', 'B'], undefined],
  ];
  for (const [what, file, names, wrong] of files) {
    let said = '';
    let taken: string[] = [];
    try {
      const { rows, rejected } = parseDevices(file, 'csv');
      taken = rows.map((row) => row.name);
      said = rejected.map(({ line, reason }) => `${line}: ${reason}`).join('\n');
    } catch (error) {
      if (!(error instanceof PushpointError)) throw error;
      said = error.message;
    }
    assert.deepEqual(taken, names, `${what}: ${said}`);
    if (wrong) assert.match(said, wrong, what);
    else assert.equal(said, '', what);
  }
});
