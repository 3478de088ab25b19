import { raise } from '#base/errors';
import { systemClock } from '#base/clock';
import type { Api } from './api.ts';
import { print, Progress } from './output.ts';

/** CheckJson is one check of an examination. */
interface CheckJson {
  group: string;
  name: string;
  verdict: 'ok' | 'problem' | 'warning' | 'unknown' | 'not-tried';
  tried: string;
  found: string;
  cause?: string;
  remedy?: string;
  code?: string;
  win32?: number;
}

/** ExaminationJson is an examination as the API gives it. */
export interface ExaminationJson {
  id?: number;
  host?: string;
  state: 'queued' | 'running' | 'done' | 'failed';
  headline?: string;
  error?: string;
  checks: CheckJson[];
}

const LOOK_EVERY_MS = 200;
/** The role ccm takes an examination within a moment; its poll alone takes ten seconds. */
const TAKEN_MS = 30_000;

/** examine asks for an examination and waits until it is made. */
export async function examine(api: Api, wish: { host?: string; logon: boolean }): Promise<ExaminationJson> {
  const progress = new Progress(wish.host ?? 'site server');
  const start = systemClock.monotonic();
  try {
    let now = await api.send<ExaminationJson>('POST', '/doctor', wish);
    while (now.state === 'queued' || now.state === 'running') {
      if (now.state === 'queued' && systemClock.monotonic() - start > TAKEN_MS)
        throw raise('PP_DOCTOR_NOT_TAKEN', { seconds: TAKEN_MS / 1000 });
      await systemClock.sleep(LOOK_EVERY_MS);
      now = await api.get<ExaminationJson>(`/doctor/${now.id}`);
      progress.update(now.checks.length, wish.host === undefined ? 17 : 31, now.checks.at(-1)?.tried);
    }
    return now;
  } finally {
    progress.end();
  }
}

const MARKS = { ok: '✓', problem: '✗', warning: '!', unknown: '?', 'not-tried': '–' } as const;
const TITLES: Record<string, string> = {
  site: 'Site server',
  'pre-install': 'Before the installation',
  install: 'Installation',
  'post-install': 'After it',
};

function isWorthSaying({ verdict }: CheckJson): boolean {
  return verdict === 'problem' || verdict === 'warning';
}

/** showExamination prints what was found: the first problem as one sentence, then the checks that are worth a word, or all of them. */
export function showExamination(done: ExaminationJson, all: boolean): void {
  print(done.headline ?? done.error ?? 'The examination was not made.');
  const shown = done.checks.filter((check) => all || isWorthSaying(check));
  let group = '';
  for (const check of shown) {
    if (check.group !== group) {
      print();
      print(TITLES[check.group] ?? check.group);
      group = check.group;
    }
    showCheck(check);
  }
  const rest = done.checks.length - shown.length;
  if (all || rest === 0) return;
  const count = (verdict: CheckJson['verdict']) => done.checks.filter((check) => check.verdict === verdict).length;
  const parts = [
    [count('ok'), 'well'],
    [count('unknown'), 'not known'],
    [count('not-tried'), 'not tried'],
  ].flatMap(([n, word]) => (n ? [`${n} ${word}`] : []));
  print();
  print(
    `${done.checks.length} checks: ${parts.join(', ')}${shown.length ? `, ${shown.length} told above` : ''}; --all shows every one.`,
  );
}

function showCheck({ name, verdict, tried, found, cause, remedy, code, win32 }: CheckJson): void {
  const codes = [win32, code].filter((part) => part !== undefined).join(' ');
  print(`  ${MARKS[verdict]} ${name}: ${tried}`);
  print(`      ${verdict === 'not-tried' ? 'not tried, because ' : ''}${found}${codes ? `  [${codes}]` : ''}`);
  if (!isWorthSaying({ verdict } as CheckJson)) return;
  if (cause) print(`      cause: ${cause}`);
  if (remedy) print(`      fix:   ${remedy}`);
}
