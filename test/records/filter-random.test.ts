import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { ResourceRecord, type Device, type RawDevice } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

/** A filter as text, and as a plain question to a machine: what is not known fits nothing, and `not` turns that. */
interface Filter {
  text: string;
  fits: (machine: Machine) => boolean;
}
type Machine = Device & { ccr: string | undefined };

const NOW = new Date('2026-11-21T12:00:00Z');
const DAY_MS = 86_400_000;
/** Every way of finding machines is taken with some of these, whatever the number of machines. */
const BOUNDS = [
  { kinds: 1000, few: 64, merged: 16, next: 2000 },
  { kinds: 1000, few: 1000, merged: 16, next: 4 },
  { kinds: 1000, few: 0, merged: 3, next: 4 },
  { kinds: 2, few: 0, merged: 0, next: 4 },
];

let base: TestDatabase;
let clock: ManualClock;
let records: ResourceRecord[];
let machines: Machine[];
let seed = 20_261_121;
const below = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n;
const one = <T>(list: readonly T[]): T => list[below(list.length)]!;

const SYSTEMS = ['Windows 11 Enterprise', 'Windows 10 Pro', 'Windows Server 2022', 'Windows XP', 'macOS', undefined];
const SITES = ['P01', 'S01', 'S02'];
const TYPES = ['workstation', 'server', 'dc'] as const;

function machine(i: number): RawDevice {
  const addresses = Array.from({ length: below(3) }, () => `10.${below(3)}.${below(2)}.${1 + below(250)}`);
  return {
    name: `PC${String((i * 7919) % 1000).padStart(3, '0')}`,
    domain: one(['CORP', 'CORP', 'LAB', '']),
    os: one(SYSTEMS),
    osVersion: one(['10.0.22631', '10.0.9', '6.1', undefined]),
    type: one([...TYPES, undefined]),
    adSite: one(['Berlin', 'Munich', undefined]),
    addresses: below(4) === 0 ? [...addresses, `2001:db8:${below(2)}::${1 + below(99)}`] : addresses,
    macs: below(2) === 0 ? [`00155D0000${String(i % 100).padStart(2, '0')}`] : [],
  };
}

async function addClient({ id, name }: Device): Promise<void> {
  await base.db.query(
    `insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, hardware_id, version, approval, blocked, registered_at, last_seen_at)
     values ($1, 'k', sha256(convert_to($1, 'UTF8')), gen_random_uuid(), $2, $3, $3, 'h', $4, $5, $6, $7, $7)`,
    [
      `GUID:${id}`,
      id,
      name,
      one(['1.9.3', '1.10.0']),
      one(['approved', 'approved', 'pending']),
      below(4) === 0,
      new Date(NOW.getTime() - below(60) * DAY_MS),
    ],
  );
}

/** twins gives two systems that have the same key by chance. */
async function twins(): Promise<[string, string]> {
  const [row] = await base.db.query<{ both: [string, string] }>(
    `select array_agg(os) as both from (select 'System ' || i as os from generate_series(1, 300000) i) s
     group by hashtext(os || E'\\x01' || '' || E'\\x01' || '' || E'\\x01' || '' || E'\\x01' || 'unknown' || 'true') having count(*) = 2 limit 1`,
  );
  return row!.both;
}

before(async () => {
  base = await testDatabase();
  clock = new ManualClock(NOW);
  records = BOUNDS.map((bounds) => new ResourceRecord(base.db, clock, bounds));
  const resource = records[0]!;
  const raw = Array.from({ length: 180 }, (_, i) => machine(i));
  const alike = (await twins()).map((os, i) => ({ name: `TWIN${i}`, domain: 'CORP', os }));
  await resource.importDevices([...raw, ...alike], { source: 'import', site: 'P01' });
  const all = (await resource.list({ limit: 1000 })).items;
  await resource.assign(all.filter(() => below(2) === 0).map(({ id }) => ({ id, site: one(SITES) })));
  for (const device of all) if (below(2) === 0) await addClient(device);
  for (const { id } of all.filter(({ name }) => below(4) === 0 && !name.startsWith('TWIN')))
    await resource.observe(id, {
      os: one(['Windows 11 Pro', 'Windows 7']),
      osBuild: one([7601, 22_631]),
      architecture: one(['x64', 'arm64']),
    });
  await base.db.query(
    `insert into ccr (machine_key, resource_id, name, name_key, state, source, requested_by, first_requested_at, last_requested_at, finished_at)
     select 'R' || id, id, name, name_key, (array['queued', 'retry', 'paused', 'complete'])[1 + id % 4], 'push', 'test', $1, $1, case when id % 4 = 3 then $1::timestamptz end
     from resource where id % 3 = 0`,
    [NOW],
  );
  await base.db.query("update resource set obsolete = true where id % 17 = 0 and name like 'PC%'");
  await base.db.query('analyze');
  const live = new Map(
    (
      await base.db.query<{ id: number; state: string }>('select resource_id as id, state from ccr where finished_at is null')
    ).map((r) => [r.id, r.state]),
  );
  machines = (await resource.list({ limit: 1000 })).items.map((device) => ({ ...device, ccr: live.get(device.id) }));
});
after(() => base.close());

const upper = (text: string | undefined) => text?.toUpperCase();
const like = (pattern: string) =>
  new RegExp(`^${pattern.replace(/[.*?]/g, (c) => (c === '*' ? '.*' : c === '?' ? '.' : `\\${c}`))}$`, 'i');
const negated = (op: string, fits: Filter['fits']): Filter['fits'] =>
  op === '!=' || op.startsWith('not') ? (m) => !fits(m) : fits;

function textTest(
  name: string,
  of: (m: Machine) => string | undefined,
  values: readonly string[],
  patterns: readonly string[],
): Filter {
  const op = one(['=', '!=', 'like', 'not like', 'in', 'not in', 'is null', 'is not null']);
  if (op.startsWith('is')) return { text: `${name} ${op}`, fits: (m) => (of(m) === undefined) === (op === 'is null') };
  if (op.endsWith('like')) {
    const pattern = one(patterns);
    return { text: `${name} ${op} "${pattern}"`, fits: negated(op, (m) => of(m) !== undefined && like(pattern).test(of(m)!)) };
  }
  const wanted = op.endsWith('in') ? [one(values), one(values)] : [one(values)];
  const list = wanted.map((v) => `"${v}"`).join(', ');
  return {
    text: `${name} ${op} ${op.endsWith('in') ? `(${list})` : list}`,
    fits: negated(op, (m) => wanted.some((v) => upper(v) === upper(of(m)))),
  };
}

const parts = (version: string) => version.split('.').map(Number);
function before_(a: number[], b: number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) if ((a[i] ?? -1) !== (b[i] ?? -1)) return (a[i] ?? -1) - (b[i] ?? -1);
  return 0;
}
function ordered(name: string, of: (m: Machine) => number[] | undefined, value: string): Filter {
  const op = one(['=', '!=', '<', '<=', '>', '>=']);
  const holds: Record<string, (n: number) => boolean> = {
    '=': (n) => n === 0,
    '!=': (n) => n === 0,
    '<': (n) => n < 0,
    '<=': (n) => n <= 0,
    '>': (n) => n > 0,
    '>=': (n) => n >= 0,
  };
  const fits = (m: Machine) => of(m) !== undefined && holds[op]!(before_(of(m)!, parts(value)));
  return { text: `${name} ${op} ${value}`, fits: negated(op, fits) };
}

const TESTS: (() => Filter)[] = [
  () => textTest('name', (m) => m.name, [one(machines).name, 'none'], ['PC0*', '*7', 'PC?1?', '*']),
  () =>
    textTest(
      'os',
      (m) => m.os,
      ['windows xp', 'Windows 7', one(machines).os ?? 'x'],
      ['Windows*', '*11*', '*Vista*', '*server*', 'mac??', 'System *'],
    ),
  () => textTest('domain', (m) => m.domain || undefined, ['CORP', 'lab'], ['C*', '*B']),
  () => textTest('adSite', (m) => m.adSite, ['berlin', 'Munich'], ['*i*', 'M*']),
  () => textTest('assignedSite', (m) => m.assignedSite, SITES, ['S*', '*2']),
  () => textTest('architecture', (m) => m.architecture, ['x64', 'arm64'], ['*64', 'a*']),
  () => ordered('osVersion', (m) => (m.osVersion === undefined ? undefined : parts(m.osVersion)), one(['10.0', '10.0.9', '6.1'])),
  () => ordered('osBuild', (m) => (m.osBuild === undefined ? undefined : [m.osBuild]), one(['7601', '10000'])),
  () =>
    ordered(
      'client.version',
      (m) => (m.client.version === undefined ? undefined : parts(m.client.version)),
      one(['1.9.5', '1.10.0']),
    ),
  () => {
    const op = one(['=', '!=']);
    const type = one([...TYPES, 'unknown']);
    return { text: `type ${op} ${type}`, fits: negated(op, (m) => m.type === type) };
  },
  () => {
    const state = one(['queued', 'retry', 'paused']);
    const op = one(['=', '!=']);
    return { text: `ccr ${op} ${state}`, fits: negated(op, (m) => m.ccr === state) };
  },
  () => {
    const op = one(['=', '!=']);
    const approval = one(['approved', 'pending']);
    return { text: `client.approval ${op} ${approval}`, fits: negated(op, (m) => m.client.approval === approval) };
  },
  () => {
    const value = one(['yes', 'no']);
    const [name, of] = one<[string, Filter['fits']]>([
      ['trusted', (m) => m.trusted],
      ['client.installed', (m) => m.client.installed],
      ['client.blocked', (m) => m.client.blocked],
    ]);
    const op = one(['=', '!=']);
    return { text: `${name} ${op} ${value}`, fits: negated(op, (m) => of(m) === (value === 'yes')) };
  },
  () => {
    const days = one([5, 30, 50]);
    const op = one(['<', '>']);
    const age = (m: Machine) => (m.client.lastSeenAt ? NOW.getTime() - m.client.lastSeenAt.getTime() : NaN);
    return { text: `lastSeen ${op} ${days}d`, fits: (m) => (op === '<' ? age(m) < days * DAY_MS : age(m) > days * DAY_MS) };
  },
  () => {
    const [network, start] = one([
      ['10.1.0.0/16', /^10\.1\./],
      ['10.0.1.0/24', /^10\.0\.1\./],
      ['10.0.0.0/8', /^10\./],
      ['2001:db8:1::/48', /^2001:db8:1:/],
    ] as const);
    return { text: `address in ${network}`, fits: (m) => m.addresses.some((a) => start.test(a)) };
  },
  () => {
    const { addresses, macs } = one(machines);
    const address = addresses[0] ?? '192.0.2.1';
    const mac = macs[0] ?? '02:00:00:00:00:01';
    return below(2) === 0
      ? { text: `address = ${address}`, fits: (m) => m.addresses.includes(address) }
      : { text: `mac = "${mac.replaceAll(':', '-').toLowerCase()}"`, fits: (m) => m.macs.includes(mac) };
  },
];

function filter(depth: number): Filter {
  const kind = depth === 0 ? 9 : below(10);
  if (kind < 6) {
    const inner = Array.from({ length: 2 + below(2) }, () => filter(depth - 1));
    const joint = kind < 3 ? 'and' : 'or';
    const fits = (m: Machine) => (joint === 'and' ? inner.every((f) => f.fits(m)) : inner.some((f) => f.fits(m)));
    return { text: `(${inner.map(({ text }) => text).join(` ${joint} `)})`, fits };
  }
  if (kind === 6) {
    const inner = filter(depth - 1);
    return { text: `not ${inner.text}`, fits: (m) => !inner.fits(m) };
  }
  return one(TESTS)();
}

/** through reads all pages of a list. */
async function through(record: ResourceRecord, text: string, limit: number): Promise<string[]> {
  const names: string[] = [];
  for (let cursor: string | undefined, page = 0; page < 1000; page++) {
    const { items, next } = await record.list({ filter: text, limit, cursor });
    names.push(...items.map(({ name, domain }) => `${name}.${domain}`));
    if (next === undefined) return names;
    cursor = next;
  }
  throw new Error(`${text} has no end`);
}

test('the list of any filter is what a plain look at each machine gives, in the order of names, whichever way is taken', async () => {
  assert.ok(machines.length > 120, String(machines.length));
  const rounds = Math.min(Number(process.env['PUSHPOINT_FUZZ'] ?? 160), 20_000);
  let some = 0;
  for (let i = 0; i < rounds; i++) {
    const { text, fits } = filter(i % 4);
    const expected = machines.filter(fits).map(({ name, domain }) => `${name}.${domain}`);
    if (expected.length > 0 && expected.length < machines.length) some++;
    const at = i % records.length;
    const found = await through(records[at]!, text, one([7, 40, 1000]));
    assert.deepEqual(found, expected, `${text} (bounds ${at})`);
  }
  assert.ok(some > rounds / 3, `only ${some} of ${rounds} filters divide the machines`);
});

test('two systems that have one key by chance are told apart', async () => {
  const [twin, other] = machines.filter(({ name }) => name.startsWith('TWIN'));
  const keys = await base.db.query('select distinct system_key from resource where id = any($1)', [[twin!.id, other!.id]]);
  assert.notEqual(twin!.os, other!.os);
  assert.equal(keys.length, 1);
  for (const record of records) {
    assert.deepEqual(await through(record, `os = "${twin!.os}"`, 10), [`${twin!.name}.CORP`]);
    assert.deepEqual(await through(record, `os like "System *" and not os = "${twin!.os}"`, 10), [`${other!.name}.CORP`]);
  }
});

test('systems and places that no machine has are forgotten, and those that come back are found again', async () => {
  const count = async () => (await base.db.query<{ n: number }>('select count(*) as n from resource_system'))[0]!.n;
  const resource = records[1]!;
  const { id } = machines[0]!;
  for (const os of ['Gone 1', 'Gone 2', 'Gone 3']) await resource.observe(id, { os });
  // Two that were noted at the same time.
  await base.db.query(
    "insert into resource_system (os, type, trusted) select os, type, trusted from resource_system where os = 'Gone 3'",
  );
  const before = await count();
  await resource.removeAged(new Date(0), 10);
  assert.ok((await count()) <= before - 3, `${await count()} of ${before} are left`);
  for (const record of records) {
    assert.equal((await record.list({ filter: 'os = "Gone 3"' })).items.length, 1);
    assert.equal((await record.list({ filter: 'os like "Gone*"' })).items.length, 1);
    assert.equal((await record.list({ filter: 'os = "Gone 1"' })).items.length, 0);
  }
  await resource.observe(id, { os: 'Gone 1' });
  for (const record of records) assert.equal((await record.list({ filter: 'os = "Gone 1"' })).items.length, 1);
});
