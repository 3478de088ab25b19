import { systemClock } from '#base/clock';
import type { Api } from './api.ts';
import type { DiscoverySettings } from './discovery-settings.ts';
import { fields, note, print, Progress, table } from './output.ts';

/** DiscoveryRun is a run of a discovery method as the API tells it. */
export interface DiscoveryRun {
  id: number;
  method: string;
  kind: string;
  scheduled: boolean;
  state: string;
  settings: DiscoverySettings;
  total: number;
  done: number;
  report: {
    asked: number;
    skipped: number;
    answered: number;
    ports: Record<string, Record<string, number>>;
    named: Record<string, number>;
    unnamed: number;
    machines: { added: number; changed: number; unchanged: number; rejected: number; trusted: number };
    connections: number;
    busiestSecond: number;
    waited: number;
    notes: { address: string; name?: string; what: string }[];
    moreNotes: number;
  };
  error?: string;
  wantedBy: string;
  wantedAt: string;
  startedAt?: string;
  finishedAt?: string;
  cancelledBy?: string;
  took?: number;
}

const LOOK_EVERY_MS = 500;
const OVER = new Set(['done', 'cancelled', 'failed']);
/** atMost says how fast a run goes, and how long it takes if nobody answers. */
export function atMost({ settings, total }: DiscoveryRun): string {
  const seconds = Math.ceil((total * settings.ports.length) / settings.perSecond);
  return `at most ${settings.perSecond} connections a second, about ${duration(seconds * 1000)} if nobody answers`;
}

/** followed looks at a run until it is over, and shows how far it is. */
export async function followed(api: Api, first: DiscoveryRun): Promise<DiscoveryRun> {
  const progress = new Progress('discovering');
  let run = first;
  try {
    while (!OVER.has(run.state)) {
      progress.update(run.done, run.total, `${run.report.answered} answered, ${found(run)} machines`);
      await systemClock.sleep(LOOK_EVERY_MS);
      run = await api.get<DiscoveryRun>(`/discovery/runs/${run.id}`);
    }
    return run;
  } finally {
    progress.end();
  }
}

/** found counts the machines that a run has learned a name of. */
export function found({ report }: DiscoveryRun): number {
  return Object.values(report.named).reduce((sum, n) => sum + n, 0);
}

/** duration is a time for people: 8.2 s, 45 s, 3 min. */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function counts(values: Record<string, number>): string {
  return Object.entries(values)
    .map(([what, n]) => `${n} ${what}`)
    .join(', ');
}

/** showRun prints what a run has done and found. */
export function showRun(run: DiscoveryRun): void {
  const { report, settings } = run;
  const { added, changed, unchanged, rejected, trusted } = report.machines;
  fields([
    ['run', `${run.id}: ${run.kind} ${run.method} discovery, ${run.state}${run.scheduled ? ', by its schedule' : ''}`],
    ['error', run.error],
    ['cancelled by', run.cancelledBy],
    ['wanted', `${run.wantedAt} by ${run.wantedBy}`],
    ['began', run.startedAt],
    ['took', run.took === undefined ? undefined : duration(run.took)],
    ['targets', settings.targets.slice(0, 8).join(', ') + (settings.targets.length > 8 ? ', …' : '')],
    ['left out', settings.exclude.slice(0, 8).join(', ')],
    [
      'addresses',
      `${run.done} of ${run.total}; ${report.answered} answered${report.skipped ? `, ${report.skipped} known and not asked` : ''}`,
    ],
    ...Object.entries(report.ports).map(([port, states]): [string, string] => [
      `port ${port === '445' ? settings.smbPort : port}`,
      counts(states),
    ]),
    ['names', report.answered > 0 ? `${counts(report.named) || 'none'}; ${report.unnamed} answered without a name` : undefined],
    ['machines', `${added} added, ${changed} changed, ${unchanged} unchanged, ${rejected} rejected; ${trusted} trusted`],
    [
      'connections',
      `${report.connections}; ${report.busiestSecond} in the busiest second, at most ${settings.perSecond} allowed`,
    ],
    [
      'waited',
      report.waited > 0 ? `${report.waited} times for room for a connection: raise ulimit -n, or lower --at-once` : undefined,
    ],
  ]);
  if (report.notes.length === 0) return;
  print('');
  table(
    ['ADDRESS', 'NAME', 'NOTE'],
    report.notes.map((n) => [n.address, n.name, n.what]),
  );
  if (report.moreNotes > 0) note(`${report.moreNotes} more notes are not kept`);
}
