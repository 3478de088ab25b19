import type { Socket } from 'node:net';
import { raise } from '#base/errors';
import { Reader, type Bytes } from '#wire/bytes';

/** PREFIX is what stands before each frame on TCP: a zero octet and the length in 24 bits, big-endian ([MS-SMB2] 2.1). */
export const PREFIX = 4;
const KEEP_ALIVE = 0x85; // NetBIOS session keep-alive, which some stacks still send on port 445

/** Framer cuts a stream of octets into frames; a frame longer than `limit` is refused before room is made for it. */
export class Framer {
  limit: number;
  readonly #take: (frame: Bytes) => void;
  readonly #prefix = new Uint8Array(PREFIX);
  #prefixed = 0;
  #frame: Bytes | undefined;
  #filled = 0;

  constructor(limit: number, take: (frame: Bytes) => void) {
    this.limit = limit;
    this.#take = take;
  }

  /** feed takes what has come; the frames it completes are given to `take` in order. It raises PP_WIRE_MALFORMED. */
  feed(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) at = this.#frame ? this.#fill(chunk, at, this.#frame) : this.#begin(chunk, at);
  }

  #begin(chunk: Uint8Array, from: number): number {
    let at = from;
    while (this.#prefixed < PREFIX && at < chunk.length) this.#prefix[this.#prefixed++] = chunk[at++]!;
    if (this.#prefixed < PREFIX) return at;
    const length = (this.#prefix[1]! << 16) | (this.#prefix[2]! << 8) | this.#prefix[3]!;
    this.#prefixed = 0;
    if (this.#prefix[0] === KEEP_ALIVE && length === 0) return at;
    this.#check(length);
    if (chunk.length - at >= length) {
      this.#take(chunk.subarray(at, at + length) as Bytes);
      return at + length;
    }
    this.#frame = new Uint8Array(length);
    this.#filled = 0;
    return at;
  }

  #check(length: number): void {
    const r = new Reader(this.#prefix, 'SMB frame');
    r.field = 'length';
    if (this.#prefix[0] !== 0) throw r.fail('this is not the beginning of an SMB frame');
    if (length === 0 || length > this.limit) throw r.fail(`a frame of ${length} octets, at most ${this.limit} are taken`, 1);
  }

  #fill(chunk: Uint8Array, at: number, frame: Bytes): number {
    const part = Math.min(frame.length - this.#filled, chunk.length - at);
    frame.set(chunk.subarray(at, at + part), this.#filled);
    this.#filled += part;
    if (this.#filled === frame.length) {
      this.#frame = undefined;
      this.#take(frame);
    }
    return at + part;
  }
}

/** TransportEvents is what a transport tells; after `closed` nothing comes any more. */
export interface TransportEvents {
  frame(frame: Bytes): void;
  closed(error?: Error): void;
}

/** Transport carries frames; tests play one back from a record. */
export interface Transport {
  readonly address: string;
  readonly port: number;
  /** limit is the longest frame taken; raised once the two sides know each other. */
  limit: number;
  open(events: TransportEvents): void;
  /** send takes a frame with PREFIX free octets in front of it, in the parts that it is made of; the first holds at least those. */
  send(parts: readonly Bytes[]): void;
  /** close hangs up; with `gently`, after what is on its way out has left. */
  close(gently?: boolean): void;
}

/** SocketTransport is the transport over TCP. */
export class SocketTransport implements Transport {
  readonly address: string;
  readonly port: number;
  readonly #socket: Socket;
  #framer: Framer | undefined;
  #limit: number;
  #corked = false;

  constructor(socket: Socket, address: string, port: number, limit: number) {
    this.#socket = socket;
    this.address = address;
    this.port = port;
    this.#limit = limit;
  }

  get limit(): number {
    return this.#limit;
  }

  set limit(value: number) {
    this.#limit = value;
    if (this.#framer) this.#framer.limit = value;
  }

  open(events: TransportEvents): void {
    const socket = this.#socket;
    let isOver = false;
    const over = (error?: Error) => {
      if (isOver) return;
      isOver = true;
      socket.destroy();
      events.closed(error);
    };
    const framer = new Framer(this.#limit, (frame) => isOver || events.frame(frame));
    this.#framer = framer;
    socket.on('data', (chunk: Buffer) => {
      if (isOver) return;
      try {
        // not a Buffer, whose slice() is no copy
        framer.feed(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      } catch (error) {
        over(error as Error);
      }
    });
    socket.on('error', (error) => over(error));
    socket.on('end', () => over());
    socket.on('close', () => over());
    socket.resume();
  }

  send(parts: readonly Bytes[]): void {
    const octets = parts[0]!;
    const length = parts.reduce((sum, part) => sum + part.length, -PREFIX);
    if (length > 0xff_ffff)
      throw raise('PP_WIRE_MALFORMED', { message: 'SMB frame', field: 'length', offset: 1, why: `${length} octets do not fit` });
    octets[0] = 0;
    octets[1] = length >> 16;
    octets[2] = (length >> 8) & 0xff;
    octets[3] = length & 0xff;
    // What is said in one turn of the event loop leaves in one packet train.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    for (const part of parts) this.#socket.write(part);
  }

  close(gently = false): void {
    if (gently) this.#socket.destroySoon(); // end() would wait for a peer that never hangs up
    else this.#socket.destroy();
  }
}
