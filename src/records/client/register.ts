import { createHash } from 'node:crypto';
import { raise } from '#base/errors';
import { policyKey, smsidOf, type Approval, type Registration } from '#messages';
import { nameKey } from '#records/resource';
import type { Sql } from '#store/database';
import { clientOf, type Client, type ClientRow, type Proof, type TrustRules } from './client.ts';
import { openCloneAlarm } from './clone.ts';
import { noteEvent } from './event.ts';
import {
  barredOn,
  conflictsOf,
  isRetired,
  isSame,
  likest,
  openConflict,
  rekey,
  type Barred,
  type ConflictKind,
  type Likeness,
} from './identity.ts';
import { mayIssue, remember, spend, type TokenKey, type TokenRow } from './token.ts';

/** RegisterOptions are what the point knows beside the message. Signature and proof have been checked by it. */
export interface RegisterOptions {
  /** The token whose proof held; without one the client waits for approval. */
  tokenId?: string | undefined;
  /** Another proof of the machine that the point has checked. */
  provenBy?: Exclude<Proof, 'token'> | undefined;
  address?: string | undefined;
  /** What the site's settings say; by themselves those of a new site. */
  rules?: Partial<TrustRules> | undefined;
}

/** Registered is the client after a registration; `created` is false when this key was registered already. */
export interface Registered {
  client: Client;
  created: boolean;
  /** The record that was there goes on with this key. */
  reimaged?: boolean;
  /** What a person should look at; said once. */
  flagged?: ConflictKind | undefined;
}

/** Registrations of one key, then those of one name, and then those of one hardware id wait for each other. */
export const KEY_LOCK = 1128481347;
export const NAME_LOCK = 1128481348;
export const HARDWARE_LOCK = 1128481349;

type Known = RegisterOptions & { keyHash: Uint8Array; guid: string; rules: TrustRules };

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

/** judged is what the rules say of a client that nobody has decided about. */
export function judged(rules: TrustRules, proof: Proof | undefined): { approval: Approval; by: string | undefined } {
  if (rules.approval !== 'manual' && proof !== undefined) return { approval: 'approved', by: proof };
  return rules.approval === 'all' ? { approval: 'approved', by: 'setting' } : { approval: 'pending', by: undefined };
}

/** again takes the registration of a key that is known. Whatever a person decided about it stays. */
async function again(tx: Sql, old: ClientRow, registration: Registration, o: Known, now: Date): Promise<Registered> {
  if (old.blocked) throw raise('PP_CLIENT_BLOCKED', { guid: old.guid, name: old.name });
  const token = o.tokenId === undefined ? undefined : await spend(tx, o.tokenId, old.key_hash, now);
  const proof: Proof | undefined = token ? 'token' : o.provenBy;
  const barred = old.approval === 'pending' && token ? await barredOn(tx, token.resource_id) : undefined;
  if (barred) await flag(tx, old, { kind: barred.kind, holds: true, other: barred.id, score: 0 }, o.address, now);
  const held = old.approval === 'pending' && proof ? (await conflictsOf(tx, old.id)).some((one) => one.holds) : false;
  const next = old.approval === 'pending' && proof && !held ? judged(o.rules, proof) : undefined;
  const [row] = await tx.query<ClientRow>(
    `update client set name = $2, name_key = $3, domain = $4, domain_key = $5, fqdn = $6, addresses = $7, version = $8, os = $9,
       os_version = $10, type = $11, architecture = $12, site = coalesce($13, site), last_address = coalesce($14, last_address),
       last_seen_at = greatest(last_seen_at, $15), request_id = $16, obsolete = false, replaced_by = null,
       approval = coalesce($19, approval), approved_by = case when $19::text is null then approved_by else $20 end,
       proven_by = coalesce($21, proven_by), token_id = coalesce($17, token_id), resource_id = coalesce($18, resource_id),
       policy_key = coalesce($22, policy_key),
       -- Who registers here is not the client of a primary below any more.
       via_site = case when via_site in (select code from site where kind = 'primary' and not own) then null else via_site end
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
      next?.approval,
      next?.by,
      proof,
      token && policyKey(token.key, old.guid),
    ],
  );
  if (next && next.approval !== old.approval)
    await noteEvent(tx, old.id, { what: next.approval, detail: { proof, why: next.by } }, now);
  const cloned = registration.hardwareId !== old.hardware_id;
  const detail = { hardwareIds: [old.hardware_id, registration.hardwareId], address: o.address };
  const flagged = cloned && (await openCloneAlarm(tx, old.id, { why: 'two hardware ids', ...detail }, now)) ? 'clone' : undefined;
  return { client: clientOf(row!), created: false, flagged };
}

/** Doubt is why a new key is looked at, and whether it waits for a decision. */
interface Doubt {
  kind: ConflictKind;
  holds: boolean;
  other: number | undefined;
  score: number;
}

/** doubtOf says what speaks against a new key. Hardware that is blocked, a machine to which a person said no, and a key that was given up hold, whatever was proven. */
function doubtOf(
  like: Likeness | undefined,
  retired: { clientId: number } | undefined,
  proof: Proof | undefined,
  { conflicts }: TrustRules,
  barred: Barred | undefined,
): Doubt | undefined {
  const other = like?.row.id;
  const score = like?.score ?? 0;
  if (like?.sameHardware && like.row.blocked) return { kind: 'blocked', holds: true, other, score };
  if (barred) return { kind: barred.kind, holds: true, other: barred.id, score };
  if (retired) return { kind: 'retired', holds: true, other: retired.clientId, score };
  if (!like || proof !== undefined) return undefined;
  if (like.sameHardware) return { kind: 'hardware', holds: conflicts === 'manual', other, score };
  return { kind: 'name', holds: false, other, score };
}

/** takesOver tells whether a proven machine is the one that was there, installed anew: then its record goes on. */
function takesOver(like: Likeness | undefined, resourceId: number | undefined, o: Known): like is Likeness {
  return (
    like !== undefined &&
    like.sameHardware &&
    isSame(like.score) &&
    // What a person said no to stays so under a new key.
    (like.row.believed || like.row.approval === 'rejected') &&
    !like.row.blocked &&
    resourceId !== undefined &&
    like.row.resource_id === resourceId &&
    o.rules.reimage === 'keep'
  );
}

async function make(tx: Sql, registration: Registration, o: Known, now: Date): Promise<Registered> {
  const token = o.tokenId === undefined ? undefined : await spend(tx, o.tokenId, o.keyHash, now);
  const proof: Proof | undefined = token ? 'token' : o.provenBy;
  // A token was made for one resource, so it tells more than the name the machine gives itself.
  const resourceId = token?.resource_id ?? (await resourceOf(tx, registration));
  const retired = await isRetired(tx, o.keyHash);
  // Two machines had it: neither is told from the other by it, so each makes one of its own.
  if (retired?.why === 'clone') throw raise('PP_CLIENT_KEY_RETIRED');
  const like = await likest(tx, registration);
  const barred = await barredOn(tx, resourceId);
  if (
    proof !== undefined &&
    !retired &&
    (!barred || (barred.kind === 'rejected' && barred.id === like?.row.id)) &&
    takesOver(like, resourceId, o)
  ) {
    const { publicKey, requestId } = registration;
    const kept = await rekey(tx, like.row, { publicKey, keyHash: o.keyHash, requestId }, 'installed anew', now);
    await noteEvent(tx, kept.id, { what: 'reimaged', detail: { proof, score: like.score, address: o.address } }, now);
    return { ...(await again(tx, kept, registration, o, now)), reimaged: true };
  }
  const doubt = doubtOf(like, retired, proof, o.rules, barred);
  const row = await insert(tx, registration, { ...o, token, proof, resourceId, held: doubt?.holds === true }, now);
  const flagged = doubt && (await flag(tx, row, doubt, o.address, now)) ? doubt.kind : undefined;
  // Only a proven client takes the place of an older one; an unproven one would let anybody push a client out (facts F6).
  if (proof !== undefined && row.approval === 'approved') await replaceOthers(tx, row);
  return { client: clientOf(row), created: true, flagged };
}

async function flag(
  tx: Sql,
  row: Pick<ClientRow, 'id'>,
  { kind, holds, other, score }: Doubt,
  address: string | undefined,
  now: Date,
) {
  return openConflict(tx, { clientId: row.id, otherId: other, kind, score, holds, detail: { address } }, now);
}

/** replaceOthers makes the other clients of a machine obsolete; blocked ones stay where everybody sees them. */
export async function replaceOthers(tx: Sql, row: Pick<ClientRow, 'id' | 'resource_id'>): Promise<void> {
  if (row.resource_id === null) return;
  await tx.query(
    'update client set obsolete = true, replaced_by = $2 where resource_id = $1 and id <> $2 and not obsolete and not blocked',
    [row.resource_id, row.id],
  );
}

async function insert(
  tx: Sql,
  registration: Registration,
  o: Known & { token: TokenRow | undefined; proof: Proof | undefined; resourceId: number | undefined; held: boolean },
  now: Date,
): Promise<ClientRow> {
  const { approval, by } = o.held ? { approval: 'pending', by: undefined } : judged(o.rules, o.proof);
  const [row] = await tx.exec<ClientRow>(
    {
      name: 'client_register',
      text: `with made as (
        insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, domain, domain_key, fqdn, addresses,
          hardware_id, os, os_version, type, architecture, version, site, approval, approved_by, token_id, last_address, registered_at,
          last_seen_at, proven_by, policy_key)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $23, $24, $25)
        returning *
      ), told as (
        insert into client_event (client_id, at, what, by, detail)
        select id, $23, 'registered', 'site', jsonb_strip_nulls(jsonb_build_object('name', name, 'hardwareId', hardware_id,
          'address', last_address, 'approval', approval, 'proof', proven_by, 'why', approved_by)) from made
      ) select * from made`,
    },
    [
      o.guid,
      registration.publicKey,
      o.keyHash,
      registration.requestId,
      o.resourceId,
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
      by,
      o.token?.id,
      o.address,
      now,
      o.proof,
      o.token && policyKey(o.token.key, o.guid),
    ],
  );
  return row!;
}

/** register makes a client of a registration, or finds the one of that key; `uuid` becomes its SMSID. */
export async function register(
  tx: Sql,
  registration: Registration,
  o: RegisterOptions & { uuid: string; rules: TrustRules; unseen?: TokenKey | undefined },
  now: Date,
): Promise<Registered> {
  const keyHash = keyHashOf(registration.publicKey);
  const { publicKey, name, hardwareId } = registration;
  await tx.exec(
    {
      name: 'client_register_locks',
      text: `select pg_advisory_xact_lock($1, hashtext($2)), pg_advisory_xact_lock($3, hashtext($4)),
        pg_advisory_xact_lock($5, hashtext(coalesce(client_hardware_key($6), $2)))`,
    },
    [KEY_LOCK, publicKey, NAME_LOCK, nameKey(name), HARDWARE_LOCK, hardwareId],
  );
  if (o.unseen) {
    const { domain } = registration;
    const resourceId = await resourceOf(tx, registration);
    // A site below cannot approve clients of machines of other sites, so such a client waits for a person.
    if (await mayIssue(tx, o.unseen.id, resourceId)) await remember(tx, o.unseen, { name, domain, resourceId }, now);
    else o = { ...o, tokenId: undefined };
  }
  const guid = smsidOf(o.uuid);
  if (!guid) throw new Error('an SMSID is made of a UUID');
  const known: Known = { ...o, keyHash, guid };
  const [old] = await tx.query<ClientRow>('select * from client where key_hash = $1 for update', [keyHash]);
  return old ? again(tx, old, registration, known, now) : make(tx, registration, known, now);
}
