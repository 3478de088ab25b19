import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { nameKey, shownName } from '#records/resource';
import { Gatherer, isUniqueViolation, type Database, type Sql, type Statement } from '#store/database';
import {
  accountOf,
  fitnessOf,
  machineKeyOf,
  passwordPurpose,
  scopeOf,
  validScope,
  validUsername,
  type Account,
  type AccountListed,
  type AccountRow,
  type Machine,
  type Scope,
} from './account.ts';
import { applyFailure } from './stop-rules.ts';
import { SiteTurns } from './site-turns.ts';

/** At most so many accounts are shown to one machine in one attempt (design section 5). */
const AT_MOST = 2;
/** worked_at is written again after this, not at each success. */
const NOTED_MS = 15_000;

/** Use is an account that was used on a machine. */
interface Use {
  accountId: number;
  machineKey: string;
}

const worked: Statement = {
  name: 'account_worked',
  text: `with host as (
      insert into account_host (machine_key, account_id, worked_at)
      select distinct on (w.machine_key) w.machine_key, a.id, $3
      from unnest($1::integer[], $2::text[]) as w(account_id, machine_key) join account a on a.id = w.account_id order by w.machine_key
      on conflict (machine_key) do update set account_id = excluded.account_id, worked_at = excluded.worked_at
        where account_host.account_id <> excluded.account_id
    ), ended as (
      delete from account_turn t using unnest($1::integer[], $2::text[]) as w(account_id, machine_key)
      where t.account_id = w.account_id and t.machine_key = w.machine_key and t.holder = $5
    )
    update account set state = 'usable', worked_at = $3, refused_by = null, refused_at = null
    where id = any($1) and state <> 'stopped' and (state = 'unproven' or refused_by is not null
      or worked_at is null or worked_at < $4 or worked_at > $3)`,
};

/** AccountRecord knows the push accounts, which to use where, and when to stop; it is the only writer of account and account_host. */
export class AccountRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #turns: SiteTurns;
  readonly #worked: Gatherer<Use, void>;
  readonly #choices: Gatherer<Machine, Account[]>;
  readonly #current: Gatherer<number, Account | undefined>;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
    this.#turns = new SiteTurns(db, clock);
    this.#worked = new Gatherer((uses) => this.#noteWorked(uses));
    this.#choices = new Gatherer((machines) => this.chooseForMany(machines));
    this.#current = new Gatherer((ids) => this.#byIds(ids));
  }

  /** add makes an account; it is unproven until it worked on a first machine. */
  async add(
    o: { name: string; username: string; sealedPassword: Uint8Array; scope: Scope },
    via: Sql = this.#db,
  ): Promise<AccountListed> {
    const name = o.name.trim();
    if (!/^[\p{L}\p{N} ._-]{1,64}$/u.test(name)) throw raise('PP_ACCOUNT_NAME', { name: shownName(o.name) });
    const scope = validScope(o.scope);
    try {
      await via.query(
        `insert into account (name, name_key, username, sealed_password, scope_kind, scope_value, created_at, changed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)`,
        [
          name,
          nameKey(name),
          validUsername(o.username),
          o.sealedPassword,
          scope.kind,
          scope.kind === 'host' ? scope.pattern : scope.kind === 'subnet' ? scope.cidr : '',
          this.#clock.now(),
        ],
      );
    } catch (error) {
      if (isUniqueViolation(error)) throw raise('PP_ACCOUNT_EXISTS', { name }, { cause: error });
      throw error;
    }
    await this.#db.notify('account', name, via);
    return this.#named(name, via);
  }

  async #named(name: string, via: Sql): Promise<AccountListed> {
    const found = (await this.list(via)).find((a) => nameKey(a.name) === nameKey(name));
    if (!found) throw raise('PP_ACCOUNT_UNKNOWN', { name: shownName(name) });
    return found;
  }

  /** list gives all accounts, never a password. */
  async list(via: Sql = this.#db): Promise<AccountListed[]> {
    const rows = await via.query<Omit<AccountRow, 'sealed_password'> & { hosts: number }>(
      `select id, name, username, scope_kind, scope_value, state, stop_code, stop_reason, stopped_at, created_at, changed_at, worked_at,
         (select count(*) from account_host h where h.account_id = account.id) as hosts
       from account order by name_key`,
    );
    return rows.map((row) => ({
      id: row.id,
      name: row.name,
      username: row.username,
      scope: scopeOf(row),
      state: row.state,
      stopReason: row.stop_reason ?? undefined,
      stopCode: row.stop_code ?? undefined,
      stoppedAt: row.stopped_at ?? undefined,
      workedAt: row.worked_at ?? undefined,
      createdAt: row.created_at,
      changedAt: row.changed_at,
      hosts: row.hosts,
    }));
  }

  /**
   * chooseFor gives the accounts for a machine, at most two, best first: the one that worked there last, then by host pattern, subnet and
   * site, the more exact scope first. Stopped ones are left out. Before an account is used, enter must be waited for.
   */
  async chooseFor(machine: Machine): Promise<Account[]> {
    return this.#choices.ask(machine);
  }

  /** chooseForMany does the same for many machines with one look-up, in the order given. */
  async chooseForMany(machines: readonly Machine[]): Promise<Account[][]> {
    const keys = machines.map(machineKeyOf);
    const rows = await this.#db.exec<AccountRow & { remembered: string[] }>(
      {
        name: 'account_choose',
        text: `select a.*, array(select machine_key from account_host where machine_key = any($1) and account_id = a.id) as remembered
          from account a where a.state <> 'stopped' order by a.id`,
      },
      [keys],
    );
    const accounts = rows.map((row) => ({
      account: accountOf(row),
      fit: fitnessOf(scopeOf(row)),
      remembered: new Set(row.remembered),
    }));
    return machines.map((machine, i) => {
      const ranked: { account: Account; rank: number }[] = [];
      for (const { account, fit, remembered } of accounts) {
        const rank = fit(machine);
        if (rank !== undefined) ranked.push({ account, rank: remembered.has(keys[i]!) ? Number.MAX_SAFE_INTEGER : rank });
      }
      ranked.sort((a, b) => b.rank - a.rank || a.account.id - b.account.id);
      return ranked.slice(0, AT_MOST).map(({ account }) => account);
    });
  }

  /** current gives an account as it is now; undefined where it is gone. */
  current(id: number): Promise<Account | undefined> {
    return this.#current.ask(id);
  }

  async #byIds(ids: readonly number[]): Promise<(Account | undefined)[]> {
    const rows = await this.#db.exec<AccountRow>({ name: 'account_by_ids', text: 'select * from account where id = any($1)' }, [
      ids,
    ]);
    const found = new Map(rows.map((row) => [row.id, accountOf(row)]));
    return ids.map((id) => found.get(id));
  }

  /**
   * enter waits until this machine may log on with the account, right before the logon; false when the account was stopped or removed
   * meanwhile. While nothing has proven the account lately, one machine at a time tries it, over all processes. After the logon exactly one
   * of worked, failed and left is called. `ccr` is the CCR that the logon is for, where this process has claimed one.
   */
  enter(accountId: number, machineKey: string, signal?: AbortSignal, ccr?: number): Promise<boolean> {
    return this.#turns.enter({ accountId, machineKey, ccr }, signal);
  }

  /** worked remembers the account for the machine and proves it. */
  async worked(accountId: number, machineKey: string): Promise<void> {
    try {
      await this.#worked.ask({ accountId, machineKey });
    } finally {
      this.#turns.end(accountId, machineKey);
    }
  }

  async #noteWorked(uses: readonly Use[]): Promise<void[]> {
    const now = this.#clock.now();
    const [ids, keys] = [uses.map((use) => use.accountId), uses.map((use) => use.machineKey)];
    await this.#db.exec(worked, [ids, keys, now, new Date(now.getTime() - NOTED_MS), await this.#turns.holder()]);
    return uses.map(() => undefined);
  }

  /**
   * failed applies the stop rules: locked, disabled or expired stops the account for everybody at once; a wrong password from a second
   * machine in a row does, too. An account of each machine's own (`%machinename%\x`) is never stopped by one of them. It gives the
   * reason when this answer stopped the account.
   */
  async failed(accountId: number, machineKey: string, win32: number): Promise<string | undefined> {
    try {
      await this.#turns.holder();
      // A stop is not announced: what waits for an account gains nothing by it, and each new try would count against another one.
      return await this.#db.transaction(async (tx) => {
        const stopped = await applyFailure(tx, { accountId, machineKey, win32, now: this.#clock.now() });
        await this.#turns.giveUp(accountId, machineKey, tx);
        return stopped;
      });
    } finally {
      this.#turns.end(accountId, machineKey);
    }
  }

  /** left ends a turn that said nothing about the account, as when the machine went away. */
  async left(accountId: number, machineKey: string): Promise<void> {
    try {
      await this.#turns.giveUp(accountId, machineKey, this.#db);
    } finally {
      this.#turns.end(accountId, machineKey);
    }
  }

  /** resume lets a stopped account be tried again, on one machine first. */
  async resume(name: string, via: Sql = this.#db): Promise<AccountListed> {
    return this.#renew(name, '', [], via);
  }

  /** setPassword changes the sealed password; the account is unproven again. */
  async setPassword(name: string, sealedPassword: Uint8Array, via: Sql = this.#db): Promise<AccountListed> {
    return this.#renew(name, ', sealed_password = $3', [sealedPassword], via);
  }

  /** renew makes an account unproven again; `set` changes more of it. */
  async #renew(name: string, set: string, values: unknown[], via: Sql): Promise<AccountListed> {
    const rows = await via.query<{ name: string }>(
      `update account set state = 'unproven', stop_code = null, stop_reason = null, stopped_at = null, worked_at = null,
         refused_by = null, refused_at = null, changed_at = $2${set}
       where name_key = $1 returning name`,
      [nameKey(name.trim()), this.#clock.now(), ...values],
    );
    if (!rows[0]) throw raise('PP_ACCOUNT_UNKNOWN', { name: shownName(name) });
    await this.#db.notify('account', rows[0].name, via);
    return this.#named(name.trim(), via);
  }

  /** reseal seals the passwords of all accounts anew, in the caller's transaction, and gives how many there are; nothing else changes. */
  async reseal(change: (sealed: Uint8Array, purpose: string) => Uint8Array, tx: Sql): Promise<number> {
    const rows = await tx.query<Pick<AccountRow, 'id' | 'username' | 'sealed_password'>>(
      'select id, username, sealed_password from account order by id for update',
    );
    for (const { id, username, sealed_password: sealed } of rows) {
      const fresh = change(new Uint8Array(sealed), passwordPurpose(username));
      await tx.query('update account set sealed_password = $2 where id = $1', [id, fresh]);
    }
    return rows.length;
  }

  /** remove deletes an account and what was remembered of it. */
  async remove(name: string, via: Sql = this.#db): Promise<void> {
    if ((await via.count('delete from account where name_key = $1', [nameKey(name.trim())])) === 0)
      throw raise('PP_ACCOUNT_UNKNOWN', { name: shownName(name) });
    await this.#db.notify('account', name.trim(), via);
  }
}
