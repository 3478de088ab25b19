import { checked, SentClient, SentState } from '#messages';
import type { UnsentClient } from '#records/client';
import type { LinkHandler, Outgoing, Peer } from '#records/link';
import type { Branch } from '#records/site';
import type { Sql } from '#store/database';
import { isAtOrBelow, type FlowParts } from './branch.ts';

/** So many clients or state messages are told in one transaction. */
const PART = 500;

/**
 * isFor tells whether a neighbour is to know of a client. Clients of a secondary belong to its primary, so the parent hears of all of them;
 * back to a secondary go those of machines in its boundaries, and those that registered there, so that its proxy management point knows
 * them and what was decided about them.
 */
function isFor({ assigned, via }: UnsentClient, { sites }: Branch, to: Peer): boolean {
  if (to.role === 'parent') return true;
  const peer = sites.find(({ code }) => code === to.site);
  return peer?.kind === 'secondary' && (assigned === to.site || via === to.site);
}

/** speaker tells for machines of which sites a neighbour may speak: the parent for all, a child for those of its branch and of no site. */
function speaker({ sites }: Branch, { site, role }: Peer): (assigned: string | undefined) => boolean {
  return (assigned) => role === 'parent' || assigned === undefined || isAtOrBelow(sites, assigned, site);
}

const itemOf = ({ client }: UnsentClient) => ({ kind: 'client', key: client.guid, body: client });

/** sendClients queues what changed of clients, and new state messages; true where there may be more. */
export async function sendClients({ client, link }: FlowParts, tx: Sql, known: Branch, peers: readonly Peer[]): Promise<boolean> {
  const changed = await client.takeUnsent(tx, PART);
  const items = peers.flatMap((peer): Outgoing[] =>
    changed
      .filter((one) => isFor(one, known, peer))
      .map((one) => ({ to: peer.role === 'parent' ? 'parent' : peer.site, ...itemOf(one) })),
  );
  const states = peers.some(({ role }) => role === 'parent') ? await client.takeUnsentStates(tx, PART) : [];
  items.push(...states.map(({ key, sent }): Outgoing => ({ to: 'parent', kind: 'state', key, body: sent, ordered: true })));
  if (items.length > 0) await link.enqueue(tx, items);
  return changed.length === PART || states.length === PART;
}

/** clientHandler takes clients of other sites: registrations and signs of life from below, decisions from above. */
export function clientHandler({ client, site, log }: FlowParts): LinkHandler {
  return {
    takesFrom: ['parent', 'child'],
    async apply(tx, { from, role, items }) {
      const known = await site.branch(tx);
      // A primary decides about its clients itself, so its parent has nothing to tell of them: an approval from there would be a way to its secrets.
      if (role === 'parent' && known.here.kind === 'primary')
        return log.warn('clients that the parent told of were not taken: this site is a primary', {
          from,
          clients: items.length,
        });
      const speaksFor = speaker(known, { site: from, role });
      const decides = role === 'child' && known.sites.some(({ code, kind }) => code === from && kind === 'primary');
      const rules = known.here.settings.client;
      for (const { body } of items)
        await client.takeFrom(tx, checked(SentClient, body, 'client'), { site: from, role, speaksFor, rules, decides });
    },
    async *snapshot(to) {
      const known = await site.branch();
      for await (const one of client.allFor()) if (isFor(one, known, to)) yield itemOf(one);
    },
  };
}

/** stateHandler takes state messages that clients sent to a site below. */
export function stateHandler({ client, site }: FlowParts): LinkHandler {
  return {
    takesFrom: ['child'],
    async apply(tx, { from, role, items }) {
      const speaksFor = speaker(await site.branch(tx), { site: from, role });
      for (const { body } of items)
        await client.takeStateFrom(tx, checked(SentState, body, 'state message'), { site: from, role, speaksFor });
    },
  };
}
