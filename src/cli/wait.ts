import { systemClock } from '#base/clock';
import type { Api } from './api.ts';
import { Progress } from './output.ts';
import type { CcrJson } from './timeline.ts';

const SETTLED = new Set(['complete', 'skipped', 'failed', 'cancelled', 'paused', 'waiting', 'retry']);
const LOOK_EVERY_MS = 500;
/** Up to so many open CCRs are asked for one by one; beyond that a walk over the list, newest first, is cheaper. */
const ONE_BY_ONE = 100;
const ASKS_AT_ONCE = 16;

/** isSettled tells whether only time or a human can change this CCR now. */
export function isSettled(ccr: CcrJson): boolean {
  return SETTLED.has(ccr.state);
}

/** isFine tells whether a CCR came to the end that was wanted. */
export function isFine(ccr: CcrJson): boolean {
  return ccr.state === 'complete' || ccr.state === 'skipped';
}

/** waitFor follows CCRs until each has settled, the time is over, or the caller has seen enough; it gives all of them as they were seen last. */
export async function waitFor(api: Api, names: readonly string[], limitMs: number, ended?: () => boolean): Promise<CcrJson[]> {
  const progress = new Progress('pushing');
  const start = systemClock.monotonic();
  const seen = new Map<number, CcrJson>();
  try {
    // The first look finds out which CCR each name means; after it they are known by their ids.
    for (const ccr of await oneByOne(names, (name) => ccrOf(api, name))) seen.set(ccr.id, ccr);
    for (;;) {
      const all = [...seen.values()];
      const open = all.filter((ccr) => !isSettled(ccr));
      const good = all.filter(isFine).length;
      const settled = all.length - open.length;
      progress.update(settled, all.length, `${good} fine, ${settled - good} not`);
      if (open.length === 0 || ended?.() || systemClock.monotonic() - start > limitMs) return all;
      await systemClock.sleep(LOOK_EVERY_MS);
      for (const ccr of await lookAgain(api, open)) seen.set(ccr.id, ccr);
    }
  } finally {
    progress.end();
  }
}

function ccrOf(api: Api, name: string): Promise<CcrJson> {
  return api.get<CcrJson>(`/ccrs/${encodeURIComponent(name)}`, { attempts: 1 });
}

async function lookAgain(api: Api, open: readonly CcrJson[]): Promise<CcrJson[]> {
  if (open.length <= ONE_BY_ONE) {
    const again = await oneByOne(open, (ccr) => ccrOf(api, ccr.domain ? `${ccr.name}.${ccr.domain}` : ccr.name));
    const ids = new Set(open.map((ccr) => ccr.id));
    return again.filter((ccr) => ids.has(ccr.id));
  }
  const wanted = new Set(open.map((ccr) => ccr.id));
  const found: CcrJson[] = [];
  for await (const ccr of api.all<CcrJson>('/ccrs')) {
    if (!wanted.delete(ccr.id)) continue;
    found.push(ccr);
    if (wanted.size === 0) break;
  }
  return found;
}

async function oneByOne<I, O>(list: readonly I[], ask: (one: I) => Promise<O>): Promise<O[]> {
  const answers: O[] = [];
  for (let at = 0; at < list.length; at += ASKS_AT_ONCE)
    answers.push(...(await Promise.all(list.slice(at, at + ASKS_AT_ONCE).map(ask))));
  return answers;
}
