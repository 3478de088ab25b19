import { raise } from '#base/errors';
import { checked, SentBoundary } from '#messages';
import { boundaryText, parseBoundary } from '#records/boundary';
import type { News } from '#records/branch';
import type { LinkHandler, Peer } from '#records/link';
import type { Branch } from '#records/site';
import type { Sql } from '#store/database';
import { isAtOrBelow, type FlowParts } from './branch.ts';

/** boundaryNews is what a neighbour is to know of boundaries: a child all, the parent those of this site and the sites below it. */
export function boundaryNews(all: readonly SentBoundary[], { here, sites }: Branch, to: Peer): News[] {
  const told = to.role === 'child' ? all : all.filter(({ site }) => isAtOrBelow(sites, site, here.code));
  return told.map((body) => ({ key: `${body.site} ${body.boundary}`, body }));
}

/**
 * boundaryHandler takes boundaries that were changed elsewhere: of two changes of one boundary the later one counts, by the clocks of the
 * sites at which they were made. A child may change its own and those of the sites below it.
 */
export function boundaryHandler({ database, site, boundary, branch, discovery, clock }: FlowParts): LinkHandler {
  async function put(tx: Sql, sent: SentBoundary): Promise<boolean> {
    const there = (await boundary.list({ site: sent.site }, tx)).find((b) => boundaryText(b) === sent.boundary);
    if (there && (sent.gone || there.roaming !== sent.roaming)) await boundary.remove(sent.boundary, { site: sent.site }, tx);
    if (sent.gone || there?.roaming === sent.roaming) return false;
    await boundary.add([sent.boundary], { site: sent.site, roaming: sent.roaming, by: `site ${sent.site}` }, tx);
    return !sent.roaming;
  }
  return {
    takesFrom: ['parent', 'child'],
    async apply(tx, { from, role, items }) {
      const { sites } = await site.branch(tx);
      // What was changed here and not noticed yet has its own time, and must not be taken for an older state.
      await branch.boundaries(tx);
      let assigns = false;
      for (const { key, body } of items) {
        const sent = checked(SentBoundary, body, 'boundary');
        const text = boundaryText(parseBoundary(sent.boundary));
        if (role === 'child' && !isAtOrBelow(sites, sent.site, from)) throw raise('PP_LINK_NO_WAY', { site: sent.site });
        // A change of the future would count more than all that is changed here until then.
        const changedAt = new Date(Math.min(Date.parse(sent.changedAt), clock.now().getTime())).toISOString();
        if (await branch.isNews(tx, { ...sent, boundary: text, changedAt }))
          assigns = (await put(tx, { ...sent, boundary: text })) || assigns;
        await branch.told(tx, from, 'boundary', [{ key, body }]);
      }
      // Machines without a site may have one now, as after an add by hand.
      if (assigns) await discovery.wantSweep(`site ${from}`, tx);
    },
    async *snapshot(to) {
      const known = await site.branch();
      for (const news of boundaryNews(await database.transaction((tx) => branch.boundaries(tx)), known, to))
        yield { kind: 'boundary', ...news };
    },
  };
}
