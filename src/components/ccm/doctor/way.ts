import { isCode, PushpointError, raise } from '#base/errors';
import { mayBeSmb1, type Greeted } from '#wire/smb';
import { bounded, STEP_LIMIT_MS } from '../attempt/bounded.ts';
import { checkIdentity } from '../attempt/identity.ts';
import type { Stop } from '../attempt/interrupted.ts';
import { findingOf, type About, type Finding, type Findings } from './findings.ts';
import type { DoctorParts } from './parts.ts';
import type { Patient } from './patient.ts';
import { isLoopback } from './points.ts';

const about = (name: string, tried: string, failsAt?: string): About => ({ group: 'pre-install', name, tried, failsAt });

/** What the way to the machine consists of, in this order; what comes after a problem is not tried. */
export const WAY: readonly About[] = [
  about('dns', 'its names in DNS, forward and reverse', 'probe'),
  about('probe', 'a TCP connection', 'probe'),
  about('smb', 'the SMB greeting, without a credential', 'logon'),
  about('identity', 'the name it gives of itself', 'logon'),
  about('clock', 'its clock against ours'),
];
const [DNS, PROBE, SMB, IDENTITY, CLOCK] = WAY as [About, About, About, About, About];

const MOST_ADDRESSES = 8;
const GREET_MS = 5_000;
/** Kerberos allows as much. */
const SKEW_MS = 5 * 60_000;

/** Answering is an address where something listens, with what it said. */
export interface Answering {
  address: string;
  ms: number;
  greeted?: Greeted | undefined;
  error?: PushpointError | undefined;
}

/** Way looks at everything between the site server and the logon: names, addresses, firewall, dialect, identity, clock. No credential is near. */
export class Way {
  readonly #parts: DoctorParts;
  readonly #patient: Patient;
  readonly #stop: Stop;
  #resolved: string[] = [];
  #answering: Answering[] = [];

  constructor(parts: DoctorParts, patient: Patient, stop: Stop) {
    this.#parts = parts;
    this.#patient = patient;
    this.#stop = stop;
  }

  /** examine gives the address to log on at; undefined where a push would come no further. */
  async examine(findings: Findings): Promise<Answering | undefined> {
    if (!(await findings.look(DNS, () => this.#dns()))) {
      findings.skip([PROBE, SMB, IDENTITY, CLOCK], 'it has no address');
      return undefined;
    }
    if (!(await findings.look(PROBE, () => this.#probe()))) {
      findings.skip([SMB, IDENTITY, CLOCK], `nothing answers on TCP ${this.#patient.port}`);
      return undefined;
    }
    if (!(await findings.look(SMB, () => this.#greet()))) {
      findings.skip([IDENTITY, CLOCK], 'the greeting did not get that far');
      return undefined;
    }
    const isIt = await findings.look(IDENTITY, async () => this.#identity());
    await findings.look(CLOCK, async () => this.#clock());
    return isIt ? this.#chosen : undefined;
  }

  async #dns(): Promise<Finding> {
    const { wanted, addresses } = this.#patient;
    const names = [...new Set(wanted.names)].sort((a, b) => Number(b.includes('.')) - Number(a.includes('.'))).slice(0, 4);
    const told = await Promise.all(names.map(async (name) => ({ name, addresses: await this.#resolve(name) })));
    this.#resolved = [...new Set(told.flatMap((one) => one.addresses))];
    const found = told
      .filter((one) => one.addresses.length > 0)
      .map((one) => `${one.name} is ${one.addresses.join(', ')}`)
      .join('; ');
    if (this.#resolved.length === 0) {
      if (addresses.length === 0) throw raise('PP_NET_NAME_UNKNOWN', { host: names.join(', ') });
      return { found: `${names.join(', ')}: not in DNS; discovery knows ${addresses.join(', ')}` };
    }
    if (addresses.length > 0 && !this.#resolved.some((one) => addresses.includes(one)))
      return findingOf(raise('PP_DOCTOR_NAME_ELSEWHERE', { dns: found, known: addresses.slice(0, 4).join(', ') }), 'warning');
    const reversed = await this.#reverse([...new Set([...addresses, ...this.#resolved])]);
    return reversed ?? { found };
  }

  async #resolve(name: string): Promise<string[]> {
    const { network, clock } = this.#parts;
    const bounds = { clock, host: name, doing: 'the name lookup', ms: STEP_LIMIT_MS.resolve, signal: this.#stop.hard };
    return bounded(network.resolve(name), bounds).catch((error: unknown) => {
      if (isCode(error, 'PP_NET_NAME_UNKNOWN', 'PP_NET_TIMEOUT')) return [];
      throw error;
    });
  }

  /** Forward and reverse must agree on the short name; an address without a name is no fault. */
  async #reverse(addresses: readonly string[]): Promise<Finding | undefined> {
    const { network, clock } = this.#parts;
    const short = (name: string) => name.split('.', 1)[0]!.toUpperCase();
    const own = new Set(this.#patient.wanted.names.map(short));
    for (const address of addresses.filter((one) => !isLoopback(one)).slice(0, MOST_ADDRESSES)) {
      const bounds = { clock, host: address, doing: 'the reverse lookup', ms: STEP_LIMIT_MS.resolve, signal: this.#stop.hard };
      const names = await bounded(network.reverse(address), bounds).catch((): string[] => []);
      this.#stop.hard.throwIfAborted();
      if (names.length === 0 || names.some((name) => own.has(short(name)))) continue;
      return findingOf(raise('PP_DOCTOR_REVERSE', { address, names: names.slice(0, 4).join(', ') }), 'warning');
    }
    return undefined;
  }

  async #probe(): Promise<Finding> {
    const { addresses, port, site } = this.#patient;
    const all = [...new Set([...addresses, ...this.#resolved])].slice(0, MOST_ADDRESSES);
    if (all.length === 0) throw raise('PP_NET_NAME_UNKNOWN', { host: this.#patient.name });
    const { network, clock } = this.#parts;
    const failed: PushpointError[] = [];
    const tries = all.map(async (address) => {
      try {
        const { ms } = await network.probe({
          address,
          port,
          timeoutMs: site.settings.ccr.probeMs,
          clock,
          signal: this.#stop.hard,
        });
        this.#answering.push({ address, ms });
      } catch (error) {
        if (!(error instanceof PushpointError)) throw error;
        failed.push(error);
      }
    });
    await Promise.all(tries);
    // As a push does: what discovery knows comes before what DNS says.
    const rank = ({ address }: Answering) => (addresses.includes(address) ? 0 : 1);
    this.#answering.sort((a, b) => rank(a) - rank(b) || a.ms - b.ms);
    const [first] = this.#answering;
    if (!first) throw worst(failed);
    const found = this.#answering.map(({ address, ms }) => `${address}:${port} answered after ${Math.round(ms)} ms`).join('; ');
    if (failed.length === 0) return { found };
    return {
      verdict: 'warning',
      found: `${found}; but ${failed.map(({ message }) => message).join('; ')}`,
      cause:
        'The machine has more addresses on record than it answers at: old records, a second network, or a firewall on one of them.',
      remedy: "Remove addresses that are not the machine's any more; a push tries all of them and takes the first that answers.",
    };
  }

  async #greet(): Promise<Finding> {
    for (const one of this.#answering) {
      try {
        one.greeted = await this.#greetAt(one.address);
      } catch (error) {
        if (!(error instanceof PushpointError)) throw error;
        one.error = error;
      }
    }
    const first = this.#answering.find(({ greeted }) => greeted !== undefined);
    if (!first) throw this.#answering[0]!.error!;
    const { dialect, signingRequired, peer, why } = first.greeted!;
    const found = `SMB ${dialectName(dialect)}${signingRequired ? ', takes nothing unsigned' : ''}`;
    if (peer) return { found };
    const refused = raise(
      'PP_AUTH_MECHANISM',
      { target: this.#patient.name, mechanism: 'NTLM' },
      why === undefined ? {} : { detail: why },
    );
    return { ...findingOf(refused, 'warning'), found: `${found}; but ${refused.message} (${why ?? 'it tells no names'})` };
  }

  async #greetAt(address: string): Promise<Greeted> {
    const { network, clock, random } = this.#parts;
    const { port } = this.#patient;
    const o = { address, port, clock, timeoutMs: GREET_MS, signal: this.#stop.hard };
    try {
      return await network.greet({ ...o, socket: await this.#socket(address), random });
    } catch (error) {
      if (!mayBeSmb1(error) || !(await network.speaksSmb1({ ...o, socket: await this.#socket(address) }))) throw error;
      throw raise('PP_SMB_ONLY_SMB1', { host: this.#patient.name }, { cause: error });
    }
  }

  async #socket(address: string) {
    const { network, clock } = this.#parts;
    const { port, site } = this.#patient;
    const probe = { address, port, timeoutMs: site.settings.ccr.probeMs, clock, signal: this.#stop.hard, keep: true };
    const socket = (await network.probe(probe)).line?.take();
    if (!socket) throw raise('PP_NET_CLOSED', { address, port, doing: 'greeting it' });
    return socket;
  }

  #isIt({ greeted }: Answering): PushpointError | undefined {
    if (!greeted?.peer) return undefined;
    try {
      checkIdentity(this.#patient.wanted, greeted.peer);
      return undefined;
    } catch (error) {
      if (error instanceof PushpointError) return error;
      throw error;
    }
  }

  get #chosen(): Answering | undefined {
    return this.#answering.find((one) => one.greeted && !this.#isIt(one));
  }

  #identity(): Finding {
    const wrong = this.#answering.flatMap((one) => {
      const error = this.#isIt(one);
      return error ? [{ address: one.address, error }] : [];
    });
    const right = this.#chosen;
    if (!right) throw wrong[0]!.error;
    const { peer, why } = right.greeted!;
    if (!peer) return { verdict: 'unknown', found: `it tells no name before a logon: ${why ?? 'for no reason that it says'}` };
    const own = [peer?.dnsComputer ?? peer?.netbiosComputer, peer?.netbiosDomain && `of ${peer.netbiosDomain}`].filter(Boolean);
    const found = `${right.address} calls itself ${own.join(' ')}`;
    if (wrong.length === 0) return { found };
    const [first] = wrong;
    return { ...findingOf(first!.error, 'warning'), found: `${found}; but at ${first!.address}: ${first!.error.message}` };
  }

  #clock(): Finding {
    const at =
      this.#chosen?.greeted?.peer?.timestamp ?? this.#answering.find(({ greeted }) => greeted?.peer)?.greeted?.peer?.timestamp;
    if (!at) return { verdict: 'unknown', found: 'it does not tell its time before a logon' };
    const off = at.getTime() - this.#parts.clock.now().getTime();
    if (Math.abs(off) < SKEW_MS) return { found: `it agrees with ours within ${Math.max(1, Math.ceil(Math.abs(off) / 1000))} s` };
    const by = `${spanText(Math.abs(off))} ${off > 0 ? 'ahead of' : 'behind'} this server's`;
    return findingOf(raise('PP_DOCTOR_CLOCK', { host: this.#patient.name, by }), 'warning');
  }
}

/** How much an error of one address tells of the machine; as in a probe the most telling one is reported. */
const TELLING = ['PP_NET_UNROUTABLE', 'PP_NET_SILENT', 'PP_NET_REFUSED'];

function worst(failed: readonly PushpointError[]): PushpointError {
  return [...failed].sort((a, b) => TELLING.indexOf(b.code) - TELLING.indexOf(a.code))[0]!;
}

function spanText(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 120) return `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
}

function dialectName(dialect: number): string {
  const names: Record<number, string> = { 0x202: '2.0.2', 0x210: '2.1', 0x300: '3.0', 0x302: '3.0.2', 0x311: '3.1.1' };
  return names[dialect] ?? `0x${dialect.toString(16)}`;
}
