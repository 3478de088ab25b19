import type { Sql } from '#store/database';
import { isLocal, type AccountRow } from './account.ts';
import { noteRefusal } from './refusals.ts';

/** Codes that say that the account itself cannot be used by anybody now. */
const STOPS: Record<number, string> = {
  1330: 'its password has expired',
  1331: 'it is disabled',
  1793: 'it has expired',
  1907: 'its password must be changed at the next logon',
  1909: 'it is locked out',
};
const WRONG_PASSWORD = 1326;

/** Failure is a logon that a machine refused, with its Win32 code. */
interface Failure {
  accountId: number;
  machineKey: string;
  win32: number;
  now: Date;
}

/**
 * applyFailure writes down that a machine refused an account and applies the stop rules (design section 5): locked, disabled or expired
 * stops it at once, a wrong password does so from the second machine in a row. It gives the reason when this one stopped it. The row
 * is locked, so that of two workers at once the second one sees what the first one wrote.
 */
export async function applyFailure(tx: Sql, failure: Failure): Promise<string | undefined> {
  const { accountId, machineKey, win32, now } = failure;
  const [row] = await tx.query<AccountRow>('select * from account where id = $1 for update', [accountId]);
  if (!row) return undefined;
  await tx.query('delete from account_host where machine_key = $1 and account_id = $2', [machineKey, accountId]);
  if (win32 === WRONG_PASSWORD) await noteRefusal(tx, failure);
  if (row.state === 'stopped' || isLocal(row.username)) return undefined;
  let reason = STOPS[win32];
  if (win32 === WRONG_PASSWORD) {
    if (row.refused_by !== null && row.refused_by !== machineKey) reason = 'two machines in a row refused its password';
    else await tx.query('update account set refused_by = $2, refused_at = $3 where id = $1', [accountId, machineKey, now]);
  }
  if (reason === undefined) return undefined;
  await tx.query(`update account set state = 'stopped', stop_code = $2, stop_reason = $3, stopped_at = $4 where id = $1`, [
    accountId,
    win32,
    reason,
    now,
  ]);
  return reason;
}
