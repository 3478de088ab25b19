import { checked, SentDecision } from '#messages';
import type { LinkHandler } from '#records/link';
import { primaryBelow } from '#records/site';
import type { FlowParts } from './branch.ts';

/**
 * decisionHandler takes what a person at the top of the branch decided about clients in conflict. A site takes that where it asks a person
 * itself; where its clients register with a site further down, it goes on to there.
 */
export function decisionHandler({ client, site, link, log }: FlowParts): LinkHandler {
  return {
    takesFrom: ['parent'],
    async apply(tx, { from, items }) {
      const known = await site.branch(tx);
      for (const { body, key } of items) {
        const decision = checked(SentDecision, body, 'decision');
        const { guid, action, into, by } = decision;
        const one = await client.byGuid(guid);
        const below = one && primaryBelow(known, one.viaSite);
        if (!one) log.info('a decision about a client that is not here any more', { client: guid, action });
        else if (below !== undefined) await link.enqueue(tx, [{ to: below, kind: 'decision', key, body, ordered: true }]);
        else if (known.here.settings.client.conflicts !== 'manual')
          log.warn('a decision of the parent about a client was not taken: this site asks nobody (client.conflicts)', {
            client: guid,
            action,
            by,
          });
        else if (!(await client.trust.decideFrom(tx, { guid, action, into, by: `${by} at ${from}` })))
          log.info('a decision about a client came when it was decided already', { client: guid, action });
      }
    },
  };
}
