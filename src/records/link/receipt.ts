import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import type { Sql } from '#store/database';
import type { Delivery, LinkHandlers, ReceivedItem, Role } from './link.ts';

/** IncomingItem is an item as it stands in a batch. */
export interface IncomingItem {
  kind: string;
  key: string;
  to: string;
  origin: string;
  body: unknown;
}

/** Receipt is what handing out a batch needs to know. */
export interface Receipt {
  tx: Sql;
  peer: string;
  role: Role;
  own: string;
  skewMs: number;
  handlers: LinkHandlers;
  clock: Clock;
  /** forward passes an item on to a site below this one. */
  forward(tx: Sql, items: readonly IncomingItem[]): Promise<void>;
}

interface Run {
  kind: string;
  onward: boolean;
  items: IncomingItem[];
}

/** runsOf cuts items into runs that are handled together; their order is kept. */
function runsOf(items: readonly IncomingItem[], own: string): Run[] {
  const runs: Run[] = [];
  for (const item of items) {
    const onward = item.to !== own;
    const last = runs.at(-1);
    if (last && last.kind === item.kind && last.onward === onward) last.items.push(item);
    else runs.push({ kind: item.kind, onward, items: [item] });
  }
  return runs;
}

/** handOut gives items to their handlers, in order, in the caller's transaction; it tells how many were put aside. */
export async function handOut(receipt: Receipt, items: readonly IncomingItem[]): Promise<number> {
  let rejected = 0;
  for (const { items: run } of runsOf(items, receipt.own)) {
    const failure = await attempt(receipt, run);
    if (failure === undefined) continue;
    if (run.length === 1) {
      await putAside(receipt, run[0]!, failure);
      rejected++;
      continue;
    }
    for (const item of run) {
      const alone = await attempt(receipt, [item]);
      if (alone === undefined) continue;
      await putAside(receipt, item, alone);
      rejected++;
    }
  }
  return rejected;
}

/** attempt handles items of one run or none of them, and gives what kept it from it. */
async function attempt(receipt: Receipt, run: IncomingItem[]): Promise<unknown> {
  const { tx } = receipt;
  await tx.query('savepoint delivery');
  try {
    await deliver(receipt, run);
    await tx.query('release savepoint delivery');
    return undefined;
  } catch (error) {
    if (isOfDatabase(error)) throw error;
    await tx.query('rollback to savepoint delivery');
    return error;
  }
}

async function deliver(receipt: Receipt, run: IncomingItem[]): Promise<void> {
  const { tx, peer, role, own, skewMs, handlers } = receipt;
  const { kind, to } = run[0]!;
  if (role === 'child' && run.some((item) => item.to !== own || item.origin !== peer))
    throw raise('PP_LINK_NO_WAY', { site: to });
  if (to !== own) return receipt.forward(tx, run);
  const handler = Object.hasOwn(handlers, kind) ? handlers[kind] : undefined;
  if (!handler?.takesFrom.includes(role)) throw raise('PP_LINK_KIND', { kind, role });
  const items = run.map(({ key, body, origin }): ReceivedItem => ({ kind, key, body, origin }));
  const delivery: Delivery = { from: peer, role, skewMs, items };
  await handler.apply(tx, delivery);
}

/** isOfDatabase tells whether the database is in trouble, and not the item: then nothing of the batch counts, and it comes again. */
function isOfDatabase(error: unknown): boolean {
  if (error instanceof PushpointError) return error.code.startsWith('PP_STORE_') && !error.code.startsWith('PP_STORE_VAULT_');
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  // 22 is bad data and 23 a broken constraint: the item's own fault. Everything else of five characters is the server's.
  return /^[0-9A-Z]{5}$/.test(code)
    ? !/^2[23]/.test(code)
    : /^E[A-Z]+$/.test(code) || /connection|terminated/i.test(String(error));
}

async function putAside({ tx, peer, clock }: Receipt, item: IncomingItem, error: unknown): Promise<void> {
  const { code, message } = error instanceof PushpointError ? error : { code: 'PP_LINK_ITEM', message: String(error) };
  await tx.query(
    'insert into link_reject (peer, kind, key, body, code, reason, rejected_at) values ($1, $2, $3, $4, $5, $6, $7)',
    [peer, item.kind, item.key, JSON.stringify(item.body ?? null), code, message.slice(0, 2000), clock.now()],
  );
}
