import { emptyReport, type NetworkReport } from './report.ts';
import { networkSettings, type MethodName, type NetworkSettings } from './settings.ts';

export type RunKind = 'full' | 'delta';
export type RunState = 'queued' | 'running' | 'done' | 'cancelled' | 'failed';

/** Run is one run of a method: wanted, under way, or over. */
export interface Run {
  id: number;
  method: MethodName;
  kind: RunKind;
  /** own: its settings were given with the wish, so it says nothing about what the method as it is set has seen. */
  own: boolean;
  scheduled: boolean;
  state: RunState;
  settings: NetworkSettings;
  total: number;
  done: number;
  report: NetworkReport;
  error?: string | undefined;
  wantedBy: string;
  wantedAt: Date;
  startedAt?: Date | undefined;
  finishedAt?: Date | undefined;
  cancelledBy?: string | undefined;
}

export interface RunRow {
  id: number;
  method: MethodName;
  kind: RunKind;
  own: boolean;
  scheduled: boolean;
  state: RunState;
  settings: object;
  total: number;
  done: number;
  report: Partial<NetworkReport>;
  error: string | null;
  wanted_by: string;
  wanted_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  cancelled_by: string | null;
}

/** runOf is a row as the other parts see it. */
export function runOf(row: RunRow): Run {
  return {
    id: row.id,
    method: row.method,
    kind: row.kind,
    own: row.own,
    scheduled: row.scheduled,
    state: row.state,
    settings: networkSettings(row.settings),
    total: row.total,
    done: row.done,
    report: { ...emptyReport(), ...row.report },
    error: row.error ?? undefined,
    wantedBy: row.wanted_by,
    wantedAt: row.wanted_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    cancelledBy: row.cancelled_by ?? undefined,
  };
}
