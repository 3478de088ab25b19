import type { ResourceRecord } from '#records/resource';
import type { SiteSettings } from '#records/site';
import type { Database, Sql } from '#store/database';

/** Task is a maintenance task that is on. */
export interface Task {
  name: string;
  days: number;
  /** What it touches, as the log and the audit log call it. */
  of: string;
  /** act touches up to `limit` of what is older than a time, and tells which, or how many where they have no names. */
  act(before: Date, limit: number): Promise<readonly { name: string }[] | number>;
}

/** Maintained is what a task did; `names` are some of what it touched. */
export interface Maintained {
  task: string;
  days: number;
  of: string;
  touched: number;
  names: string[];
}

const DAY_MS = 86_400_000;
/** In one statement so much is touched, so that nobody waits long for their rows. */
const LIMIT = 1000;
const NAMED = 1000;

/** resourceTasks are those about machines. */
export function resourceTasks(resource: ResourceRecord, { maintenance }: Pick<SiteSettings, 'maintenance'>): Task[] {
  const of = 'machines';
  return [
    {
      name: 'clear-install-flag',
      days: maintenance.clearInstallFlagDays,
      of,
      act: (before, limit) => resource.clearInstallFlags(before, limit),
    },
    {
      name: 'delete-inactive-client',
      days: maintenance.deleteInactiveClientDays,
      of,
      act: (before, limit) => resource.removeInactive(before, limit),
    },
    {
      name: 'delete-aged-discovery',
      days: maintenance.deleteAgedDiscoveryDays,
      of,
      act: (before, limit) => resource.removeAged(before, limit),
    },
  ];
}

/** dueTasks gives those of some tasks that are on and have not run for a day. */
export async function dueTasks(sql: Sql, tasks: readonly Task[], now: Date): Promise<Task[]> {
  const rows = await sql.query<{ task: string; at: Date }>('select task, at from discovery_maintenance');
  const last = new Map(rows.map(({ task, at }) => [task, at.getTime()]));
  return tasks.filter(({ name, days }) => days > 0 && now.getTime() - (last.get(name) ?? -Infinity) >= DAY_MS);
}

/** runTask runs a task to its end; undefined when another process has just taken it. */
export async function runTask(db: Database, task: Task, now: Date): Promise<Maintained | undefined> {
  const taken = await db.count(
    `insert into discovery_maintenance (task, at, touched) values ($1, $2, 0)
     on conflict (task) do update set at = excluded.at, touched = 0 where discovery_maintenance.at <= $3`,
    [task.name, now, new Date(now.getTime() - DAY_MS)],
  );
  if (taken === 0) return undefined;
  const before = new Date(now.getTime() - task.days * DAY_MS);
  const names: string[] = [];
  let touched = 0;
  for (;;) {
    const part = await task.act(before, LIMIT);
    const count = typeof part === 'number' ? part : part.length;
    touched += count;
    if (typeof part !== 'number') names.push(...part.slice(0, NAMED - names.length).map(({ name }) => name));
    if (count < LIMIT) break;
  }
  await db.query('update discovery_maintenance set touched = $2 where task = $1', [task.name, touched]);
  return { task: task.name, days: task.days, of: task.of, touched, names };
}
