import { isCode, PushpointError, raise } from '#base/errors';
import { svcctl } from '#wire/rpc';
import { bounded, STEP_LIMIT_MS } from '../attempt/bounded.ts';
import type { AttemptContext, PushAccount } from '../attempt/context.ts';
import { decide } from '../attempt/decide.ts';
import { osVersion, type Facts } from '../attempt/facts.ts';
import { inspect } from '../attempt/inspect.ts';
import { lockName, locksIn, sortLocks } from '../attempt/lock.ts';
import { logon, type LoggedOn } from '../attempt/logon.ts';
import type { Found } from '../attempt/probe.ts';
import { openAdminShare } from '../attempt/shares.ts';
import type { Target } from '../attempt/target.ts';
import type { Note } from '../attempt/timeline.ts';
import { findingOf, type About, type Finding, type Findings } from './findings.ts';
import { filteredFinding } from './filtered.ts';
import { foldersFinding } from './folders.ts';
import type { Patient } from './patient.ts';
import { StillTarget } from './still-target.ts';
import type { Answering } from './way.ts';

const about = (name: string, tried: string, failsAt?: string): About => ({ group: 'pre-install', name, tried, failsAt });

/** What is looked at on the machine itself, in this order. */
export const INSIDE: readonly About[] = [
  about('logon', 'a logon with the push account', 'logon'),
  about('admin-share', 'the shares ADMIN$ and IPC$', 'admin-share'),
  about('services', 'the service control manager', 'start'),
  about('remote-registry', 'the service RemoteRegistry'),
  about('system', 'system, processor and client, as a push looks at them', 'inspect'),
  about('disk', 'free space on its system drive', 'decide'),
  about('folders', 'whether the folders that an installation works in are encrypted or compressed', 'decide'),
  about('lock', 'locks of sites that push to it', 'lock'),
  about('setup', 'a bootstrap that is at work already', 'start'),
  about('decision', 'what a push would do now', 'decide'),
];
const [LOGON, SHARE, SERVICES, REGISTRY, SYSTEM, DISK, FOLDERS, LOCK, SETUP, DECISION] = INSIDE as [
  About,
  About,
  About,
  About,
  About,
  About,
  About,
  About,
  About,
  About,
];

const MIB = 1_048_576;
const LATEST = new Date(8_640_000_000_000_000);

/** Opened is what a logon led to: the machine, as far as it let us look. */
export interface Opened {
  target: Target;
  /** Whether ADMIN$ is open, without which no file can be read. */
  shares: boolean;
  facts: Facts | undefined;
}

/**
 * Inside looks at the machine with the push account, by the very steps of a push: it logs on, opens the shares, inspects and decides. It
 * writes nothing there and takes no lock.
 */
export class Inside {
  readonly #context: AttemptContext;
  readonly #patient: Patient;
  #target: Target | undefined;
  #facts: Facts | undefined;

  /** target is the machine once somebody has logged on; whoever has it ends its session. */
  get target(): Target | undefined {
    return this.#target;
  }

  constructor(context: AttemptContext, patient: Patient) {
    this.#context = context;
    this.#patient = patient;
  }

  /** examine logs on and looks; the caller ends the session of `target`, whatever came of it. */
  async examine(findings: Findings, at: Answering, accounts: PushAccount[]): Promise<Opened | undefined> {
    if (!(await findings.look(LOGON, () => this.#logon(at, accounts)))) {
      findings.skip(INSIDE.slice(1), 'nobody could log on');
      return undefined;
    }
    const target = this.#target!;
    if (!(await findings.look(SHARE, () => this.#shares()))) {
      findings.skip(INSIDE.slice(2), 'ADMIN$ could not be opened');
      return { target, shares: false, facts: undefined };
    }
    const services = await findings.look(SERVICES, () => this.#bounded('services', this.#services()));
    if (services) await findings.look(REGISTRY, () => this.#bounded('the registry service', this.#registry()));
    else findings.skip([REGISTRY], 'the service control manager could not be opened');
    const seen = services && (await findings.look(SYSTEM, () => this.#bounded('the inspection', this.#inspect())));
    if (!services) findings.skip([SYSTEM], 'the service control manager could not be opened');
    const facts = seen ? this.#facts : undefined;
    const room = facts && (await findings.look(DISK, async () => this.#disk(facts)));
    await findings.look(FOLDERS, () => this.#bounded('its folders', foldersFinding(this.#target!.admin, this.#patient.name)));
    await findings.look(LOCK, () => this.#bounded('the locks', this.#locks()));
    if (!facts) {
      findings.skip([DISK, SETUP, DECISION], 'the inspection did not succeed');
      return { target, shares: true, facts: undefined };
    }
    await findings.look(SETUP, async () => this.#setup(facts));
    await findings.look(DECISION, async () => this.#decision(room ? facts : { ...facts, freeBytes: undefined }));
    return { target, shares: true, facts };
  }

  /** A machine that hangs in one look does not hang the examination. */
  #bounded<T>(doing: string, work: Promise<T>): Promise<T> {
    const { clock, stop } = this.#context;
    const cut = () => this.#target?.session.close();
    return bounded(work, { clock, host: this.#patient.name, doing, ms: STEP_LIMIT_MS.inspect, signal: stop.hard, cut });
  }

  async #logon(at: Answering, accounts: PushAccount[]): Promise<Finding> {
    const notes: string[] = [];
    const found = { address: at.address, port: this.#patient.port, ms: at.ms, line: undefined };
    const { session } = await this.#logonWith(found, accounts, (text) => notes.push(text)).catch((error: unknown) => {
      // The first account's answer is the finding; that a second one was tried is told with it.
      if (!(error instanceof PushpointError) || notes.length === 0) throw error;
      const rest = notes.filter((text) => !text.startsWith(error.message));
      if (rest.length === 0) throw error;
      throw raise(error.code, error.params, { cause: error, win32: error.win32, detail: rest.join('; ') });
    });
    this.#target = new StillTarget(session, this.#patient.wanted.name, this.#context.clock);
    return { found: notes.join('; ') };
  }

  /** An account that the machine refused before is passed over; the next one is tried as a push would. */
  async #logonWith(found: Found, accounts: PushAccount[], note: Note): Promise<LoggedOn> {
    try {
      return await logon(this.#context, found, accounts, note);
    } catch (error) {
      if (!isCode(error, 'PP_DOCTOR_REFUSED_BEFORE')) throw error;
      const rest = accounts.slice(accounts.findIndex(({ username }) => username === error.params.account) + 1);
      if (rest.length === 0) throw error;
      note(error.message);
      return this.#logonWith(found, rest, note);
    }
  }

  async #shares(): Promise<Finding> {
    const account = this.#account!;
    try {
      await this.#bounded('opening the shares', openAdminShare(this.#target!, this.#patient.name, account));
    } catch (error) {
      if (!isCode(error, 'PP_SMB_TOKEN_FILTERED')) throw error;
      return this.#bounded('whose account it is', filteredFinding(this.#target!, this.#patient.name, account, error));
    }
    return { found: 'both are open' };
  }

  /** The account that opened the session, which the context is told by the logon. */
  #account: PushAccount | undefined;

  /** opened is told which account opened the session. */
  opened(account: PushAccount): void {
    this.#account = account;
  }

  async #services(): Promise<Finding> {
    await this.#target!.services();
    return { found: 'it is open, with the right to create a service' };
  }

  async #registry(): Promise<Finding> {
    const manager = await this.#target!.services();
    const { QUERY_CONFIG, QUERY_STATUS } = svcctl.ServiceRight;
    const service = await manager.open('RemoteRegistry', QUERY_CONFIG | QUERY_STATUS);
    if (!service) return { verdict: 'unknown', found: 'there is no such service; a push goes on without' };
    try {
      const [{ state }, { startType }] = [await service.status(), await service.config()];
      if (state === 'running') return { found: 'it runs' };
      if (startType === 'auto')
        return { found: `it is ${state} and starts when a push asks it; an examination reads it only where it runs` };
      const why = startType === 'disabled' ? 'disabled' : state;
      return {
        verdict: 'unknown',
        found: `it is ${why}, so the name of the system, and a client of another maker, stay unknown; a push goes on without`,
        cause: 'Windows has it disabled on workstations.',
        remedy: 'Nothing; where these are wanted, set the service to Manual or Automatic by Group Policy.',
      };
    } finally {
      await service.close();
    }
  }

  async #inspect(): Promise<Finding> {
    const notes: string[] = [];
    this.#facts = await inspect(this.#target!, this.#context, (text) => notes.push(text));
    return { found: notes.at(-1) ?? osVersion(this.#facts.os) ?? 'it told nothing' };
  }

  #disk({ freeBytes }: Facts): Finding {
    const needed = this.#context.push.freeBytes ?? 0;
    if (freeBytes === undefined) return { verdict: 'unknown', found: 'it did not tell' };
    const free = `${freeBytes / BigInt(MIB)} MB`;
    if (freeBytes < BigInt(needed))
      throw raise('PP_TARGET_DISK_SPACE', { machine: this.#patient.name, free, needed: `${Math.ceil(needed / MIB)} MB` });
    return { found: `${free}, the client needs ${Math.ceil(needed / MIB)} MB` };
  }

  /** The same rule as a push has, only that no lock of our own is laid beside those that are there. */
  async #locks(): Promise<Finding> {
    const { site, settings } = this.#context;
    const target = this.#target!;
    const found = locksIn(await target.top());
    const own = { site, name: lockName(site), modifiedAt: LATEST };
    const { busy, stale } = sortLocks(found, own, target.now, settings.lockMinutes * 60_000);
    if (busy[0])
      throw raise('PP_TARGET_LOCKED', {
        machine: this.#patient.name,
        site: busy[0].site,
        since: busy[0].modifiedAt.toISOString(),
      });
    const ours = found.find((lock) => lock.site === site);
    const told = [
      ...stale.map((lock) => `site ${lock.site} left one at ${lock.modifiedAt.toISOString()}, which the next push removes`),
      ...(ours ? [`this site has one since ${ours.modifiedAt.toISOString()}: a push is at work, or was cut`] : []),
    ];
    return { found: told.join('; ') || 'none' };
  }

  #setup({ setup }: Facts): Finding {
    if (setup.service === undefined) return { found: 'none' };
    const service = `service ${this.#context.push.setupService} is ${setup.service}`;
    if (setup.service === 'stopped') return { found: `${service}, left by an earlier push; the next one replaces it` };
    const ccr = this.#patient.ccr;
    if (setup.ccrId !== undefined && setup.ccrId === ccr?.id) return { found: `${service}: CCR ${ccr.id} is being installed` };
    return {
      verdict: 'warning',
      found: `${service}, and no CCR of this site is known to have started it`,
      cause: 'An earlier or another installation is at work, or hangs; it holds its program file.',
      remedy:
        'Let it finish, and read C:\\Windows\\ccmsetup\\logs\\ccmsetup.log. A push stops it first, and fails at copy with 32 or at start with 1056 if it does not end.',
    };
  }

  #decision(facts: Facts): Finding {
    const { push, clientSite } = this.#context;
    const { ccr, name } = this.#patient;
    const live = ccr && !ccr.finishedAt ? ccr : undefined;
    const decision = decide(facts, {
      machine: name,
      ccrId: live?.id ?? 0,
      site: clientSite,
      forced: live?.forced ?? false,
      reinstall: live?.reinstall ?? false,
      includeDcs: live?.includeDcs ?? false,
      inspectOnly: false,
      package: push,
    });
    if (decision.do !== 'refuse') return { found: `it would ${decision.do === 'install' ? 'install' : 'wait'}: ${decision.why}` };
    // A client that is there is what everybody wants, so it is no problem.
    if (isCode(decision.error, 'PP_PUSH_CLIENT_PRESENT')) return findingOf(decision.error, 'ok');
    throw decision.error;
  }
}
