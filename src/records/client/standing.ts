import type { Sql } from '#store/database';

/** Standing is how far a client is believed, and which resource it belongs to. */
export interface Standing {
  guid: string;
  /** By a proof or a person; who is approved because the site approves everybody is still only who it says it is. */
  approved: boolean;
  /** Blocked or replaced: what it says counts for nothing. */
  out: boolean;
  resourceId: number | undefined;
}

/** standings tells of clients, by their SMSIDs, how far each is believed now. */
export async function standings(sql: Sql, guids: readonly string[]): Promise<Map<string, Standing>> {
  const rows = await sql.query<{ guid: string; approved: boolean; out: boolean; resource_id: number | null }>(
    `select guid, approval = 'approved' and believed as approved, blocked or obsolete or approval = 'rejected' as out, resource_id
     from client where guid = any($1)`,
    [guids],
  );
  return new Map(
    rows.map(({ guid, approved, out, resource_id }) => [guid, { guid, approved, out, resourceId: resource_id ?? undefined }]),
  );
}

/** attach gives clients that belong to no resource yet the one that their heartbeat made. */
export function attach(sql: Sql, pairs: readonly { guid: string; resourceId: number }[]): Promise<number> {
  return sql.count(
    `update client c set resource_id = p.id from unnest($1::text[], $2::integer[]) as p(guid, id)
     where c.guid = p.guid and c.resource_id is null`,
    [pairs.map((p) => p.guid), pairs.map((p) => p.resourceId)],
  );
}
