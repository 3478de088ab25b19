/**
 * Measures filters, collections and counts: `node bench/collections.ts [machines] [folder]` (default 1,000,000), each at a tenth of them first. It
 * starts a PostgreSQL of its own in a temporary folder, fills in machines, half of them with clients, and CCRs, and prints milliseconds: the
 * fastest and the median of many rounds, and the processor time of one, of program and database together, which other work changes less. With a folder the machines stay there, and are used again the next time. `npm run bench:discovery`
 * runs it too.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
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
import { median, processorTime } from './figures.ts';

/** The clock of the system counts processor time in hundredths of a second, so it takes many rounds. */
const ROUNDS = 100;
/** What takes long is not measured more often than this allows, but twice. */
const LONGEST_MS = 2000;
const CHANGED = 500;
const clock = systemClock;
const say = (line: string) => process.stdout.write(`${line}\n`);

const FILTERS = [
  // One field: a key, a system, a type, a place; of many machines, of a few, of none.
  'name like "PC00004*"',
  'name like "*04242*"',
  'address in 10.0.7.0/24',
  'mac = "02:00:00:00:10:77"',
  'os like "Windows XP*"',
  'os like "*Ultimate"',
  'os like "*server*"',
  'os like "*Vista*"',
  'type = server',
  'type = dc',
  'domain = DMZ',
  'osVersion < 6.2',
  'os is null',
  'assignedSite = S07',
  // Both must hold.
  'os like "*Enterprise 2" and type = server',
  'os like "*Ultimate" and type = server',
  'os like "*Enterprise" and type = server',
  'os like "*2012*" and adSite = "S07-1"',
  'type = server and not os like "Windows*"',
  'address in 10.0.0.0/16 and type = server',
  'address in 172.20.0.0/16 and type = server',
  'address in 172.20.0.0/16 and os like "*2012*"',
  'os like "Windows 11*" and type = workstation and not client.installed',
  'type = dc and not client.installed',
  'os like "*XP*" and client.version like "1.*"',
  'os like "*server*" and name like "*7"',
  // One of them must hold.
  'os like "Windows XP*" or name in (PC0000007, PC0000077)',
  'os like "*Ultimate" or type = dc',
  '(os like "*Ultimate" or os like "*XP*") and type = workstation and domain = LAB',
  'client.installed and lastSeen < 30d',
  'client.blocked',
  'ccr = paused',
  'ccr = paused and type = server',
];

interface Parts {
  folder: string;
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
          `insert into resource (name, name_key, domain, domain_key, addresses, macs, os, os_version, type, assigned_site, ad_site, trusted,
             created_at, changed_at)
           select n, n, d, d, array['10.' || (i >> 16 & 255) || '.' || (i >> 8 & 255) || '.' || (i & 255)] ||
               case when i % 7 = 3 then array['172.' || 16 + (h >> 20) % 16 || '.' || (h >> 12 & 255) || '.' || (h >> 4 & 255)] else '{}' end,
             array['02:00:' || regexp_replace(lpad(to_hex(i), 8, '0'), '(..)(..)(..)(..)', '\\1:\\2:\\3:\\4')],
             case when i % 10000 = 13 then 'Windows Server 2019 Datacenter' when i % 50000 = 21 then null
               when i % 8000 = 99 and i < 96000 then 'Windows 7 Ultimate' when i % 1000 = 7 then 'Windows XP Professional'
               when i % 20 = 0 then 'Windows Server ' || (array['2012 R2', '2016', '2019', '2022'])[1 + h % 4] ||
                 (array[' Standard', ' Datacenter'])[1 + (h >> 4) % 2]
               else (array['Windows 11 Enterprise', 'Windows 11 Enterprise', 'Windows 11 Pro', 'Windows 10 Pro', 'macOS'])[1 + h % 5] end,
             case when i % 8000 = 99 and i < 96000 then '6.1.7601' when i % 1000 = 7 then '5.1.2600'
               when i % 20 = 0 then '10.0.' || 14393 + h % 4 * 1000 else '10.0.' || 22000 + (h >> 3) % 4 * 631 end,
             case when i % 10000 = 13 then 'dc' when i % 50000 = 21 then 'unknown' when i % 20 = 0 then 'server' else 'workstation' end,
             'S' || lpad(((h >> 12) % 20)::text, 2, '0'), 'S' || lpad(((h >> 12) % 20)::text, 2, '0') || '-' || (h >> 18) % 2, true, $3, $3
           from generate_series($1::integer, $2::integer) i,
             lateral (select 'PC' || lpad(i::text, 7, '0') as n, hashint4(i) & 16777215 as h,
               case when i % 2000 = 77 then 'DMZ' when i % 50 = 49 then 'LAB' else 'CORP' end as d) as named`,
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
           select 'R' || r.id, r.id, r.name, r.name_key, 
             case when r.id % 5000 = 0 then 'paused' else (array['queued', 'retry', 'waiting', 'verifying'])[1 + r.id % 4] end, 'push', 'bench', $3, $3,
             case when r.id % 5000 <> 0 then $3::timestamptz + interval '1 day' end
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

/** What each cost among a tenth of the machines, in milliseconds of processor time. */
const before = new Map<string, number>();

async function timed({ folder }: Parts, what: string, work: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  const until = clock.monotonic() + LONGEST_MS;
  await work();
  const worked = processorTime(folder);
  while (times.length < ROUNDS && (times.length < 2 || clock.monotonic() < until)) {
    const begun = clock.monotonic();
    await work();
    times.push(clock.monotonic() - begun);
  }
  const cost = ((processorTime(folder) - worked) * 1000) / times.length;
  const was = before.get(what);
  before.set(what, cost);
  const ratio = was === undefined ? '' : `; ${(cost / was).toFixed(1)} times as much as among a tenth`;
  say(
    `  ${what}: ${Math.min(...times).toFixed(1)} ms (median ${median(times).toFixed(1)}), ${cost.toFixed(1)} of processor time${ratio}`,
  );
}

async function evaluation(parts: Parts): Promise<void> {
  const { db, collection } = parts;
  for (const { name, members, come, ms } of await collection.evaluate(undefined))
    say(
      `  evaluation of ${name}, all machines: ${ms} ms (${members.toLocaleString('en')} members, ${come.toLocaleString('en')} new)`,
    );
  for (const { name, ms } of await collection.evaluate(undefined)) say(`  the same again of ${name}: ${ms} ms`);
  await timed(parts, `${CHANGED} changed machines, judged for every collection`, async () => {
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
  await timed(parts, 'device list, first page of 100', () => resource.list({ limit: 100 }));
  for (const filter of FILTERS)
    await timed(parts, `device list --filter '${filter}'`, () => resource.list({ filter, limit: 100 }));
  const page = await resource.list({ filter: 'type = server', limit: 100 });
  await timed(parts, "the second page of 'type = server'", () =>
    resource.list({ filter: 'type = server', limit: 100, cursor: page.next }),
  );
  await evaluation(parts);
  const first = clock.monotonic();
  await new CcrRecord(db, clock).countByState();
  say(`  counts by state, the first time: ${(clock.monotonic() - first).toFixed(1)} ms`);
  await timed(parts, 'counts by state', () => ccrs.countByState());
  await timed(parts, 'ccr list, first page', () => ccrs.list({ limit: 100 }));
  await timed(parts, 'ccr list --state retry', () => ccrs.list({ state: 'retry', limit: 100 }));
}

/** at measures among so many machines. */
async function at(count: number, kept: string | undefined): Promise<void> {
  const folder = kept === undefined ? await mkdtemp(path.join(tmpdir(), 'pushpoint-bench-')) : path.join(kept, String(count));
  await mkdir(folder, { recursive: true });
  const db = await openDatabase({ dataDir: folder, clock, log: silentLog, connections: 4 });
  try {
    await migrate(db, [resource, client, ccr, collection], clock);
    const parts = {
      folder,
      db,
      resource: new ResourceRecord(db, clock),
      collection: new CollectionRecord(db, clock),
      ccr: new CcrRecord(db, clock),
    };
    const [row] = await db.query<{ there: boolean }>('select exists (select from resource) as there');
    if (!row!.there) {
      const begun = clock.monotonic();
      await fill(parts, 0, count);
      say(`(filled in ${((clock.monotonic() - begun) / 1000).toFixed(0)} s)`);
    }
    await measure(parts, count);
  } finally {
    await db.close();
    if (kept === undefined) await rm(folder, { recursive: true, force: true });
  }
}

/** benchCollections measures at a tenth of the machines, and at all of them. */
async function benchCollections(machines: number, folder: string | undefined): Promise<void> {
  await at(machines / 10, folder);
  await at(machines, folder);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  await benchCollections(Number(process.argv[2] ?? 1_000_000), process.argv[3]);
