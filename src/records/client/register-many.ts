import { policyKey, smsidOf, type Registration } from '#messages';
import { nameKey } from '#records/resource';
import type { Sql } from '#store/database';
import { clientOf, type ClientRow, type TrustRules } from './client.ts';
import { HARDWARE_LOCK, judged, KEY_LOCK, keyHashOf, NAME_LOCK, type Registered } from './register.ts';

/** TokenRegistration is a registration whose token proof held, and what the point and the record know beside it. */
export interface TokenRegistration {
  registration: Registration;
  tokenId: string;
  address: string | undefined;
  rules: TrustRules;
  /** Becomes the SMSID. */
  uuid: string;
}

type Column<T> = readonly [column: string, type: string, of: (one: T) => unknown];

const KEYS: readonly Column<Wish>[] = [
  ['place', 'integer', ({ place }) => place],
  ['public_key', 'text', ({ registration }) => registration.publicKey],
  ['key_hash', 'bytea', ({ keyHash }) => keyHash],
  ['name_key', 'text', ({ registration }) => nameKey(registration.name)],
  ['domain_key', 'text', ({ registration }) => nameKey(registration.domain)],
  ['fqdn_key', 'text', ({ registration }) => nameKey(registration.fqdn)],
  ['hardware_id', 'text', ({ registration }) => registration.hardwareId],
  ['token_id', 'text', ({ tokenId }) => tokenId],
];

const NEW: readonly Column<Plain>[] = [
  ['guid', 'text', ({ guid }) => guid],
  ['public_key', 'text', ({ registration }) => registration.publicKey],
  ['key_hash', 'bytea', ({ keyHash }) => keyHash],
  ['request_id', 'uuid', ({ registration }) => registration.requestId],
  ['resource_id', 'integer', ({ resourceId }) => resourceId],
  ['name', 'text', ({ registration }) => registration.name],
  ['name_key', 'text', ({ registration }) => nameKey(registration.name)],
  ['domain', 'text', ({ registration }) => registration.domain],
  ['domain_key', 'text', ({ registration }) => nameKey(registration.domain)],
  ['fqdn', 'text', ({ registration }) => registration.fqdn],
  // An array of arrays wants all of one length; an address holds no blank.
  ['addresses', 'text', ({ registration }) => registration.addresses.join(' ')],
  ['hardware_id', 'text', ({ registration }) => registration.hardwareId],
  ['os', 'text', ({ registration }) => registration.os.name],
  ['os_version', 'text', ({ registration }) => registration.os.version],
  ['type', 'text', ({ registration }) => registration.os.type],
  ['architecture', 'text', ({ registration }) => registration.architecture ?? null],
  ['version', 'text', ({ registration }) => registration.clientVersion],
  ['site', 'text', ({ registration }) => registration.site ?? null],
  ['approval', 'text', ({ rules }) => judged(rules, 'token').approval],
  ['approved_by', 'text', ({ rules }) => judged(rules, 'token').by ?? null],
  ['token_id', 'text', ({ tokenId }) => tokenId],
  ['last_address', 'text', ({ address }) => address ?? null],
  ['policy_key', 'bytea', ({ policy }) => policy],
];

const unnest = <T>(columns: readonly Column<T>[], from: number): string =>
  `unnest(${columns.map(([, type], i) => `$${i + from}::${type}[]`).join(', ')})`;
const names = <T>(columns: readonly Column<T>[]): string => columns.map(([column]) => column).join(', ');
const arrays = <T>(columns: readonly Column<T>[], ones: readonly T[]): unknown[] => columns.map(([, , of]) => ones.map(of));

interface Wish extends TokenRegistration {
  place: number;
  keyHash: Buffer;
}

/** Plain is a registration that nothing speaks against. */
interface Plain extends Wish {
  guid: string;
  resourceId: number | null;
  policy: Buffer;
}

interface Facts {
  place: number;
  key: Buffer;
  resource_id: number | null;
}

/** distinct keeps the first of each of some things; what is left out is taken after those have been stored. */
function distinct<T>(ones: readonly T[], ...whats: readonly ((one: T) => string | number | null)[]): T[] {
  const seen = whats.map(() => new Set<string | number>());
  return ones.filter((one) => {
    const values = whats.map((what) => what(one));
    if (values.some((value, i) => value !== null && seen[i]!.has(value))) return false;
    values.forEach((value, i) => value !== null && seen[i]!.add(value));
    return true;
  });
}

/**
 * registerPlain takes those of many registrations that nothing speaks against, in a few statements: a key that nobody had, a token that was
 * not used, and no client that has the hardware or the name. It gives undefined for all others; `register` decides about those one by one.
 * It holds the same locks as that, in the same order.
 */
export async function registerPlain(
  tx: Sql,
  wishes: readonly TokenRegistration[],
  now: Date,
): Promise<(Registered | undefined)[]> {
  const all = wishes.map((wish, place): Wish => ({
    ...wish,
    place,
    keyHash: Buffer.from(keyHashOf(wish.registration.publicKey)),
  }));
  const apart = distinct(
    all,
    ({ registration }) => registration.publicKey,
    ({ registration }) => nameKey(registration.name),
    ({ registration }) => registration.hardwareId.toUpperCase(),
    ({ tokenId }) => tokenId,
  );
  await tx.exec(
    {
      name: 'client_register_many_locks',
      text: `with w (${names(KEYS)}) as materialized (select * from ${unnest(KEYS, 4)})
        select pg_advisory_xact_lock(class, what) from (
          select distinct class, what from (
            select $1::integer as class, hashtext(public_key) as what from w
            union all select $2::integer, hashtext(name_key) from w
            union all select $3::integer, hashtext(coalesce(client_hardware_key(hardware_id), public_key)) from w
          ) wanted order by class, what
        ) ordered`,
    },
    [KEY_LOCK, NAME_LOCK, HARDWARE_LOCK, ...arrays(KEYS, apart)],
  );
  const facts = await tx.exec<Facts>(
    {
      name: 'client_register_many_facts',
      text: `with w (${names(KEYS)}) as materialized (select * from ${unnest(KEYS, 2)})
        select w.place, t.key, coalesce(t.resource_id, (
            select case when count(*) = 1 then min(id) end from (
              select r.id from resource r where not r.obsolete
                and ((r.name_key = w.name_key and (r.domain_key = w.domain_key or w.domain_key = '' or ccr_same_domain(r.domain_key, w.domain_key)))
                  or (r.fqdn_key = w.fqdn_key and w.fqdn_key <> '')) limit 2) found)) as resource_id
        from w join client_token t on t.id = w.token_id and t.used_by is null and t.expires_at > $1
        where not exists (select from client c where c.key_hash = w.key_hash)
          and not exists (select from client_key k where k.key_hash = w.key_hash)
          and not exists (select from client c where c.name_key = w.name_key and not c.obsolete and c.believed)
          and not exists (select from client c where c.resource_id = t.resource_id and not c.obsolete and (c.blocked or c.approval = 'rejected'))
          and not exists (select from client c where c.hardware_key = client_hardware_key(w.hardware_id) and not c.obsolete)`,
    },
    [now, ...arrays(KEYS, apart)],
  );
  const plain = distinct(
    facts.map((one) => plainOf(all[one.place]!, one)),
    ({ resourceId }) => resourceId,
  );
  if (plain.length === 0) return wishes.map(() => undefined);
  const spent = await tx.exec<{ id: string }>(
    {
      name: 'client_register_many_tokens',
      text: `update client_token t set used_at = $1, used_by = w.key_hash from unnest($2::text[], $3::bytea[]) as w (id, key_hash)
        where t.id = w.id and t.used_by is null and t.expires_at > $1 returning t.id`,
    },
    [now, plain.map(({ tokenId }) => tokenId), plain.map(({ keyHash }) => keyHash)],
  );
  const mine = new Set(spent.map(({ id }) => id));
  const taken = plain.filter(({ tokenId }) => mine.has(tokenId));
  const made = new Map((await insertMany(tx, taken, now)).map((row) => [row.guid, row]));
  const byPlace = new Map(taken.map(({ place, guid }) => [place, made.get(guid)]));
  return all.map(({ place }) => {
    const row = byPlace.get(place);
    return row && { client: clientOf(row), created: true };
  });
}

function plainOf(wish: Wish, { key, resource_id }: Facts): Plain {
  const guid = smsidOf(wish.uuid);
  if (!guid) throw new Error('an SMSID is made of a UUID');
  return { ...wish, guid, resourceId: resource_id, policy: Buffer.from(policyKey(new Uint8Array(key), guid)) };
}

/** insertMany makes the clients, announces them, and makes the others of their machines obsolete; blocked ones stay where everybody sees them. */
async function insertMany(tx: Sql, plain: readonly Plain[], now: Date): Promise<ClientRow[]> {
  const rows = await tx.exec<ClientRow>(
    {
      name: 'client_register_many',
      text: `with w (${names(NEW)}) as materialized (select * from ${unnest(NEW, 2)}), made as (
          insert into client (${names(NEW)}, proven_by, registered_at, last_seen_at)
          select ${NEW.map(([column]) => (column === 'addresses' ? `string_to_array(addresses, ' ')` : column)).join(', ')}, 'token', $1, $1 from w
          returning *
        ), noted as (
          insert into client_event (client_id, at, what, by, detail)
          select id, $1, 'registered', 'site', jsonb_strip_nulls(jsonb_build_object('name', name, 'hardwareId', hardware_id,
            'address', last_address, 'approval', approval, 'proof', proven_by, 'why', approved_by)) from made
        )
        select *, pg_notify('client', jsonb_strip_nulls(jsonb_build_object('resourceId', resource_id, 'name', name, 'domain', domain))::text) as told
        from made`,
    },
    [now, ...arrays(NEW, plain)],
  );
  const of = rows.filter(({ resource_id, approval }) => resource_id !== null && approval === 'approved');
  if (of.length > 0)
    await tx.exec(
      {
        name: 'client_register_many_others',
        text: `update client c set obsolete = true, replaced_by = w.id from unnest($1::integer[], $2::integer[]) as w (id, resource_id)
          where c.resource_id = w.resource_id and c.id <> w.id and not c.obsolete and not c.blocked`,
      },
      [of.map(({ id }) => id), of.map(({ resource_id }) => resource_id)],
    );
  return rows;
}
