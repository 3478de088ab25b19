import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { DiscoveryRecord } from '#records/discovery';
import {
  emptyReport,
  Targets,
  type MethodRecord,
  type NetworkReport,
  type Note,
  type ProbePort,
  type Run,
} from '#records/method';
import { shownName, type RawDevice, type ResourceRecord } from '#records/resource';
import type { Method, Under, Working } from '../method.ts';
import { Look, type Sighting } from './look.ts';
import { Machines, type Found } from './machines.ts';
import { CheckedNames, type Names } from './names.ts';
import { Pace } from './pace.ts';

/** NetworkParts is what network discovery needs. */
export interface NetworkParts {
  method: MethodRecord;
  discovery: DiscoveryRecord;
  resource: ResourceRecord;
  names: Names;
  clock: Clock;
  random: Random;
  log: Log;
  /** How many files and sockets this process may have open, where the system says so. */
  files?: number | undefined;
  /** Where a port really is; only tests and the lab have it elsewhere. */
  portOf?: ((port: ProbePort) => number) | undefined;
}

/** Machines are handed in so many at a time, or after so long. */
const BATCH = 500;
const HAND_IN_MS = 2000;
/** A report keeps so many notes and counts the others. */
const MOST_NOTES = 500;
const SOURCE = 'network';
const USUAL_PORT = 445;
/** Of the files that a process may open discovery takes so many; pushes, points and the database need some too. */
const SHARE = 0.4;

/** NetworkMethod asks addresses who is there. */
export class NetworkMethod implements Method {
  readonly #parts: NetworkParts;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
  }

  async begin(under: Under): Promise<Working> {
    const { run } = under;
    const known = run.kind === 'delta' && !run.own ? await this.#known(under) : new Set<string>();
    return new NetworkRun(this.#parts, under, known);
  }

  /** A delta run asks only where no machine was found since the last full run began; without a full run it asks everywhere. */
  async #known({ site }: Under): Promise<Set<string>> {
    const { lastFull } = await this.#parts.method.method('network');
    return lastFull?.startedAt ? this.#parts.method.seenSince('network', site, lastFull.startedAt) : new Set();
  }
}

class NetworkRun implements Working {
  done: number;
  readonly #report: NetworkReport;
  readonly #parts: NetworkParts;
  readonly #under: Under;
  readonly #run: Run;
  readonly #known: ReadonlySet<string>;
  readonly #targets: Targets;
  readonly #pace: Pace;
  readonly #names: CheckedNames;
  readonly #machines: Machines;
  readonly #begun: { connections: number };
  readonly #underWay = new Set<number>();
  readonly #found = new Map<Found, string>();
  /** Machines by their ids, each with all addresses of this run. */
  readonly #there = new Map<number, Set<string>>();
  #last = 0;
  #handing: Promise<void> = Promise.resolve();
  #cancelTimer = (): void => {};

  constructor(parts: NetworkParts, under: Under, known: ReadonlySet<string>) {
    const { run } = under;
    const { settings } = run;
    this.#parts = parts;
    this.#under = under;
    this.#run = run;
    this.#known = known;
    this.#targets = new Targets(settings.targets, settings.exclude);
    const room = Math.max(16, Math.floor((parts.files ?? Infinity) * SHARE));
    const atOnce = Math.min(settings.atOnce, room);
    if (atOnce < settings.atOnce)
      parts.log.warn('this process may open too few files for so many connections at once: raise `ulimit -n`', { atOnce });
    this.#pace = new Pace({ perSecond: settings.perSecond, atOnce, clock: parts.clock });
    this.#names = new CheckedNames(settings.dns ? parts.names : undefined);
    this.#machines = new Machines(this.#names);
    this.done = run.done;
    this.#report = { ...emptyReport(), ...run.report };
    this.#begun = { connections: this.#report.connections };
  }

  get report(): NetworkReport {
    this.#report.connections = this.#begun.connections + this.#pace.begun;
    this.#report.busiestSecond = Math.max(this.#report.busiestSecond, this.#pace.busiest);
    return this.#report;
  }

  async work(): Promise<void> {
    const { signal } = this.#under;
    const onAbort = () => this.#pace.end();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#ask();
      await this.#handIn();
      await this.#forgetOld();
    } finally {
      signal.removeEventListener('abort', onAbort);
      await this.#handIn();
      if (this.#names.isSilent) this.#note({ address: '', what: 'DNS did not answer, so no names were asked for from then on' });
    }
  }

  async #ask(): Promise<void> {
    const { signal } = this.#under;
    const { perSecond, timeoutMs, ports, smbPort } = this.#run.settings;
    // More addresses than this under way would only wait for each other.
    const most = Math.max(1, Math.min(this.#run.settings.atOnce, Math.ceil((perSecond * timeoutMs) / 1000) + 32));
    const look = new Look({
      ...this.#parts,
      pace: this.#pace,
      ports,
      timeoutMs,
      signal,
      portOf: this.#parts.portOf ?? ((port) => (port === 445 ? smbPort : port)),
      waited: () => void this.#report.waited++,
    });
    let failed: Error | undefined;
    const open = new Set<Promise<void>>();
    let room = Promise.withResolvers<void>();
    const start = this.done;
    for (let n = start; n < this.#targets.count && !failed && !signal.aborted; n++) {
      const address = this.#targets.at(n);
      if (this.#known.has(address)) {
        this.#report.skipped++;
        this.#advance(n);
        continue;
      }
      this.#underWay.add(n);
      const one = this.#one(look, address)
        .then(
          () => void this.#underWay.delete(n),
          (error: Error) => void (failed ??= error),
        )
        .then(() => {
          open.delete(one);
          room.resolve();
        });
      open.add(one);
      this.#advance(n);
      while (open.size >= most && !failed) {
        room = Promise.withResolvers();
        await room.promise;
      }
    }
    await Promise.all(open);
    if (signal.aborted) throw signal.reason;
    if (failed) throw failed;
    this.done = this.#targets.count;
  }

  /** What is done is all that lies before the first address under way: there another process goes on. */
  #advance(asked: number): void {
    this.#last = asked;
    let first = asked + 1;
    for (const n of this.#underWay) {
      first = Math.min(first, n);
      break; // a set keeps the order in which its members came
    }
    this.done = first;
  }

  async #one(look: Look, address: string): Promise<void> {
    const sighting = await look.at(address).catch((error: unknown): Sighting => {
      if (this.#under.signal.aborted) throw error;
      // What one machine says must not end the run for all the others.
      this.#parts.log.error('looking at an address failed', { address, error });
      this.#note({ address, what: 'looking at it failed; the log of the site server tells more' });
      return { address, ports: {} };
    });
    this.#report.asked++;
    this.#count(sighting);
    const states = Object.values(sighting.ports);
    if (states.includes('open') || states.includes('refused')) {
      this.#report.answered++;
      const { found, isNew, notes } = await this.#machines.tell(sighting);
      for (const what of notes) this.#note({ address, name: found?.row.name, what });
      if (isNew) this.#report.named[found!.by] = (this.#report.named[found!.by] ?? 0) + 1;
      if (found) this.#add(found, address);
      else {
        this.#report.unnamed++;
        if (sighting.whyNoNames !== undefined && !sighting.smb1Only)
          this.#note({ address, what: `it told no name: ${sighting.whyNoNames}` });
      }
    }
    this.#advance(this.#last);
  }

  #count({ ports }: Sighting): void {
    for (const [port, state] of Object.entries(ports)) {
      const states = (this.#report.ports[port] ??= {});
      states[state] = (states[state] ?? 0) + 1;
    }
  }

  #note(note: Note): void {
    const { notes } = this.#report;
    if (notes.length >= MOST_NOTES) this.#report.moreNotes++;
    else notes.push({ ...note, name: note.name === undefined ? undefined : shownName(note.name), what: note.what.slice(0, 300) });
  }

  #add(found: Found, address: string): void {
    this.#found.set(found, address);
    if (this.#found.size >= BATCH) void this.#handIn();
    else if (this.#found.size === 1) this.#cancelTimer = this.#parts.clock.after(HAND_IN_MS, () => void this.#handIn());
  }

  /** Machines are handed in one batch after the other, so that what comes later of one machine stands. */
  #handIn(): Promise<void> {
    this.#cancelTimer();
    const batch = [...this.#found];
    this.#found.clear();
    if (batch.length > 0) this.#handing = this.#handing.then(() => this.#take(batch));
    return this.#handing;
  }

  async #take(batch: [Found, string][]): Promise<void> {
    const trusted: RawDevice[] = [];
    const claimed: RawDevice[] = [];
    const { smbPort } = this.#run.settings;
    for (const [{ row, by, confirmed }, address] of batch) {
      if (by === 'dns' && (await this.#isGhost(row.name, address))) continue;
      const isTrusted = this.#run.settings.trusted && confirmed.length > 0;
      const addresses = isTrusted ? [...confirmed] : [...row.addresses];
      // The port is what an administrator says of these networks, and counts like their names: not where those are only claimed.
      if (isTrusted && smbPort !== USUAL_PORT) trusted.push({ ...row, addresses, smbPort });
      else (isTrusted ? trusted : claimed).push({ ...row, addresses });
    }
    try {
      await this.#hand(trusted, true);
      await this.#hand(claimed, false);
    } catch (error) {
      this.#parts.log.error('machines that network discovery found could not be handed in', { error, machines: batch.length });
      this.#report.machines.rejected += batch.length;
      this.#note({ address: '', what: `${batch.length} machines could not be stored: ${(error as Error).message}` });
    }
  }

  /**
   * A machine that was found, but not at an address of this run where it had been before, is not there any more. A run that another process
   * began does not know all that was found.
   */
  async #forgetOld(): Promise<void> {
    if (this.#run.done > 0) return;
    const looked = [...this.#there].map(([id, addresses]) => ({ id, addresses: [...addresses] }));
    const wasAsked = (address: string) => this.#targets.has(address) && !this.#known.has(address);
    await this.#parts.resource.notThere(looked, wasAsked);
  }

  /** A name from DNS at the address of a machine that is known by another name is one of its interfaces, not a machine (facts B7). */
  async #isGhost(name: string, address: string): Promise<boolean> {
    const there = await this.#parts.resource.byAddress(address);
    const same = there.some((one) => one.name.toUpperCase() === name.toUpperCase());
    if (there.length === 0 || same) return false;
    this.#note({
      address,
      name,
      what: `DNS names it so, but the address belongs to ${there[0]!.name}; no machine was made of it`,
    });
    return true;
  }

  async #hand(rows: RawDevice[], trusted: boolean): Promise<void> {
    if (rows.length === 0) return;
    const taken = await this.#parts.discovery.take(rows, { source: SOURCE, site: this.#under.site, trusted });
    taken.outcomes.forEach((one, i) => {
      if (one.outcome === 'rejected') return;
      const addresses = this.#there.get(one.id) ?? new Set();
      for (const address of rows[i]!.addresses ?? []) addresses.add(address);
      this.#there.set(one.id, addresses);
    });
    const { machines } = this.#report;
    machines.added += taken.added;
    machines.changed += taken.changed;
    machines.unchanged += taken.unchanged;
    machines.rejected += taken.rejected.length;
    if (trusted) machines.trusted += rows.length - taken.rejected.length;
    for (const { line, reason } of taken.rejected) {
      const row = rows[line - 1];
      this.#note({ address: row?.addresses?.[0] ?? '', name: row?.name, what: `it was not taken: ${reason}` });
    }
  }
}
