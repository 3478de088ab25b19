/**
 * Measures discovery: `node bench/discovery.ts [DDRs] [resources]` (default 100,000 and 1,000,000; 0 resources leaves the large part out). It
 * starts a PostgreSQL of its own in a temporary folder and takes in a CSV file of machines among 5,000 boundaries, from the octets of the
 * file to rows that are stored, assigned and handed on; then the same file, and the same with one of a hundred machines changed. After that
 * it lists, filters and counts, and does so again among many more machines. It prints DDRs a second and milliseconds.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { BoundaryRecord, migrations as boundary } from '#records/boundary';
import { CcrRecord, migrations as ccr } from '#records/ccr';
import { migrations as client } from '#records/client';
import { DiscoveryRecord, migrations as discovery } from '#records/discovery';
import { migrations as resource, parseDevices, ResourceRecord } from '#records/resource';
import { migrations as site, SiteRecord } from '#records/site';
import { migrate, openDatabase, type Database } from '#store/database';

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

interface Bench {
  db: Database;
  resource: ResourceRecord;
  discovery: DiscoveryRecord;
  handed: number;
}

async function importFile(bench: Bench, what: string, file: Uint8Array, count: number): Promise<number> {
  const begun = clock.monotonic();
  bench.handed = 0;
  const { rows } = parseDevices(file, 'csv');
  const parsed = clock.monotonic() - begun;
  const done = await bench.discovery.take(rows, { source: 'import', site: 'P01' });
  const ms = clock.monotonic() - begun;
  say(
    `${what}: ${(ms / 1000).toFixed(2)} s, ${Math.round((count / ms) * 1000).toLocaleString('en')} DDRs/s (reading the file ${parsed.toFixed(0)} ms); ` +
      `${done.added} added, ${done.changed} changed, ${done.unchanged} unchanged, ${done.assigned} assigned, ${bench.handed} handed on; rss ${megabytes()} MB`,
  );
  return ms;
}

async function timed(what: string, work: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const begun = clock.monotonic();
    await work();
    times.push(clock.monotonic() - begun);
  }
  times.sort((a, b) => a - b);
  say(`  ${what}: ${times[ROUNDS >> 1]!.toFixed(1)} ms (slowest ${times.at(-1)!.toFixed(1)})`);
}

async function reads({ db, resource }: Bench): Promise<void> {
  await db.query('analyze');
  say(`${(await resource.count()).toLocaleString('en')} resources:`);
  await timed('device list, first page', () => resource.list({ limit: 100 }));
  await timed('device list --filter of a name', () => resource.list({ filter: 'PC0000777', limit: 100 }));
  await timed('device list --filter of an address', () => resource.list({ filter: '10.0.3.9', limit: 100 }));
  await timed('device list of a site, 1000 a page', () => resource.list({ site: 'S17', limit: 1000 }));
  await timed('count', () => resource.count());
}

async function fill({ db }: Bench, resource: BoundaryRecord, record: SiteRecord): Promise<void> {
  await record.create({ code: 'P01', kind: 'primary' });
  const sites = Array.from({ length: 50 }, (_, i) => `S${String(i).padStart(2, '0')}`);
  for (const code of sites) await record.learn({ code, kind: 'secondary', parent: 'P01' });
  const byCode = Map.groupBy(
    Array.from({ length: BOUNDARIES }, (_, i) => i),
    (i) => sites[i % sites.length]!,
  );
  for (const [code, list] of byCode)
    await resource.add(
      list.map((i) => `subnet:10.${i >> 8}.${i & 255}.0/24`),
      { site: code, by: 'bench' },
    );
  await db.query('analyze');
}

async function measure(bench: Bench): Promise<void> {
  const first = await importFile(bench, `${COUNT.toLocaleString('en')} new DDRs`, csv(0, COUNT, 1), COUNT);
  await importFile(bench, 'the same file again', csv(0, COUNT, 1), COUNT);
  const again = await importFile(bench, 'with 1 % changed', csv(0, COUNT, 2), COUNT);
  say(`  that is ${(again / first).toFixed(2)} of the first time`);
  await reads(bench);
  if (MANY <= COUNT) return;
  const begun = clock.monotonic();
  for (let at = COUNT; at < MANY; at += 100_000) {
    const count = Math.min(100_000, MANY - at);
    await importFile(bench, `${at.toLocaleString('en')} to ${(at + count).toLocaleString('en')}`, csv(at, count, 1), count);
  }
  say(`${Math.round(((MANY - COUNT) / (clock.monotonic() - begun)) * 1000).toLocaleString('en')} DDRs/s over all of these`);
  await reads(bench);
}

const folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-bench-'));
const db = await openDatabase({ dataDir: folder, clock, log: silentLog });
try {
  await migrate(db, [site, boundary, resource, client, ccr, discovery], clock);
  const sites = new SiteRecord(db, clock, systemRandom);
  const boundaries = new BoundaryRecord(db, clock);
  const resources = new ResourceRecord(db, clock);
  const parts = { site: sites, boundary: boundaries, resource: resources, ccr: new CcrRecord(db, clock) };
  const bench: Bench = { db, resource: resources, discovery: undefined!, handed: 0 };
  bench.discovery = new DiscoveryRecord(db, clock, parts, async (_tx, ids) => void (bench.handed += ids.length));
  await fill(bench, boundaries, sites);
  await measure(bench);
} finally {
  await db.close();
  await rm(folder, { recursive: true, force: true });
}
