import { PushpointError } from '#base/errors';
import { deploymentStates, readMobileClient, TOPIC } from '#messages';
import type { SmbTree } from '#wire/smb';
import { absent } from '../attempt/absent.ts';
import { bounded, STEP_LIMIT_MS } from '../attempt/bounded.ts';
import type { Stop } from '../attempt/interrupted.ts';
import { findingOf, type About, type Finding, type Findings } from './findings.ts';
import type { Opened } from './inside.ts';
import type { DoctorParts } from './parts.ts';
import type { Patient } from './patient.ts';
import { isLoopback, pointFinding } from './points.ts';

const install = (name: string, tried: string): About => ({ group: 'install', name, tried, failsAt: 'verify' });
const after = (name: string, tried: string): About => ({ group: 'post-install', name, tried });

const LOG = install('setup-log', 'C:\\Windows\\ccmsetup\\logs\\ccmsetup.log on the machine');
const TCF = install('mobileclient', 'the management points that mobileclient.tcf on the machine names');
const STATES = install('state-messages', 'what its bootstrap reported to this site');
const HEARD = install('heard-from', 'whether the machine ever reached a management point');
const AGENT = after('agent', 'the agent service on the machine');
const CLIENT_SITE = after('client-site', 'the site its client is assigned to');
const HEARTBEAT = after('heartbeat', 'when its client was heard last');
const APPROVAL = after('approval', 'approval, blocking, and other clients that claim to be this machine');

/** What can only be seen on the machine. */
export const ON_MACHINE: readonly About[] = [LOG, TCF];
export const ON_MACHINE_AFTER: readonly About[] = [AGENT, CLIENT_SITE];

const LARGEST = 1_048_576;
/** So much of a log is read for what ended it. */
const TAIL = 200;
const LONGEST = 300;
const SILENT_AFTER = 2;

/** Evidence looks at what an installation left: on the machine, and at this site. It is how one sees from here whether the machine reaches its management point. */
export class Evidence {
  readonly #parts: DoctorParts;
  readonly #patient: Patient;
  readonly #stop: Stop;
  readonly #opened: Opened | undefined;

  constructor(parts: DoctorParts, patient: Patient, stop: Stop, opened: Opened | undefined) {
    this.#parts = parts;
    this.#patient = patient;
    this.#stop = stop;
    this.#opened = opened;
  }

  async examine(findings: Findings, whyNot: string): Promise<void> {
    const { shares = false, facts, target } = this.#opened ?? {};
    if (shares && target) {
      await findings.look(LOG, () => this.#bounded(this.#log(target.admin)));
      await findings.look(TCF, () => this.#bounded(this.#points(target.admin)));
    } else findings.skip(ON_MACHINE, whyNot);
    await findings.look(STATES, () => this.#states());
    await findings.look(HEARD, () => this.#heard());
    if (facts) {
      await findings.look(AGENT, async () => this.#agent());
      await findings.look(CLIENT_SITE, async () => this.#clientSite());
    } else findings.skip(ON_MACHINE_AFTER, whyNot);
    await findings.look(HEARTBEAT, () => this.#heartbeat());
    await findings.look(APPROVAL, () => this.#approval());
  }

  #bounded<T>(work: Promise<T>): Promise<T> {
    const { clock } = this.#parts;
    const bounds = {
      clock,
      host: this.#patient.name,
      doing: 'reading its files',
      ms: STEP_LIMIT_MS.inspect,
      signal: this.#stop.hard,
    };
    return bounded(work, { ...bounds, cut: () => this.#opened?.target.session.close() });
  }

  async #log(admin: SmbTree): Promise<Finding> {
    const [bytes, msi] = await Promise.all([
      absent(admin.readFile('ccmsetup\\logs\\ccmsetup.log', { maxBytes: LARGEST })),
      absent(admin.readFile('ccmsetup\\logs\\client.msi.log', { maxBytes: 16 * LARGEST })).catch(() => undefined),
    ]);
    if (!bytes) return { found: 'there is none: no bootstrap has run here' };
    const lines = [...new TextDecoder().decode(bytes).matchAll(/<!\[LOG\[(.*?)\]LOG\]!>.*?type="(\d)"/gs)].slice(-TAIL);
    const last = lines.at(-1)?.[1] ?? 'it is empty';
    const error = lines.findLast(([, , type]) => type === '3');
    const gaveUp =
      msi && /return value 3/i.test(new TextDecoder(msi[0] === 0xff && msi[1] === 0xfe ? 'utf-16le' : 'utf-8').decode(msi));
    if (gaveUp)
      return {
        verdict: 'warning',
        found: `client.msi.log has "Return value 3"; ccmsetup.log ends with: ${shortened(last)}`,
        cause: 'A step of the Windows Installer failed there.',
        remedy: 'Read the lines above "Return value 3" in C:\\Windows\\ccmsetup\\logs\\client.msi.log.',
      };
    if (!error) return { found: `no error in it; it ends with: ${shortened(last)}` };
    return {
      verdict: 'warning',
      found: `its last error: ${shortened(error[1]!)}`,
      cause: 'The bootstrap of an earlier push gave up, or met trouble on its way.',
      remedy: 'Read the log on the machine around that line; what it names is what the next bootstrap meets too.',
    };
  }

  /** The file beside the bootstrap is the newest; the client keeps its own, without the token. */
  async #points(admin: SmbTree): Promise<Finding> {
    const read = (path: string) => absent(admin.readFile(path, { maxBytes: 256 * 1024 }));
    const bytes = (await read('ccmsetup\\mobileclient.tcf')) ?? (await read('CCM\\mobileclient.tcf'));
    if (!bytes) return { found: 'there is none: nothing was pushed to it' };
    let settings: ReturnType<typeof readMobileClient>;
    try {
      settings = readMobileClient(bytes);
    } catch (error) {
      if (!(error instanceof PushpointError)) throw error;
      return { verdict: 'unknown', found: `it is none of ours: ${error.message}` };
    }
    const { network, clock } = this.#parts;
    const loopbackIsFine = this.#patient.addresses.some(isLoopback);
    const tried: Finding[] = [];
    for (const address of settings.managementPoints.slice(0, 4)) {
      const asked = pointFinding(
        network,
        clock,
        { address, pins: settings.certificatePins ?? [] },
        { loopbackIsFine, signal: this.#stop.hard },
      );
      tried.push(
        await asked.catch((error: unknown) => {
          if (error instanceof PushpointError) return findingOf(error, 'warning');
          throw error;
        }),
      );
    }
    const good = tried.find(({ verdict }) => verdict === undefined);
    const bad = tried.find(({ verdict }) => verdict !== undefined);
    if (!good) return bad!;
    return { found: `asked from here: ${good.found}${bad ? `; but ${bad.found}` : ''}` };
  }

  async #states(): Promise<Finding> {
    const { device, name } = this.#patient;
    const states = await this.#parts.client.statesOf(device ? { resourceId: device.id } : { name }, 20);
    const last = states.find(({ topicType }) => topicType === TOPIC.clientDeployment);
    if (!last) return { found: 'none' };
    const text = deploymentStates[last.stateId as keyof typeof deploymentStates] ?? 'not known here';
    const more = [last.exitCode === undefined ? '' : `exit code ${last.exitCode}`, last.detail ?? ''].filter(Boolean).join(', ');
    const found = `${last.stateId} ${text}${more ? ` (${more})` : ''}, ${last.at.toISOString()}`;
    const failed = last.stateId >= 300 && last.stateId < 400;
    if (!failed) return { found };
    const tail = last.logTail?.trim().split('\n').at(-1);
    return {
      verdict: 'warning',
      found,
      cause: tail ? `Its log ended with: ${shortened(tail)}` : 'The bootstrap ran on the machine and gave up.',
      remedy: `pushpoint ccr show ${name} has the attempt; ccmsetup.log on the machine has the rest.`,
    };
  }

  /** Nobody can look through the eyes of the machine without running something there; what it sent, it could send. */
  async #heard(): Promise<Finding> {
    const { device, name } = this.#patient;
    const client = device && (await this.#parts.client.byResource(device.id));
    const [state] = await this.#parts.client.statesOf(device ? { resourceId: device.id } : { name }, 1);
    const times = [client?.lastSeenAt, state?.receivedAt].filter((at) => at !== undefined);
    const [last] = times.sort((a, b) => b.getTime() - a.getTime());
    if (last) return { found: `yes, last at ${last.toISOString()}${client?.lastAddress ? ` from ${client.lastAddress}` : ''}` };
    return {
      verdict: 'unknown',
      found: 'nothing was heard from it yet; whether it reaches a management point is seen once a bootstrap runs there',
    };
  }

  #agent(): Finding {
    const { client } = this.#opened!.facts!;
    if (!client.installed) return { found: 'no client is there' };
    const version = client.version ?? 'of unknown version';
    if (client.running) return { found: `client ${version} runs` };
    return {
      verdict: 'warning',
      found: `client ${version} is installed and does not run`,
      cause: 'Somebody stopped the agent service, it was disabled, or it ended by itself.',
      remedy: 'Start it (sc start CcmExec) and look into C:\\Windows\\CCM\\logs\\CcmExec.log, or push again.',
    };
  }

  #clientSite(): Finding {
    const { client } = this.#opened!.facts!;
    const { clientSite } = this.#patient.here;
    if (!client.installed) return { found: 'no client is there' };
    if (client.site === undefined) return { verdict: 'unknown', found: 'its client does not tell' };
    if (client.site === clientSite) return { found: `site ${client.site}` };
    return {
      verdict: 'warning',
      found: `its client belongs to site ${client.site}, and clients of this site to ${clientSite}`,
      cause: 'Another site installed it, or it was assigned by hand.',
      remedy: 'Check the boundaries of both sites; push with --force if this site shall have the machine.',
    };
  }

  async #heartbeat(): Promise<Finding> {
    const { device, site } = this.#patient;
    const client = device && (await this.#parts.client.byResource(device.id));
    if (!client) return { found: 'no client of it has registered' };
    const found = `${client.guid}, ${client.lastSeenAt.toISOString()}`;
    const silent = this.#parts.clock.now().getTime() - client.lastSeenAt.getTime();
    if (silent < SILENT_AFTER * site.settings.client.heartbeatMinutes * 60_000) return { found };
    return {
      verdict: 'warning',
      found: `it missed more than one heartbeat; last heard ${client.lastSeenAt.toISOString()}`,
      cause: 'The machine is off or gone, its agent does not run, or it does not reach its management point any more.',
      remedy:
        'If the machine is on, start its service CcmExec and look into C:\\Windows\\CCM\\logs\\CcmExec.log; else push again.',
    };
  }

  async #approval(): Promise<Finding> {
    const { device, name } = this.#patient;
    const client = device && (await this.#parts.client.byResource(device.id));
    const others = (await this.#parts.client.byName(name)).filter(({ guid, obsolete }) => guid !== client?.guid && !obsolete);
    if (client?.blocked)
      return {
        verdict: 'warning',
        found: 'its client is blocked',
        cause: 'Somebody blocked it: nothing that it says is taken.',
        remedy: `pushpoint client unblock ${name}`,
      };
    if (client?.approval === 'rejected')
      return {
        verdict: 'warning',
        found: 'its client was rejected',
        cause: 'Somebody said no to it: nothing that it says of itself counts.',
        remedy: `pushpoint client show ${name} tells who; pushpoint client approve ${name} takes it back.`,
      };
    if (client?.approval === 'pending')
      return {
        verdict: 'warning',
        found: 'its client waits for approval',
        cause: 'It registered without the token of a push, so what it says of itself is only a claim.',
        remedy: `Look whether it is the machine, then pushpoint client approve ${name}; or push to the machine.`,
      };
    const claims = others.filter(({ approval }) => approval === 'pending');
    if (claims.length > 0)
      return {
        verdict: 'warning',
        found: `${claims.length === 1 ? 'another client claims' : `${claims.length} other clients claim`} to be ${name}: ${claims[0]!.guid}`,
        cause: 'The machine was installed anew, an image was copied with its client, or somebody pretends.',
        remedy: 'pushpoint client conflicts shows them all.',
      };
    return { found: client ? client.approval : 'no client of it has registered' };
  }
}

function shortened(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
}
