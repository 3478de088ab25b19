/** Statement is SQL that is sent often: the server parses it once per connection under its name. */
export interface Statement {
  name: string;
  text: string;
}

/**
 * Sql runs statements, either each for itself or all in one transaction.
 *
 * What comes back: int8 is a number while it is safe as one and a bigint beyond 2^53; numeric, date and inet are strings; timestamptz is
 * a Date; bytea is a Buffer; json is parsed. What goes in: a Date, a Uint8Array and null as they are, `undefined` as null, an object
 * as JSON, an array as a PostgreSQL array (so an array meant as JSON is stringified by the caller).
 */
export interface Sql {
  /** query runs one statement and gives its rows. */
  query<R = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<R[]>;
  /** exec runs a named statement, which the server has parsed already after the first time. */
  exec<R = Record<string, unknown>>(statement: Statement, values?: readonly unknown[]): Promise<R[]>;
  /** count runs one statement and tells how many rows it touched. */
  count(text: string, values?: readonly unknown[]): Promise<number>;
}

export interface TransactionOptions {
  /** read committed where nothing else is said. */
  isolation?: 'read committed' | 'repeatable read' | 'serializable';
  /** unlimited statements may take as long as they take, as when tables are made anew; it is for `fn` to tell the server so too. */
  unlimited?: boolean;
}

/** Database is the one store of a site, shared by all its processes. */
export interface Database extends Sql {
  /**
   * transaction commits what `fn` did, or nothing. It runs `fn` again, at most five times, when the server answers that two transactions
   * were in each other's way or when the connection was lost before the commit; so `fn` does nothing but SQL.
   */
  transaction<T>(fn: (tx: Sql) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /** notify tells all listeners on the channel, at commit when sent `via` a transaction; at most 7,900 octets. */
  notify(channel: string, payload: string, via?: Sql): Promise<void>;
  /**
   * listen calls `fn` for each notification, and once with an empty payload after a lost connection came back, because something may
   * have been missed. It is an accelerator: who needs certainty polls as well. The returned function ends it.
   */
  listen(channel: string, fn: (payload: string) => void): Promise<() => Promise<void>>;
  /** close waits for what runs, then leaves; the last process to leave a managed server stops it. */
  close(): Promise<void>;
  /** connections tells how many of this process's connections are open, idle, and waited for. */
  connections(): { open: number; idle: number; waiting: number };
  readonly kind: 'managed' | 'external';
  /** url is where the database is, without any password. */
  readonly url: string;
}
