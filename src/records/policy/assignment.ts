import type { PolicyMigrate, PolicyUpgrade } from '#messages';

/** AssignmentKind is what is asked. */
export type AssignmentKind = 'upgrade' | 'migrate' | 'uninstall';

export type AssignmentState = 'active' | 'paused' | 'stopped' | 'finished' | 'cancelled';

/** Of a target: not asked yet, asked, done, failed, or not to be asked any more. */
export type TargetState = 'waiting' | 'offered' | 'done' | 'failed' | 'withdrawn';

/** Assignment asks something of clients. */
export interface Assignment {
  id: number;
  kind: AssignmentKind;
  target: string;
  follow: boolean;
  wish: PolicyUpgrade | PolicyMigrate | true;
  version: string | undefined;
  waveSize: number | undefined;
  stopAfter: { failures: number | undefined; percent: number | undefined } | undefined;
  patienceHours: number;
  state: AssignmentState;
  stopReason: string | undefined;
  /** How many waves have been let go. */
  wave: number;
  madeBy: string;
  madeAt: Date;
  endedAt: Date | undefined;
  /** How many clients stand how. */
  counts: Partial<Record<TargetState, number>>;
}

/** Target is one client of an assignment. */
export interface Target {
  guid: string | undefined;
  name: string | undefined;
  state: TargetState;
  wave: number;
  offeredAt: Date | undefined;
  at: Date;
  detail: string | undefined;
}

/** AssignmentRow is a row of table policy_assignment. */
export interface AssignmentRow {
  id: number;
  kind: AssignmentKind;
  target_kind: 'clients' | 'collection' | 'site';
  target: string;
  collection_id: number | null;
  site: string | null;
  follow: boolean;
  wish: PolicyUpgrade | PolicyMigrate | true;
  platform: string | null;
  version: string | null;
  wave_size: number | null;
  stop_after: number | null;
  stop_percent: number | null;
  patience_hours: number;
  state: AssignmentState;
  stop_reason: string | null;
  wave: number;
  made_by: string;
  made_at: Date;
  ended_at: Date | null;
}

/** assignmentOf turns a row with its counts into an Assignment. */
export function assignmentOf(row: AssignmentRow & { counts: Partial<Record<TargetState, number>> | null }): Assignment {
  const limited = row.stop_after !== null || row.stop_percent !== null;
  return {
    id: row.id,
    kind: row.kind,
    target: row.target,
    follow: row.follow,
    wish: row.wish,
    version: row.version ?? undefined,
    waveSize: row.wave_size ?? undefined,
    stopAfter: limited ? { failures: row.stop_after ?? undefined, percent: row.stop_percent ?? undefined } : undefined,
    patienceHours: row.patience_hours,
    state: row.state,
    stopReason: row.stop_reason ?? undefined,
    wave: row.wave,
    madeBy: row.made_by,
    madeAt: row.made_at,
    endedAt: row.ended_at ?? undefined,
    counts: row.counts ?? {},
  };
}

/** COUNTED reads assignments with how many of their clients stand how. */
export const COUNTED = `select a.*, (select jsonb_object_agg(t.state, t.n) from
  (select state, count(*)::integer as n from policy_target where assignment_id = a.id group by state) t) as counts from policy_assignment a`;
