import { STATUS } from '#wire/status';
import { Refusal } from './answer.ts';
import type { PipeEnd } from './backend.ts';

const MOST_QUEUED = 4 * 2 ** 20;

/** PipeChannel is one open named pipe in message mode, [MS-FSA] and [MS-SMB2] 3.3.5.12: messages in order, a long one read in pieces. */
export class PipeChannel {
  readonly #end: PipeEnd;
  readonly #out: Uint8Array[] = [];
  readonly #readers = new Set<() => void>();
  #turn: Promise<void> = Promise.resolve();
  #queued = 0;
  #broken = false;

  constructor(end: PipeEnd) {
    this.#end = end;
  }

  /** write hands one message to the server's end; what it answers can be read when it is there. */
  write(message: Uint8Array): void {
    if (this.#broken) throw new Refusal(STATUS.PIPE_BROKEN);
    if (this.#queued + message.length > MOST_QUEUED) throw new Refusal(STATUS.INSUFFICIENT_RESOURCES);
    this.#queued += message.length;
    const copy = message.slice(); // the frame it stands in may be large
    this.#turn = this.#turn
      .then(() => (this.#broken ? [] : this.#end.take(copy)))
      .then((answers) => {
        this.#queued -= copy.length;
        this.#out.push(...answers);
        this.#wake();
      })
      .catch(() => this.close());
  }

  #wake(): void {
    for (const reader of this.#readers) reader();
  }

  /** read gives up to `max` octets of the next message, and whether that message has more; it waits until there is one. */
  async read(max: number, signal: AbortSignal): Promise<{ data: Uint8Array; more: boolean }> {
    while (this.#out.length === 0) {
      if (this.#broken) throw new Refusal(STATUS.PIPE_BROKEN);
      await this.#message(signal);
    }
    const message = this.#out[0]!;
    const data = message.subarray(0, max);
    if (data.length < message.length) {
      this.#out[0] = message.subarray(max);
      return { data, more: true };
    }
    this.#out.shift();
    return { data, more: false };
  }

  #message(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = () => {
        this.#readers.delete(done);
        signal.removeEventListener('abort', done);
        if (signal.aborted) reject(new Refusal(STATUS.CANCELLED));
        else resolve();
      };
      if (signal.aborted) return reject(new Refusal(STATUS.CANCELLED));
      this.#readers.add(done);
      signal.addEventListener('abort', done);
    });
  }

  /** transceive is write and read in one; it may not be mixed with unread messages. */
  transceive(message: Uint8Array, max: number, signal: AbortSignal): Promise<{ data: Uint8Array; more: boolean }> {
    if (this.#out.length > 0) throw new Refusal(STATUS.PIPE_BUSY);
    this.write(message);
    return this.read(max, signal);
  }

  /** waiting tells how much there is to read, for FSCTL_PIPE_PEEK. */
  get waiting(): { octets: number; messages: number; firstLength: number } {
    const octets = this.#out.reduce((sum, one) => sum + one.length, 0);
    return { octets, messages: this.#out.length, firstLength: this.#out[0]?.length ?? 0 };
  }

  close(): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#end.close();
    this.#wake();
  }
}
