import type { FileHandle } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import type { Part } from './ranges.ts';

/** Large pieces cost few calls; two for each download, so that one is read while the other is sent. */
const LARGE = 512 * 1024;
const SMALL = 32 * 1024;
/** So many large ones in all: whoever comes when all are in use, as by those that stopped reading, gets small ones of his own. */
const MOST = 128;

/** Buffers lends the pieces that files are read into; they are used again and again, so that sending makes no garbage. */
export class Buffers {
  readonly #free: Buffer[] = [];
  #made = 0;

  take(length: number): Buffer {
    if (length <= SMALL) return Buffer.allocUnsafeSlow(length);
    const free = this.#free.pop();
    if (free) return free;
    if (this.#made === MOST) return Buffer.allocUnsafeSlow(SMALL);
    this.#made++;
    return Buffer.allocUnsafeSlow(LARGE);
  }

  give(buffer: Buffer): void {
    if (buffer.length === LARGE) this.#free.push(buffer);
  }

  /** lost lets one go for good. */
  lost(buffer: Buffer): void {
    if (buffer.length === LARGE) this.#made--;
  }
}

/** Pump is what sending one answer needs beside the file. */
export interface Pump {
  response: ServerResponse;
  buffers: Buffers;
  /** How much may go out at once, and the wait before it does. */
  most(): number | Promise<number>;
  wait(octets: number, signal: AbortSignal): Promise<void>;
}

/** pump sends the parts of an answer; it ends early when nobody is there any more, and raises when the file is shorter than it was. */
export async function pump(file: FileHandle, parts: readonly Part[], o: Pump): Promise<void> {
  const { response, buffers } = o;
  const gone = new AbortController();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const over = (): void => {
    gone.abort();
    close();
  };
  response.once('close', over);
  response.once('error', over);
  if (response.destroyed) over();
  const longest = parts.reduce((most, part) => (Buffer.isBuffer(part) ? most : Math.max(most, part.end - part.start + 1)), 1);
  const pair = [buffers.take(longest), buffers.take(longest)] as const;
  let sent: Promise<void> = Promise.resolve();
  let turn = 0;
  const send = (octets: Buffer) => {
    const written = new Promise<void>((resolve) => response.write(octets, () => resolve()));
    sent = Promise.race([written, closed]);
  };
  try {
    for (const part of parts) {
      if (Buffer.isBuffer(part)) {
        await sent;
        if (gone.signal.aborted) return;
        send(part);
        continue;
      }
      for (let at = part.start; at <= part.end;) {
        const buffer = pair[(turn ^= 1)]!;
        const length = Math.min(buffer.length, part.end - at + 1, await o.most());
        const { bytesRead } = await file.read(buffer, 0, length, at);
        if (bytesRead === 0) throw new Error('the file is shorter than it was');
        at += bytesRead;
        await o.wait(bytesRead, gone.signal);
        await sent;
        if (gone.signal.aborted) return;
        send(buffer.subarray(0, bytesRead));
      }
    }
    await sent;
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  } finally {
    response.off('close', over);
    response.off('error', over);
    if (!gone.signal.aborted) await sent;
    // What the system may still send from is not lent again.
    for (const buffer of pair)
      if (gone.signal.aborted) buffers.lost(buffer);
      else buffers.give(buffer);
  }
}
