import { Client, Pool, type ClientBase, type ClientConfig, type PoolClient, type QueryConfig, type QueryResult } from 'pg';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Log } from '#base/log';
import { codeOf, isConflict, isGone, translated } from './failures.ts';
import { Listener } from './listener.ts';
import { columnParsers } from './parsers.ts';
import type { Database, Sql, Statement, TransactionOptions } from './sql.ts';

/** A statement that runs longer than this is stopped by the server. */
const STATEMENT_MS = 30_000;
/**
 * Whoever has no answer after this has no line any more: the server would have stopped the statement long ago. A firewall that forgets a
 * connection tells nobody, and the system's own patience is a quarter of an hour.
 */
const ANSWER_MS = STATEMENT_MS + 15_000;
/** The longest that a timer can wait. */
const UNLIMITED_MS = 2_147_483_647;
/** How long a caller waits for a free connection before it is told that the database is busy. */
const CONNECT_MS = 10_000;
/** How often a transaction is tried that lost against another one. */
const TRIES = 5;
/** How long close waits for what still runs. */
const DRAIN_MS = 15_000;
/** pg_notify refuses 8,000 octets and more. */
const PAYLOAD_OCTETS = 7_900;

/** Where says how to reach the server; `where` is for people, without a password. */
export interface Where {
  config: ClientConfig;
  where: string;
  url: string;
  kind: 'managed' | 'external';
}

export interface PoolOptions {
  at: Where;
  clock: Clock;
  log: Log;
  connections?: number;
  /** answerMs is how long an answer may take before the line counts as dead. */
  answerMs?: number | undefined;
  /** revive brings a lost server back and resolves when it answers; without it a lost server is the caller's matter. */
  revive?: () => Promise<void>;
  /** leave runs when the last connection is closed. */
  leave?: () => Promise<void>;
}

/** settings are what every connection of ours asks the server for. */
export function settings(at: Where): ClientConfig {
  return {
    ...at.config,
    application_name: 'pushpoint',
    types: columnParsers,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: CONNECT_MS,
  };
}

/** TransactionSql runs statements one after another on one connection, until its transaction has ended. */
class TransactionSql implements Sql {
  readonly #client: ClientBase;
  readonly #limits: { query_timeout?: number };
  #tail: Promise<unknown> = Promise.resolve();
  #over = false;
  /** failed is the first error; the server ignores everything after it. */
  failed: unknown;

  constructor(client: ClientBase, unlimited: boolean) {
    this.#client = client;
    this.#limits = unlimited ? { query_timeout: UNLIMITED_MS } : {};
  }

  async #run(config: QueryConfig): Promise<QueryResult> {
    if (this.#over) throw new Error('a statement came after the end of its transaction');
    const result = this.#tail.then(() => this.#client.query({ ...config, ...this.#limits }));
    this.#tail = result.catch((error: unknown) => {
      this.failed ??= error;
    });
    return await result;
  }

  async query<R>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    return (await this.#run({ text, values: [...values] })).rows as R[];
  }
  async exec<R>(statement: Statement, values: readonly unknown[] = []): Promise<R[]> {
    return (await this.#run({ ...statement, values: [...values] })).rows as R[];
  }
  async count(text: string, values: readonly unknown[] = []): Promise<number> {
    return (await this.#run({ text, values: [...values] })).rowCount ?? 0;
  }

  /** end lets what was sent finish and refuses what comes later. */
  async end(): Promise<void> {
    this.#over = true;
    await this.#tail;
  }
}

/** PooledDatabase is the Database over a pool of connections to one PostgreSQL. */
export class PooledDatabase implements Database {
  readonly kind: 'managed' | 'external';
  readonly url: string;
  readonly #options: PoolOptions;
  readonly #pool: Pool;
  readonly #listener: Listener;
  #closing: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.kind = options.at.kind;
    this.url = options.at.url;
    this.#pool = new Pool({
      ...settings(options.at),
      max: options.connections ?? 10,
      statement_timeout: STATEMENT_MS,
      query_timeout: options.answerMs ?? ANSWER_MS,
      idle_in_transaction_session_timeout: 2 * STATEMENT_MS,
      idleTimeoutMillis: 30_000,
    });
    // Without these two an error on a connection that nobody waits on would end the process.
    this.#pool.on('connect', (client) => client.on('error', () => {}));
    this.#pool.on('error', (error) => options.log.debug('database connection lost', { error }));
    const connect = async () => {
      const client = new Client({ ...settings(options.at), query_timeout: options.answerMs ?? ANSWER_MS });
      client.on('error', () => {});
      await client.connect();
      return client;
    };
    this.#listener = new Listener({ connect, clock: options.clock, log: options.log, revive: options.revive });
  }

  async #connection(): Promise<PoolClient> {
    const { at, revive } = this.#options;
    for (let left = 3; ; left--) {
      if (this.#closing) throw raise('PP_STORE_CLOSED');
      try {
        return await this.#pool.connect();
      } catch (error) {
        if (!revive || left === 0 || !isGone(error)) throw translated(error, at.where);
      }
      await revive();
    }
  }

  /** A statement by itself is a transaction too: one that lost against another has done nothing, and is tried again as those are. */
  async #run(config: QueryConfig): Promise<QueryResult> {
    for (let tried = 1; ; tried++) {
      const client = await this.#connection();
      let lost = false;
      try {
        return await client.query(config);
      } catch (error) {
        lost = isGone(error);
        if (!isConflict(error) || tried === TRIES) throw translated(error, this.#options.at.where);
        this.#options.log.debug('statement tried again', { tried, error });
      } finally {
        client.release(lost);
      }
      await this.#options.clock.sleep(5 * tried * tried);
    }
  }

  async query<R>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    return (await this.#run({ text, values: [...values] })).rows as R[];
  }
  async exec<R>(statement: Statement, values: readonly unknown[] = []): Promise<R[]> {
    return (await this.#run({ ...statement, values: [...values] })).rows as R[];
  }
  async count(text: string, values: readonly unknown[] = []): Promise<number> {
    return (await this.#run({ text, values: [...values] })).rowCount ?? 0;
  }

  async transaction<T>(fn: (tx: Sql) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    for (let tried = 1; ; tried++) {
      const outcome = await this.#once(fn, options);
      if ('value' in outcome) return outcome.value;
      if (!outcome.again || tried === TRIES) throw translated(outcome.error, this.#options.at.where);
      this.#options.log.debug('transaction tried again', { tried, error: outcome.error });
      await this.#options.clock.sleep(5 * tried * tried);
    }
  }

  async #once<T>(
    fn: (tx: Sql) => Promise<T>,
    { isolation, unlimited = false }: TransactionOptions,
  ): Promise<{ value: T } | { error: unknown; again: boolean }> {
    const client = await this.#connection();
    const tx = new TransactionSql(client, unlimited);
    let lost = false;
    let committing = false;
    try {
      await client.query(isolation ? `begin isolation level ${isolation}` : 'begin');
      const value = await fn(tx);
      await tx.end();
      // After an error that `fn` swallowed the server would answer COMMIT with a silent ROLLBACK.
      if (tx.failed !== undefined) throw tx.failed;
      committing = true;
      await client.query('commit');
      return { value };
    } catch (error) {
      await tx.end();
      lost = isGone(tx.failed ?? error);
      if (!lost) await client.query('rollback').catch(() => (lost = true));
      // What became of a commit whose answer was lost is not known: that is for the caller to find out.
      const again = isConflict(tx.failed ?? error) || (lost && !committing && this.#options.revive !== undefined);
      // 25P02 only says that something failed before.
      return { error: codeOf(error) === '25P02' ? tx.failed : error, again };
    } finally {
      client.release(lost);
    }
  }

  connections(): { open: number; idle: number; waiting: number } {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    return { open: totalCount, idle: idleCount, waiting: waitingCount };
  }

  async notify(channel: string, payload: string, via: Sql = this): Promise<void> {
    if (Buffer.byteLength(payload) > PAYLOAD_OCTETS) throw new RangeError(`a notification of ${payload.length} characters`);
    await via.exec({ name: 'notify', text: 'select pg_notify($1, $2)' }, [channel, payload]);
  }

  listen(channel: string, fn: (payload: string) => void): Promise<() => Promise<void>> {
    if (this.#closing) throw raise('PP_STORE_CLOSED');
    return this.#listener.listen(channel, fn);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#listener.close();
    const { clock, log, leave } = this.#options;
    const late = new AbortController();
    const drained = this.#pool.end().then(() => late.abort());
    await clock.sleep(DRAIN_MS, late.signal).then(
      () => log.warn('database left while statements were still running', { waitedMs: DRAIN_MS }),
      () => {},
    );
    if (late.signal.aborted) await drained;
    await leave?.();
  }
}
