import type { SentClient, SentState } from '#messages';
import type { Sql } from '#store/database';
import type { ClientRow } from './client.ts';

/** Clients as they travel between the sites of a branch: what this one tells of them. */

type Row = ClientRow;

/** UnsentClient is a client that other sites have not been told of as it is now. */
export interface UnsentClient {
  client: SentClient;
  /** The site by whose boundaries its machine is assigned. */
  assigned: string | undefined;
  /** The site that told of it. */
  via: string | undefined;
}

function sentOf(row: Row): SentClient {
  const { last_address: lastAddress, approved_by: approvedBy, os_version: osVersion, token_id: tokenId } = row;
  return {
    guid: row.guid,
    publicKey: row.public_key,
    requestId: row.request_id,
    name: row.name,
    domain: row.domain,
    fqdn: row.fqdn,
    addresses: row.addresses,
    hardwareId: row.hardware_id,
    ...(row.os !== null && { os: row.os }),
    ...(osVersion !== null && { osVersion }),
    ...(row.type !== null && { type: row.type }),
    ...(row.architecture !== null && { architecture: row.architecture }),
    version: row.version,
    ...(row.site !== null && { site: row.site }),
    approval: row.approval,
    ...(approvedBy !== null && { approvedBy }),
    ...(row.proven_by !== null && { provenBy: row.proven_by }),
    blocked: row.blocked,
    obsolete: row.obsolete,
    ...(tokenId !== null && { tokenId }),
    ...(lastAddress !== null && { lastAddress }),
    sequence: row.sequence,
    registeredAt: row.registered_at.toISOString(),
    lastSeenAt: row.last_seen_at.toISOString(),
  };
}

type Joined = Row & { assigned: string | null };

const unsentOf = (row: Joined): UnsentClient => ({
  client: sentOf(row),
  assigned: row.assigned ?? undefined,
  via: row.via_site ?? undefined,
});

/** takeUnsent gives clients that were changed since other sites were told, and takes note that they are told in this transaction. */
export async function takeUnsent(tx: Sql, limit: number): Promise<UnsentClient[]> {
  const rows = await tx.query<Joined>(
    `update client c set unsent = false where id = any(array(select id from client where unsent order by id limit $1 for update skip locked))
     returning c.*, (select r.assigned_site from resource r where r.id = c.resource_id) as assigned`,
    [limit],
  );
  // The one that was there first is told first: who resembles it is found by that.
  return rows.toSorted((a, b) => a.id - b.id).map(unsentOf);
}

/** pageOfClients gives clients after an id, for a snapshot. */
export async function pageOfClients(
  sql: Sql,
  after: number,
  limit: number,
): Promise<{ items: UnsentClient[]; last: number | undefined }> {
  const rows = await sql.query<Joined>(
    `select c.*, r.assigned_site as assigned from client c left join resource r on r.id = c.resource_id where c.id > $1 order by c.id limit $2`,
    [after, limit],
  );
  return { items: rows.map(unsentOf), last: rows.at(-1)?.id };
}

/** takeUnsentStates does the same for state messages. */
export async function takeUnsentStates(tx: Sql, limit: number): Promise<{ key: string; sent: SentState }[]> {
  const rows = await tx.query<{
    topic_type: number;
    topic_id: string;
    state_id: number;
    at: Date;
    name: string;
    domain: string;
    site: string | null;
    guid: string | null;
    version: string | null;
    exit_code: number | null;
    detail: string | null;
    log_tail: string | null;
    proven: boolean;
  }>(
    `update client_state set unsent = false where id = any(array(select id from client_state where unsent order by id limit $1 for update skip locked))
     returning *`,
    [limit],
  );
  return rows.map((row) => ({
    key: `${row.topic_id} ${row.topic_type} ${row.state_id} ${row.proven}`,
    sent: {
      message: {
        topicType: row.topic_type,
        topicId: row.topic_id,
        stateId: row.state_id,
        at: row.at.toISOString(),
        name: row.name,
        domain: row.domain,
        ...(row.site !== null && { site: row.site }),
        ...(row.guid !== null && { guid: row.guid }),
        ...(row.version !== null && { clientVersion: row.version }),
        ...(row.exit_code !== null && { exitCode: row.exit_code }),
        ...(row.detail !== null && { detail: row.detail }),
        ...(row.log_tail !== null && { logTail: row.log_tail }),
      },
      proven: row.proven,
    },
  }));
}
