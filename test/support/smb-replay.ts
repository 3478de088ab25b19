import assert from 'node:assert/strict';
import { concat, toHex, type Bytes } from '#wire/bytes';
import { Framer, PREFIX, type Transport, type TransportEvents } from '#wire/smb';
import type { Line } from './smb-record.ts';

/** Replay plays the server's part of a record: it wants the client's frames octet for octet, and answers as was recorded. */
export class Replay implements Transport {
  readonly address = '127.0.0.1';
  readonly port = 445;
  limit = 0;
  /** piece is how many octets arrive at a time, as on a slow line; 0 is whole frames. */
  readonly piece: number;
  /** alter may change, drop (nothing) or repeat the server's frame `index` before it is delivered. */
  readonly alter: (frame: Bytes, index: number) => Bytes[];
  readonly #lines: Line[];
  #at = 0;
  #answered = 0;
  #events: TransportEvents | undefined;
  #framer: Framer | undefined;
  #isDelivering = false;

  constructor(lines: Line[], o: { piece?: number; alter?: (frame: Bytes, index: number) => Bytes[] } = {}) {
    this.#lines = lines;
    this.piece = o.piece ?? 0;
    this.alter = o.alter ?? ((frame) => [frame]);
  }

  /** isDone tells that the whole record was played. */
  get isDone(): boolean {
    return this.#at === this.#lines.length;
  }

  open(events: TransportEvents): void {
    this.#events = events;
    this.#framer = new Framer(1 << 20, (frame) => events.frame(frame));
  }

  send(parts: readonly Bytes[]): void {
    const octets = concat(...parts);
    const wanted = this.#lines[this.#at];
    assert.equal(wanted?.from, 'client', `line ${this.#at}: the client speaks out of turn`);
    assert.equal(toHex(octets.subarray(PREFIX)), toHex(wanted.frame), `line ${this.#at}: the client says something else`);
    this.#at++;
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    setImmediate(() => this.#deliver());
  }

  #deliver(): void {
    this.#isDelivering = false;
    while (this.#events && this.#lines[this.#at]?.from === 'server') {
      const { frame } = this.#lines[this.#at++]!;
      for (const one of this.alter(frame.slice(), this.#answered++)) this.#give(one);
      // What the client says next may hang on this answer: let it speak first.
      if (this.#lines[this.#at]?.from === 'server') {
        this.#isDelivering = true;
        setImmediate(() => this.#deliver());
        return;
      }
    }
  }

  #give(frame: Bytes): void {
    if (this.piece === 0) return this.#events?.frame(frame);
    const stream = new Uint8Array(PREFIX + frame.length);
    new DataView(stream.buffer).setUint32(0, frame.length);
    stream.set(frame, PREFIX);
    for (let at = 0; at < stream.length && this.#events; at += this.piece) {
      this.#framer?.feed(stream.slice(at, at + this.piece));
    }
  }

  close(): void {
    this.#events = undefined;
  }
}
