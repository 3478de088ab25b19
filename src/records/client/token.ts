import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import { branchTokenId, branchTokenSecret, isForMachine, readBranchToken, tokenKeyOf } from '#messages';
import type { Sql } from '#store/database';

/** TokenKey is what the site keeps of a one-time registration token. */
export interface TokenKey {
  id: string;
  /** SHA-256 of the secret: the key of the proofs (#messages). */
  key: Uint8Array;
  resourceId: number | undefined;
  name: string;
  domain: string;
  ccrId: number | undefined;
  expiresAt: Date;
  usedAt: Date | undefined;
  /** The client that used it is blocked. */
  blocked?: boolean;
  /** Another site made it for a machine whose name only its hash tells: `isFor` judges the name that the machine gives. */
  unseen?: { isFor(name: string): boolean };
}

/** TokenWish says for which machine a token is. */
export interface TokenWish {
  resourceId?: number | undefined;
  name: string;
  domain?: string | undefined;
  ccrId?: number | undefined;
  expiresAt: Date;
  /** Another site of the branch at which it shall count too, unseen. */
  peer?: string | undefined;
}

/** BranchKeys is what this site shares with others of its branch (LinkRecord.shared). */
export interface BranchKeys {
  with(site: string, via: Sql): Promise<{ own: string; key: Uint8Array } | undefined>;
  /** What the proofs of a token are made with that another site made for both. */
  tokenKey(id: string, via: Sql): Promise<Uint8Array | undefined>;
}

/** IssueParts is what making tokens needs. */
export interface IssueParts {
  random: Random;
  clock: Clock;
  shared: BranchKeys | undefined;
}

/** TokenRow is a token as it is stored. */
export interface TokenRow {
  id: string;
  key: Buffer;
  resource_id: number | null;
  name: string;
  domain: string;
  ccr_id: number | null;
  expires_at: Date;
  used_at: Date | null;
  used_by: Buffer | null;
}

async function newToken(
  sql: Sql,
  { random, shared: keys }: IssueParts,
  wish: TokenWish,
): Promise<{ id: string; secret: string }> {
  const shared = wish.peer === undefined ? undefined : await keys?.with(wish.peer, sql);
  if (shared && wish.peer !== undefined) {
    const { expiresAt, name: machine, peer } = wish;
    const id = branchTokenId({ issuer: shared.own, peer, expiresAt, machine, random: random.bytes(12) });
    return { id, secret: branchTokenSecret(shared.key, id) };
  }
  const id = Buffer.from(random.bytes(12)).toString('base64url');
  return { id, secret: Buffer.from(random.bytes(32)).toString('base64url') };
}

/** issueTokens makes a token for each wish; their secrets are given out here and never again. */
export async function issueTokens(
  sql: Sql,
  parts: IssueParts,
  wishes: readonly TokenWish[],
): Promise<{ id: string; secret: string }[]> {
  const made: { id: string; secret: string }[] = [];
  for (const wish of wishes) made.push(await newToken(sql, parts, wish));
  await sql.exec(
    {
      name: 'client_token_issue',
      text: `insert into client_token (id, key, resource_id, name, domain, ccr_id, issued_at, expires_at)
        select id, key, resource_id, name, domain, ccr_id, $7, expires_at
        from unnest($1::text[], $2::bytea[], $3::integer[], $4::text[], $5::text[], $6::integer[], $8::timestamptz[])
          as t(id, key, resource_id, name, domain, ccr_id, expires_at)`,
    },
    [
      made.map(({ id }) => id),
      made.map(({ secret }) => Buffer.from(tokenKeyOf(secret))),
      wishes.map((wish) => wish.resourceId ?? null),
      wishes.map((wish) => wish.name),
      wishes.map((wish) => wish.domain ?? ''),
      wishes.map((wish) => wish.ccrId ?? null),
      parts.clock.now(),
      wishes.map((wish) => wish.expiresAt),
    ],
  );
  return made;
}

/** tokenKeys looks tokens up, used or expired as they may be; one that a site of the branch made need not have been seen here. */
export async function tokenKeys(
  sql: Sql,
  ids: readonly string[],
  shared: BranchKeys | undefined,
): Promise<(TokenKey | undefined)[]> {
  const rows = await sql.exec<TokenRow & { blocked: boolean }>(
    {
      name: 'client_token_keys',
      text: `select t.*, exists (select from client c where c.key_hash = t.used_by and c.blocked)
          -- The client may have another key since.
          or exists (select from client_key k join client c on c.id = k.client_id where k.key_hash = t.used_by and c.blocked) as blocked
        from client_token t where id = any($1)`,
    },
    [ids],
  );
  const found = new Map(rows.map((row) => [row.id, row]));
  return Promise.all(
    ids.map(async (id) => {
      const row = found.get(id);
      return row ? tokenKeyOfRow(row) : unseen(sql, id, shared);
    }),
  );
}

function tokenKeyOfRow(row: TokenRow & { blocked: boolean }): TokenKey {
  return {
    id: row.id,
    key: new Uint8Array(row.key),
    resourceId: row.resource_id ?? undefined,
    name: row.name,
    domain: row.domain,
    ccrId: row.ccr_id ?? undefined,
    expiresAt: row.expires_at,
    usedAt: row.used_at ?? undefined,
    blocked: row.blocked,
  };
}

async function unseen(sql: Sql, id: string, shared: BranchKeys | undefined): Promise<TokenKey | undefined> {
  const told = readBranchToken(id);
  const key = told && (await shared?.tokenKey(id, sql));
  if (!told || !key) return undefined;
  const { expiresAt } = told;
  const isFor = (name: string) => isForMachine(told, name);
  return {
    id,
    key,
    resourceId: undefined,
    name: '',
    domain: '',
    ccrId: undefined,
    expiresAt,
    usedAt: undefined,
    unseen: { isFor },
  };
}

/**
 * mayIssue tells whether the site that made an unseen token may make one for a machine: the parent for all, a site below for machines of its
 * branch, and for those of no site that have no client of another one.
 */
export async function mayIssue(tx: Sql, id: string, resourceId: number | undefined): Promise<boolean> {
  const [row] = await tx.query<{ parent: boolean; site: string | null; within: boolean; others: boolean }>(
    `with recursive below (code) as (select $1::text union select s.code from site s join below b on s.parent = b.code where not s.own)
     select exists (select from site where own and parent = $1) as parent, r.assigned_site as site,
       r.assigned_site in (select code from below) as within,
       exists (select from client c where c.resource_id = r.id and not c.obsolete and c.approval = 'approved'
         and (c.via_site is null or c.via_site not in (select code from below)) and c.token_id is distinct from $3) as others
     from (select 1) one left join resource r on r.id = $2`,
    [readBranchToken(id)?.issuer, resourceId, id],
  );
  if (row!.parent || resourceId === undefined || row!.within) return true;
  return row!.site === null && !row!.others;
}

/** remember keeps a token that was made elsewhere and is about to be used here, so that here too it serves one key only. */
export async function remember(
  tx: Sql,
  token: TokenKey,
  machine: { name: string; domain: string; resourceId: number | undefined },
  now: Date,
): Promise<void> {
  await tx.query(
    `insert into client_token (id, key, resource_id, name, domain, issued_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (id) do nothing`,
    [token.id, token.key, machine.resourceId, machine.name, machine.domain, now, token.expiresAt],
  );
}

/** spend uses a token for one key: the same key may come again, another one may not, and nobody after the expiry. */
export async function spend(tx: Sql, id: string, keyHash: Uint8Array, now: Date): Promise<TokenRow> {
  const [row] = await tx.query<TokenRow>('select * from client_token where id = $1 for update', [id]);
  if (!row) throw raise('PP_CLIENT_TOKEN_UNKNOWN', { token: id });
  if (row.used_by) {
    if (!row.used_by.equals(keyHash)) throw raise('PP_CLIENT_TOKEN_USED', { token: id, name: row.name });
    return row;
  }
  if (row.expires_at.getTime() <= now.getTime()) throw raise('PP_CLIENT_TOKEN_EXPIRED', { token: id, name: row.name });
  await tx.query('update client_token set used_at = $2, used_by = $3 where id = $1', [id, now, keyHash]);
  return row;
}
