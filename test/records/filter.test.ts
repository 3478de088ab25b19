import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { PushpointError } from '#base/errors';
import { compileFilter, FIELDS, LONGEST_FILTER, ResourceRecord } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

const NOW = new Date('2026-11-21T12:00:00Z');
let base: TestDatabase;
let resource: ResourceRecord;

const place = () => '$1';
const refusal = (text: string): PushpointError => {
  try {
    compileFilter(text, NOW, place);
  } catch (error) {
    assert.ok(error instanceof PushpointError, `${text}: ${String(error)}`);
    assert.equal(error.code, 'PP_FILTER');
    return error;
  }
  throw new assert.AssertionError({ message: `${text} was taken` });
};
const found = async (filter: string) => (await resource.list({ filter })).items.map(({ name }) => name).join(' ');

before(async () => {
  base = await testDatabase();
  const clock = new ManualClock(new Date('2026-10-01T00:00:00Z'));
  resource = new ResourceRecord(base.db, clock);
  await resource.importDevices(
    [
      {
        name: 'PC1',
        domain: 'CORP',
        addresses: ['10.1.2.3'],
        os: 'Windows 11 Enterprise',
        osVersion: '10.0.22631',
        type: 'workstation',
      },
      {
        name: 'PC2',
        domain: 'CORP',
        addresses: ['10.1.200.9', '2001:db8:1:2::7'],
        os: 'Windows 10 Pro',
        osVersion: '10.0.19045',
      },
      { name: 'SRV1', domain: 'CORP', addresses: ['10.2.0.1'], os: 'Windows Server 2022', type: 'server', adSite: 'Berlin' },
      { name: 'DC1', domain: 'LAB', addresses: ['192.0.2.7'], os: '100%_"sure" \'x\'', type: 'dc', macs: ['00155D010203'] },
      { name: 'BARE' },
    ],
    { source: 'import', site: 'P01' },
  );
  clock.jump(NOW);
  await resource.importDevices(
    [
      { name: 'PC2', domain: 'CORP' },
      { name: 'SEEN', domain: 'CORP' },
    ],
    { source: 'network', site: 'P01', trusted: true },
  );
  const ids = new Map((await resource.list()).items.map(({ name, id }) => [name, id]));
  const add = (machine: string, version: string, approval: string, seen: string) =>
    base.db.query(
      `insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, hardware_id, version, approval, registered_at, last_seen_at)
       values ($1, 'k', sha256(convert_to($1, 'UTF8')), gen_random_uuid(), $2, $3, $3, 'h', $4, $5, $6, $6)`,
      [`GUID:${machine}`, ids.get(machine), machine, version, approval, new Date(seen)],
    );
  await add('PC1', '1.10.0', 'approved', '2026-11-20T00:00:00Z');
  await add('SRV1', '1.9.3', 'approved', '2026-09-01T00:00:00Z');
  await add('PC2', '1.10.0', 'pending', '2026-11-21T00:00:00Z');
});
after(() => base.close());

test('comparisons of every type find the machines that fit', async () => {
  const cases: [string, string][] = [
    ['name = pc1', 'PC1'],
    ['name != pc1 and domain = "corp"', 'PC2 SEEN SRV1'],
    ['os like "windows 11*"', 'PC1'],
    ['os like "*Server 20?2"', 'SRV1'],
    ['os like "*Vista*"', ''],
    ['not os like "*Server 20?2" and name like "*1"', 'DC1 PC1'],
    ['os like "*Vista*" or name = BARE', 'BARE'],
    ['os = "100%_""sure"" \'x\'"', 'DC1'],
    ['os like "100%*" or os like \'%\'', 'DC1'],
    ['type = WORKSTATION', 'PC1 PC2'],
    ['type in (server, dc)', 'DC1 SRV1'],
    ['name in ("PC1","DC1",\'none\')', 'DC1 PC1'],
    ['address in 10.1.0.0/16', 'PC1 PC2'],
    ['address in 10.1.2.0/23', 'PC1'],
    ['address in 10.1.2.128/25', ''],
    ['address in 10.0.0.0/8', 'PC1 PC2 SRV1'],
    ['address in 0.0.0.0/0', 'DC1 PC1 PC2 SRV1'],
    ['address in 10.1.2.3/32', 'PC1'],
    ['address in 2001:db8:1::/48', 'PC2'],
    ['address in 2001:db8:1:2::/64', 'PC2'],
    ['address in 2001:db8::/32', 'PC2'],
    ['address in 2001:db8:2::/48', ''],
    ['address in (10.2.0.1, 192.0.2.0/24)', 'DC1 SRV1'],
    ['address = 2001:DB8:1:2:0:0:0:7', 'PC2'],
    ['address like "10.1.*"', 'PC1 PC2'],
    ['address is null', 'BARE SEEN'],
    ['not address in 10.0.0.0/8', 'BARE DC1 SEEN'],
    ['mac = "00:15:5d:01:02:03"', 'DC1'],
    ['mac is not null', 'DC1'],
    ['osVersion >= 10.0.20000', 'PC1'],
    ['osVersion < 10.0.20000', 'PC2'],
    ['client.version > 1.9.5', 'PC1 PC2'],
    ['client.version = 1.10.0 and client.approval = pending', 'PC2'],
    ['client.installed', 'PC1 SRV1'],
    ['not client.installed and type = workstation', 'PC2'],
    ['client.installed = no and not trusted = false', 'BARE DC1 PC2 SEEN'],
    ['lastSeen < 30d', 'PC1 PC2'],
    ['lastSeen > 30d', 'SRV1'],
    ['not lastSeen < 30d', 'BARE DC1 SEEN SRV1'],
    ['lastSeen is null', 'BARE DC1 SEEN'],
    ['lastSeen = 2026-11-20', 'PC1'],
    ['lastSeen <= 2026-11-20', 'PC1 SRV1'],
    ['lastSeen > 2026-11-20', 'PC2'],
    ['client.lastSeen >= 2026-11-20T00:00:00Z and lastSeen < "2026-11-20T00:00:01+00:00"', 'PC1'],
    ['created < 2h', 'SEEN'],
    ['source = network', 'PC2 SEEN'],
    ['source in (network) and not source = import', 'SEEN'],
    ['discovered < 1d and source like imp*', 'PC2'],
    ['adSite = berlin', 'SRV1'],
    ['assignedSite is null and adSite is not null', 'SRV1'],
    ['ccr is null and smbPort is null and name = dc1', 'DC1'],
    ['domain is null', 'BARE'],
  ];
  for (const [filter, names] of cases) assert.equal(await found(filter), names, filter);
});

test('and binds closer than or; not closer than both; parentheses and any case of words', async () => {
  assert.equal(await found('name = BARE or type = server and domain = CORP'), 'BARE SRV1');
  assert.equal(await found('(name = BARE OR type = server) AND domain = CORP'), 'SRV1');
  assert.equal(await found('NOT (type = server Or type = workstation) and DOMAIN is Not Null'), 'DC1 SEEN');
  assert.equal(await found('not not not name = PC1 and name like PC*'), 'PC2');
  assert.equal(
    await found(
      'os like "Windows 11*" and type = workstation and client.installed and address in 10.1.0.0/16 and lastSeen < 30d and name in ("PC1","B")',
    ),
    'PC1',
  );
});

test('a single word is what it always was: a part of the name, or an address', async () => {
  assert.equal(await found('pc'), 'PC1 PC2');
  assert.equal(await found('10.2.0.1'), 'SRV1');
  assert.equal(await found('%'), '');
  assert.equal(await found('trusted'), '');
  assert.equal(await found('10.1.0.0/16'), 'PC1 PC2');
  assert.equal(await found('?C*'), 'DC1 PC1 PC2');
  assert.equal(await found('client.installed'), 'PC1 SRV1');
});

test('a page goes on where the one before ended', async () => {
  const names: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await resource.list({ filter: 'not client.installed and trusted = yes', limit: 1, cursor });
    names.push(...page.items.map(({ name }) => name));
    cursor = page.next;
  } while (cursor);
  assert.deepEqual(names, ['BARE', 'DC1', 'PC2', 'SEEN']);
});

test('what is wrong is told with its column, what was expected, and the nearest name', () => {
  const cases: [string, number, RegExp][] = [
    ['', 1, /it is empty/],
    ['nme = x', 1, /no field "nme"; did you mean name\?/],
    ['name = x and oss = y', 14, /did you mean os\?/],
    ['installed = yes', 1, /did you mean client\.installed\?/],
    ['name', 5, /expected =, !=, .* after name, not the end/],
    ['name = ', 8, /expected a value for name/],
    ['name = and', 8, /in quotes/],
    ['name = "x', 8, /quote is not closed/],
    ['(name = x', 10, /expected and, or, or the \) for the \( of column 1/],
    ['name = x)', 9, /expected and, or, or the end, not "\)"/],
    ['name == x', 6, /== is not known here; write =/],
    ['name = x && os = y', 10, /write and/],
    ['name <> x', 6, /write !=/],
    ['type = worksation', 8, /did you mean workstation\?/],
    ['type > server', 1, /compared with =, !=, in or is null; not with >/],
    ['address = 10.1.2', 11, /an address such as/],
    ['address in 10.1.0.0/33', 12, /a network such as/],
    ['address in 10.1.0.0/16/3', 12, /a network such as/],
    ['address < 10.1.0.0', 1, /is a list/],
    ['lastSeen < banana', 12, /a date such as/],
    ['lastSeen < 2026-02-30', 12, /a date such as/],
    ['lastSeen = 30d', 1, /an age is compared with </],
    ['lastSeen < 999999999w', 12, /longer than 100 years/],
    ['osBuild = 99999999999', 11, /whole number/],
    ['osVersion = 10.0.x', 13, /a version such as/],
    ['client.installed = perhaps', 20, /yes or no/],
    ['name in (a b)', 12, /expected , or \) in the list/],
    ['name is nothing', 9, /expected null or not null/],
    ['name not = x', 10, /expected in or like after name/],
    ['name = x name = y', 10, /expected and, or, or the end/],
    ['name = \u0000', 8, /no control characters/],
    ['constructor = x', 1, /no field/],
    ['__proto__ = x', 1, /no field/],
  ];
  for (const [filter, column, why] of cases) {
    const { message } = refusal(filter);
    assert.match(message, new RegExp(`at column ${column}: `), `${filter}: ${message}`);
    assert.match(message, why, filter);
  }
});

test('length, depth and number are bounded', () => {
  assert.match(refusal('('.repeat(10_000)).message, /at most 4000 characters/);
  assert.match(refusal(`${'('.repeat(1900)}name=x${')'.repeat(1900)}`).message, /more than 50 parentheses/);
  assert.match(refusal(`${'not '.repeat(900)}name=x`).message, /more than 50/);
  assert.match(refusal(`os in (${'a,'.repeat(1900)}a)`).message, /at most 500/);
  compileFilter(`${'('.repeat(49)}name=x${')'.repeat(49)}`, NOW, place);
  assert.ok(compileFilter(`name=x${' or name=x'.repeat(390)}`, NOW, place).where.length < LONGEST_FILTER * 20);
});

test('no value ever gets into the text of a statement', async () => {
  const hostile = [
    `'; drop table resource; --`,
    `") or true --`,
    `\\`,
    `$1`,
    `%' or '1'='1`,
    `x'::text) or (true`,
    `*/ or 1=1 /*`,
  ];
  for (const field of FIELDS.filter(({ type }) => type === 'text' || type === 'list')) {
    for (const evil of hostile) {
      const quoted = `"${evil.replaceAll('"', '""')}"`;
      for (const filter of [`${field.name} = ${quoted}`, `${field.name} like ${quoted}`, `${field.name} in (${quoted}, x)`]) {
        const values: unknown[] = [];
        const { where } = compileFilter(filter, NOW, (value, type) => `$${values.push(value)}::${type}`);
        assert.ok(!where.includes(evil) || evil === '$1' || evil === '\\', where);
        assert.ok(values.length > 0);
        assert.equal(await found(filter), '', filter);
      }
    }
  }
  assert.equal(await resource.count(), 6);
});

test('every operator of every field gives SQL that runs', async () => {
  const value: Record<string, string> = {
    text: 'x',
    list: 'x',
    number: '7',
    version: '10.0',
    time: '2026-01-01',
    address: '10.0.0.1',
    'yes or no': 'yes',
  };
  let ran = 0;
  for (const { name, type, choices } of FIELDS) {
    const v = choices?.[0] ?? value[type]!;
    for (const tail of [`= ${v}`, `!= ${v}`, `< ${v}`, `>= ${v}`, `like ${v}`, `in (${v}, ${v})`, 'is null', 'is not null', '']) {
      const filter = `not ${name} ${tail}`;
      try {
        compileFilter(filter, NOW, place);
      } catch {
        continue;
      }
      await resource.list({ filter, limit: 1 });
      ran++;
    }
  }
  assert.ok(ran > 100, String(ran));
});

test('random text is either a filter or refused with a column, and never anything else', () => {
  const pieces = [
    ...FIELDS.map(({ name }) => name),
    ...'and or not in like is null ( ) , = != < <= > >= " \' 10.0.0.0/8 30d 2026-01-01 yes server "x y" * \\ % $1 ; -- é 𝄞 \u200b \ud800'.split(
      ' ',
    ),
    ' ',
    '\t',
  ];
  let seed = 7;
  const next = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n;
  let taken = 0;
  const rounds = Math.min(Number(process.env['PUSHPOINT_FUZZ'] ?? 20_000), 1_000_000);
  for (let i = 0; i < rounds; i++) {
    const text = Array.from({ length: 1 + next(14) }, () => pieces[next(pieces.length)]).join(next(3) ? ' ' : '');
    try {
      compileFilter(text, NOW, place);
      taken++;
    } catch (error) {
      assert.ok(error instanceof PushpointError && error.code === 'PP_FILTER', `${JSON.stringify(text)}: ${String(error)}`);
      assert.match(error.message, /^the filter is wrong at column \d+: /);
    }
  }
  assert.ok(taken > 0 && taken < rounds / 2, String(taken));
});

test('a part of an operating system is found among more different ones than are gone through', async () => {
  const many = Array.from({ length: 600 }, (_, i) => ({ name: `M${i}`, domain: 'MANY', os: `System ${1000 + i} of many` }));
  await resource.importDevices(many, { source: 'import', site: 'P01' });
  assert.equal(await found('os like "*1599 of*"'), 'M599');
  assert.equal(await found('os like "*2599 of*"'), '');
});
