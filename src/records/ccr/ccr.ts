/** The states of a CCR (design section 3). */
export const CCR_STATES = [
  'queued',
  'processing',
  'verifying',
  'retry',
  'waiting',
  'paused',
  'complete',
  'skipped',
  'failed',
  'cancelled',
] as const;
export type CcrState = (typeof CCR_STATES)[number];

const FINISHED: ReadonlySet<CcrState> = new Set<CcrState>(['complete', 'skipped', 'failed', 'cancelled']);

/** isLive tells whether a CCR in this state is still wanted: not complete, skipped, failed or cancelled. */
export function isLive(state: CcrState): boolean {
  return !FINISHED.has(state);
}

export type CcrSource = 'file' | 'sms_post' | 'push' | 'api' | 'discovery';

/** Ccr is the wish that one machine gets the client, with everything that is known of its life. */
export interface Ccr {
  id: number;
  machineKey: string;
  resourceId: number | undefined;
  name: string;
  domain: string;
  addresses: string[];
  resourceNames: string[];
  smbPort: number | undefined;
  state: CcrState;
  forced: boolean;
  reinstall: boolean;
  includeDcs: boolean;
  inspectOnly: boolean;
  /** The client is to be removed instead of installed. */
  uninstall: boolean;
  source: CcrSource;
  site: string;
  requestedBy: string;
  package: string | undefined;
  /** wave is the push it came with; 0 where there was none. */
  wave: number;
  attempts: number;
  /** intervalAttempts counts the attempts since the week was last restarted. */
  intervalAttempts: number;
  firstRequestedAt: Date;
  lastRequestedAt: Date;
  requestCount: number;
  initialAttemptAt: Date | undefined;
  retryIntervalStart: Date | undefined;
  lastAttemptAt: Date | undefined;
  nextAttemptAt: Date | undefined;
  /** lastErrorCode is the Win32 code of the last attempt, lastError its PP_ code. */
  lastErrorCode: number | undefined;
  lastError: string | undefined;
  lastErrorText: string | undefined;
  errorEventAt: Date | undefined;
  account: string | undefined;
  /** startedAt is when the bootstrap's service was seen running. */
  startedAt: Date | undefined;
  verifyCount: number;
  pausedFrom: CcrState | undefined;
  fence: number;
  workerId: number | undefined;
  capKey: string;
  finishedAt: Date | undefined;
  finishedBy: string | undefined;
  proof: string | undefined;
}

/** CcrRow is a row of table ccr as the database gives it. */
export interface CcrRow {
  id: number;
  machine_key: string;
  resource_id: number | null;
  name: string;
  domain: string;
  addresses: string[];
  resource_names: string[];
  smb_port: number | null;
  state: CcrState;
  forced: boolean;
  reinstall: boolean;
  include_dcs: boolean;
  inspect_only: boolean;
  uninstall: boolean;
  source: CcrSource;
  site: string;
  requested_by: string;
  package: string | null;
  wave: number;
  attempts: number;
  interval_attempts: number;
  first_requested_at: Date;
  last_requested_at: Date;
  request_count: number;
  initial_attempt_at: Date | null;
  retry_interval_start: Date | null;
  last_attempt_at: Date | null;
  due_at: Date | null;
  last_error_code: number | null;
  last_error: string | null;
  last_error_text: string | null;
  error_event_at: Date | null;
  account: string | null;
  started_at: Date | null;
  verify_count: number;
  paused_from: CcrState | null;
  fence: number;
  worker_id: number | null;
  cap_key: string;
  finished_at: Date | null;
  finished_by: string | null;
  proof: string | null;
}

/** ccrOf turns a row into a Ccr. */
export function ccrOf(row: CcrRow): Ccr {
  return {
    id: row.id,
    machineKey: row.machine_key,
    resourceId: row.resource_id ?? undefined,
    name: row.name,
    domain: row.domain,
    addresses: row.addresses,
    resourceNames: row.resource_names,
    smbPort: row.smb_port ?? undefined,
    state: row.state,
    forced: row.forced,
    reinstall: row.reinstall,
    includeDcs: row.include_dcs,
    inspectOnly: row.inspect_only,
    uninstall: row.uninstall,
    source: row.source,
    site: row.site,
    requestedBy: row.requested_by,
    package: row.package ?? undefined,
    wave: row.wave,
    attempts: row.attempts,
    intervalAttempts: row.interval_attempts,
    firstRequestedAt: row.first_requested_at,
    lastRequestedAt: row.last_requested_at,
    requestCount: row.request_count,
    initialAttemptAt: row.initial_attempt_at ?? undefined,
    retryIntervalStart: row.retry_interval_start ?? undefined,
    lastAttemptAt: row.last_attempt_at ?? undefined,
    nextAttemptAt: row.due_at ?? undefined,
    lastErrorCode: row.last_error_code ?? undefined,
    lastError: row.last_error ?? undefined,
    lastErrorText: row.last_error_text ?? undefined,
    errorEventAt: row.error_event_at ?? undefined,
    account: row.account ?? undefined,
    startedAt: row.started_at ?? undefined,
    verifyCount: row.verify_count,
    pausedFrom: row.paused_from ?? undefined,
    fence: row.fence,
    workerId: row.worker_id ?? undefined,
    capKey: row.cap_key,
    finishedAt: row.finished_at ?? undefined,
    finishedBy: row.finished_by ?? undefined,
    proof: row.proof ?? undefined,
  };
}

/** Week is how long and how often a CCR is tried; `ccr` of the site settings has it. */
export interface Week {
  maxAttempts: number;
  windowDays: number;
  retryMinutes?: number | undefined;
}

const DAY_MS = 86_400_000;

/** weekEnd is when the trying ends, counted from the first attempt after the last request; undefined before that attempt. */
export function weekEnd(ccr: Pick<Ccr, 'retryIntervalStart'>, week: Week): Date | undefined {
  return ccr.retryIntervalStart && new Date(ccr.retryIntervalStart.getTime() + week.windowDays * DAY_MS);
}

/**
 * exhausted tells whether a CCR has had all its attempts or all its time; a new request restarts both. Time alone is not enough: a clock that
 * was set forward, or a site that was off for the week, has tried hardly at all. So there must have been an attempt for every second day.
 */
export function exhausted(ccr: Pick<Ccr, 'intervalAttempts' | 'retryIntervalStart'>, now: Date, week: Week): boolean {
  if (ccr.intervalAttempts >= week.maxAttempts) return true;
  const end = weekEnd(ccr, week);
  if (end === undefined || now.getTime() < end.getTime()) return false;
  const possible = Math.max(1, Math.floor((week.windowDays * DAY_MS) / ((week.retryMinutes ?? 60) * 60_000)));
  return ccr.intervalAttempts >= Math.min(Math.ceil(week.windowDays / 2), possible);
}

/** capKey is the subnet that a machine counts for when attempts are capped: /24 of IPv4, /64 of IPv6, '' when no address is known. */
export function capKey(addresses: readonly string[]): string {
  const v4 = addresses.find((a) => /^\d+\.\d+\.\d+\.\d+$/.test(a));
  if (v4) return `${v4.slice(0, v4.lastIndexOf('.'))}.0/24`;
  const v6 = addresses[0];
  if (!v6?.includes(':')) return '';
  const head = v6.split('%', 1)[0]!.split('::', 1)[0]!;
  const groups = head === '' ? [] : head.split(':');
  while (groups.length < 4) groups.push('0');
  return `${groups.slice(0, 4).join(':').toLowerCase()}::/64`;
}
