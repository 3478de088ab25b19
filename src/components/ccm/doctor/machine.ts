import { PushpointError } from '#base/errors';
import type { SmbSession } from '#wire/smb';
import type { AttemptContext, Push, PushAccount } from '../attempt/context.ts';
import type { Stop } from '../attempt/interrupted.ts';
import type { Target } from '../attempt/target.ts';
import { Timeline } from '../attempt/timeline.ts';
import { Journal } from '../journal.ts';
import { PushAccounts } from '../work/accounts.ts';
import type { Surroundings } from '../work/surroundings.ts';
import { CarefulAccounts } from './careful.ts';
import { Evidence } from './evidence.ts';
import type { Findings } from './findings.ts';
import { INSIDE, Inside, type Opened } from './inside.ts';
import { SiteFacts } from './known.ts';
import type { DoctorParts } from './parts.ts';
import { patientOf, type Patient } from './patient.ts';
import { Way } from './way.ts';

/** What is looked for where the site has no package: our own client. */
const NO_PACKAGE: Push = {
  name: 'client',
  version: '0',
  bootstrap: { file: 'ccmsetup.exe', bytes: new Uint8Array(), sha256: '' },
  arguments: undefined,
  setupService: 'ccmsetup',
  verifyService: 'CcmExec',
  minimumBuild: undefined,
  architectures: undefined,
  freeBytes: undefined,
};

/** ccm.log tells threads apart by numbers; those of doctor are above those of attempts. */
const FIRST_THREAD = 9000;

/** MachineWish is which machine is to be examined, and how far. */
export interface MachineWish {
  id: number;
  host: string;
  /** False: nothing that needs a credential. */
  logon: boolean;
}

/**
 * Machine examines one machine: the steps of a push in their order, without installing. What is known here comes first, then the way to it, then
 * the machine itself, then what an installation left. It writes nothing there and takes no lock.
 */
export class Machine {
  readonly #parts: DoctorParts;
  readonly #surroundings: Surroundings;
  readonly #accounts: CarefulAccounts;

  constructor(parts: DoctorParts, surroundings: Surroundings) {
    this.#parts = parts;
    this.#surroundings = surroundings;
    this.#accounts = new CarefulAccounts(new PushAccounts(parts), parts);
  }

  async examine(wish: MachineWish, findings: Findings, stop: Stop): Promise<void> {
    const patient = await patientOf(this.#parts, this.#surroundings, wish.host);
    const accounts = await this.#accounts.choose(patient.wish);
    await new SiteFacts(this.#parts, this.#surroundings, patient, stop).examine(findings, accounts);
    const answering = await new Way(this.#parts, patient, stop).examine(findings);
    const whyNot = this.#whyNot(wish, patient, accounts, answering !== undefined);
    let opened: Opened | undefined;
    let reached: Target | undefined;
    try {
      if (whyNot !== undefined || answering === undefined) findings.skip(INSIDE, whyNot ?? 'it could not be reached');
      else {
        const inside = await this.#inside(wish, patient, stop);
        try {
          opened = await inside.examine(findings, answering, accounts.slice(0, 2));
        } finally {
          reached = inside.target;
        }
      }
      const later = findings.checks.find(({ verdict, failsAt }) => verdict === 'problem' && failsAt !== undefined);
      await new Evidence(this.#parts, patient, stop, opened).examine(
        findings,
        whyNot ?? later?.found ?? 'it could not be looked into',
      );
    } finally {
      await reached?.leave();
    }
  }

  /** Why no credential is used; undefined where one may be. */
  #whyNot(
    wish: MachineWish,
    { device, name, site }: Patient,
    accounts: readonly PushAccount[],
    reached: boolean,
  ): string | undefined {
    if (!reached) return 'it could not be reached, or is another machine';
    // The rule that keeps credentials from hosts that name themselves holds for a look as well (design, trust).
    if (device && !device.trusted) return `no credential goes to ${name}, which only names itself`;
    if (!wish.logon) return 'no logon was wanted';
    if (accounts.length === 0) return `site ${site.code} has no usable push account for it`;
    return undefined;
  }

  async #inside(wish: MachineWish, patient: Patient, stop: Stop): Promise<Inside> {
    const { clock, random, log, network, serverLog, client } = this.#parts;
    const push = await this.#surroundings.pushFor(patient.wish).catch((error: unknown) => {
      // That there is none stands among the findings already.
      if (error instanceof PushpointError) return NO_PACKAGE;
      throw error;
    });
    const context: AttemptContext = {
      ccr: patient.wish,
      fence: 0,
      wanted: patient.wanted,
      addresses: patient.addresses,
      port: patient.port,
      site: patient.site.code,
      clientSite: patient.here.clientSite,
      settings: patient.site.settings.ccr,
      push,
      proven: undefined,
      network,
      accounts: this.#accounts,
      clock,
      random,
      log: log.with({ machine: patient.name, doctor: wish.id }),
      journal: new Journal(serverLog, FIRST_THREAD + (wish.id % 1000), `doctor ${wish.id}`, patient.name),
      timeline: new Timeline(clock, () => {}),
      stop,
      stillOurs: async () => false,
      mobileClient: () => Promise.reject(new Error('an examination lays nothing on a machine')),
      tokenCcr: async (tokenId) => (await client.tokenKey(tokenId))?.ccrId,
      connected: (_session: SmbSession, account: PushAccount) => inside.opened(account),
    };
    const inside = new Inside(context, patient);
    return inside;
  }
}
