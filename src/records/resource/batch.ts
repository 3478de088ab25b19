import { hash } from 'node:crypto';
import type { Sql } from '#store/database';
import { Pool, type Known } from './identity.ts';
import { Merge, seesFromOutside, type Origin } from './merge.ts';
import { hasTrueTime, knownDevice, type KnownDevice, type RawDevice, type Rejected } from './row.ts';
import { confirm, poolOf, writeResources } from './table.ts';

/** ImportOptions say where rows come from. */
export interface ImportOptions {
  /** The method of discovery: 'import', 'ad', 'network', 'heartbeat', … */
  source: string;
  site: string;
  /** An administrator's import is trusted; other sources only when the caller says so. */
  trusted?: boolean | undefined;
  /** May the source say anything of a machine of this site, or of none? Without it, of every machine. */
  speaksFor?: ((assignedSite: string | undefined) => boolean) | undefined;
  /** assign gives the site of a machine that has none, where one is known. */
  assign?: ((machine: { addresses: readonly string[]; adSite: string | undefined }) => string | undefined) | undefined;
}

/** RowOutcome is what became of one row. */
export type RowOutcome =
  | { outcome: 'stored' | 'merged'; id: number; note?: string | undefined }
  /** `silent`: other sites heard of it within a day, and need not hear again that nothing has changed. */
  | { outcome: 'unchanged'; id: number; note?: string | undefined; silent: boolean }
  | { outcome: 'rejected'; reason: string };

/** Imported counts what an import did; `ids` are the resources of the rows taken, in their order, `outcomes` those of all rows. */
export interface Imported {
  added: number;
  changed: number;
  unchanged: number;
  assigned: number;
  rejected: Rejected[];
  ids: number[];
  outcomes: RowOutcome[];
}

/** One transaction merges so many rows. */
export const BATCH = 1000;
/** Merging looks first and writes then, so it is done by one at a time. */
const LOCK = 1128481394;
/** What is told so long after it was seen has to be compared with what the other sources said last. */
const LATE_MS = 60_000;

/** statementOf names what a source says of a machine, apart from when: the same again is nothing new. */
function statementOf(raw: RawDevice, o: Origin): string {
  const { line: _line, at: _at, ...said } = raw;
  return hash('sha256', JSON.stringify([o.method, o.site, o.trusted, said])).slice(0, 32);
}

/** lockMerging lets one at a time look at machines and write what became of them. */
export async function lockMerging(tx: Sql): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [LOCK]);
}

interface Row {
  index: number;
  device: KnownDevice;
  statement: string;
}

/** Other sites hear once in so long of what does not change; only the upkeep of old machines asks for it, and that counts in days. */
const HAND_ON_MS = 86_400_000;

interface Said {
  id: number;
  silent: boolean;
}

/** saidBefore finds the machines of which the source said just this last time, and notes that it said it again. */
async function saidBefore(tx: Sql, statements: readonly string[], now: Date): Promise<Map<string, Said>> {
  // As in poolOf, each one is looked up by the index.
  const rows = await tx.query<{ hash: string; resource_id: number; due: boolean }>(
    `update resource_source set at = greatest(at, $2), handed_at = case when handed_at > $3 then handed_at else $2 end
     where hash = any($1::uuid[]) and ctid = any(array(
       select s.place from unnest($1::uuid[]) as h, lateral (select ctid as place from resource_source where hash = h offset 0) as s))
     returning hash, resource_id, handed_at = $2 as due`,
    [statements, now, new Date(now.getTime() - HAND_ON_MS)],
  );
  return new Map(rows.map((row) => [row.hash.replaceAll('-', ''), { id: row.resource_id, silent: !row.due }]));
}

async function writeSources(
  tx: Sql,
  rows: readonly { known: Known; at: Date; statement: string }[],
  o: Origin,
  now: Date,
): Promise<void> {
  // Of several DDRs about one machine the last one is what the source says.
  const last = [...new Map(rows.map((row) => [row.known, row])).values()];
  await tx.query(
    `insert into resource_source (resource_id, method, site, at, hash, trusted, handed_at)
     select id, $4, $5, at, hash, $6, $7 from unnest($1::integer[], $2::timestamptz[], $3::uuid[]) as s(id, at, hash)
     on conflict (resource_id, method, site) do update
       set at = greatest(resource_source.at, excluded.at), hash = excluded.hash, trusted = excluded.trusted,
         handed_at = excluded.handed_at`,
    [last.map((r) => r.known.id), last.map((r) => r.at), last.map((r) => r.statement), o.method, o.site, o.trusted, now],
  );
}

/** What another source said before may now differ from what is known, so hearing it again is news; so is the old name of a machine. */
async function unsay(tx: Sql, changed: readonly Known[], o: Origin): Promise<void> {
  if (changed.length === 0) return;
  await tx.query(
    `update resource_source set hash = null where resource_id = any($1)
       and ((method, site) is distinct from ($3, $4) or resource_id = any($2))`,
    [changed.map((k) => k.id), changed.filter((k) => k.obsolete).map((k) => k.id), o.method, o.site],
  );
}

function assignTo(pool: Pool, assign: NonNullable<ImportOptions['assign']>): number {
  let assigned = 0;
  for (const known of pool.all) {
    if (!known.touched || !known.trusted || known.obsolete || known.assigned_site !== null) continue;
    const site = assign({ addresses: known.addresses, adSite: known.ad_site ?? undefined });
    if (site === undefined) continue;
    [known.assigned_site, known.dirty] = [site, true];
    assigned++;
  }
  return assigned;
}

/** mergeBatch merges rows in one transaction. */
async function mergeBatch(tx: Sql, batch: readonly RawDevice[], o: ImportOptions, now: Date): Promise<Imported> {
  const origin: Origin = { method: o.source, site: o.site, trusted: o.trusted ?? o.source === 'import', speaksFor: o.speaksFor };
  await lockMerging(tx);
  const statements = batch.map((raw) => statementOf(raw, origin));
  const before = await saidBefore(tx, statements, now);
  const outcomes: (RowOutcome | undefined)[] = batch.map(() => undefined);
  const news: Row[] = [];
  const read = (index: number) => {
    const device = knownDevice(batch[index]!, now, o.source === 'import');
    if ('reason' in device) outcomes[index] = { outcome: 'rejected', reason: device.reason };
    else news.push({ index, device, statement: statements[index]! });
  };
  batch.forEach((raw, i) => (before.has(statements[i]!) && hasTrueTime(raw.at, now)) || read(i));
  const pool =
    news.length === 0
      ? new Pool()
      : await poolOf(
          tx,
          news.map((r) => r.device),
          news.flatMap((r) => r.device.resourceId ?? []),
        );
  batch.forEach((_, i) => {
    const said = before.get(statements[i]!);
    if (!said || outcomes[i]) return;
    // Said before, but something else is said of the same machine in this very batch: then the order counts.
    if (pool.byId(said.id)) read(i);
    else outcomes[i] = { outcome: 'unchanged', ...said };
  });
  news.sort((a, b) => a.index - b.index);
  // What is seen from outside has to know how old the list of addresses is beside it.
  if (seesFromOutside(origin) || news.some((r) => now.getTime() - r.device.at.getTime() > LATE_MS)) await confirm(tx, pool);
  return finish(tx, { pool, news, outcomes, batch, origin, o, now });
}

interface Work {
  pool: Pool;
  news: readonly Row[];
  outcomes: (RowOutcome | undefined)[];
  batch: readonly RawDevice[];
  origin: Origin;
  o: ImportOptions;
  now: Date;
}

async function finish(tx: Sql, { pool, news, outcomes, batch, origin, o, now }: Work): Promise<Imported> {
  const merge = new Merge(pool, origin);
  const taken: { index: number; known: Known; at: Date; statement: string; note: string | undefined }[] = [];
  for (const { index, device, statement } of news) {
    const merged = merge.take(device);
    if ('reason' in merged) outcomes[index] = { outcome: 'rejected', reason: merged.reason };
    else taken.push({ index, known: merged.known, at: device.at, statement, note: merged.note });
  }
  const made = new Set(pool.all.filter((k) => k.id === 0));
  const changed = pool.all.filter((k) => k.id !== 0 && k.dirty);
  const assigned = o.assign && origin.trusted ? assignTo(pool, o.assign) : 0;
  await writeResources(tx, pool, now);
  if (taken.length > 0) await writeSources(tx, taken, origin, now);
  await unsay(tx, changed, origin);
  const touched = new Set(changed);
  for (const { index, known, note } of taken)
    outcomes[index] =
      made.has(known) || touched.has(known)
        ? { outcome: made.has(known) ? 'stored' : 'merged', id: known.id, note }
        : { outcome: 'unchanged', id: known.id, note, silent: false };
  return summary(batch, outcomes as RowOutcome[], {
    added: made.size,
    changed: changed.filter((k) => k.touched).length,
    assigned,
  });
}

function summary(
  batch: readonly RawDevice[],
  outcomes: RowOutcome[],
  counts: Pick<Imported, 'added' | 'changed' | 'assigned'>,
): Imported {
  const rejected: Rejected[] = [];
  const ids: number[] = [];
  outcomes.forEach((one, i) => {
    if (one.outcome === 'rejected') rejected.push({ line: batch[i]!.line ?? i + 1, reason: one.reason });
    else ids.push(one.id);
  });
  return { ...counts, unchanged: new Set(ids).size - counts.added - counts.changed, rejected, ids, outcomes };
}

/** Run runs one batch in a transaction. */
type Run = <T>(fn: (tx: Sql) => Promise<T>) => Promise<T>;

/** importRows checks rows and merges the good ones, a batch in a transaction. */
export async function importRows(
  run: Run,
  rows: readonly RawDevice[],
  o: ImportOptions,
  now: Date,
  tell: (ids: readonly number[], tx: Sql) => Promise<void>,
): Promise<Imported> {
  const total: Imported = { added: 0, changed: 0, unchanged: 0, assigned: 0, rejected: [], ids: [], outcomes: [] };
  for (let at = 0; at < rows.length; at += BATCH) {
    const batch = rows.slice(at, at + BATCH).map((row, i) => (row.line === undefined ? { ...row, line: at + i + 1 } : row));
    const done = await run(async (tx) => {
      const merged = await mergeBatch(tx, batch, o, now);
      await tell(merged.ids, tx);
      return merged;
    });
    for (const key of ['added', 'changed', 'unchanged', 'assigned'] as const) total[key] += done[key];
    total.rejected.push(...done.rejected);
    total.ids.push(...done.ids);
    total.outcomes.push(...done.outcomes);
  }
  return total;
}
