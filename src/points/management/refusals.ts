import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { AuditRecord } from '#records/audit';
import { networkOf } from '#wire/http';

/** Refusal is one request that was not granted. */
export interface Refusal {
  object: string;
  code: string;
  address: string;
}

/** Counted is what one sender was refused within a minute. */
interface Counted {
  address: string;
  seen: number;
  unwritten: number;
  codes: Map<string, number>;
}

const MINUTE_MS = 60_000;
/** Refusals that are written one by one in a minute: of one sender, and in all. */
const PER_SENDER = 5;
const IN_ALL = 60;
/** Senders whose further refusals get a line of their own at the end of the minute, and senders told apart at all. */
const SUMMED = 20;
const MOST = 10_000;

/**
 * Refusals brings refused requests into the audit log so that a flood of them cannot fill it: a few of each sender and minute stand there one
 * by one, the rest as numbers when the minute is over. Nothing is left out, and a minute costs at most 81 entries whoever sends.
 */
export class Refusals {
  readonly #audit: AuditRecord;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #what: string;
  readonly #senders = new Map<string, Counted>();
  #written = 0;
  #end: (() => void) | undefined;
  #summing: Promise<void> = Promise.resolve();

  constructor(parts: { audit: AuditRecord; clock: Clock; log: Log }, what: string) {
    this.#audit = parts.audit;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#what = what;
  }

  /** note counts a refusal and, while the minute has room, writes it. It never raises: the answer to the request matters more. */
  async note(refusal: Refusal): Promise<void> {
    this.#end ??= this.#clock.after(MINUTE_MS, () => void this.#sum());
    const sender = this.#sender(refusal.address);
    sender.seen++;
    if (sender.seen <= PER_SENDER && this.#written < IN_ALL) {
      this.#written++;
      await this.#write(refusal.object, { code: refusal.code }, refusal.address);
      return;
    }
    sender.unwritten++;
    sender.codes.set(refusal.code, (sender.codes.get(refusal.code) ?? 0) + 1);
  }

  /** close writes what was only counted so far. */
  async close(): Promise<void> {
    this.#end?.();
    await this.#sum();
  }

  #sender(address: string): Counted {
    const network = networkOf(address);
    const key = this.#senders.has(network) || this.#senders.size < MOST ? network : '';
    let sender = this.#senders.get(key);
    if (!sender) this.#senders.set(key, (sender = { address: key, seen: 0, unwritten: 0, codes: new Map() }));
    return sender;
  }

  /** #sum ends a minute; whoever closes waits for the one that is being written just then too. */
  #sum(): Promise<void> {
    return (this.#summing = this.#summing.then(() => this.#minute()));
  }

  async #minute(): Promise<void> {
    const counted = [...this.#senders.values()].filter((s) => s.unwritten > 0).sort((a, b) => b.unwritten - a.unwritten);
    this.#senders.clear();
    this.#written = 0;
    this.#end = undefined;
    for (const { address, unwritten, codes } of counted.slice(0, SUMMED))
      await this.#write(`${unwritten} more requests`, { count: unwritten, codes: Object.fromEntries(codes) }, address);
    const rest = counted.slice(SUMMED);
    const count = rest.reduce((sum, s) => sum + s.unwritten, 0);
    if (count > 0) await this.#write(`${count} more requests`, { count, senders: rest.length }, undefined);
  }

  async #write(object: string, detail: unknown, address: string | undefined): Promise<void> {
    try {
      await this.#audit.write({ who: 'anonymous', what: this.#what, object, detail, address });
    } catch (error) {
      this.#log.error('a refusal could not be written into the audit log', { what: this.#what, address, detail, error });
    }
  }
}
