import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { AuditRecord } from '#records/audit';
import { openDatabase, type Database } from '#store/database';
import type { HostSeen } from '#test/crash-lab';
import { eventually, type WholeSite } from '#test/whole-site';

/** Verdict is what became of one push with all its kills. */
export interface Verdict {
  /** One sentence for each thing that must not be; empty is what is wanted. */
  violations: string[];
  states: Record<string, number>;
  /** cut attempts are those that ended as `interrupted`; `most` of one CCR in all. */
  cut: number;
  most: number;
  /** waited is how many seconds after the last kill was over the last CCR had its end. */
  waited: number;
  stopMs: number;
  auditEntries: number;
}

interface Row extends Record<string, unknown> {
  id: number;
  name: string;
  state: string;
  attempts: number;
  worker_id: number | null;
  due_at: Date | null;
  last_error: string | null;
  last_error_code: number | null;
  last_error_text: string | null;
  interval_attempts: number;
  recorded: number;
  open: number;
  finished_at: Date | null;
}

interface Attempt extends Record<string, unknown> {
  name: string;
  n: number;
  last: boolean;
  outcome: string | null;
}

const CCRS = `select c.*, (select count(*) from ccr_attempt a where a.ccr_id = c.id)::integer as recorded,
  (select count(*) from ccr_attempt a where a.ccr_id = c.id and a.ended_at is null)::integer as open from ccr c order by id`;
const ATTEMPTS =
  'select c.name, a.n, a.n = c.attempts as last, a.outcome from ccr_attempt a join ccr c on c.id = a.ccr_id order by a.ccr_id, a.n';
const MINUTE_MS = 60_000;
/** Lease and pause: later than this nothing may be due that a crash has put back. */
const AGAIN_MS = 90_000;
const STOP_MS = 30_000;

/** Where the folder stands, in the words of the queue. */
async function retryBoxAgrees(site: WholeSite, bad: string[]): Promise<void> {
  const folder = join(site.data, 'inboxes', 'ccrretry.box');
  let why = '';
  await eventually(
    'ccrretry.box to agree with the database',
    async () => {
      const pages = ['retry', 'waiting', 'verifying'].map((state) =>
        site.get<{ items: { name: string }[] }>(`/ccrs?state=${state}&limit=1000`),
      );
      const wanted = (await Promise.all(pages)).flatMap(({ items }) => items.map(({ name }) => `${name}.ccr`)).sort();
      const there = existsSync(folder) ? readdirSync(folder).sort() : [];
      why = `ccrretry.box has ${there.join(' ') || 'nothing'}, the database ${wanted.join(' ') || 'nothing'}`;
      return JSON.stringify(there) === JSON.stringify(wanted);
    },
    10_000,
  ).catch((error: unknown) => bad.push(why || String(error)));
}

/** A healthy machine ends complete; another one as its trouble says; nothing else, nothing on its way, nothing an hour late because of us. */
function judgeCcr(ccr: Row, host: HostSeen, now: Date, bad: string[]): void {
  const { name, state } = ccr;
  const { expected } = host;
  const why = ccr.last_error ? `, ${ccr.last_error}: ${ccr.last_error_text}` : '';
  if (state !== expected.state) bad.push(`${name} is ${state} and not ${expected.state}${why}`);
  else if (expected.win32 !== undefined && ccr.last_error_code !== expected.win32)
    bad.push(`${name} has the reason ${ccr.last_error_code} and not ${expected.win32}${why}`);
  if (ccr.worker_id !== null) bad.push(`${name} is held by worker ${ccr.worker_id}`);
  if (ccr.open > 0) bad.push(`${name} has ${ccr.open} attempts that never ended`);
  if (ccr.recorded !== ccr.attempts) bad.push(`${name} counts ${ccr.attempts} attempts and has ${ccr.recorded} on record`);
  const late = ccr.due_at !== null && ccr.due_at.getTime() - now.getTime() > AGAIN_MS;
  if (late && expected.state === 'complete') bad.push(`${name} is due at ${ccr.due_at!.toISOString()} only`);
  if (ccr.due_at === null && ccr.finished_at === null && state !== 'paused') bad.push(`${name} is ${state} and never due`);
}

/** What the machine itself saw (docs/reliability.md, "installed twice"). */
function judgeHost(host: HostSeen, lockMs: number, bad: string[]): void {
  const { name, runs, locks } = host;
  const done = runs.findIndex((run) => run.installed && run.succeeded);
  if (done >= 0 && runs.slice(done + 1).some((run) => run.installed))
    bad.push(`${name} was installed twice: ${JSON.stringify(runs)}`);
  if (host.expected.state === 'complete') {
    if (done < 0) bad.push(`${name} was never installed to the end: ${JSON.stringify(runs)}`);
    if (host.agent !== 'running') bad.push(`the agent of ${name} is ${host.agent}`);
    if (host.setup !== undefined) bad.push(`the bootstrap of ${name} is still ${host.setup}`);
    if (host.refusedLogons > 0) bad.push(`${name} refused ${host.refusedLogons} logons of the account`);
  }
  for (const lock of locks) {
    if (host.reachable) bad.push(`${name} has the lock ${lock.name} of ${Math.round(lock.ageMs / 1000)} s`);
    else if (lock.ageMs > lockMs)
      bad.push(`${name}, which is off, has the lock ${lock.name} of ${Math.round(lock.ageMs / 1000)} s`);
  }
}

async function judgeDatabase(
  db: Database,
  hosts: HostSeen[],
  bad: string[],
): Promise<Omit<Verdict, 'violations' | 'waited' | 'stopMs'>> {
  const ccrs = await db.query<Row>(CCRS);
  const now = systemClock.now();
  for (const host of hosts) {
    const own = ccrs.filter(({ name }) => name === host.name);
    if (own.length === 1) judgeCcr(own[0]!, host, now, bad);
    else bad.push(`${host.name} has ${own.length} CCRs`);
  }
  const attempts = await db.query<Attempt>(ATTEMPTS);
  const cut = attempts.filter(({ outcome }) => outcome === 'interrupted').length;
  for (const { name, n, last, outcome } of attempts)
    if (!last && outcome !== 'interrupted') bad.push(`attempt ${n} of ${name} ended as ${outcome} and was not the last`);
  const states: Record<string, number> = {};
  for (const { state } of ccrs) states[state] = (states[state] ?? 0) + 1;
  const tally = await db.query<{ state: string; n: number }>('select state, sum(n)::integer as n from ccr_tally group by state');
  for (const state of ['complete', 'skipped', 'failed', 'cancelled']) {
    const counted = tally.find((row) => row.state === state)?.n ?? 0;
    if (counted !== (states[state] ?? 0)) bad.push(`${counted} CCRs are counted as ${state}, ${states[state] ?? 0} are`);
  }
  const clients = await db.query<{ name: string; n: number }>(
    'select name, count(*)::integer as n from client where not obsolete group by name',
  );
  for (const host of hosts) {
    const n = clients.find(({ name }) => name === host.name)?.n ?? 0;
    const wanted = host.expected.state === 'complete' ? 1 : 0;
    if (n !== wanted) bad.push(`${host.name} is registered ${n} times`);
  }
  const alive = await db.query<{ id: number }>('select id from ccr_worker where ended_at is null');
  if (alive.length > 0) bad.push(`workers ${alive.map(({ id }) => id).join(', ')} never ended`);
  const audit = await new AuditRecord(db, systemClock).verify();
  if (!audit.ok) bad.push(`the audit log is broken at ${audit.brokenAt}: ${audit.why}`);
  return { states, cut, most: Math.max(0, ...ccrs.map((c) => c.attempts)), auditEntries: audit.entries };
}

/** judge looks at the folder, stops the site in order, and then looks at the database and at what the hosts said. */
export async function judge(o: {
  site: WholeSite;
  hosts: HostSeen[];
  waited: number;
  stop: () => Promise<{ code: number | null; ms: number }>;
}): Promise<Verdict> {
  const bad: string[] = [];
  await retryBoxAgrees(o.site, bad);
  const { code, ms } = await o.stop();
  if (code !== 0) bad.push(`a process of the site ended with ${code}: ${o.site.said.slice(-500)}`);
  if (ms > STOP_MS) bad.push(`the site took ${Math.round(ms)} ms to stop`);
  for (const host of o.hosts) judgeHost(host, 15 * MINUTE_MS, bad);
  const db = await openDatabase({ dataDir: o.site.data, clock: systemClock, log: silentLog, connections: 2 });
  try {
    const found = await judgeDatabase(db, o.hosts, bad);
    return { violations: bad, waited: o.waited, stopMs: ms, ...found };
  } finally {
    await db.close();
  }
}
