import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { ClientRecord } from '#records/client';
import type { Database, Sql } from '#store/database';
import { advance, withdraw, type Advanced } from './advance.ts';
import { assignmentOf, COUNTED, type Assignment, type AssignmentRow, type Target, type TargetState } from './assignment.ts';
import { makeAssignment, type Ask } from './make.ts';
import * as secrets from './secrets.ts';

/** One process at a time brings assignments forward. */
const ADVANCE_LOCK = 1128481361;

type CountedRow = AssignmentRow & { counts: Partial<Record<TargetState, number>> | null };

/** PolicyRecord knows what is asked of clients beside the settings, and is the only writer of its tables. */
export class PolicyRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #client: ClientRecord;

  constructor(db: Database, clock: Clock, client: ClientRecord) {
    this.#db = db;
    this.#clock = clock;
    this.#client = client;
  }

  /** ask makes an assignment; its first wave is asked with the next round. */
  async ask(wanted: Ask, via?: Sql): Promise<Assignment> {
    const work = async (tx: Sql) => {
      const { id } = await makeAssignment(tx, wanted, this.#clock.now());
      await this.#db.notify('policy', String(id), tx);
      return (await this.get(id, tx))!;
    };
    return via ? work(via) : this.#db.transaction(work);
  }

  /** get gives one assignment. */
  async get(id: number, via: Sql = this.#db): Promise<Assignment | undefined> {
    const [row] = await via.query<CountedRow>(`${COUNTED} where a.id = $1`, [id]);
    return row && assignmentOf(row);
  }

  /** list gives a page of assignments, newest first. */
  async list(o: { before?: number | undefined; limit: number }): Promise<Assignment[]> {
    const rows = await this.#db.query<CountedRow>(
      `${COUNTED} where $1::integer is null or a.id < $1 order by a.id desc limit $2`,
      [o.before, o.limit],
    );
    return rows.map(assignmentOf);
  }

  /** targets gives clients of an assignment, those first of which something is to be seen. */
  async targets(id: number, limit = 500): Promise<Target[]> {
    const rows = await this.#db.query<{
      guid: string | null;
      name: string | null;
      state: TargetState;
      wave: number;
      offered_at: Date | null;
      at: Date;
      detail: string | null;
    }>(
      `select c.guid, c.name, t.state, t.wave, t.offered_at, t.at, t.detail from policy_target t left join client c on c.id = t.client_id
       where t.assignment_id = $1 order by array_position(array['failed', 'offered', 'done', 'withdrawn', 'waiting'], t.state), t.client_id
       limit $2`,
      [id, limit],
    );
    return rows.map(({ offered_at: offeredAt, guid, name, detail, ...row }) => ({
      ...row,
      guid: guid ?? undefined,
      name: name ?? undefined,
      offeredAt: offeredAt ?? undefined,
      detail: detail ?? undefined,
    }));
  }

  async #locked(tx: Sql, id: number): Promise<AssignmentRow> {
    const [row] = await tx.query<AssignmentRow>('select * from policy_assignment where id = $1 for update', [id]);
    if (!row) throw raise('PP_API_NOT_FOUND', { kind: 'assignment', name: String(id) });
    return row;
  }

  /** pause asks nobody further; who was asked already still is. False where it does not run. */
  async pause(id: number, tx: Sql): Promise<boolean> {
    await this.#locked(tx, id);
    return (await tx.count("update policy_assignment set state = 'paused' where id = $1 and state = 'active'", [id])) === 1;
  }

  /**
   * resume goes on with an assignment that is paused or was stopped. Of a stopped one the limit goes: who goes on has seen the failures, and
   * would be stopped again by the next one. Who was withdrawn by the stop is asked again.
   */
  async resume(id: number, tx: Sql): Promise<boolean> {
    const { state } = await this.#locked(tx, id);
    if (state !== 'paused' && state !== 'stopped') return false;
    await tx.query(
      `update policy_assignment set state = 'active', stop_reason = null,
         stop_after = case when state = 'stopped' then null else stop_after end,
         stop_percent = case when state = 'stopped' then null else stop_percent end where id = $1`,
      [id],
    );
    if (state === 'stopped')
      await tx.query(
        "update policy_target set state = 'waiting' where assignment_id = $1 and state = 'withdrawn' and detail is null",
        [id],
      );
    await this.#db.notify('policy', String(id), tx);
    return true;
  }

  /** cancel ends an assignment and takes back what nobody has done yet. */
  async cancel(id: number, tx: Sql): Promise<boolean> {
    const row = await this.#locked(tx, id);
    if (row.state === 'finished' || row.state === 'cancelled') return false;
    const now = this.#clock.now();
    await withdraw(tx, this.#client, row, now);
    await tx.query("update policy_assignment set state = 'cancelled', ended_at = $2 where id = $1", [id, now]);
    return true;
  }

  /** putSecret keeps a secret of the policy, sealed for the vault with `secretPurpose`; approved clients get it. */
  async putSecret(o: { name: string; sealed: Uint8Array; by: string }, tx: Sql): Promise<void> {
    await secrets.putSecret(tx, o, this.#clock.now());
    await this.#db.notify('policy_secret', o.name, tx);
  }

  /** removeSecret takes one out of the policy. */
  async removeSecret(name: string, tx: Sql): Promise<void> {
    await secrets.removeSecret(tx, name);
    await this.#db.notify('policy_secret', name, tx);
  }

  /** secrets lists them, without what they are. */
  secrets(): Promise<secrets.Secret[]> {
    return secrets.secrets(this.#db);
  }

  /** sealSecrets seals the secrets for some approved clients that do not have them as they are now, and gives for how many. */
  sealSecrets(open: (sealed: Uint8Array, purpose: string) => Uint8Array): Promise<number> {
    return this.#db.transaction((tx) => secrets.sealDue(tx, this.#client, open));
  }

  /** reseal seals all of them anew, for another key of the vault. */
  reseal(change: (sealed: Uint8Array, purpose: string) => Uint8Array, tx: Sql): Promise<number> {
    return secrets.resealSecrets(tx, change);
  }

  /** advance brings all assignments that run forward; undefined where another process is at it. */
  async advance(): Promise<Advanced[] | undefined> {
    const live = await this.#db.exec<{ id: number }>(
      { name: 'policy_live', text: "select id from policy_assignment where state = 'active' order by id" },
      [],
    );
    const results: Advanced[] = [];
    for (const { id } of live) {
      const result = await this.#db.transaction(async (tx) => {
        const [free] = await tx.query<{ free: boolean }>('select pg_try_advisory_xact_lock($1) as free', [ADVANCE_LOCK]);
        if (!free!.free) return undefined;
        const row = await this.#locked(tx, id);
        return row.state === 'active' ? advance(tx, this.#client, row, this.#clock.now()) : 'over';
      });
      if (result === undefined) return undefined;
      if (result !== 'over') results.push(result);
    }
    return results;
  }
}
