import type { Ddr } from '#messages';
import type { Sql } from '#store/database';

/** QueuedDdr is a DDR that a point left for DDM; `key` names who sent it, for a heartbeat the client's SMSID. */
export interface QueuedDdr {
  method: string;
  key: string;
  site: string;
  receivedAt: Date;
  ddr: Ddr;
}

interface Row {
  id: number;
  method: string;
  key: string;
  site: string;
  received_at: Date;
  body: Ddr;
}

/**
 * leave queues DDRs, and announces them on 'ddr'. Of one sender only the newest waits, so that a flood of one sender is one row; of two in one
 * call it is the last.
 */
export async function leave(sql: Sql, ddrs: readonly QueuedDdr[]): Promise<void> {
  // One statement may not touch one row twice.
  const newest = [...new Map(ddrs.map((ddr) => [`${ddr.method} ${ddr.key}`, ddr])).values()];
  newest.sort((a, b) => (a.key < b.key ? -1 : 1));
  await sql.exec(
    {
      name: 'ddr_leave',
      text: `with told as (select pg_notify('ddr', ''))
        insert into ddr (method, key, site, received_at, body)
        select m.* from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::jsonb[]) as m, told
        on conflict (method, key) do update set site = excluded.site, received_at = excluded.received_at, body = excluded.body
          where coalesce(excluded.body ->> 'at', '') >= coalesce(ddr.body ->> 'at', '')`,
    },
    [
      newest.map(({ method }) => method),
      newest.map(({ key }) => key),
      newest.map(({ site }) => site),
      newest.map(({ receivedAt }) => receivedAt),
      newest.map(({ ddr }) => JSON.stringify(ddr)),
    ],
  );
}

/** claim takes the oldest DDRs of a method out of the queue, but for those of some senders; they are back in it if the transaction fails. */
export async function claim(tx: Sql, method: string, limit: number, but: readonly string[]): Promise<QueuedDdr[]> {
  const rows = await tx.query<Row>(
    `delete from ddr where id = any(array(
       select id from ddr where method = $1 and key <> all($3) order by id limit $2 for update skip locked)) returning *`,
    [method, limit, but],
  );
  rows.sort((a, b) => a.id - b.id);
  return rows.map(({ method: by, key, site, received_at, body }) => ({
    method: by,
    key,
    site,
    receivedAt: received_at,
    ddr: body,
  }));
}
