import type { Sql } from '#store/database';

/** Role is what a neighbour is to this site. */
export type Role = 'parent' | 'child';

/** Peer is a neighbour as handlers see it. */
export interface Peer {
  site: string;
  role: Role;
}

/**
 * LinkItem is one thing that travels between sites. Of items with the same kind and key that have not been sent yet only the last one is,
 * at its later place; an item that is `ordered` is never replaced (a state message, where each counts).
 */
export interface LinkItem {
  kind: string;
  key: string;
  /** Whatever JSON can carry; secrets only as sealed text (`LinkRecord.sealerFor`). */
  body: unknown;
  ordered?: boolean | undefined;
}

/** Outgoing is an item with where it goes: to the parent of this site, or to a site below it, however deep. */
export interface Outgoing extends LinkItem {
  to: 'parent' | (string & {});
}

/** ReceivedItem is an item as it came; `origin` is the site that made it, which is the neighbour itself or one beyond it. */
export interface ReceivedItem {
  kind: string;
  key: string;
  body: unknown;
  origin: string;
}

/** Delivery is a run of items of one kind from one neighbour, in their order. */
export interface Delivery {
  from: string;
  role: Role;
  /** How far the neighbour's clock is before ours, in milliseconds, for times in bodies that are to be compared. */
  skewMs: number;
  items: readonly ReceivedItem[];
}

/**
 * LinkHandler takes the items of one kind. `apply` does SQL through `tx` only: what it does commits together with the receipt, so every item
 * takes effect once. It may be called with the same item again after either site was restored, so it must be idempotent. Where it raises, its
 * items are tried one by one, and each that still raises is put aside (`link_reject`) while the line goes on.
 */
export interface LinkHandler {
  /** From whom items of this kind are taken; from anybody else they are refused. */
  readonly takesFrom: readonly Role[];
  apply(tx: Sql, delivery: Delivery): Promise<void>;
  /** snapshot gives everything of this kind that a neighbour must have, after a join or when one of the two was restored. */
  snapshot?(to: Peer): AsyncIterable<LinkItem>;
}

/** LinkHandlers are the kinds that this site knows, in the order in which a snapshot is sent. */
export type LinkHandlers = { readonly [kind: string]: LinkHandler };

/** Link is a neighbour and how the line to it is. */
export interface Link extends Peer {
  state: 'joined' | 'removed';
  publicKey: string;
  sealKey: string;
  /** Where the parent is reached, and the SHA-256 of its TLS key where that is over HTTPS. */
  url: string | undefined;
  pin: string | undefined;
  joinedAt: Date;
  removedAt: Date | undefined;
  /** The parent's own parents, nearest first, as it said. */
  path: string[];
  version: string;
  exchangedAt: Date | undefined;
  receivedAt: Date | undefined;
  skewMs: number;
  error: { code: string; message: string; at: Date } | undefined;
  sent: number;
  acked: number;
  received: number;
  restarts: number;
  restartedWhy: string | undefined;
  /** When two servers of this site were last seen to speak in turns. */
  copiesAt: Date | undefined;
}

/** LinkState is a Link with what waits. */
export interface LinkState extends Link {
  backlog: number;
  oldestAt: Date | undefined;
  rejected: number;
}
