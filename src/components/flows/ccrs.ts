import { raise } from '#base/errors';
import { checked, SentCcr } from '#messages';
import type { BranchCcr } from '#records/branch';
import type { Ccr } from '#records/ccr';
import type { LinkHandler, Outgoing } from '#records/link';
import type { Sql } from '#store/database';
import { isAtOrBelow, type FlowParts } from './branch.ts';

/** So many are told in one transaction. */
const PART = 500;
const CURSOR = 'ccr';

function sentOf(ccr: Ccr | BranchCcr): SentCcr {
  const { id, name, domain, state, source, attempts, lastErrorCode, lastError } = ccr;
  const iso = (at: Date | undefined) => at?.toISOString();
  const [lastAttemptAt, nextAttemptAt, finishedAt] = [iso(ccr.lastAttemptAt), iso(ccr.nextAttemptAt), iso(ccr.finishedAt)];
  return {
    id,
    name,
    domain,
    state,
    source,
    attempts,
    ...(lastErrorCode !== undefined && { lastErrorCode }),
    ...(lastError !== undefined && { lastError }),
    firstRequestedAt: ccr.firstRequestedAt.toISOString(),
    ...(lastAttemptAt !== undefined && { lastAttemptAt }),
    ...(nextAttemptAt !== undefined && { nextAttemptAt }),
    ...(finishedAt !== undefined && { finishedAt }),
  };
}

const itemOf = (ccr: Ccr) => ({ kind: 'ccr', key: String(ccr.id), body: sentOf(ccr) });
const onwards = (site: string, ccr: SentCcr) => ({ kind: 'ccr', key: `${site} ${ccr.id}`, body: { ...ccr, site } });

/** sendCcrs tells the parent how the CCRs of this site stand; true where there may be more. The CCRs themselves stay here (D1). */
export async function sendCcrs({ ccr, link, branch }: FlowParts, tx: Sql): Promise<boolean> {
  const cursor = await branch.cursor(CURSOR, tx);
  const changed = await ccr.changedSince(cursor ?? '0.0', PART);
  if (changed.items.length === 0) return false;
  await link.enqueue(
    tx,
    changed.items.map((one): Outgoing => ({ to: 'parent', ...itemOf(one) })),
  );
  await branch.setCursor(tx, CURSOR, changed.cursor);
  return changed.items.length === PART;
}

/** ccrHandler keeps how the CCRs of the sites below stand, and tells the site above. */
export function ccrHandler({ branch, ccr, link, site }: FlowParts): LinkHandler {
  return {
    takesFrom: ['child'],
    async apply(tx, { from, items }) {
      const { here, sites } = await site.branch(tx);
      for (const { body } of items) {
        const { site: of = from, ...sent } = checked(SentCcr, body, 'state of a CCR');
        // A child speaks for itself and those below it.
        if (!isAtOrBelow(sites, of, from)) throw raise('PP_LINK_NO_WAY', { site: of });
        await branch.keepCcr(tx, of, sent);
        if (here.parent !== undefined) await link.enqueue(tx, [{ to: 'parent', ...onwards(of, sent) }]);
      }
    },
    async *snapshot(to) {
      if (to.role !== 'parent') return;
      for (let cursor = '0.0'; ;) {
        const part = await ccr.changedSince(cursor, PART);
        for (const one of part.items) yield itemOf(one);
        if (part.items.length < PART) break;
        cursor = part.cursor;
      }
      for (let after: BranchCcr | undefined; ;) {
        const part = await branch.ccrsAfter(after, PART);
        for (const one of part) yield onwards(one.site, sentOf(one));
        if (part.length < PART) return;
        after = part.at(-1);
      }
    },
  };
}
