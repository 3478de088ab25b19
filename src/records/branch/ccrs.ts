import type { SentCcr } from '#messages';
import { shortKey } from '#records/resource';
import type { Sql } from '#store/database';

/** BranchCcr is a CCR of a site below, as that site told of it. */
export interface BranchCcr extends Omit<SentCcr, 'firstRequestedAt' | 'lastAttemptAt' | 'nextAttemptAt' | 'finishedAt'> {
  site: string;
  firstRequestedAt: Date;
  lastAttemptAt: Date | undefined;
  nextAttemptAt: Date | undefined;
  finishedAt: Date | undefined;
  receivedAt: Date;
}

interface Row {
  site: string;
  id: number;
  name: string;
  domain: string;
  state: string;
  source: string;
  attempts: number;
  last_error_code: number | null;
  last_error: string | null;
  first_requested_at: Date;
  last_attempt_at: Date | null;
  next_attempt_at: Date | null;
  finished_at: Date | null;
  received_at: Date;
}

/** keepCcr keeps what a site told of one of its CCRs. */
export async function keepCcr(tx: Sql, site: string, ccr: SentCcr, now: Date): Promise<void> {
  const at = (text: string | undefined) => (text === undefined ? undefined : new Date(text));
  await tx.exec(
    {
      name: 'branch_ccr_keep',
      text: `insert into branch_ccr (site, id, name, name_key, domain, state, source, attempts, last_error_code, last_error,
          first_requested_at, last_attempt_at, next_attempt_at, finished_at, received_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        on conflict (site, id) do update set name = excluded.name, name_key = excluded.name_key, domain = excluded.domain,
          state = excluded.state, source = excluded.source, attempts = excluded.attempts, last_error_code = excluded.last_error_code,
          last_error = excluded.last_error, first_requested_at = excluded.first_requested_at, last_attempt_at = excluded.last_attempt_at,
          next_attempt_at = excluded.next_attempt_at, finished_at = excluded.finished_at, received_at = excluded.received_at`,
    },
    [
      site,
      ccr.id,
      ccr.name,
      shortKey(ccr.name),
      ccr.domain,
      ccr.state,
      ccr.source,
      ccr.attempts,
      ccr.lastErrorCode,
      ccr.lastError,
      new Date(ccr.firstRequestedAt),
      at(ccr.lastAttemptAt),
      at(ccr.nextAttemptAt),
      at(ccr.finishedAt),
      now,
    ],
  );
}

/** branchCcrs gives the CCRs of sites below, newest first: of one site, of one machine, or all. */
export async function branchCcrs(
  sql: Sql,
  query: { site?: string | undefined; name?: string | undefined; limit?: number | undefined },
): Promise<BranchCcr[]> {
  const rows = await sql.query<Row>(
    `select * from branch_ccr where ($1::text is null or site = $1) and ($2::text is null or name_key = $2)
     order by first_requested_at desc, site, id desc limit $3`,
    [query.site, query.name === undefined ? undefined : shortKey(query.name), Math.min(Math.max(query.limit ?? 100, 1), 1000)],
  );
  return rows.map(ccrOf);
}

/** branchCcrsAfter gives a page of all of them, by site and id. */
export async function branchCcrsAfter(
  sql: Sql,
  after: Pick<BranchCcr, 'site' | 'id'> | undefined,
  limit: number,
): Promise<BranchCcr[]> {
  const rows = await sql.query<Row>('select * from branch_ccr where (site, id) > ($1, $2) order by site, id limit $3', [
    after?.site ?? '',
    after?.id ?? 0,
    limit,
  ]);
  return rows.map(ccrOf);
}

function ccrOf(row: Row): BranchCcr {
  return {
    site: row.site,
    id: row.id,
    name: row.name,
    domain: row.domain,
    state: row.state,
    source: row.source,
    attempts: row.attempts,
    ...(row.last_error_code !== null && { lastErrorCode: row.last_error_code }),
    ...(row.last_error !== null && { lastError: row.last_error }),
    firstRequestedAt: row.first_requested_at,
    lastAttemptAt: row.last_attempt_at ?? undefined,
    nextAttemptAt: row.next_attempt_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    receivedAt: row.received_at,
  };
}
