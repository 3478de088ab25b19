import type { Sql } from '#store/database';

/** Aside is a DDR of a site below about a machine that is in no boundary of its branch. */
export interface Aside {
  peer: string;
  key: string;
  body: unknown;
}

/** putAside keeps such DDRs, of one thing the last. */
export async function putAside(tx: Sql, items: readonly Aside[], now: Date): Promise<void> {
  const last = [...new Map(items.map((item) => [`${item.peer} ${item.key}`, item])).values()];
  if (last.length === 0) return;
  await tx.query(
    `insert into branch_aside (peer, key, body, told_at) select peer, key, body, $2
     from jsonb_to_recordset($1) as a(peer text, key text, body jsonb)
     on conflict (peer, key) do update set body = excluded.body, told_at = excluded.told_at`,
    [JSON.stringify(last), now],
  );
}

/** dropAside forgets what is put aside no more. */
export async function dropAside(tx: Sql, items: readonly Pick<Aside, 'peer' | 'key'>[]): Promise<void> {
  if (items.length === 0) return;
  await tx.query(
    `delete from branch_aside a using jsonb_to_recordset($1) as d(peer text, key text) where a.peer = d.peer and a.key = d.key`,
    [JSON.stringify(items.map(({ peer, key }) => ({ peer, key })))],
  );
}

/** asideAfter gives a page of them, locked, so that what comes meanwhile waits. */
export function asideAfter(tx: Sql, after: Pick<Aside, 'peer' | 'key'> | undefined, limit: number): Promise<Aside[]> {
  return tx.query<Aside>(
    `select peer, key, body from branch_aside where (peer, key) > ($1, $2) order by peer, key limit $3 for update`,
    [after?.peer ?? '', after?.key ?? '', limit],
  );
}
