import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import { tokenKeyOf } from '#messages';
import type { Sql } from '#store/database';

/** JoinToken is a new token; its secret exists here and in the token file only. */
export interface JoinToken {
  token: string;
  secret: string;
  expiresAt: Date;
}

const HOUR_MS = 3_600_000;
/** Tokens are forgotten so long after they expired. */
const KEPT_MS = 90 * 24 * HOUR_MS;

/** makeToken makes a one-time token for a join. */
export async function makeToken(tx: Sql, o: { hours: number; clock: Clock; random: Random }): Promise<JoinToken> {
  const now = o.clock.now();
  const token = Buffer.from(o.random.bytes(12)).toString('base64url');
  const secret = Buffer.from(o.random.bytes(32)).toString('base64url');
  const expiresAt = new Date(now.getTime() + o.hours * HOUR_MS);
  await tx.query('delete from link_token where expires_at < $1', [new Date(now.getTime() - KEPT_MS)]);
  await tx.query('insert into link_token (id, key, made_at, expires_at) values ($1, $2, $3, $4)', [
    token,
    tokenKeyOf(secret),
    now,
    expiresAt,
  ]);
  return { token, secret, expiresAt };
}

/** TokenState is a token as the site keeps it. */
export interface TokenState {
  key: Uint8Array;
  expired: boolean;
  usedBy: string | undefined;
}

/** tokenState looks a token up and locks it for the rest of the transaction. */
export async function tokenState(tx: Sql, token: string, clock: Clock): Promise<TokenState | undefined> {
  const [row] = await tx.query<{ key: Buffer; expires_at: Date; used_by: string | null }>(
    'select key, expires_at, used_by from link_token where id = $1 for update',
    [token],
  );
  return row && { key: new Uint8Array(row.key), expired: row.expires_at <= clock.now(), usedBy: row.used_by ?? undefined };
}

/** useToken takes a token whose proof holds, once. */
export async function useToken(tx: Sql, token: string, state: TokenState, site: string, clock: Clock): Promise<void> {
  if (state.usedBy !== undefined) throw raise('PP_LINK_TOKEN_USED', { token, site: state.usedBy });
  if (state.expired) throw raise('PP_LINK_TOKEN_EXPIRED', { token });
  await tx.query('update link_token set used_at = $2, used_by = $3 where id = $1', [token, clock.now(), site]);
}
