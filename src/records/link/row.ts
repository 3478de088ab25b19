import { raise } from '#base/errors';
import type { Sql } from '#store/database';
import type { Link, Role } from './link.ts';

/** LinkRow is a link as it is stored. */
export interface LinkRow {
  site: string;
  role: Role;
  state: 'joined' | 'removed';
  public_key: string;
  seal_key: string;
  url: string | null;
  pin: string | null;
  joined_at: Date;
  removed_at: Date | null;
  out_stream: number;
  out_seq: number;
  out_acked: number;
  out_full: boolean;
  in_stream: number;
  in_seq: number;
  session: string;
  turn: number;
  version: string;
  path: string[];
  exchanged_at: Date | null;
  received_at: Date | null;
  skew_ms: number;
  error_code: string | null;
  error: string | null;
  error_at: Date | null;
  restarts: number;
  restarted_why: string | null;
  instance: string;
  instance_before: string;
  copies: number;
  copies_at: Date | null;
}

/** linkOf reads a row. */
export function linkOf(row: LinkRow): Link {
  return {
    site: row.site,
    role: row.role,
    state: row.state,
    publicKey: row.public_key,
    sealKey: row.seal_key,
    url: row.url ?? undefined,
    pin: row.pin ?? undefined,
    joinedAt: row.joined_at,
    removedAt: row.removed_at ?? undefined,
    path: row.path,
    version: row.version,
    exchangedAt: row.exchanged_at ?? undefined,
    receivedAt: row.received_at ?? undefined,
    skewMs: row.skew_ms,
    error:
      row.error_code === null ? undefined : { code: row.error_code, message: row.error ?? '', at: row.error_at ?? row.joined_at },
    sent: row.out_seq,
    acked: row.out_acked,
    received: row.in_seq,
    restarts: row.restarts,
    restartedWhy: row.restarted_why ?? undefined,
    copiesAt: row.copies >= 2 ? (row.copies_at ?? undefined) : undefined,
  };
}

/** lockLink reads the row of a neighbour and keeps others from it until the transaction ends. */
export async function lockLink(tx: Sql, site: string): Promise<LinkRow> {
  const [row] = await tx.exec<LinkRow>({ name: 'link_lock', text: 'select * from link where site = $1 for update' }, [site]);
  if (!row) throw raise('PP_LINK_NO_WAY', { site });
  return row;
}
