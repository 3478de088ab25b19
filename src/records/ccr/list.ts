import { raise } from '#base/errors';
import { nameKey } from '#records/resource';
import type { Sql } from '#store/database';
import type { Step, StepOutcome } from './attempt.ts';
import { ccrOf, isLive, type Ccr, type CcrRow, type CcrState } from './ccr.ts';

/** The most that one page holds. */
const PAGE = 1000;

/** CcrQuery narrows a list of CCRs; `filter` is a part of the name. */
export interface CcrQuery {
  state?: CcrState | readonly CcrState[] | undefined;
  site?: string | undefined;
  filter?: string | undefined;
  wave?: number | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
}

/** CcrPage is a page of CCRs, newest first; `next` is the cursor of the page after it. */
export interface CcrPage {
  items: Ccr[];
  next?: string;
}

/** AttemptShown is one attempt as people see it. */
export interface AttemptShown {
  number: number;
  startedAt: Date;
  endedAt: Date | undefined;
  outcome: string | undefined;
  errorCode: number | undefined;
  error: string | undefined;
  errorText: string | undefined;
  account: string | undefined;
  dialect: string | undefined;
  signing: string | undefined;
  encryption: string | undefined;
  steps: Step[];
}

/** CcrShown is a CCR with its timeline: the steps of its last attempt, and the attempts before it, newest first. */
export interface CcrShown extends Ccr {
  steps: Step[];
  history: AttemptShown[];
}

function limitOf(limit: number | undefined): number {
  return Math.min(Math.max(Math.trunc(limit ?? 100), 1), PAGE);
}

/** A part of a name that so many names have is found sooner by looking through the CCRs themselves. */
const FEW_NAMES = 2000;

/** named gives the names that have this part, or undefined when there are too many to go by. */
async function named(sql: Sql, part: string): Promise<string[] | undefined> {
  const rows = await sql.query<{ name_key: string }>('select name_key from ccr_name where name_key like $1 limit $2', [
    `%${part.replace(/[\\%_]/g, '\\$&')}%`,
    FEW_NAMES + 1,
  ]);
  return rows.length > FEW_NAMES ? undefined : rows.map((r) => r.name_key);
}

/** list gives one page, from the newest CCR to the oldest. Each state is read by itself, because only that lets an index give the order. */
export async function list(sql: Sql, query: CcrQuery): Promise<CcrPage> {
  const limit = limitOf(query.limit);
  const values: unknown[] = [limit + 1];
  const where: string[] = ['true'];
  const add = (text: (place: string) => string, value: unknown) => where.push(text(`$${values.push(value)}`));
  if (query.site !== undefined) add((p) => `site = ${p}`, query.site);
  if (query.wave !== undefined) add((p) => `wave = ${p} and wave <> 0`, query.wave);
  if (query.filter) {
    const part = nameKey(query.filter);
    const names = await named(sql, part);
    if (names) add((p) => `name_key = any(${p})`, names);
    else add((p) => `strpos(name_key, ${p}) > 0`, part);
  }
  if (query.cursor !== undefined) {
    if (!/^\d{1,9}$/.test(query.cursor)) throw raise('PP_REQUEST_CURSOR');
    add((p) => `id < ${p}`, Number(query.cursor));
  }
  const select = (more: string) => `(select * from ccr where ${where.join(' and ')} ${more} order by id desc limit $1)`;
  const states = query.state === undefined ? [] : typeof query.state === 'string' ? [query.state] : [...new Set(query.state)];
  const parts = states.map((state) =>
    select(`and state = $${values.push(state)} and finished_at is ${isLive(state) ? 'null' : 'not null'}`),
  );
  if (query.state === undefined) parts.push(select(''));
  else if (parts.length === 0) return { items: [] };
  const rows = await sql.query<CcrRow>(`select * from (${parts.join(' union all ')}) page order by id desc limit $1`, values);
  const items = rows.slice(0, limit).map(ccrOf);
  return rows.length > limit ? { items, next: String(items.at(-1)!.id) } : { items };
}

/** live walks through all live CCRs, oldest first, a page at a time. */
export async function* live(sql: Sql): AsyncGenerator<Ccr> {
  let after = 0;
  for (;;) {
    const rows = await sql.query<CcrRow>('select * from ccr where finished_at is null and id > $1 order by id limit $2', [
      after,
      PAGE,
    ]);
    for (const row of rows) yield ccrOf(row);
    if (rows.length < PAGE) return;
    after = rows.at(-1)!.id;
  }
}

/** Changed is what was written since a cursor, and the cursor to go on with. */
export interface Changed {
  items: Ccr[];
  cursor: string;
}

/**
 * changedSince gives the CCRs written since the cursor, each in its present state; without a cursor it gives none, and the cursor of now.
 * The cursor is a transaction number: rows of transactions that could still have an older one running beside them wait for the next
 * call, so that none is ever missed.
 */
export async function changedSince(sql: Sql, cursor: string | undefined, limit?: number): Promise<Changed> {
  if (cursor === undefined) {
    const [row] = await sql.query<{ xmin: string }>('select pg_snapshot_xmin(pg_current_snapshot())::text as xmin');
    return { items: [], cursor: `${row!.xmin}.0` };
  }
  const parts = /^(\d{1,20})\.(\d{1,10})$/.exec(cursor);
  if (!parts) throw raise('PP_REQUEST_CURSOR');
  const rows = await sql.exec<CcrRow & { changed: string }>(
    {
      name: 'ccr_changed',
      text: `select * from ccr where (changed, id) > ($1::text::xid8, $2::integer)
        and changed < pg_snapshot_xmin(pg_current_snapshot()) order by changed, id limit $3`,
    },
    [parts[1], Number(parts[2]), limitOf(limit)],
  );
  const last = rows.at(-1);
  return { items: rows.map(ccrOf), cursor: last ? `${last.changed}.${last.id}` : cursor };
}

interface AttemptRow {
  n: number;
  started_at: Date;
  ended_at: Date | null;
  outcome: string | null;
  error_code: number | null;
  error: string | null;
  error_text: string | null;
  account: string | null;
  dialect: string | null;
  signing: string | null;
  encryption: string | null;
}

interface StepRow {
  attempt: number;
  name: string;
  outcome: StepOutcome;
  started_at: Date;
  duration_ms: number;
  detail: string | null;
  code: string | null;
  win32: number | null;
}

function stepOf(row: StepRow): Step {
  return {
    name: row.name,
    outcome: row.outcome,
    startedAt: row.started_at,
    durationMs: row.duration_ms,
    detail: row.detail ?? undefined,
    code: row.code ?? undefined,
    win32: row.win32 ?? undefined,
  };
}

/** detail adds the last attempts, at most `attempts` of them, and their steps to a CCR. */
export async function detail(sql: Sql, ccr: Ccr, attempts: number): Promise<CcrShown> {
  const tried = await sql.query<AttemptRow>('select * from ccr_attempt where ccr_id = $1 order by n desc limit $2', [
    ccr.id,
    attempts,
  ]);
  const steps = await sql.query<StepRow>('select * from ccr_step where ccr_id = $1 and attempt >= $2 order by attempt, seq', [
    ccr.id,
    tried.at(-1)?.n ?? 0,
  ]);
  const history = tried.map((row) => ({
    number: row.n,
    startedAt: row.started_at,
    endedAt: row.ended_at ?? undefined,
    outcome: row.outcome ?? undefined,
    errorCode: row.error_code ?? undefined,
    error: row.error ?? undefined,
    errorText: row.error_text ?? undefined,
    account: row.account ?? undefined,
    dialect: row.dialect ?? undefined,
    signing: row.signing ?? undefined,
    encryption: row.encryption ?? undefined,
    steps: steps.filter((s) => s.attempt === row.n).map(stepOf),
  }));
  return { ...ccr, steps: history[0]?.steps ?? [], history };
}

/** Pruned counts what prune removed. */
export interface Pruned {
  attempts: number;
  ccrs: number;
}

/** prune removes old attempts of any CCR, and finished CCRs with what is left of them, at most `limit` of each in one call. */
export async function prune(sql: Sql, before: { attempts: Date; ccrs?: Date | undefined }, limit: number): Promise<Pruned> {
  const attempts = await sql.count(
    `with gone as (
       delete from ccr_attempt where ctid = any(array(
         select ctid from ccr_attempt where started_at < $1 and ended_at is not null limit $2)) returning ccr_id, n
     ), steps as (delete from ccr_step where ctid = any(array(
       select s.ctid from gone g, lateral (select ctid from ccr_step where ccr_id = g.ccr_id and attempt = g.n offset 0) s)))
     select from gone`,
    [before.attempts, limit],
  );
  if (!before.ccrs) return { attempts, ccrs: 0 };
  await sql.query('delete from ccr_worker where ended_at < $1', [before.ccrs]);
  const ccrs = await sql.count(
    `with gone as (
       delete from ccr where id = any(array(select id from ccr where finished_at < $1 order by finished_at limit $2)) returning id, state
     ), tally as (
       insert into ccr_tally (state, shard, n) select state, pg_backend_pid() % 16, -count(*) from gone group by state order by state
       on conflict (state, shard) do update set n = ccr_tally.n + excluded.n
     ), tried as (delete from ccr_attempt where ctid = any(array(
       select a.ctid from gone g, lateral (select ctid from ccr_attempt where ccr_id = g.id offset 0) a))
     ), steps as (delete from ccr_step where ctid = any(array(
       select s.ctid from gone g, lateral (select ctid from ccr_step where ccr_id = g.id offset 0) s)))
     select from gone`,
    [before.ccrs, limit],
  );
  return { attempts, ccrs };
}
