import type { SentClient, SentState } from '#messages';
import { nameKey, shortKey } from '#records/resource';
import type { Sql } from '#store/database';
import { clientOf, type Client, type ClientRow, type Proof } from './client.ts';
import { rekey } from './identity.ts';
import { keyHashOf } from './register.ts';
import { believed, isOf, keepVerdict, provesItself, verdictOn, type Teller, type Verdict } from './verdict.ts';

/** How this site takes what another one of its branch tells of clients. */

type Row = ClientRow;

async function resourceIdOf(tx: Sql, { name, domain, fqdn, tokenId }: SentClient): Promise<number | undefined> {
  // The site that made the token knows for which machine it did.
  const [token] = await tx.query<{ resource_id: number | null }>('select resource_id from client_token where id = $1', [tokenId]);
  if (token?.resource_id) return token.resource_id;
  const rows = await tx.query<{ id: number }>(
    `select id from resource where not obsolete and ((name_key = $1 and (domain_key = $2 or $2 = '' or ccr_same_domain(domain_key, $2)))
       or (fqdn_key = $3 and $3 <> '')) limit 2`,
    [nameKey(name), nameKey(domain), nameKey(fqdn)],
  );
  return rows.length === 1 ? rows[0]!.id : undefined;
}

/** spendToken notes that a token of this site was used elsewhere; false where another key had used it before, which then is the one that counts. */
async function spendToken(tx: Sql, sent: SentClient, keyHash: Uint8Array): Promise<boolean> {
  if (sent.tokenId === undefined) return true;
  const [token] = await tx.query<{ used_by: Buffer | null }>('select used_by from client_token where id = $1 for update', [
    sent.tokenId,
  ]);
  if (!token) return true;
  if (token.used_by) return token.used_by.equals(keyHash);
  await tx.query('update client_token set used_at = $2, used_by = $3 where id = $1', [
    sent.tokenId,
    new Date(sent.registeredAt),
    keyHash,
  ]);
  return true;
}

/**
 * takeClient takes what another site of the branch tells of a client. What the parent says counts: approval and blocking are decided there.
 * A secondary tells of registrations and signs of life, and approves by a registration token only; a primary decides about its own clients.
 */
export async function takeClient(tx: Sql, sent: SentClient, from: Teller, now: Date): Promise<Client | undefined> {
  const keyHash = keyHashOf(sent.publicKey);
  const isParent = from.role === 'parent';
  const machine = await resourceIdOf(tx, sent);
  const mayTell = isParent || (await believed(tx, sent, from, { resourceId: machine, keyHash }));
  const known = await tx.query<Row>(
    'select * from client where key_hash = $1 or guid = $2 order by key_hash = $1 desc for update',
    [keyHash, sent.guid],
  );
  const own = isParent ? known : await ofTeller(tx, known, from);
  // Who has this key already is somebody else's client.
  if (known.some((row) => row.key_hash.equals(keyHash) && !own.includes(row))) return undefined;
  const unspent = mayTell && (await spendToken(tx, sent, keyHash));
  const proof = isParent ? sent.provenBy : unspent ? provesItself(sent, from) : undefined;
  const old = await sameClient(
    tx,
    { known, own, sent, keyHash },
    isParent ? 'parent' : from.decides === true || proof !== undefined,
  );
  if (old === 'claim') return undefined;
  const verdict = await verdictOn(tx, { sent, keyHash, old, machine, mayTell, proof }, from);
  // Who may not speak for a machine has a client that only says it is on it.
  const told: Taken = { sent, keyHash, verdict, proof, resourceId: mayTell ? machine : undefined, isParent, via: from.site };
  const row = old ? await updateClient(tx, old, told) : await insertClient(tx, told);
  if (row) await keepVerdict(tx, { old, row, verdict }, from, now);
  return row && clientOf(row);
}

/** Taken is what is kept of a client that was told of. */
interface Taken {
  sent: SentClient;
  keyHash: Uint8Array;
  verdict: Verdict;
  proof: Proof | undefined;
  resourceId: number | undefined;
  isParent: boolean;
  via: string;
}

/** toldOf is what was told of a client and is judged of it, from `name` to `blocked_by`, in the order in which both statements below have it. */
function toldOf(sent: SentClient, verdict: Verdict): unknown[] {
  return [
    sent.name,
    nameKey(sent.name),
    sent.domain,
    nameKey(sent.domain),
    sent.fqdn,
    sent.addresses,
    sent.version,
    sent.os,
    sent.osVersion,
    sent.type,
    sent.architecture,
    sent.site,
    sent.lastAddress,
    sent.sequence,
    new Date(sent.lastSeenAt),
    verdict.approval,
    verdict.approvedBy,
    verdict.blocked,
    verdict.blockedBy,
  ];
}

async function insertClient(tx: Sql, { sent, keyHash, verdict, proof, resourceId, via }: Taken): Promise<Row> {
  const [row] = await tx.query<Row>(
    `insert into client (key_hash, guid, name, name_key, domain, domain_key, fqdn, addresses, version, os, os_version, type, architecture, site,
       last_address, sequence, last_seen_at, approval, approved_by, blocked, blocked_by, resource_id, token_id, via_site, public_key, request_id,
       hardware_id, obsolete, registered_at, proven_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28,
       $29, $30) returning *`,
    [
      keyHash,
      sent.guid,
      ...toldOf(sent, verdict),
      resourceId,
      sent.tokenId,
      via,
      sent.publicKey,
      sent.requestId,
      sent.hardwareId,
      verdict.obsolete,
      new Date(sent.registeredAt),
      proof,
    ],
  );
  if (verdict.approval === 'approved' && !sent.obsolete && resourceId !== undefined)
    await tx.query(
      'update client set obsolete = true, replaced_by = $2 where resource_id = $1 and id <> $2 and not obsolete and not blocked and registered_at <= $3',
      [resourceId, row!.id, row!.registered_at],
    );
  return row!;
}

/**
 * sameClient finds the client that is told of: by its key, or, where the teller may say that, by its SMSID with a new key, because it was
 * installed anew or merged there. One key is one client; any other SMSID with another key is somebody else's claim.
 */
async function sameClient(
  tx: Sql,
  { known, own, sent, keyHash }: { known: Row[]; own: Row[]; sent: SentClient; keyHash: Uint8Array },
  mayRekey: 'parent' | boolean,
): Promise<Row | undefined | 'claim'> {
  const byKey = known.find((row) => row.key_hash.equals(keyHash));
  const byGuid = known.find((row) => row.guid === sent.guid);
  if (!byGuid || byGuid === byKey) return byKey;
  const mayGoOn = !byGuid.blocked && byGuid.hardware_id === sent.hardwareId;
  if (mayRekey !== 'parent' && !(mayRekey && mayGoOn && own.includes(byGuid))) return byKey ?? 'claim';
  if (byKey) await tx.query('delete from client where id = $1', [byKey.id]);
  const { publicKey, requestId } = sent;
  return rekey(tx, byGuid, { publicKey, keyHash, requestId }, 'another site', new Date(sent.lastSeenAt));
}

/** ofTeller gives those of some clients that a child may speak for. */
async function ofTeller(tx: Sql, rows: Row[], from: Teller): Promise<Row[]> {
  const own: Row[] = [];
  for (const row of rows) if (await isOf(tx, row, from)) own.push(row);
  return own;
}

/** tellsOf tells whether a child may speak for the machines of a state message: the one of its client, and those of its name. */
export async function tellsOf(tx: Sql, { guid, name, domain }: SentState['message'], { speaksFor }: Teller): Promise<boolean> {
  const rows = await tx.query<{ site: string | null; via: string | null; client: boolean }>(
    `select r.assigned_site as site, c.via_site as via, true as client from client c left join resource r on r.id = c.resource_id where c.guid = $1
     union all
     select r.assigned_site, null, false from resource r where not r.obsolete and r.name_key = $2
       and (r.domain_key = $3 or $3 = '' or ccr_same_domain(r.domain_key, $3))`,
    [guid, shortKey(name), nameKey(domain)],
  );
  // A client on a machine of no site speaks through the site that it came to.
  return rows.every(({ site, via, client }) =>
    site === null && client ? via !== null && speaksFor(via) : speaksFor(site ?? undefined),
  );
}

/** machineOf finds the machine of a state message by its name, where one machine alone has it. */
export async function machineOf(tx: Sql, { name, domain }: SentState['message']): Promise<number | undefined> {
  const rows = await tx.query<{ id: number }>(
    `select id from resource where not obsolete and name_key = $1 and (domain_key = $2 or $2 = '' or ccr_same_domain(domain_key, $2)) limit 2`,
    [shortKey(name), nameKey(domain)],
  );
  return rows.length === 1 ? rows[0]!.id : undefined;
}

/** updateClient changes a client that is known; undefined where that changes nothing, so that two sites do not go on telling each other. */
async function updateClient(
  tx: Sql,
  old: Row,
  { sent, verdict, proof, resourceId, isParent, via }: Taken,
): Promise<Row | undefined> {
  const newer = sent.lastSeenAt > old.last_seen_at.toISOString();
  const [row] = await tx.query<Row>(
    `update client set
       guid = $2,
       name = case when $3 then $4 else name end, name_key = case when $3 then $5 else name_key end,
       domain = case when $3 then $6 else domain end, domain_key = case when $3 then $7 else domain_key end,
       fqdn = case when $3 then $8 else fqdn end, addresses = case when $3 then $9 else addresses end,
       version = case when $3 then $10 else version end, os = case when $3 then $11 else os end,
       os_version = case when $3 then $12 else os_version end, type = case when $3 then $13 else type end,
       architecture = case when $3 then $14 else architecture end, site = case when $3 then coalesce($15, site) else site end,
       last_address = case when $3 then coalesce($16, last_address) else last_address end,
       sequence = greatest(sequence, $17), last_seen_at = greatest(last_seen_at, $18),
       approval = $19, approved_by = $20, blocked = $21, blocked_by = $22, obsolete = $23, proven_by = coalesce(proven_by, $24),
       resource_id = coalesce(resource_id, $25), token_id = coalesce(token_id, $26), via_site = coalesce(via_site, $27)
     where id = $1 and (guid <> $2 or $3 or sequence < $17 or approval <> $19 or blocked <> $21 or obsolete <> $23
       or (resource_id is null and $25::integer is not null) or (token_id is null and $26::text is not null))
     returning *`,
    [
      old.id,
      isParent ? sent.guid : old.guid,
      newer,
      ...toldOf(sent, verdict),
      verdict.obsolete,
      proof,
      resourceId,
      sent.tokenId,
      via,
    ],
  );
  return row;
}
