import { checked, SentCcr } from '#messages';
import type { Ccr } from '#records/ccr';
import type { LinkHandler, Outgoing } from '#records/link';
import type { Sql } from '#store/database';
import type { FlowParts } from './branch.ts';

/** So many are told in one transaction. */
const PART = 500;
const CURSOR = 'ccr';

function sentOf(ccr: Ccr): SentCcr {
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

/** ccrHandler keeps how the CCRs of a site below stand. */
export function ccrHandler({ branch, ccr }: FlowParts): LinkHandler {
  return {
    takesFrom: ['child'],
    async apply(tx, { from, items }) {
      for (const { body } of items) await branch.keepCcr(tx, from, checked(SentCcr, body, 'state of a CCR'));
    },
    async *snapshot(to) {
      if (to.role !== 'parent') return;
      for (let cursor = '0.0'; ;) {
        const part = await ccr.changedSince(cursor, PART);
        for (const one of part.items) yield itemOf(one);
        if (part.items.length < PART) return;
        cursor = part.cursor;
      }
    },
  };
}
