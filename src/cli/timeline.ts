import { print } from './output.ts';

interface StepJson {
  name: string;
  outcome: string;
  startedAt: string;
  durationMs: number;
  detail?: string;
  attempt?: number;
}

/** CcrJson is a CCR as the API shows it (fixed names). */
export interface CcrJson {
  name: string;
  domain?: string;
  state: string;
  forced: boolean;
  source: string;
  site: string;
  attempts: number;
  lastErrorCode?: number;
  lastError?: string;
  lastErrorText?: string;
  cause?: string;
  remedy?: string;
  firstRequestedAt: string;
  lastAttemptAt?: string;
  nextAttemptAt?: string;
  account?: string;
  steps: StepJson[];
}

/** codeText is the Win32 code of the last error beside our own code. */
export function codeText(ccr: CcrJson): string {
  if (ccr.lastError === undefined && ccr.lastErrorCode === undefined) return '';
  return [ccr.lastErrorCode, ccr.lastError].filter((part) => part !== undefined && part !== null).join(' ');
}

const marks: Record<string, string> = { ok: '✓', failed: '✗', skipped: '–', unknown: '?' };

/** showTimeline prints a CCR the way people look at it: state, reason, then every step of every attempt that is kept. */
export function showTimeline(ccr: CcrJson): void {
  print(
    `${ccr.name}${ccr.domain ? `.${ccr.domain}` : ''}  ${ccr.state}${ccr.forced ? ' (forced)' : ''}  site ${ccr.site}  from ${ccr.source}`,
  );
  print(
    `requested ${ccr.firstRequestedAt}, ${ccr.attempts} attempts${ccr.account ? `, account ${ccr.account}` : ''}${ccr.nextAttemptAt ? `, next try ${ccr.nextAttemptAt}` : ''}`,
  );
  if (ccr.lastError && ccr.state !== 'complete') {
    print(`error ${codeText(ccr)}: ${ccr.lastErrorText ?? ''}`);
    if (ccr.cause) print(`  cause: ${ccr.cause}`);
    if (ccr.remedy) print(`  fix:   ${ccr.remedy}`);
  }
  let attempt: number | undefined;
  for (const step of ccr.steps) {
    if (step.attempt !== attempt) {
      attempt = step.attempt;
      if (attempt !== undefined) print(`attempt ${attempt}`);
    }
    print(
      `  ${marks[step.outcome] ?? ' '} ${step.startedAt}  ${step.name.padEnd(12)} ${`${step.durationMs} ms`.padStart(9)}  ${step.detail ?? ''}`,
    );
  }
}
