import type { StateMessage } from '#messages';
import { shortKey } from '#records/resource';
import type { Sql } from '#store/database';

/** State is a state message as it was kept. */
export interface State {
  topicType: number;
  topicId: string;
  stateId: number;
  at: Date;
  receivedAt: Date;
  name: string;
  domain: string;
  resourceId: number | undefined;
  guid: string | undefined;
  version: string | undefined;
  exitCode: number | undefined;
  detail: string | undefined;
  logTail: string | undefined;
  proven: boolean;
}

/** addState keeps a message once and gives its resource (null for none); undefined when it is here already. */
export async function addState(
  sql: Sql,
  message: StateMessage,
  o: { proven: boolean; resourceId?: number | undefined },
  now: Date,
): Promise<number | null | undefined> {
  const rows = await sql.exec<{ resource_id: number | null }>(
    {
      name: 'client_state_add',
      text: `insert into client_state (topic_type, topic_id, state_id, at, received_at, name_key, name, domain, resource_id, site, guid,
          version, exit_code, detail, log_tail, proven)
        values ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, (select resource_id from client where guid = $11)), $10, $11, $12, $13, $14,
          $15, $16)
        on conflict (topic_id, topic_type, state_id, proven) do nothing returning resource_id`,
    },
    [
      message.topicType,
      message.topicId,
      message.stateId,
      new Date(message.at),
      now,
      shortKey(message.name),
      message.name,
      message.domain,
      o.resourceId,
      message.site,
      message.guid,
      message.clientVersion,
      message.exitCode,
      message.detail,
      // PostgreSQL keeps no NUL in a text; a log may have one.
      message.logTail?.toWellFormed().replaceAll('\0', ''),
      o.proven,
    ],
  );
  return rows.length === 0 ? undefined : rows[0]!.resource_id;
}

interface StateRow {
  topic_type: number;
  topic_id: string;
  state_id: number;
  at: Date;
  received_at: Date;
  name: string;
  domain: string;
  resource_id: number | null;
  guid: string | null;
  version: string | null;
  exit_code: number | null;
  detail: string | null;
  log_tail: string | null;
  proven: boolean;
}

/** states gives the last messages about a machine, newest first. */
export async function states(sql: Sql, who: { resourceId: number } | { name: string }, limit: number): Promise<State[]> {
  const [where, value] = 'resourceId' in who ? ['resource_id = $1', who.resourceId] : ['name_key = $1', shortKey(who.name)];
  const rows = await sql.query<StateRow>(`select * from client_state where ${where} order by id desc limit $2`, [value, limit]);
  return rows.map((row) => ({
    topicType: row.topic_type,
    topicId: row.topic_id,
    stateId: row.state_id,
    at: row.at,
    receivedAt: row.received_at,
    name: row.name,
    domain: row.domain,
    resourceId: row.resource_id ?? undefined,
    guid: row.guid ?? undefined,
    version: row.version ?? undefined,
    exitCode: row.exit_code ?? undefined,
    detail: row.detail ?? undefined,
    logTail: row.log_tail ?? undefined,
    proven: row.proven,
  }));
}
