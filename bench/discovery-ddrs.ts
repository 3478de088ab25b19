/**
 * Measures DDM: `node bench/discovery-ddrs.ts [DDRs] [resources]` (default 100,000 and 1,000,000; 0 resources leaves the large part out). It
 * starts a PostgreSQL of its own in a temporary folder and takes in a CSV file of machines among 5,000 boundaries, from the octets of the
 * file to rows that are stored, assigned and handed on; then the same file, and the same with one of a hundred machines changed. After that
 * it lists, filters and counts, and does so again among many more machines. It prints DDRs a second and milliseconds. Handing on to another
 * site is the line's own table (outbox), as a site with a parent has it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { BoundaryRecord, migrations as boundary } from '#records/boundary';
import { CcrRecord, migrations as ccr } from '#records/ccr';
import { forwardDdrs } from '#components/flows';
import { migrations as client } from '#records/client';
import { CollectionRecord, migrations as collection } from '#records/collection';
import { DiscoveryRecord, migrations as discovery } from '#records/discovery';
import { migrations as link, LinkRecord } from '#records/link';
import { migrations as resource, parseDevices, ResourceRecord } from '#records/resource';
import { migrations as site, SiteRecord } from '#records/site';
import { migrate, openDatabase, type Database } from '#store/database';
import { processorTime } from './figures.ts';

const COUNT = Number(process.argv[2] ?? 100_000);
const MANY = Number(process.argv[3] ?? 1_000_000);
const BOUNDARIES = 5000;
const ROUNDS = 9;
const clock = systemClock;
const say = (line: string) => process.stdout.write(`${line}\n`);
const megabytes = () => (process.memoryUsage().rss / 1_048_576).toFixed(0);

/** csv is a file of machines; every hundredth of them has another operating system in a later version of the file. */
function csv(from: number, count: number, version: number): Uint8Array {
  const lines = ['name,domain,fqdn,ip,os,type,mac'];
  for (let i = from; i < from + count; i++) {
    const name = `PC${String(i).padStart(7, '0')}`;
    const ip = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
    const mac = (0x02_00_00_00_00_00 + i).toString(16).padStart(12, '0');
    const os = version > 1 && i % 100 === 7 ? `Windows 11 Enterprise ${version}` : 'Windows 11 Enterprise';
    lines.push(`${name},CORP,${name.toLowerCase()}.corp.example,${ip},${os},${i % 20 === 0 ? 'server' : 'workstation'},${mac}`);
  }
  return new TextEncoder().encode(`${lines.join('\r\n')}\r\n`);
}

const cpu = () => processorTime(folder);

interface Bench {
  db: Database;
  resource: ResourceRecord;
  discovery: DiscoveryRecord;
  ccr: CcrRecord;
  collection: CollectionRecord;
  handed: number;
}

async function importFile(bench: Bench, what: string, file: Uint8Array, count: number): Promise<number> {
  const begun = clock.monotonic();
  const worked = cpu();
  bench.handed = 0;
  const { rows } = parseDevices(file, 'csv');
  const parsed = clock.monotonic() - begun;
  const done = await bench.discovery.take(rows, { source: 'import', site: 'P01' });
  const ms = clock.monotonic() - begun;
  say(
    `${what}: ${(ms / 1000).toFixed(2)} s, ${Math.round((count / ms) * 1000).toLocaleString('en')} DDRs/s (reading the file ${parsed.toFixed(0)} ms), ${(cpu() - worked).toFixed(1)} s of processor time; ` +
      `${done.added} added, ${done.changed} changed, ${done.unchanged} unchanged, ${done.assigned} assigned, ${bench.handed} handed on; rss ${megabytes()} MB`,
  );
  return ms;
}

/** sent empties the outbox, as a line that is up does. */
async function sent({ db }: Bench): Promise<void> {
  const [row] = await db.query<{ n: number }>('select count(*) as n from link_out');
  say(`  ${row!.n.toLocaleString('en')} items for other sites`);
  await db.query('truncate link_out');
}

/** judged brings the collections up to date, as the upkeep of a site does beside the import. */
async function judged({ collection }: Bench): Promise<void> {
  const begun = clock.monotonic();
  const worked = cpu();
  let machines = 0;
  for (let more = true; more;) {
    const part = await collection.catchUp();
    machines += part.machines;
    more = part.more;
  }
  await collection.evaluateDue();
  const ms = clock.monotonic() - begun;
  say(
    `  collections: ${machines.toLocaleString('en')} machines judged for all four in ${(ms / 1000).toFixed(2)} s, ${(cpu() - worked).toFixed(1)} s of processor time`,
  );
}

/** What each read took among fewer machines. */
const before = new Map<string, number>();

async function timed(what: string, work: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const begun = clock.monotonic();
    await work();
    times.push(clock.monotonic() - begun);
  }
  times.sort((a, b) => a - b);
  const median = times[ROUNDS >> 1]!;
  const was = before.get(what);
  before.set(what, median);
  const ratio = was === undefined ? '' : `; ${(median / was).toFixed(1)} times as long as among fewer`;
  say(`  ${what}: ${median.toFixed(1)} ms (slowest ${times.at(-1)!.toFixed(1)})${ratio}`);
}

async function reads({ db, resource, ccr: record }: Bench): Promise<void> {
  await db.query('analyze');
  say(`${(await resource.count()).toLocaleString('en')} resources:`);
  await timed('device list, first page', () => resource.list({ limit: 100 }));
  await timed('device list --filter of a name', () => resource.list({ filter: 'PC0000777', limit: 100 }));
  await timed('device list --filter of an address', () => resource.list({ filter: '10.0.3.9', limit: 100 }));
  await timed('device list of a site, 1000 a page', () => resource.list({ site: 'S07', limit: 1000 }));
  await timed('device list --filter of system and type', () =>
    resource.list({ filter: 'os like "*Enterprise 2" and type = server', limit: 100 }),
  );
  await timed('CCRs counted by state', () => record.countByState());
}

/** fill makes site P01 with a parent and ten secondaries, whose lines are up; they hold a tenth of the boundaries. */
async function fill({ db }: Bench, record: BoundaryRecord, sites: SiteRecord): Promise<void> {
  await sites.create({ code: 'P01', kind: 'primary', parent: 'C01' });
  await sites.learn({ code: 'C01', kind: 'primary' });
  const below = Array.from({ length: 10 }, (_, i) => `S0${i}`);
  for (const code of below) await sites.learn({ code, kind: 'secondary', parent: 'P01' });
  await db.query(
    `insert into link (site, role, state, public_key, seal_key, joined_at, out_stream)
     select s, case s when 'C01' then 'parent' else 'child' end, 'joined', s, s, $2, 1 from unnest($1::text[]) as s`,
    [['C01', ...below], clock.now()],
  );
  const all = Array.from({ length: BOUNDARIES }, (_, i) => i);
  for (const [code, list] of Map.groupBy(all, (i) => (i % 10 === 3 ? below[((i / 10) % 10) | 0]! : 'P01')))
    await record.add(
      list.map((i) => `subnet:10.${i >> 8}.${i & 255}.0/24`),
      { site: code, by: 'bench' },
    );
  await db.query('analyze');
}

async function measure(bench: Bench): Promise<void> {
  const first = await importFile(bench, `${COUNT.toLocaleString('en')} new DDRs`, csv(0, COUNT, 1), COUNT);
  await sent(bench);
  await judged(bench);
  await importFile(bench, 'the same file again', csv(0, COUNT, 1), COUNT);
  await sent(bench);
  const again = await importFile(bench, 'with 1 % changed', csv(0, COUNT, 2), COUNT);
  say(`  that is ${(again / first).toFixed(2)} of the first time`);
  await judged(bench);
  await reads(bench);
  if (MANY <= COUNT) return;
  const begun = clock.monotonic();
  for (let at = COUNT; at < MANY; at += 100_000) {
    const count = Math.min(100_000, MANY - at);
    await importFile(bench, `${at.toLocaleString('en')} to ${(at + count).toLocaleString('en')}`, csv(at, count, 1), count);
    await judged(bench);
  }
  say(
    `${Math.round(((MANY - COUNT) / (clock.monotonic() - begun)) * 1000).toLocaleString('en')} DDRs/s over all of these, with their collections`,
  );
  await reads(bench);
}

const folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-bench-'));
const db = await openDatabase({ dataDir: folder, clock, log: silentLog });
try {
  await migrate(db, [site, boundary, resource, client, ccr, discovery, link, collection], clock);
  const sites = new SiteRecord(db, clock, systemRandom);
  const boundaries = new BoundaryRecord(db, clock);
  const resources = new ResourceRecord(db, clock);
  const queue = new CcrRecord(db, clock);
  const parts = { site: sites, boundary: boundaries, resource: resources, ccr: queue };
  const bench: Bench = {
    db,
    resource: resources,
    ccr: queue,
    collection: new CollectionRecord(db, clock),
    discovery: undefined!,
    handed: 0,
  };
  const forward = forwardDdrs({ ...parts, link: new LinkRecord(db, clock, systemRandom) });
  bench.discovery = new DiscoveryRecord(db, clock, parts, async (tx, ids, stored) => {
    bench.handed += ids.length;
    await forward(tx, ids, stored);
  });
  await fill(bench, boundaries, sites);
  await measure(bench);
} finally {
  await db.close();
  await rm(folder, { recursive: true, force: true });
}
