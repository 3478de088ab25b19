import { raise } from '#base/errors';
import { checked, SentSite } from '#messages';
import type { News } from '#records/branch';
import type { LinkHandler, Peer } from '#records/link';
import type { Branch } from '#records/site';
import type { Sql } from '#store/database';
import { isAtOrBelow, type FlowParts } from './branch.ts';

/** siteNews is what a neighbour is to know of sites: the parent all from here downwards, a child all others than itself and those below it. */
export function siteNews({ here, sites, points }: Branch, to: Peer): News[] {
  const told = sites.filter(({ code }) =>
    to.role === 'parent' ? isAtOrBelow(sites, code, here.code) : !isAtOrBelow(sites, code, to.site),
  );
  return told.map(({ code, kind, parent, version }) => {
    const own = points
      .filter((p) => p.site === code)
      .map(({ kind: what, address, on, pin }) => ({ kind: what, address, on, pin }));
    const body: SentSite = {
      code,
      kind,
      ...(parent !== undefined && { parent }),
      ...(version !== undefined && { version }),
      points: own.map(({ pin, ...point }) => ({ ...point, ...(pin !== undefined && { pin }) })),
    };
    return { key: code, body };
  });
}

/** topOf is the uppermost site above one, or itself. */
function topOf(sites: Branch['sites'], code: string): string {
  const parents = new Map(sites.map((one) => [one.code, one.parent]));
  const seen = new Set<string>();
  for (let at = code; ;) {
    seen.add(at);
    const up = parents.get(at);
    if (up === undefined || seen.has(up)) return at;
    at = up;
  }
}

/** siteHandler takes what other sites are, and where their points are: of the sites below from a child, of all others from the parent. */
export function siteHandler({ site, branch, link }: FlowParts): LinkHandler {
  async function take(tx: Sql, sent: SentSite): Promise<void> {
    const { sites, points } = await site.branch(tx);
    const old = sites.find(({ code }) => code === sent.code);
    const same = old?.kind === sent.kind && old.parent === sent.parent && (sent.version ?? old.version) === old.version;
    if (!same) await site.learn(sent, tx);
    const known = points.filter((p) => p.site === sent.code);
    for (const { kind, address, on, pin } of sent.points) {
      const there = known.find((p) => p.kind === kind);
      if (there?.address === address && there.on === on && there.pin === pin) continue;
      await site.setPoint(kind, { address, on, pin: pin ?? '', site: sent.code }, `site ${sent.code}`, tx);
    }
    for (const { kind, on } of known)
      if (on && !sent.points.some((p) => p.kind === kind))
        await site.setPoint(kind, { on: false, site: sent.code }, `site ${sent.code}`, tx);
  }
  return {
    takesFrom: ['parent', 'child'],
    async apply(tx, { from, role, items }) {
      const sent = items.map(({ key, body }) => ({ key, body: checked(SentSite, body, 'site') }));
      for (const { body } of sent) {
        const { here, sites } = await site.branch(tx);
        const all = [...sites.filter(({ code }) => code !== body.code), body];
        const isIts = role === 'child' ? isAtOrBelow(all, body.code, from) : !isAtOrBelow(all, body.code, here.code);
        // A child does not become another kind of site, or another one's child, by saying so.
        const same = sites.find(({ code }) => code === body.code);
        const keeps = body.code !== from || role === 'parent' || (same?.kind === body.kind && body.parent === here.code);
        // Nor does it take a site from where it is, or claim one that is above; one that was removed may be anybody's.
        const others = role === 'child' && same !== undefined && !isAtOrBelow(sites, same.code, from);
        const taken = others && (body.code === here.code || (await link.get(topOf(sites, same.code), tx))?.state !== 'removed');
        if (!isIts || !keeps || taken) throw raise('PP_LINK_NO_WAY', { site: body.code });
        await take(tx, body);
      }
      await branch.told(tx, from, 'site', sent);
    },
    async *snapshot(to) {
      for (const news of siteNews(await site.branch(), to)) yield { kind: 'site', ...news };
    },
  };
}
