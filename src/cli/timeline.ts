import { print } from './output.ts';

interface StepJson {
  name: string;
  outcome: string;
  startedAt: string;
  durationMs: number;
  detail?: string;
}

interface AttemptJson {
  number: number;
  startedAt: string;
  outcome?: string;
  errorCode?: number;
  error?: string;
  errorText?: string;
  account?: string;
  dialect?: string;
  signing?: string;
  encryption?: string;
  steps?: StepJson[];
}

/** CcrJson is a CCR as the API shows it (fixed names). */
export interface CcrJson {
  id: number;
  name: string;
  domain?: string;
  state: string;
  forced: boolean;
  source: string;
  site: string;
  attempts: number;
  /** The push it came with. */
  wave?: number;
  /** Why nothing is begun for it, and what lets it go on. */
  held?: { why: string; remedy: string };
  lastErrorCode?: number;
  lastError?: string;
  lastErrorText?: string;
  cause?: string;
  remedy?: string;
  firstRequestedAt: string;
  lastAttemptAt?: string;
  nextAttemptAt?: string;
  account?: string;
  proof?: string;
  steps: StepJson[];
  /** What else is known of the last attempt, whose steps are in `steps`. */
  attempt?: AttemptJson;
  /** The attempts before it, newest first. */
  history?: AttemptJson[];
}

/** codeText is the Win32 code of the last error beside our own code. */
export function codeText(ccr: CcrJson): string {
  return [ccr.lastErrorCode, ccr.lastError].filter((part) => part !== undefined && part !== null).join(' ');
}

/** explain prints cause and remedy of every kind of failure among CCRs, once for each kind. */
export function explain(ccrs: readonly CcrJson[]): void {
  const told = new Set<string>();
  for (const ccr of ccrs) {
    if (ccr.state === 'complete' || !ccr.lastError || !ccr.remedy || told.has(ccr.lastError)) continue;
    if (told.size === 0) print();
    told.add(ccr.lastError);
    print(codeText(ccr));
    if (ccr.cause) print(`  cause: ${ccr.cause}`);
    print(`  fix:   ${ccr.remedy}`);
  }
}

const marks: Record<string, string> = { ok: '✓', failed: '✗', skipped: '–', unknown: '?' };

/** showTimeline prints a CCR the way people look at it: state, reason, the attempts in the order they were made, the last one step by step. */
export function showTimeline(ccr: CcrJson, all: boolean): void {
  const domain = ccr.domain ? `.${ccr.domain}` : '';
  print(
    `${ccr.name}${domain}  ${ccr.state}${ccr.forced ? ' (forced)' : ''}  site ${ccr.site}  from ${ccr.source}${ccr.wave === undefined ? '' : `, wave ${ccr.wave}`}`,
  );
  const account = ccr.account ? `, account ${ccr.account}` : '';
  const next = ccr.nextAttemptAt ? `, next try ${ccr.nextAttemptAt}` : '';
  print(`requested ${ccr.firstRequestedAt}, ${ccr.attempts} ${ccr.attempts === 1 ? 'attempt' : 'attempts'}${account}${next}`);
  if (ccr.held) {
    print(`held: ${ccr.held.why}`);
    print(`  fix:   ${ccr.held.remedy}`);
  }
  if (ccr.proof) print(`proof: ${ccr.proof}`);
  if (ccr.lastError && ccr.state !== 'complete') {
    print(`error ${codeText(ccr)}: ${ccr.lastErrorText ?? ''}`);
    if (ccr.cause) print(`  cause: ${ccr.cause}`);
    if (ccr.remedy) print(`  fix:   ${ccr.remedy}`);
  }
  for (const attempt of [...(ccr.history ?? [])].reverse()) showAttempt(attempt, all ? (attempt.steps ?? []) : []);
  if (ccr.attempt) showAttempt(ccr.attempt, ccr.steps);
}

function showAttempt(attempt: AttemptJson, steps: readonly StepJson[]): void {
  const how = [attempt.account, attempt.dialect && `SMB ${attempt.dialect}`, attempt.signing, attempt.encryption].filter(Boolean);
  const error = [attempt.errorCode, attempt.error, steps.length > 0 ? undefined : attempt.errorText].filter(Boolean);
  const parts = [attempt.startedAt, attempt.outcome ?? 'under way', error.join(' '), how.join(', ')];
  print(`attempt ${attempt.number}  ${parts.filter(Boolean).join('  ')}`);
  for (const { name, outcome, startedAt, durationMs, detail } of steps)
    print(
      `  ${marks[outcome] ?? ' '} ${startedAt}  ${name.padEnd(12)} ${`${durationMs} ms`.padStart(9)}  ${detail ?? ''}`.trimEnd(),
    );
}
