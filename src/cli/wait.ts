import { systemClock } from '#base/clock';
import type { Api } from './api.ts';
import { Progress } from './output.ts';
import type { CcrJson } from './timeline.ts';

const SETTLED = new Set(['complete', 'skipped', 'failed', 'cancelled', 'paused', 'waiting', 'retry']);
const LOOK_EVERY_MS = 500;

/** waitFor follows CCRs until each has settled: complete, or a first verdict that only time or a human can change. */
export async function waitFor(api: Api, names: string[], limitMs: number): Promise<CcrJson[]> {
  const progress = new Progress('pushing');
  const start = systemClock.monotonic();
  const settled = new Map<string, CcrJson>();
  for (;;) {
    const open = names.filter((name) => !settled.has(name));
    // Up to 200 names are asked one by one; beyond that one walk over the list is cheaper.
    const seen =
      open.length <= 200
        ? await Promise.all(open.map((name) => api.get<CcrJson>(`/ccrs/${encodeURIComponent(name)}`)))
        : await listed(api, new Set(open));
    seen.forEach((ccr, i) => {
      if (SETTLED.has(ccr.state)) settled.set(open.length <= 200 ? open[i]! : ccr.name, ccr);
    });
    const good = [...settled.values()].filter((c) => c.state === 'complete' || c.state === 'skipped').length;
    progress.update(settled.size, names.length, `${good} fine, ${settled.size - good} not`);
    if (settled.size === names.length || systemClock.monotonic() - start > limitMs) break;
    await systemClock.sleep(LOOK_EVERY_MS);
  }
  progress.end();
  const late = await Promise.all(
    names.filter((name) => !settled.has(name)).map((name) => api.get<CcrJson>(`/ccrs/${encodeURIComponent(name)}`)),
  );
  return [...settled.values(), ...late];
}

async function listed(api: Api, wanted: Set<string>): Promise<CcrJson[]> {
  const found: CcrJson[] = [];
  const seen = new Set<string>();
  for await (const ccr of api.all<CcrJson>('/ccrs')) {
    if (!wanted.has(ccr.name) || seen.has(ccr.name)) continue;
    seen.add(ccr.name);
    found.push(ccr);
  }
  return found;
}
