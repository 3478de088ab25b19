import type { Clock } from '#base/clock';
import type { Named } from '#records/resource';
import type { Database, Sql } from '#store/database';
import { Absences } from './absent.ts';
import { ccrOf, type Ccr, type CcrRow, type CcrState } from './ccr.ts';
import { Claims } from './claims.ts';
import { StateCounts, type CountedCcrs } from './counts.ts';
import * as lists from './list.ts';
import * as people from './people.ts';
import { requestAll, type CcrRequest, type Requested } from './request.ts';
import { Waves } from './waves.ts';

/**
 * CcrRecord is the queue of CCRs as everybody sees it who asks for one, stops one or reads, and the only writer of the tables ccr,
 * ccr_attempt, ccr_step, ccr_worker, ccr_wave and ccr_sweep. What workers do with it is in its claims.
 */
export class CcrRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #counts: StateCounts;
  /** claims is what workers do: take due CCRs, and settle them. */
  readonly claims: Claims;
  /** waves are the pushes: what was asked for together. */
  readonly waves: Waves;
  /** absences are the machines that nobody answered for, and how they are found again. */
  readonly absences: Absences;

  constructor(db: Database, clock: Clock, claims: Claims = new Claims(db, clock)) {
    this.#db = db;
    this.#clock = clock;
    this.#counts = new StateCounts(db, clock);
    this.claims = claims;
    this.waves = new Waves(db, clock);
    this.absences = new Absences(db, clock, (ids) => this.wake({ ids }));
  }

  /**
   * request makes a CCR, or merges into the live one of that machine: flags are ORed (a real push wins over an inspection), the history
   * stays, the week is restarted and it is due at once. From `discovery` a merge only refreshes what is known. Announced on 'ccr'.
   */
  async request(request: CcrRequest, via?: Sql): Promise<Requested> {
    const [done] = await this.requestMany([request], via);
    return done!;
  }

  /** requestMany does the same for many machines in one statement, in the order given; keep it to some hundred at a time. */
  async requestMany(requests: readonly CcrRequest[], via: Sql = this.#db): Promise<Requested[]> {
    const done = await requestAll(via, requests, this.#clock.now());
    if (done.length > 0) await this.#db.notify('ccr', '', via);
    return done;
  }

  /** wake makes CCRs due at once, because their machine was seen. Announced on 'ccr'. */
  async wake(who: people.Woken, via: Sql = this.#db): Promise<number> {
    const woken = await people.wake(via, who, this.#clock.now());
    if (woken > 0) await this.#db.notify('ccr', '', via);
    return woken;
  }

  /** cancel ends live CCRs for good and gives those it ended; a worker that has one learns it at its next write. Announced on 'ccr_stop'. */
  cancel(ids: readonly number[], by: string, via?: Sql): Promise<Ccr[]> {
    return this.#stop((tx) => people.cancel(tx, ids, by, this.#clock.now()), via);
  }

  /** pause keeps live CCRs from being worked until resume. Announced on 'ccr_stop'. */
  pause(ids: readonly number[], via?: Sql): Promise<Ccr[]> {
    return this.#stop((tx) => people.pause(tx, ids, this.#clock.now()), via);
  }

  async #stop(act: (sql: Sql) => Promise<Ccr[]>, via: Sql = this.#db): Promise<Ccr[]> {
    const stopped = await act(via);
    // The payload lets a worker drop the work at once; too many for one notification are found by the fence.
    if (stopped.length > 0)
      await this.#db.notify(
        'ccr_stop',
        stopped
          .slice(0, 500)
          .map((c) => c.id)
          .join(','),
        via,
      );
    return stopped;
  }

  /** resume lets paused CCRs go on, due at once. Announced on 'ccr'. */
  resume(ids: readonly number[], via?: Sql): Promise<Ccr[]> {
    return this.#go((sql) => people.resume(sql, ids, this.#clock.now()), via);
  }

  /** retryNow makes live CCRs due at once and restarts their week. Announced on 'ccr'. */
  retryNow(ids: readonly number[], via?: Sql): Promise<Ccr[]> {
    return this.#go((sql) => people.retryNow(sql, ids, this.#clock.now()), via);
  }

  async #go(act: (sql: Sql) => Promise<Ccr[]>, via: Sql = this.#db): Promise<Ccr[]> {
    const going = await act(via);
    if (going.length > 0) await this.#db.notify('ccr', '', via);
    return going;
  }

  /** byId gives one CCR. */
  async byId(id: number): Promise<Ccr | undefined> {
    const [row] = await this.#db.exec<CcrRow>({ name: 'ccr_by_id', text: 'select * from ccr where id = $1' }, [id]);
    return row && ccrOf(row);
  }

  /** find gives the CCRs of a machine by its name, live ones first, then the newest; two live ones are two machines. */
  find(name: string, domain?: string): Promise<Ccr[]> {
    return people.find(this.#db, name, domain);
  }

  /** findLive gives the live CCRs of many machines by their names, in the order given. */
  findLive(wanted: readonly Named[]): Promise<Ccr[][]> {
    return people.findLive(this.#db, wanted);
  }

  /** list gives one page of CCRs, newest first. */
  list(query: lists.CcrQuery = {}): Promise<lists.CcrPage> {
    return lists.list(this.#db, query);
  }

  /** show gives a machine's live CCR, else its newest, with its timeline. */
  async show(name: string, domain?: string, attempts = 20): Promise<lists.CcrShown | undefined> {
    const [ccr] = await this.find(name, domain);
    return ccr && lists.detail(this.#db, ccr, attempts);
  }

  /** showId is show for a CCR whose id is known. */
  async showId(id: number, attempts = 20): Promise<lists.CcrShown | undefined> {
    const ccr = await this.byId(id);
    return ccr && lists.detail(this.#db, ccr, attempts);
  }

  /** countByState gives the number of CCRs in each state. */
  async countByState(): Promise<Record<CcrState, number>> {
    return (await this.#counts.now()).counts;
  }

  /** counted gives the same with the moment in which it was so: with more than 20,000 live CCRs it lies up to a minute back. */
  counted(): Promise<CountedCcrs> {
    return this.#counts.now();
  }

  /** live walks through all live CCRs, oldest first. */
  live(): AsyncGenerator<Ccr> {
    return lists.live(this.#db);
  }

  /** changedSince gives what was written since a cursor; without one, the cursor of now. Take it before walking through live(). */
  changedSince(cursor?: string, limit?: number): Promise<lists.Changed> {
    return lists.changedSince(this.#db, cursor, limit);
  }

  /** prune removes old attempts and, where said, old finished CCRs; call it until it removes nothing. */
  prune(before: { attempts: Date; ccrs?: Date }, limit = 5000): Promise<lists.Pruned> {
    return lists.prune(this.#db, before, limit);
  }
}
