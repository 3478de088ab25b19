import { escapeIdentifier, type Client } from 'pg';
import type { Clock } from '#base/clock';
import type { Log } from '#base/log';

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;

export interface ListenerOptions {
  connect: () => Promise<Client>;
  clock: Clock;
  log: Log;
  revive?: (() => Promise<void>) | undefined;
}

/** How long the server may take to take note that a process leaves. */
const GOODBYE_MS = 2_000;

/** hangUp closes the socket under a client; pg itself waits for the other side without an end. */
function hangUp(client: Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

type Hear = (payload: string) => void;

/** Listener holds the one connection on which a process hears notifications, and opens it again when it is lost. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #channels = new Map<string, Set<Hear>>();
  readonly #ended = new AbortController();
  #client: Promise<Client> | undefined;
  #reconnecting: Promise<void> | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  async listen(channel: string, fn: Hear): Promise<() => Promise<void>> {
    const known = this.#channels.get(channel);
    const hearers = known ?? new Set<Hear>();
    this.#channels.set(channel, hearers);
    // A function of its own, so that the same `fn` may listen twice.
    const hear: Hear = (payload) => fn(payload);
    hearers.add(hear);
    if (!known) await this.#send(`listen ${escapeIdentifier(channel)}`);
    return async () => {
      if (!hearers.delete(hear) || hearers.size > 0 || this.#channels.get(channel) !== hearers) return;
      this.#channels.delete(channel);
      if (this.#client) await this.#send(`unlisten ${escapeIdentifier(channel)}`);
    };
  }

  /** send runs one statement; when the connection is not there it is left to the reconnect, which listens to all channels. */
  async #send(text: string): Promise<void> {
    if (this.#ended.signal.aborted) return;
    try {
      this.#client ??= this.#open();
      await (await this.#client).query(text);
    } catch (error) {
      this.#lost(error);
    }
  }

  async #open(): Promise<Client> {
    const client = await this.#options.connect();
    client.on('notification', ({ channel, payload }) => {
      for (const hear of this.#channels.get(channel) ?? []) this.#tell(hear, payload ?? '');
    });
    client.on('end', () => this.#lost(new Error('connection ended')));
    return client;
  }

  #tell(hear: Hear, payload: string): void {
    try {
      hear(payload);
    } catch (error) {
      this.#options.log.error('listener failed', { error });
    }
  }

  #lost(error: unknown): void {
    if (this.#ended.signal.aborted || this.#reconnecting) return;
    this.#options.log.warn('connection for notifications lost', { error });
    this.#client = undefined;
    this.#reconnecting = this.#reconnect().finally(() => (this.#reconnecting = undefined));
  }

  async #reconnect(): Promise<void> {
    const { clock, log, revive } = this.#options;
    for (let wait = FIRST_WAIT_MS; !this.#ended.signal.aborted; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
      try {
        await clock.sleep(wait, this.#ended.signal);
        await revive?.();
        const client = await this.#open();
        for (const channel of this.#channels.keys()) await client.query(`listen ${escapeIdentifier(channel)}`);
        if (this.#ended.signal.aborted) return await client.end();
        this.#client = Promise.resolve(client);
        log.info('connection for notifications is back', { channels: this.#channels.size });
        for (const hearers of this.#channels.values()) for (const hear of hearers) this.#tell(hear, '');
        return;
      } catch (error) {
        if (!this.#ended.signal.aborted) log.debug('connection for notifications not back yet', { error });
      }
    }
  }

  async close(): Promise<void> {
    this.#ended.abort(new Error('the database is being closed'));
    this.#channels.clear();
    await this.#reconnecting;
    const client = await this.#client?.catch(() => undefined);
    if (!client) return;
    // A line that has gone silent never says goodbye.
    const silent = this.#options.clock.after(GOODBYE_MS, () => hangUp(client));
    await client.end().catch(() => {});
    silent();
  }
}
