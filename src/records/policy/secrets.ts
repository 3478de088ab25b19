import { raise } from '#base/errors';
import { sealFor } from '#messages';
import type { ClientRecord } from '#records/client';
import type { Sql } from '#store/database';

/** Secret is a secret of the policy, without what it is. */
export interface Secret {
  name: string;
  changedBy: string;
  changedAt: Date;
}

/** secretPurpose is what a secret of the policy is sealed for in the vault. */
export const secretPurpose = (name: string): string => `policy/${name}`;

/** So many clients get their secrets in one transaction. */
const PART = 200;

async function newEdition(tx: Sql): Promise<void> {
  await tx.query('update policy_edition set edition = edition + 1');
}

/** putSecret keeps a secret that was sealed for the vault; every approved client gets it. */
export async function putSecret(tx: Sql, o: { name: string; sealed: Uint8Array; by: string }, now: Date): Promise<void> {
  await newEdition(tx);
  await tx.query(
    `insert into policy_secret (name, sealed, changed_by, changed_at) values ($1, $2, $3, $4)
     on conflict (name) do update set sealed = excluded.sealed, changed_by = excluded.changed_by, changed_at = excluded.changed_at`,
    [o.name, o.sealed, o.by, now],
  );
}

/** removeSecret takes one out of the policy; what a client has it has. */
export async function removeSecret(tx: Sql, name: string): Promise<void> {
  if ((await tx.count('delete from policy_secret where name = $1', [name])) === 0)
    throw raise('PP_API_NOT_FOUND', { kind: 'secret', name: name.slice(0, 64) });
  await newEdition(tx);
}

/** secrets lists them. */
export async function secrets(sql: Sql): Promise<Secret[]> {
  return sql.query<Secret>('select name, changed_by as "changedBy", changed_at as "changedAt" from policy_secret order by name');
}

/** resealSecrets seals all of them anew, for another key of the vault. */
export async function resealSecrets(tx: Sql, change: (sealed: Uint8Array, purpose: string) => Uint8Array): Promise<number> {
  const rows = await tx.query<{ name: string; sealed: Buffer }>(
    'select name, sealed from policy_secret order by name for update',
  );
  for (const { name, sealed } of rows)
    await tx.query('update policy_secret set sealed = $2 where name = $1', [
      name,
      change(new Uint8Array(sealed), secretPurpose(name)),
    ]);
  return rows.length;
}

/** sealDue seals the secrets for approved clients that have another edition of them, and gives for how many; 0 when all have it. */
export async function sealDue(
  tx: Sql,
  client: ClientRecord,
  open: (sealed: Uint8Array, purpose: string) => Uint8Array,
): Promise<number> {
  // Several processes may do this; each takes others.
  const [row] = await tx.query<{ edition: number }>('select edition from policy_edition for share');
  const due = await client.unsealed(tx, row!.edition, PART);
  if (due.length === 0) return 0;
  const rows = await tx.query<{ name: string; sealed: Buffer }>('select name, sealed from policy_secret order by name');
  const plain = rows.map(({ name, sealed }) => ({
    name,
    text: Buffer.from(open(new Uint8Array(sealed), secretPurpose(name))).toString('utf8'),
  }));
  await client.keepSealed(
    tx,
    due.map(({ id, guid, publicKey }) => ({
      id,
      sealed: Object.fromEntries(plain.map(({ name, text }) => [name, sealFor(publicKey, { guid, name }, text)])),
    })),
    row!.edition,
  );
  return due.length;
}
