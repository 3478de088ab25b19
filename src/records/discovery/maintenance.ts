import type { ResourceRecord } from '#records/resource';
import type { SiteSettings } from '#records/site';
import type { Database, Sql } from '#store/database';

export type TaskName = 'clear-install-flag' | 'delete-aged-discovery' | 'delete-inactive-client';

/** Task is a maintenance task that is on, and the time it measures from. */
export interface Task {
  name: TaskName;
  days: number;
}

/** Maintained is what a task did; `names` are some of the machines. */
export interface Maintained {
  task: TaskName;
  days: number;
  touched: number;
  names: string[];
}

const DAY_MS = 86_400_000;
/** In one statement so many machines are touched, so that nobody waits long for their rows. */
const LIMIT = 1000;
const NAMED = 1000;

const acts: Record<TaskName, (resource: ResourceRecord, before: Date) => Promise<{ name: string }[]>> = {
  'clear-install-flag': (resource, before) => resource.clearInstallFlags(before, LIMIT),
  'delete-aged-discovery': (resource, before) => resource.removeAged(before, LIMIT),
  'delete-inactive-client': (resource, before) => resource.removeInactive(before, LIMIT),
};

function tasksOf({ maintenance }: Pick<SiteSettings, 'maintenance'>): Task[] {
  const all: Task[] = [
    { name: 'clear-install-flag', days: maintenance.clearInstallFlagDays },
    { name: 'delete-inactive-client', days: maintenance.deleteInactiveClientDays },
    { name: 'delete-aged-discovery', days: maintenance.deleteAgedDiscoveryDays },
  ];
  return all.filter(({ days }) => days > 0);
}

/** dueTasks gives the tasks that are on and have not run for a day. */
export async function dueTasks(sql: Sql, settings: Pick<SiteSettings, 'maintenance'>, now: Date): Promise<Task[]> {
  const rows = await sql.query<{ task: string; at: Date }>('select task, at from discovery_maintenance');
  const last = new Map(rows.map(({ task, at }) => [task, at.getTime()]));
  return tasksOf(settings).filter(({ name }) => now.getTime() - (last.get(name) ?? -Infinity) >= DAY_MS);
}

/** runTask runs a task to its end; undefined when another process has just taken it. */
export async function runTask(db: Database, resource: ResourceRecord, task: Task, now: Date): Promise<Maintained | undefined> {
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
    const part = await acts[task.name](resource, before);
    touched += part.length;
    names.push(...part.slice(0, NAMED - names.length).map(({ name }) => name));
    if (part.length < LIMIT) break;
  }
  await db.query('update discovery_maintenance set touched = $2 where task = $1', [task.name, touched]);
  return { task: task.name, days: task.days, touched, names };
}
