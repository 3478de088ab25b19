/** Group is a part of an examination, as the official order of troubleshooting has them (facts B6). */
export type Group = 'site' | 'pre-install' | 'install' | 'post-install';

/** Verdict: `unknown` was looked at and could not be told, `not-tried` was not looked at, and `found` says why. */
export type Verdict = 'ok' | 'problem' | 'warning' | 'unknown' | 'not-tried';

/** Check is one thing that was looked at: what was tried, what came back, what that means and what to do. */
export interface Check {
  group: Group;
  /** A fixed word that scripts can count by, such as `admin-share`. */
  name: string;
  verdict: Verdict;
  /** What was looked at, in a few words. */
  tried: string;
  /** What came back. */
  found: string;
  /** Why this is so; of a problem that CCM names too, in the words of its error. */
  cause?: string | undefined;
  remedy?: string | undefined;
  /** The code of the error catalogue, and the Win32 code that administrators search by. */
  code?: string | undefined;
  win32?: number | undefined;
  /** The step of a push at which this would end it. */
  failsAt?: string | undefined;
  durationMs: number;
}

/** headline is the first thing to say of an examination: its first problem, or that there is none. */
export function headline(host: string | undefined, checks: readonly Check[]): string {
  const problems = checks.filter(({ verdict }) => verdict === 'problem');
  const first = problems.find((check) => check.failsAt !== undefined) ?? problems[0];
  const warnings = checks.filter(({ verdict }) => verdict === 'warning').length;
  const more = warnings === 0 ? '' : ` ${warnings === 1 ? 'One thing is' : `${warnings} things are`} worth a look.`;
  if (host === undefined) return first ? `The site server has a problem: ${first.found}` : `The site server is well.${more}`;
  if (first?.failsAt) return `The push to ${host} would ${endsAs(first.failsAt)}: ${first.found}`;
  if (first) return `${host} has a problem: ${first.found}`;
  const decision = checks.find(({ name }) => name === 'decision');
  if (decision?.code !== undefined) return `A push to ${host} would leave it as it is: ${decision.found}.${more}`;
  const unsure = checks.some(({ name, verdict }) => name === 'logon' && verdict !== 'ok');
  if (unsure) return `No problem was found on the way to ${host}; nobody logged on there.${more}`;
  return `A push to ${host} would go through.${more}`;
}

function endsAs(step: string): string {
  return step === 'decide' ? 'install nothing' : step === 'request' ? 'not begin' : `fail at ${step}`;
}
