import type { Sql } from '#store/database';

/** ClientEvent is one thing that happened to a client, or that somebody decided about it. */
export interface ClientEvent {
  at: Date;
  what: string;
  by: string;
  detail: unknown;
}

/** SITE is who decided what no person did. */
export const SITE = 'site';

/** noteEvent keeps what happened to a client. */
export async function noteEvent(
  sql: Sql,
  clientId: number,
  event: { what: string; by?: string; detail?: unknown },
  now: Date,
): Promise<void> {
  await sql.exec(
    { name: 'client_event', text: 'insert into client_event (client_id, at, what, by, detail) values ($1, $2, $3, $4, $5)' },
    [clientId, now, event.what, event.by ?? SITE, event.detail === undefined ? null : JSON.stringify(event.detail)],
  );
}

/** eventsOf gives the history of a client, newest first. */
export function eventsOf(sql: Sql, clientId: number, limit: number): Promise<ClientEvent[]> {
  return sql.query<ClientEvent>('select at, what, by, detail from client_event where client_id = $1 order by id desc limit $2', [
    clientId,
    limit,
  ]);
}
