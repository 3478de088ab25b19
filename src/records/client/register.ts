import { createHash } from 'node:crypto';
import { raise } from '#base/errors';
import { smsidOf, type Approval, type Registration } from '#messages';
import { nameKey } from '#records/resource';
import type { Sql } from '#store/database';
import { clientOf, type Client, type ClientRow } from './client.ts';
import { mayIssue, remember, spend, type TokenKey } from './token.ts';

/** RegisterOptions are what the point knows beside the message. Signature and proof have been checked by it. */
export interface RegisterOptions {
  /** The token whose proof held; without one the client waits for approval. */
  tokenId?: string | undefined;
  address?: string | undefined;
}

/** Registered is the client after a registration; `created` is false when this key was registered already. */
export interface Registered {
  client: Client;
  created: boolean;
}

/** Registrations of one key, and then those of one name, wait for each other. */
const KEY_LOCK = 1128481347;
const NAME_LOCK = 1128481348;

/** keyHashOf names a public key. */
export function keyHashOf(publicKey: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest());
}

async function resourceOf(tx: Sql, registration: Registration): Promise<number | undefined> {
  const rows = await tx.query<{ id: number }>(
    `select id from resource where not obsolete and ((name_key = $1 and (domain_key = $2 or $2 = '' or ccr_same_domain(domain_key, $2)))
       or (fqdn_key = $3 and $3 <> '')) limit 2`,
    [nameKey(registration.name), nameKey(registration.domain), nameKey(registration.fqdn)],
  );
  return rows.length === 1 ? rows[0]!.id : undefined;
}

async function again(tx: Sql, old: ClientRow, registration: Registration, o: RegisterOptions, now: Date): Promise<Client> {
  if (old.blocked) throw raise('PP_CLIENT_BLOCKED', { guid: old.guid, name: old.name });
  const token = o.tokenId === undefined ? undefined : await spend(tx, o.tokenId, old.key_hash, now);
  const [row] = await tx.query<ClientRow>(
    `update client set name = $2, name_key = $3, domain = $4, domain_key = $5, fqdn = $6, addresses = $7, version = $8, os = $9,
       os_version = $10, type = $11, architecture = $12, site = coalesce($13, site), last_address = coalesce($14, last_address),
       last_seen_at = greatest(last_seen_at, $15), request_id = $16, obsolete = false, replaced_by = null,
       approval = case when $17::text is null then approval else 'approved' end,
       approved_by = case when $17::text is null or approval = 'approved' then approved_by else 'token' end,
       token_id = coalesce($17, token_id), resource_id = coalesce($18, resource_id)
     where id = $1 returning *`,
    [
      old.id,
      registration.name,
      nameKey(registration.name),
      registration.domain,
      nameKey(registration.domain),
      registration.fqdn,
      registration.addresses,
      registration.clientVersion,
      registration.os.name,
      registration.os.version,
      registration.os.type,
      registration.architecture,
      registration.site,
      o.address,
      now,
      registration.requestId,
      token?.id,
      token?.resource_id,
    ],
  );
  return clientOf(row!);
}

async function make(
  tx: Sql,
  registration: Registration,
  o: RegisterOptions & { keyHash: Uint8Array; guid: string },
  now: Date,
): Promise<Client> {
  const token = o.tokenId === undefined ? undefined : await spend(tx, o.tokenId, o.keyHash, now);
  const approval: Approval = token ? 'approved' : 'pending';
  // A token was made for one resource, so it tells more than the name the machine gives itself.
  const resourceId = token?.resource_id ?? (await resourceOf(tx, registration));
  const [row] = await tx.query<ClientRow>(
    `insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, domain, domain_key, fqdn, addresses,
       hardware_id, os, os_version, type, architecture, version, site, approval, approved_by, token_id, last_address, registered_at,
       last_seen_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $23) returning *`,
    [
      o.guid,
      registration.publicKey,
      o.keyHash,
      registration.requestId,
      resourceId,
      registration.name,
      nameKey(registration.name),
      registration.domain,
      nameKey(registration.domain),
      registration.fqdn,
      registration.addresses,
      registration.hardwareId,
      registration.os.name,
      registration.os.version,
      registration.os.type,
      registration.architecture,
      registration.clientVersion,
      registration.site,
      approval,
      token && 'token',
      token?.id,
      o.address,
      now,
    ],
  );
  const client = clientOf(row!);
  // Only a proven client takes the place of an older one; an unproven one would let anybody push a client out (facts F6).
  if (token && client.resourceId !== undefined)
    await tx.query('update client set obsolete = true, replaced_by = $2 where resource_id = $1 and id <> $2 and not obsolete', [
      client.resourceId,
      client.id,
    ]);
  return client;
}

/** register makes a client of a registration, or finds the one of that key; `uuid` becomes its SMSID. */
export async function register(
  tx: Sql,
  registration: Registration,
  o: RegisterOptions & { uuid: string; unseen?: TokenKey | undefined },
  now: Date,
): Promise<Registered> {
  const keyHash = keyHashOf(registration.publicKey);
  await tx.query('select pg_advisory_xact_lock($1, hashtext($2))', [KEY_LOCK, registration.publicKey]);
  await tx.query('select pg_advisory_xact_lock($1, hashtext($2))', [NAME_LOCK, nameKey(registration.name)]);
  if (o.unseen) {
    const { name, domain } = registration;
    const resourceId = await resourceOf(tx, registration);
    // A site below cannot approve clients of machines of other sites, so such a client waits for a person.
    if (await mayIssue(tx, o.unseen.id, resourceId)) await remember(tx, o.unseen, { name, domain, resourceId }, now);
    else o = { ...o, tokenId: undefined };
  }
  const [old] = await tx.query<ClientRow>('select * from client where key_hash = $1 for update', [keyHash]);
  if (old) return { client: await again(tx, old, registration, o, now), created: false };
  const guid = smsidOf(o.uuid);
  if (!guid) throw new Error('an SMSID is made of a UUID');
  return { client: await make(tx, registration, { ...o, keyHash, guid }, now), created: true };
}
