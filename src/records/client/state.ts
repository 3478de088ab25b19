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

/** Said is a message, whether its sender proved who it is, and which machine it is about where that is known. */
export interface Said {
  message: StateMessage;
  proven: boolean;
  resourceId?: number | undefined;
}

const ADD = {
  name: 'client_state_add_many',
  text: `with said as materialized (
      select * from json_to_recordset($1) as m(place integer, "topicType" integer, "topicId" uuid, "stateId" integer, at timestamptz, key text,
        name text, domain text, "resourceId" integer, site text, guid text, "clientVersion" text, "exitCode" bigint, detail text,
        "logTail" text, proven boolean)
    ), added as (
      insert into client_state (topic_type, topic_id, state_id, at, received_at, name_key, name, domain, resource_id, site, guid, version,
        exit_code, detail, log_tail, proven)
      select "topicType", "topicId", "stateId", at, $2, key, name, domain,
        coalesce("resourceId", (select resource_id from client c where c.guid = m.guid)), site, guid, "clientVersion", "exitCode", detail,
        "logTail", proven
      from said m order by place
      on conflict (topic_id, topic_type, state_id, proven) do nothing
      returning topic_id, topic_type, state_id, proven, resource_id, name, domain
    )
    select topic_id, topic_type, state_id, proven, resource_id, case when proven then
      pg_notify('client', jsonb_strip_nulls(jsonb_build_object('resourceId', resource_id, 'name', name, 'domain', domain))::text) end as told
    from added`,
};

/**
 * addStates keeps messages, each once, in one statement, and announces the proven ones on 'client'. It gives the resource of each (null for
 * none); undefined where it is here already.
 */
export async function addStates(sql: Sql, said: readonly Said[], now: Date): Promise<(number | null | undefined)[]> {
  const rows = said.map(({ message, proven, resourceId }, place) => ({
    ...message,
    place,
    at: new Date(message.at),
    key: shortKey(message.name),
    detail: message.detail?.toWellFormed(),
    // PostgreSQL keeps no NUL in a text; a log may have one.
    logTail: message.logTail?.toWellFormed().replaceAll('\0', ''),
    resourceId,
    proven,
  }));
  const added = await sql.exec<Pick<StateRow, 'topic_id' | 'topic_type' | 'state_id' | 'proven' | 'resource_id'>>(ADD, [
    JSON.stringify(rows),
    now,
  ]);
  const keyOf = (...parts: unknown[]) => parts.join(' ').toLowerCase();
  const fresh = new Map(added.map((row) => [keyOf(row.topic_id, row.topic_type, row.state_id, row.proven), row.resource_id]));
  return said.map(({ message: { topicId, topicType, stateId }, proven }) => {
    const key = keyOf(topicId, topicType, stateId, proven);
    const resourceId = fresh.get(key);
    // Of two that are the same in one statement, the first is the new one.
    fresh.delete(key);
    return resourceId;
  });
}

/** SaidRow is what is kept of a state message wherever one is kept: of clients, and of those who prove nothing. */
export interface SaidRow {
  topic_type: number;
  topic_id: string;
  state_id: number;
  at: Date;
  received_at: Date;
  name: string;
  domain: string;
  guid: string | null;
  version: string | null;
  exit_code: number | null;
  detail: string | null;
  log_tail: string | null;
}

/** saidOf reads such a row. */
export function saidOf(row: SaidRow) {
  return {
    topicType: row.topic_type,
    topicId: row.topic_id,
    stateId: row.state_id,
    at: row.at,
    receivedAt: row.received_at,
    name: row.name,
    domain: row.domain,
    guid: row.guid ?? undefined,
    version: row.version ?? undefined,
    exitCode: row.exit_code ?? undefined,
    detail: row.detail ?? undefined,
    logTail: row.log_tail ?? undefined,
  };
}

interface StateRow extends SaidRow {
  resource_id: number | null;
  proven: boolean;
}

/** states gives the last messages about a machine, newest first. */
export async function states(sql: Sql, who: { resourceId: number } | { name: string }, limit: number): Promise<State[]> {
  const [where, value] = 'resourceId' in who ? ['resource_id = $1', who.resourceId] : ['name_key = $1', shortKey(who.name)];
  const rows = await sql.query<StateRow>(`select * from client_state where ${where} order by id desc limit $2`, [value, limit]);
  return rows.map((row) => ({ ...saidOf(row), resourceId: row.resource_id ?? undefined, proven: row.proven }));
}
