import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Database, Sql } from './sql.ts';

/** Migrations says where the .sql files of a record lie. */
export interface Migrations {
  record: string;
  folder: URL;
}

interface Step {
  /** id is `record/NNNN-name.sql`. */
  id: string;
  record: string;
  name: string;
  text: string;
  checksum: string;
  after: string[];
}

/** The number of the advisory lock under which one process migrates; 'push' in ASCII. */
const LOCK = 0x70757368;
const FILE = /^\d{4}-[a-z0-9-]+\.sql$/;
/** A file may name others it needs to be applied before it: `-- after: resource/0001-tables.sql`. */
const AFTER = /^--\s*after:\s*(\S+)\s*$/gm;

async function read({ record, folder }: Migrations): Promise<Step[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const steps: Step[] = [];
  for (const name of names) {
    if (!FILE.test(name)) throw new Error(`migration ${record}/${name} is not named NNNN-name.sql`);
    // Line ends are left out of the checksum: a checkout on another system may change them.
    const text = (await readFile(new URL(name, `${folder.href.replace(/\/$/, '')}/`), 'utf8')).replaceAll('\r\n', '\n');
    const previous = steps.at(-1);
    const after = [...text.matchAll(AFTER)].map((match) => match[1]!);
    if (previous) after.unshift(previous.id);
    const checksum = createHash('sha256').update(text).digest('hex');
    steps.push({ id: `${record}/${name}`, record, name, text, checksum, after });
  }
  return steps;
}

/** ordered puts the steps in an order that does not depend on the order of the records: by number, then name, each after what it needs. */
function ordered(steps: Step[]): Step[] {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const done = new Set<Step>();
  const open = new Set<Step>();
  const place = (step: Step): void => {
    if (done.has(step)) return;
    if (open.has(step)) throw new Error(`migration ${step.id} needs itself`);
    open.add(step);
    for (const id of step.after) {
      const needed = byId.get(id);
      if (!needed) throw new Error(`migration ${step.id} needs ${id}, which is not there`);
      place(needed);
    }
    done.add(step);
  };
  for (const step of steps.toSorted((a, b) => (a.name + a.record < b.name + b.record ? -1 : 1))) place(step);
  return [...done];
}

/** check refuses a database that was migrated by a newer program or from files that were changed since. */
async function check(tx: Sql, steps: Step[]): Promise<Set<string>> {
  const applied = await tx.query<{ id: string; checksum: string }>("select record || '/' || name as id, checksum from migration");
  const byId = new Map(steps.map((step) => [step.id, step]));
  for (const { id, checksum } of applied) {
    const step = byId.get(id);
    if (!step) throw raise('PP_STORE_NEWER', { migration: id });
    if (step.checksum !== checksum) throw raise('PP_STORE_MIGRATION_CHANGED', { migration: id });
  }
  return new Set(applied.map(({ id }) => id));
}

async function apply(tx: Sql, step: Step, clock: Clock): Promise<void> {
  try {
    await tx.query(step.text);
  } catch (error) {
    throw raise(
      'PP_STORE_MIGRATION_FAILED',
      { migration: step.id, why: error instanceof Error ? error.message : String(error) },
      { cause: error },
    );
  }
  await tx.query('insert into migration (record, name, checksum, applied_at) values ($1, $2, $3, $4)', [
    step.record,
    step.name,
    step.checksum,
    clock.now(),
  ]);
}

async function allSteps(records: Migrations[]): Promise<Step[]> {
  return ordered((await Promise.all(records.map(read))).flat());
}

/** migrationSteps gives id and checksum of each migration in the order in which they are applied. */
export async function migrationSteps(records: Migrations[]): Promise<{ id: string; checksum: string }[]> {
  return await allSteps(records);
}

/**
 * migrate brings the database to what this program needs and gives the ids of the migrations it applied. All of them are applied in one
 * transaction under one lock: of several processes exactly one applies, and a failure leaves the database as it was. Pass the
 * migrations of all records, because one that is applied and not passed means a newer program has been here.
 */
export async function migrate(db: Database, records: Migrations[], clock: Clock): Promise<string[]> {
  const steps = await allSteps(records);
  const work = async (tx: Sql) => {
    await tx.query('set local statement_timeout = 0');
    return await applyMissing(tx, steps, steps, clock);
  };
  return await db.transaction(work, { unlimited: true });
}

async function applyMissing(tx: Sql, known: Step[], wanted: Step[], clock: Clock): Promise<string[]> {
  await tx.query('select pg_advisory_xact_lock($1)', [LOCK]);
  await tx.query(`create table if not exists migration (
    record text not null, name text not null, checksum text not null, applied_at timestamptz not null, primary key (record, name))`);
  const applied = await check(tx, known);
  const missing = wanted.filter((step) => !applied.has(step.id));
  for (const step of missing) await apply(tx, step, clock);
  return missing.map((step) => step.id);
}

/** migrateTo makes the tables as they were when exactly these migrations had been applied; one that is not known here is refused. */
export async function migrateTo(
  tx: Sql,
  records: Migrations[],
  applied: readonly { id: string; checksum: string }[],
  clock: Clock,
): Promise<void> {
  const steps = await allSteps(records);
  for (const { id, checksum } of applied) {
    const step = steps.find((one) => one.id === id);
    if (!step) throw raise('PP_STORE_NEWER', { migration: id });
    if (step.checksum !== checksum) throw raise('PP_STORE_MIGRATION_CHANGED', { migration: id });
  }
  const ids = new Set(applied.map(({ id }) => id));
  await applyMissing(
    tx,
    steps,
    steps.filter(({ id }) => ids.has(id)),
    clock,
  );
}
