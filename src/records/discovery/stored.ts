import type { Ddr } from '#messages';
import type { Sql } from '#store/database';

/** DdrOrigin says who hands DDRs in, and how far they can be trusted. */
export interface DdrOrigin {
  /** The discovery method: 'import', 'network', 'heartbeat', 'ad', … */
  method: string;
  /** The site at which the machines were discovered. */
  site: string;
  /** trusted: more than a machine's own claim. Only then machines are assigned, and may get the client by site-wide push. */
  trusted: boolean;
  /** May the source say anything of a machine of this site, or of none? Without it, of every machine. */
  speaksFor?: ((assignedSite: string | undefined) => boolean) | undefined;
  /** A transaction of the caller; without it each part is one of its own. */
  via?: Sql | undefined;
}

/** StoredDdrs are the resources that a part of an ingest stored or merged into, each beside its DDR. */
export interface StoredDdrs extends Omit<DdrOrigin, 'via'> {
  /** Machines that were moved from one site to another; there are no DDRs then. */
  moved?: readonly { id: number; from: string }[] | undefined;
  ddrs: readonly { id: number; ddr: Ddr; outcome: 'stored' | 'merged' | 'unchanged' }[];
}

/** OnStored is told of stored DDRs in their transaction, after assignment and automatic CCRs; the hierarchy passes them on from there. */
export type OnStored = (tx: Sql, ids: readonly number[], stored: StoredDdrs) => Promise<void>;

/** ASSIGNED: no source told anything, but a site was found. */
export const ASSIGNED = { method: 'assignment', trusted: true, ddrs: [] };
