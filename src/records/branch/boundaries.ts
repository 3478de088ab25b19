import type { SentBoundary } from '#messages';
import type { Sql } from '#store/database';

interface BoundaryRow {
  boundary: string;
  site: string;
  roaming: boolean;
  gone: boolean;
  changed_at: Date;
}

const sentOf = ({ boundary, site, roaming, gone, changed_at }: BoundaryRow): SentBoundary => ({
  boundary,
  site,
  roaming,
  gone,
  changedAt: changed_at.toISOString(),
});

/**
 * noticeBoundaries compares the boundaries as they are with what is known of their changes: what is new, changed or gone was changed here,
 * just now. It gives all of them, the removed ones too.
 */
export async function noticeBoundaries(tx: Sql, now: Date): Promise<SentBoundary[]> {
  // One at a time, so that two processes do not both notice the same change.
  await tx.query('select pg_advisory_xact_lock(1128481362)');
  await tx.query(
    `insert into branch_boundary (boundary, site, roaming, gone, changed_at)
     select b.kind || ':' || b.value, b.site, b.roaming, false, $1 from boundary b
     on conflict (boundary, site) do update set roaming = excluded.roaming, gone = false, changed_at = excluded.changed_at
     where branch_boundary.gone or branch_boundary.roaming <> excluded.roaming`,
    [now],
  );
  await tx.query(
    `update branch_boundary k set gone = true, changed_at = $1 where not gone and not exists (
       select from boundary b where b.kind || ':' || b.value = k.boundary and b.site = k.site)`,
    [now],
  );
  const rows = await tx.query<BoundaryRow>('select * from branch_boundary order by site, boundary');
  return rows.map(sentOf);
}

/** isNews takes note of a change made elsewhere and tells whether it is later than what is known here; of two at one moment the removal counts. */
export async function isNews(tx: Sql, sent: SentBoundary): Promise<boolean> {
  const rows = await tx.query(
    `insert into branch_boundary (boundary, site, roaming, gone, changed_at) values ($1, $2, $3, $4, $5)
     on conflict (boundary, site) do update set roaming = excluded.roaming, gone = excluded.gone, changed_at = excluded.changed_at
     where (excluded.changed_at, excluded.gone, excluded.roaming) > (branch_boundary.changed_at, branch_boundary.gone, branch_boundary.roaming)
     returning 1 as one`,
    [sent.boundary, sent.site, sent.roaming, sent.gone, new Date(sent.changedAt)],
  );
  return rows.length > 0;
}
