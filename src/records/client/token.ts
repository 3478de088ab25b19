import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import { tokenKeyOf } from '#messages';
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
}

/** TokenWish says for which machine a token is. */
export interface TokenWish {
  resourceId?: number | undefined;
  name: string;
  domain?: string | undefined;
  ccrId?: number | undefined;
  expiresAt: Date;
}

interface TokenRow {
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

/** issueToken makes a token; its secret is given out here and never again. */
export async function issueToken(
  sql: Sql,
  random: Random,
  clock: Clock,
  wish: TokenWish,
): Promise<{ id: string; secret: string }> {
  const id = Buffer.from(random.bytes(12)).toString('base64url');
  const secret = Buffer.from(random.bytes(32)).toString('base64url');
  await sql.exec(
    {
      name: 'client_token_issue',
      text: `insert into client_token (id, key, resource_id, name, domain, ccr_id, issued_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    },
    [id, tokenKeyOf(secret), wish.resourceId, wish.name, wish.domain ?? '', wish.ccrId, clock.now(), wish.expiresAt],
  );
  return { id, secret };
}

/** tokenKey looks a token up, used or expired as it may be. */
export async function tokenKey(sql: Sql, id: string): Promise<TokenKey | undefined> {
  const [row] = await sql.exec<TokenRow>({ name: 'client_token_key', text: 'select * from client_token where id = $1' }, [id]);
  return (
    row && {
      id: row.id,
      key: new Uint8Array(row.key),
      resourceId: row.resource_id ?? undefined,
      name: row.name,
      domain: row.domain,
      ccrId: row.ccr_id ?? undefined,
      expiresAt: row.expires_at,
      usedAt: row.used_at ?? undefined,
    }
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
