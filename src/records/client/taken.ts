import { readBranchToken, type SentClient, type SentState } from '#messages';
import { nameKey, shortKey } from '#records/resource';
import type { Sql } from '#store/database';
import { clientOf, trustRules, type Client, type ClientRow, type TrustRules } from './client.ts';
import { likest, openConflict, rekey, settle, type Likeness } from './identity.ts';
import { keyHashOf } from './register.ts';

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

/** Teller is the site that tells of a client, and what it may tell. */
export interface Teller {
  site: string;
  role: 'parent' | 'child';
  /** May it speak for machines of this site, or of none? The parent may for all. */
  speaksFor: (assignedSite: string | undefined) => boolean;
  /** Whom this site believes. */
  rules?: TrustRules | undefined;
  /** The teller decides about its own clients: it is a primary. */
  decides?: boolean | undefined;
}

/**
 * believed tells how much a child is believed of a client: nothing of a machine of another branch, unless it brings the token that this site
 * made to be used there; the id of any other token may have been seen on the way; and of a machine of no site only where no client of this site is on it.
 */
async function believed(
  tx: Sql,
  sent: SentClient,
  { speaksFor }: Teller,
  { resourceId, keyHash }: { resourceId: number | undefined; keyHash: Uint8Array },
): Promise<boolean> {
  const peer = readBranchToken(sent.tokenId ?? '')?.peer;
  if (peer !== undefined && speaksFor(peer)) {
    const [token] = await tx.query('select 1 as one from client_token where id = $1 and ccr_id is not null', [sent.tokenId]);
    if (token) return true;
  }
  const [machine] = await tx.query<{ site: string | null }>('select assigned_site as site from resource where id = $1', [
    resourceId,
  ]);
  if (!machine) return true;
  if (!speaksFor(machine.site ?? undefined)) return false;
  if (machine.site !== null) return true;
  const others = await tx.query<{ via: string | null }>(
    `select via_site as via from client where resource_id = $1 and key_hash <> $2 and not obsolete and approval = 'approved'`,
    [resourceId, keyHash],
  );
  return others.every(({ via }) => via !== null && speaksFor(via));
}

/**
 * takeClient takes what another site of the branch tells of a client. What the parent says counts: approval and blocking are decided there.
 * A child tells of registrations and signs of life; it approves by a registration token only, and blocks and unblocks nobody.
 */
export async function takeClient(tx: Sql, sent: SentClient, from: Teller): Promise<Client | undefined> {
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
  const { rules = trustRules } = from;
  const proof = isParent ? sent.provenBy : unspent && provesItself(sent) ? 'token' : undefined;
  const old = await sameClient(
    tx,
    { known, own, sent, keyHash },
    isParent ? 'parent' : from.decides === true || proof !== undefined,
  );
  if (old === 'claim') return undefined;
  const like = old || isParent || sent.obsolete ? undefined : await likest(tx, sent);
  const doubt = like?.sameHardware && (like.row.blocked || proof === undefined) ? like : undefined;
  const held = doubt !== undefined && (doubt.row.blocked || rules.conflicts === 'manual');
  const approval = isParent ? sent.approval : proof && rules.approval !== 'manual' && !held ? 'approved' : 'pending';
  const approved = approval === 'approved';
  // Who may not speak for a machine has a client that only says it is on it.
  const resourceId = mayTell ? machine : undefined;
  const values = [
    keyHash,
    isParent || !old ? sent.guid : old.guid,
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
    approval,
    approval === 'pending' ? undefined : isParent ? (sent.approvedBy ?? 'parent') : 'token',
    isParent && sent.blocked,
    isParent,
    resourceId,
    sent.tokenId,
    from.site,
  ];
  if (old) return updateClient(tx, old, sent, values, proof);
  const [row] = await tx.query<Row>(
    `insert into client (key_hash, guid, name, name_key, domain, domain_key, fqdn, addresses, version, os, os_version, type, architecture, site,
       last_address, sequence, last_seen_at, approval, approved_by, blocked, resource_id, token_id, via_site, public_key, request_id,
       hardware_id, obsolete, registered_at, proven_by)
     select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $22, $23, $24, $25, $26, $27, $28, $29, $30
     where $21::boolean is not null returning *`,
    [...values, sent.publicKey, sent.requestId, sent.hardwareId, sent.obsolete, new Date(sent.registeredAt), proof],
  );
  if (doubt) await flag(tx, row!, doubt, { held, from: from.site });
  if (approved && !sent.obsolete && resourceId !== undefined)
    await tx.query(
      'update client set obsolete = true, replaced_by = $2 where resource_id = $1 and id <> $2 and not obsolete and not blocked and registered_at <= $3',
      [resourceId, row!.id, row!.registered_at],
    );
  return clientOf(row!);
}

/** provesItself tells whether a child says that the token of a push proved the client. */
function provesItself({ provenBy, approval, approvedBy }: SentClient): boolean {
  return provenBy === 'token' || (approval === 'approved' && approvedBy === 'token');
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

async function flag(tx: Sql, row: Row, like: Likeness, { held, from }: { held: boolean; from: string }): Promise<void> {
  await openConflict(
    tx,
    {
      clientId: row.id,
      otherId: like.row.id,
      kind: like.row.blocked ? 'blocked' : 'hardware',
      score: like.score,
      holds: held,
      detail: { why: `it registered at site ${from}` },
    },
    row.registered_at,
  );
}

/** isOf tells whether a known client is one of a child: of a machine of its branch, or it came from there and is on no machine of another one. */
async function isOf(tx: Sql, old: Row, { speaksFor }: Teller): Promise<boolean> {
  const [machine] = await tx.query<{ site: string | null }>('select assigned_site as site from resource where id = $1', [
    old.resource_id,
  ]);
  if (machine && machine.site !== null) return speaksFor(machine.site);
  return old.via_site !== null && speaksFor(old.via_site);
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
  sent: SentClient,
  values: unknown[],
  proof: string | undefined,
): Promise<Client | undefined> {
  const newer = sent.lastSeenAt > old.last_seen_at.toISOString();
  const [row] = await tx.query<Row>(
    `update client set
       guid = $2,
       name = case when $25 then $3 else name end, name_key = case when $25 then $4 else name_key end,
       domain = case when $25 then $5 else domain end, domain_key = case when $25 then $6 else domain_key end,
       fqdn = case when $25 then $7 else fqdn end, addresses = case when $25 then $8 else addresses end,
       version = case when $25 then $9 else version end, os = case when $25 then $10 else os end,
       os_version = case when $25 then $11 else os_version end, type = case when $25 then $12 else type end,
       architecture = case when $25 then $13 else architecture end, site = case when $25 then coalesce($14, site) else site end,
       last_address = case when $25 then coalesce($15, last_address) else last_address end,
       sequence = greatest(sequence, $16), last_seen_at = greatest(last_seen_at, $17),
       approval = case when $18 <> 'pending' and ($21 or approval = 'pending') then $18 else approval end,
       approved_by = case when $18 <> 'pending' and ($21 or approval = 'pending') and approval <> $18 then $19 else approved_by end,
       proven_by = coalesce(proven_by, $26),
       blocked = case when $21 then $20 else blocked end,
       resource_id = coalesce(resource_id, $22), token_id = coalesce(token_id, $23), via_site = coalesce(via_site, $24)
     where key_hash = $1 and (guid <> $2 or $25 or sequence < $16 or ($18 <> 'pending' and approval <> $18 and ($21 or approval = 'pending'))
       or ($21 and blocked <> $20) or (resource_id is null and $22::integer is not null) or (token_id is null and $23::text is not null))
     returning *`,
    [...values, newer, proof],
  );
  // What the parent has decided is decided here too.
  if (row && values[20] === true && (row.approval !== 'pending' || row.blocked))
    await settle(tx, row.id, row.blocked ? 'blocked' : row.approval, `site ${row.via_site ?? 'above'}`, row.last_seen_at);
  return row && clientOf(row);
}
