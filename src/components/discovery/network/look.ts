import type { Socket } from 'node:net';
import type { Clock } from '#base/clock';
import { PushpointError } from '#base/errors';
import type { Random } from '#base/random';
import type { ProbePort } from '#records/method';
import { greetSmb, mayBeSmb1, speaksSmb1, type Greeted } from '#wire/smb';
import { readSshBanner } from '#wire/ssh';
import { reachTcp } from '#wire/tcp';
import type { Pace } from './pace.ts';

export type PortState = 'open' | 'refused' | 'silent' | 'unroutable';

/** Sighting is what was learned at one address; whatever a machine said is its own claim. */
export interface Sighting {
  address: string;
  ports: Partial<Record<ProbePort, PortState>>;
  smb?: Greeted | undefined;
  /** Why it told no names, where something listens on 445. */
  whyNoNames?: string | undefined;
  smb1Only?: boolean;
  banner?: string | undefined;
}

export interface LookParts {
  pace: Pace;
  clock: Clock;
  random: Random;
  ports: readonly ProbePort[];
  timeoutMs: number;
  signal: AbortSignal;
  /** Where each port really is; tests have no right to 445. */
  portOf(port: ProbePort): number;
  /** Called when the system has no room for another connection. */
  waited(): void;
}

/** A machine that is there answers a greeting at once; a busy one over a slow line within this. */
const GREETING_MS = 4000;
/** What the system says when it has no room: open files, buffers, ports of its own. */
const NO_ROOM = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EAGAIN']);
const ROOM_MS = 250;
const MOST_WAITS = 40;

interface Reached {
  socket: Socket;
  over: () => void;
}

/** Look asks one address after its ports. */
export class Look {
  readonly #p: LookParts;
  readonly #ends = new Set<() => void>();

  constructor(parts: LookParts) {
    this.#p = parts;
    parts.signal.addEventListener(
      'abort',
      () => {
        for (const end of this.#ends) end();
      },
      { once: true },
    );
  }

  /** at gives what was learned at an address. The ports are asked one after the other, and no more of them than needed to know the machine. */
  async at(address: string): Promise<Sighting> {
    const sighting: Sighting = { address, ports: {} };
    for (const port of this.#p.ports) {
      if (port !== 445 && isKnownWindows(sighting)) break;
      const reached = await this.#reach(address, port, sighting);
      if (!reached) continue;
      try {
        if (port === 445) await this.#smb(reached.socket, sighting);
        else if (port === 22) await this.#ssh(reached.socket, sighting);
      } finally {
        reached.socket.destroy();
        reached.over();
      }
      if (port === 445 && sighting.smb1Only) await this.#smb1(sighting);
    }
    return sighting;
  }

  async #reach(address: string, port: ProbePort, sighting: Sighting): Promise<Reached | undefined> {
    const { pace, clock, timeoutMs, signal } = this.#p;
    for (let waits = 0; ; waits++) {
      const over = await pace.slot(signal);
      const reached = await reachTcp({ address, port: this.#p.portOf(port), timeoutMs, clock, ends: this.#ends });
      if (!('why' in reached)) {
        sighting.ports[port] = 'open';
        return { socket: reached, over };
      }
      over();
      if (reached.why === 'ended') throw signal.reason as Error;
      if (!NO_ROOM.has(reached.code ?? '') || waits === MOST_WAITS) {
        sighting.ports[port] = reached.why;
        return undefined;
      }
      this.#p.waited();
      await clock.sleep(ROOM_MS, signal);
    }
  }

  async #smb(socket: Socket, sighting: Sighting): Promise<void> {
    const { clock, random, signal } = this.#p;
    const { address } = sighting;
    try {
      sighting.smb = await greetSmb({ socket, address, port: 445, clock, random, timeoutMs: GREETING_MS, signal });
      sighting.whyNoNames = sighting.smb.why;
    } catch (error) {
      if (signal.aborted || !(error instanceof PushpointError)) throw error;
      sighting.whyNoNames = error.message;
      sighting.smb1Only = mayBeSmb1(error);
    }
  }

  async #smb1(sighting: Sighting): Promise<void> {
    const { clock, signal } = this.#p;
    const { address } = sighting;
    const reached = await this.#reach(address, 445, sighting);
    sighting.smb1Only = false;
    if (!reached) return;
    const { socket, over } = reached;
    try {
      sighting.smb1Only = await speaksSmb1({ socket, address, port: 445, clock, timeoutMs: GREETING_MS, signal });
    } finally {
      socket.destroy();
      over();
    }
  }

  async #ssh(socket: Socket, sighting: Sighting): Promise<void> {
    const { clock, signal } = this.#p;
    const { address } = sighting;
    try {
      sighting.banner = await readSshBanner({ socket, address, port: 22, clock, timeoutMs: GREETING_MS, signal });
    } catch (error) {
      if (signal.aborted || !(error instanceof PushpointError)) throw error;
    }
  }
}

/** A build number is told by Windows alone; then the other ports add nothing. */
function isKnownWindows({ smb }: Sighting): boolean {
  return (smb?.peer?.osVersion?.build ?? 0) > 0;
}
