import type { Clock } from '#base/clock';
import type { Database, Sql } from '#store/database';

/** So long a refusal counts; retries of pushes are as far apart. Lockout counters of Windows are reset sooner by default. */
const COUNTS_MS = 60 * 60_000;

/** noteRefusal writes down that a machine refused the password of an account, in the transaction that has the account's row locked. */
export async function noteRefusal(tx: Sql, refusal: { accountId: number; machineKey: string; now: Date }): Promise<void> {
  const { accountId, machineKey, now } = refusal;
  await tx.query('delete from account_refusal where account_id = $1 and refused_at < $2', [
    accountId,
    new Date(now.getTime() - COUNTS_MS),
  ]);
  await tx.query(
    `insert into account_refusal (account_id, machine_key, refused_at) values ($1, $2, $3)
     on conflict (account_id, machine_key) do update set refused_at = excluded.refused_at`,
    [accountId, machineKey, now],
  );
}

/** Refusals tells which machine refused the password of which account lately, for those who would only ask the same again. */
export class Refusals {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /** last gives when the refusal was that still counts: the account was not renewed since, and did not work there since. */
  async last(accountId: number, machineKey: string): Promise<Date | undefined> {
    const now = this.#clock.now().getTime();
    const [row] = await this.#db.query<{ refused_at: Date }>(
      `select r.refused_at from account_refusal r join account a on a.id = r.account_id
       where r.account_id = $1 and r.machine_key = $2 and r.refused_at > $3 and r.refused_at >= a.changed_at
         and not exists (select from account_host h where h.machine_key = r.machine_key and h.account_id = r.account_id)`,
      [accountId, machineKey, new Date(now - COUNTS_MS)],
    );
    return row?.refused_at;
  }
}
