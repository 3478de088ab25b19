import type { Socket } from 'node:net';
import type { Clock } from '#base/clock';

/** A machine may hang up on somebody who says nothing; a connection older than this is not used any more. */
const HOLD_MS = 2_000;

/**
 * Line is the connection of a probe, held for whoever goes on with it, so that reaching a machine costs one connection. It is taken once, or
 * dropped; left alone it drops itself soon.
 */
export class Line {
  #socket: Socket | undefined;
  readonly #cancel: () => void;
  readonly #gone = (): void => this.drop();

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#cancel = clock.after(HOLD_MS, this.#gone);
    socket.on('error', this.#gone).on('close', this.#gone);
  }

  /** held tells whether the connection is there to be taken. */
  get held(): boolean {
    return this.#socket !== undefined;
  }

  /** take gives the socket, still paused; undefined when it was taken, dropped or lost. */
  take(): Socket | undefined {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#cancel();
    socket?.off('error', this.#gone).off('close', this.#gone);
    return socket;
  }

  /** drop hangs up, unless somebody took it. */
  drop(): void {
    const socket = this.take();
    socket?.on('error', () => {}); // a reset after we hang up is no news
    socket?.destroy();
  }
}
