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

/** leave queues a DDR. Of one sender only the newest waits, so that a flood of one sender is one row. */
export async function leave(sql: Sql, { method, key, site, receivedAt, ddr }: QueuedDdr): Promise<void> {
  await sql.exec(
    {
      name: 'ddr_leave',
      text: `insert into ddr (method, key, site, received_at, body) values ($1, $2, $3, $4, $5)
        on conflict (method, key) do update set site = excluded.site, received_at = excluded.received_at, body = excluded.body
          where coalesce(excluded.body ->> 'at', '') >= coalesce(ddr.body ->> 'at', '')`,
    },
    [method, key, site, receivedAt, ddr],
  );
}

/** claim takes the oldest DDRs of a method out of the queue, but for those of some senders; they are back in it if the transaction fails. */
export async function claim(tx: Sql, method: string, limit: number, but: readonly string[]): Promise<QueuedDdr[]> {
  const rows = await tx.query<Row>(
    `delete from ddr where id in (select id from ddr where method = $1 and key <> all($3) order by id limit $2 for update skip locked) returning *`,
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
