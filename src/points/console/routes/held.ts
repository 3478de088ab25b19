import { isLive, type Ccr } from '#records/ccr';
import type { ConsoleParts } from '../server.ts';

/** Held is why nothing is begun for a CCR, and what lets it go on. */
export interface Held {
  why: string;
  remedy: string;
}

/** whyHeld tells of each of these CCRs that is held by what: its wave that was stopped, a person, or the pause of the whole site. */
export async function whyHeld({ ccr, site }: ConsoleParts, ccrs: readonly Ccr[]): Promise<Map<number, Held>> {
  const held = new Map<number, Held>();
  const live = ccrs.filter(({ state }) => isLive(state));
  if (live.length === 0) return held;
  const paused = live.filter(({ state }) => state === 'paused');
  const waves = [...new Set(paused.map(({ wave }) => wave))].filter((wave) => wave !== 0);
  const [here, reasons] = await Promise.all([
    site.here(),
    waves.length > 0 ? ccr.waves.stopReasons(waves) : new Map<number, string>(),
  ]);
  const all = here.settings.ccr.held
    ? { why: `the site ${here.code} is paused: no new attempt begins`, remedy: 'pushpoint ccr resume --all' }
    : undefined;
  for (const one of live) {
    const reason = reasons.get(one.wave);
    if (one.state !== 'paused') {
      if (all) held.set(one.id, all);
    } else if (reason !== undefined)
      held.set(one.id, { why: `wave ${one.wave} was stopped: ${reason}`, remedy: `pushpoint ccr resume --wave ${one.wave}` });
    else held.set(one.id, { why: 'somebody paused it', remedy: `pushpoint ccr resume ${one.name}` });
  }
  return held;
}
