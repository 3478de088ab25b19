import { isCode, PushpointError, raise } from '#base/errors';
import type { Line } from '#wire/tcp';

import type { Note } from './timeline.ts';
import { bounded, STEP_LIMIT_MS } from './bounded.ts';
import type { AttemptContext } from './context.ts';

/** Found is an address of the machine that answers. */
export interface Found {
  address: string;
  port: number;
  ms: number;
  /** line is the probe's connection, for the logon; whoever got it drops it when it is done. */
  line: Line | undefined;
}

/** More addresses than these are not tried; a machine with more has something else wrong. */
const MOST_ADDRESSES = 8;

/** How much an error of one address tells about the machine; the most telling one is reported. */
const TELLING = ['PP_NET_NAME_UNKNOWN', 'PP_NET_UNROUTABLE', 'PP_NET_SILENT', 'PP_NET_REFUSED'];

function moreTelling(a: PushpointError | undefined, b: PushpointError): PushpointError {
  return a === undefined || TELLING.indexOf(b.code) >= TELLING.indexOf(a.code) ? b : a;
}

/**
 * AddressSearch finds addresses of the machine where something listens: first the ones discovery knows, then, only if none of
 * them answers, what its names resolve to. Nothing is sent, and no credential is near.
 */
export class AddressSearch {
  readonly #context: AttemptContext;
  readonly #tried = new Set<string>();
  #open: Found[] = [];
  #resolved = false;
  #worst: PushpointError | undefined;

  constructor(context: AttemptContext) {
    this.#context = context;
  }

  /** next is the next address that answers, or it throws why there is none (any more). */
  async next(note: Note): Promise<Found> {
    const { ccr, addresses } = this.#context;
    if (this.#tried.size === 0) await this.#probe(addresses);
    if (this.#open.length === 0 && !this.#resolved) {
      this.#resolved = true;
      await this.#probe(await this.#resolve());
    }
    const found = this.#open.shift();
    if (found) {
      note(`${found.address}:${found.port} answered after ${Math.round(found.ms)} ms`);
      return found;
    }
    throw this.#worst ?? raise('PP_NET_NAME_UNKNOWN', { host: ccr.name });
  }

  async #probe(addresses: readonly string[]): Promise<void> {
    const { network, clock, settings, port, stop } = this.#context;
    const fresh = [...new Set(addresses)].filter((address) => !this.#tried.has(address)).slice(0, MOST_ADDRESSES);
    const answers = fresh.map(async (address): Promise<Found | undefined> => {
      this.#tried.add(address);
      try {
        const probe = { address, port, timeoutMs: settings.probeMs, clock, signal: stop.hard, keep: true };
        const { ms, line } = await network.probe(probe);
        return { address, port, ms, line };
      } catch (error) {
        if (!(error instanceof PushpointError)) throw error;
        this.#worst = moreTelling(this.#worst, error);
        return undefined;
      }
    });
    const found = (await Promise.all(answers)).filter((f) => f !== undefined).sort((a, b) => a.ms - b.ms);
    // The quickest is the one that is gone on with; a line to another address would be old when its turn comes.
    for (const { line } of stop.hard.aborted ? found : found.slice(1)) line?.drop();
    stop.hard.throwIfAborted();
    this.#open.push(...found);
  }

  async #resolve(): Promise<string[]> {
    const { network, clock, wanted, stop } = this.#context;
    const names = [...new Set(wanted.names)].sort((a, b) => Number(b.includes('.')) - Number(a.includes('.'))).slice(0, 4);
    const lists = await Promise.all(
      names.map(async (host) => {
        const bounds = { clock, host, doing: 'the name lookup', ms: STEP_LIMIT_MS.resolve, signal: stop.hard };
        try {
          return await bounded(network.resolve(host), bounds);
        } catch (error) {
          if (isCode(error, 'PP_NET_NAME_UNKNOWN', 'PP_NET_TIMEOUT')) return [];
          throw error;
        }
      }),
    );
    return lists.flat();
  }
}
