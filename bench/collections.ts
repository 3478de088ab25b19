/**
 * Measures filters, collections and counts: `node bench/collections.ts [machines]` (default 1,000,000), each at a tenth of them first. It
 * starts a PostgreSQL of its own in a temporary folder, fills in machines, half of them with clients, and CCRs, and prints milliseconds: the
 * median of several rounds and the slowest. `npm run bench:discovery` runs it too.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { CcrRecord, migrations as ccr } from '#records/ccr';
import { migrations as client } from '#records/client';
import { CollectionRecord, migrations as collection } from '#records/collection';
import { migrations as resource, ResourceRecord } from '#records/resource';
import { migrate, openDatabase, type Database } from '#store/database';

const ROUNDS = 7;
const CHANGED = 500;
const clock = systemClock;
const say = (line: string) => process.stdout.write(`${line}\n`);

const FILTERS = [
  'name like "PC00004*"',
  'address in 10.0.7.0/24',
  'address in 10.0.0.0/16 and type = server',
  'os like "Windows XP*"',
  'os like "Windows 11*" and type = workstation and not client.installed',
  'client.installed and lastSeen < 30d',
  'os like "Windows XP*" or name in (PC0000007, PC0000077)',
  'os like "*Vista*"',
];

interface Parts {
  db: Database;
  resource: ResourceRecord;
  collection: CollectionRecord;
  ccr: CcrRecord;
}

/** fill makes machines from..to, with one in a thousand on an old system, and clients on every second one. */
async function fill({ db }: Parts, from: number, to: number): Promise<void> {
  const step = 50_000;
  for (let at = from; at < to; at += step) {
    const range = [at, Math.min(at + step, to) - 1, clock.now()];
    await db.transaction(
      async (tx) => {
        await tx.query("select set_config('statement_timeout', '0', true)");
        await tx.query(
          `insert into resource (name, name_key, domain, domain_key, addresses, os, type, trusted, created_at, changed_at)
           select n, n, 'CORP', 'CORP', array['10.' || (i >> 16 & 255) || '.' || (i >> 8 & 255) || '.' || (i & 255)],
             case when i % 1000 = 7 then 'Windows XP Professional' when i % 20 = 0 then 'Windows Server 2022' else 'Windows 11 Enterprise' end,
             case when i % 20 = 0 then 'server' else 'workstation' end, true, $3, $3
           from generate_series($1::integer, $2::integer) i, lateral (select 'PC' || lpad(i::text, 7, '0') as n) as named`,
          range,
        );
        await tx.query(
          `insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, hardware_id, version, approval, registered_at,
             last_seen_at)
           select 'GUID:' || r.id, 'k', sha256(convert_to(r.id::text, 'UTF8')), gen_random_uuid(), r.id, r.name, r.name_key, r.id::text,
             '1.0', 'approved', $3::timestamptz, $3::timestamptz - (r.id % 60) * interval '1 day'
           from resource r where r.name_key between 'PC' || lpad($1::text, 7, '0') and 'PC' || lpad($2::text, 7, '0') and r.id % 2 = 0`,
          range,
        );
        await tx.query(
          `insert into ccr (machine_key, resource_id, name, name_key, state, source, requested_by, first_requested_at, last_requested_at, due_at)
           select 'R' || r.id, r.id, r.name, r.name_key, (array['queued', 'retry', 'waiting', 'verifying'])[1 + r.id % 4], 'push', 'bench', $3, $3,
             $3::timestamptz + interval '1 day'
           from resource r where r.name_key between 'PC' || lpad($1::text, 7, '0') and 'PC' || lpad($2::text, 7, '0')`,
          range,
        );
      },
      { unlimited: true },
    );
  }
  await db.transaction((tx) => tx.query("select set_config('statement_timeout', '0', true)").then(() => tx.query('analyze')), {
    unlimited: true,
  });
  // What a site that has lived with these machines has long done.
  await db.query('truncate collection_change');
}

/** What each took among a tenth of the machines. */
const before = new Map<string, number>();

async function timed(what: string, work: () => Promise<unknown>, rounds = ROUNDS): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const begun = clock.monotonic();
    await work();
    times.push(clock.monotonic() - begun);
  }
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1]!;
  const was = before.get(what);
  before.set(what, median);
  const ratio = was === undefined ? '' : `; ${(median / was).toFixed(1)} times as long as among a tenth`;
  say(`  ${what}: ${median.toFixed(1)} ms (slowest ${times.at(-1)!.toFixed(1)})${ratio}`);
  return median;
}

async function evaluation({ db, collection }: Parts): Promise<void> {
  for (const { name, members, come, ms } of await collection.evaluate(undefined))
    say(
      `  evaluation of ${name}, all machines: ${ms} ms (${members.toLocaleString('en')} members, ${come.toLocaleString('en')} new)`,
    );
  for (const { name, ms } of await collection.evaluate(undefined)) say(`  the same again of ${name}: ${ms} ms`);
  await timed(`${CHANGED} changed machines, judged for every collection`, async () => {
    await db.query(
      `update resource set os = case when os like '%11%' then 'Linux' else 'Windows 11' end where id in (
         select id from resource where id >= (select min(id) + (random() * (max(id) - min(id) - ${CHANGED * 2}))::integer from resource)
         order by id limit ${CHANGED})`,
    );
    const begun = clock.monotonic();
    const done = await collection.catchUp();
    judged.push(clock.monotonic() - begun);
    if (done.machines !== CHANGED) throw new Error(`${done.machines} machines were judged`);
  });
  judged.sort((a, b) => a - b);
  say(`    of that the judging: ${judged[judged.length >> 1]!.toFixed(1)} ms (slowest ${judged.at(-1)!.toFixed(1)})`);
  judged.length = 0;
}
const judged: number[] = [];

async function measure(parts: Parts, count: number): Promise<void> {
  const { resource, ccr: ccrs, db } = parts;
  say(`${count.toLocaleString('en')} machines, as many live CCRs, half as many clients:`);
  await timed('device list, first page of 100', () => resource.list({ limit: 100 }));
  for (const filter of FILTERS) await timed(`device list --filter '${filter}'`, () => resource.list({ filter, limit: 100 }));
  const page = await resource.list({ filter: 'type = server', limit: 100 });
  await timed("the second page of 'type = server'", () =>
    resource.list({ filter: 'type = server', limit: 100, cursor: page.next }),
  );
  await evaluation(parts);
  const first = clock.monotonic();
  await new CcrRecord(db, clock).countByState();
  say(`  counts by state, the first time: ${(clock.monotonic() - first).toFixed(1)} ms`);
  await timed('counts by state', () => ccrs.countByState(), 200);
  await timed('ccr list, first page', () => ccrs.list({ limit: 100 }));
  await timed('ccr list --state retry', () => ccrs.list({ state: 'retry', limit: 100 }));
}

/** benchCollections measures at a tenth of the machines, and at all of them. */
export async function benchCollections(machines: number): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-bench-'));
  const db = await openDatabase({ dataDir: folder, clock, log: silentLog, connections: 4 });
  try {
    await migrate(db, [resource, client, ccr, collection], clock);
    const parts = {
      db,
      resource: new ResourceRecord(db, clock),
      collection: new CollectionRecord(db, clock),
      ccr: new CcrRecord(db, clock),
    };
    await fill(parts, 0, machines / 10);
    await measure(parts, machines / 10);
    const begun = clock.monotonic();
    await fill(parts, machines / 10, machines);
    say(`(filled in ${((clock.monotonic() - begun) / 1000).toFixed(0)} s)`);
    await measure(parts, machines);
  } finally {
    await db.close();
    await rm(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  await benchCollections(Number(process.argv[2] ?? 1_000_000));
