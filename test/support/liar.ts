import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { ManualClock } from '#base/clock';
import { PushpointError } from '#base/errors';
import { ntHash, ntowfV2 } from '#wire/auth';
import { concat, toHex, toUtf16, type Bytes } from '#wire/bytes';
import { Framer, PREFIX, type Transport, type TransportEvents } from '#wire/smb';
import type { Line } from './smb-record.ts';

/** ofCatalogue gives an error that a hostile machine may cause; anything else fails the test with its stack. */
export function ofCatalogue(error: unknown, what: string): PushpointError {
  const isOne = error instanceof PushpointError && error.origin !== 'misconfigured';
  assert.ok(isOne, `${what}: ${error instanceof Error ? error.stack : String(error)}`);
  return error;
}

/** Ending is how a piece of work ended, and after how much time of its clock. */
export interface Ending {
  error: unknown;
  ms: number;
}

const QUIET = 8;

/**
 * ending moves the clock on, from one timer to the next, whenever nothing happens any more, until the work is over. It fails when the
 * work waits for something that no timer ends, or takes longer than `mostMs`; `activity` counts what is going on.
 */
export async function ending(
  work: Promise<unknown>,
  clock: ManualClock,
  o: { mostMs: number; activity: () => number; what: string },
): Promise<Ending> {
  let end: { error: unknown } | undefined;
  work.then(
    () => (end = { error: undefined }),
    (error: unknown) => (end = { error }),
  );
  const from = clock.monotonic();
  for (;;) {
    let seen = -1;
    for (let quiet = 0; quiet < QUIET && !end; quiet++) {
      await new Promise(setImmediate);
      if (o.activity() !== seen) quiet = 0;
      seen = o.activity();
    }
    const ms = clock.monotonic() - from;
    if (end) return { error: end.error, ms };
    const next = clock.nextAt();
    assert.ok(next, `${o.what}: it waits for nothing`);
    assert.ok(ms <= o.mostMs, `${o.what}: still waiting after ${ms} ms`);
    await clock.advance(next.getTime() - clock.monotonic());
  }
}

/** Lie changes what the server's `index`th frame becomes on its way: other octets, none, several; or what the line does then. */
export type Lie = (frame: Bytes, index: number) => Bytes[] | 'silence' | 'reset';

/**
 * Liar plays the server's part of a record until it lies. From then on it goes on as long as the client says what it said in the record,
 * and hangs up when it says anything else. `stream`, if given, gets the server's octets with their prefixes and says how they arrive.
 */
export class Liar implements Transport {
  readonly address = '127.0.0.1';
  readonly port = 445;
  limit = 1 << 20;
  readonly sent: Bytes[] = [];
  /** activity counts what happened, in both directions. */
  activity = 0;
  isClosed = false;
  readonly #lines: Line[];
  readonly #lie: Lie;
  readonly #stream: ((octets: Bytes, index: number) => (Bytes | 'reset')[]) | undefined;
  #at = 0;
  #answered = 0;
  #isMute = false;
  #hasLied = false;
  #events: TransportEvents | undefined;
  #framer: Framer | undefined;
  #isDelivering = false;

  constructor(lines: Line[], lie: Lie, stream?: (octets: Bytes, index: number) => (Bytes | 'reset')[]) {
    this.#lines = lines;
    this.#lie = lie;
    this.#stream = stream;
  }

  open(events: TransportEvents): void {
    this.#events = events;
    this.#framer = new Framer(this.limit, (frame) => events.frame(frame));
  }

  close(): void {
    this.isClosed = true;
    this.#events = undefined;
  }

  /** over ends the line from the server's side, with the error that a socket would have. */
  over(error?: Error): void {
    const events = this.#events;
    this.#events = undefined;
    events?.closed(error);
  }

  send(parts: readonly Bytes[]): void {
    this.activity++;
    const frame = concat(...parts).subarray(PREFIX);
    this.sent.push(frame);
    if (this.#isMute) return;
    const wanted = this.#lines[this.#at];
    if (wanted?.from !== 'client' || toHex(frame) !== toHex(wanted.frame)) {
      assert.ok(this.#hasLied, `line ${this.#at}: the client says something else than in the record`);
      setImmediate(() => this.over());
      return;
    }
    this.#at++;
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    setImmediate(() => this.#deliver());
  }

  #deliver(): void {
    this.#isDelivering = false;
    if (!this.#events || this.#isMute || this.#lines[this.#at]?.from !== 'server') return;
    const { frame } = this.#lines[this.#at++]!;
    this.activity++;
    const index = this.#answered++;
    const told = this.#lie(frame.slice(), index);
    if (typeof told === 'string') {
      this.#hasLied = true;
      this.#isMute = true;
      if (told === 'reset') this.over(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
      return;
    }
    if (told.length !== 1 || toHex(told[0]!) !== toHex(frame)) this.#hasLied = true;
    for (const one of told) this.#give(one, index);
    if (this.#lines[this.#at]?.from !== 'server') return;
    this.#isDelivering = true;
    setImmediate(() => this.#deliver());
  }

  #give(frame: Bytes, index: number): void {
    if (!this.#stream) return this.#events?.frame(frame);
    const prefix = new Uint8Array(PREFIX);
    new DataView(prefix.buffer).setUint32(0, frame.length);
    this.feed(this.#stream(concat(prefix, frame), index));
  }

  /** feed lets octets arrive as they are, as the socket would: what is no frame ends the line. */
  feed(pieces: (Bytes | 'reset')[]): void {
    for (const piece of pieces) {
      if (!this.#events) return;
      this.activity++;
      this.#hasLied = true;
      if (piece === 'reset') return this.over(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
      try {
        this.#framer!.limit = this.limit;
        this.#framer!.feed(piece);
      } catch (error) {
        return this.over(error as Error);
      }
    }
  }
}

/** assertNoSecret looks for a password, its NT hash and the key made of it in what left us, in clear and in hexadecimal digits. */
export function assertNoSecret(
  what: string,
  out: { octets?: readonly Uint8Array[]; error?: unknown },
  account: { username: string; domain: string; password: string },
): void {
  const { username, domain, password } = account;
  const hash = ntHash(password);
  const secrets: Uint8Array[] = [new TextEncoder().encode(password), toUtf16(password), hash, ntowfV2(hash, username, domain)];
  const sent = toHex(concat(...(out.octets ?? [])));
  const told = out.error === undefined ? '' : inspect(out.error, { depth: 12, showHidden: true });
  for (const secret of secrets) {
    assert.ok(!sent.includes(toHex(secret)), `${what}: a secret was sent`);
    assert.ok(!told.includes(toHex(secret)), `${what}: a secret stands in an error`);
  }
  assert.ok(!told.includes(password), `${what}: the password stands in an error`);
}
