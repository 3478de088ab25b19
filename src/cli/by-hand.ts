import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import type { Fleet, HandHost } from '#lab/fleet';
import type { MobileClient } from '#messages';
import type { Api } from './api.ts';
import type { LabReady } from './lab.ts';
import { print, table } from './output.ts';

/** Told is how it went with one machine: what was done, what became of it, and what its fallback status point heard, in that order. */
export interface Told {
  name: string;
  what: string;
  outcome: string;
  states: number[];
}

interface ClientJson {
  name: string;
  guid: string;
  approval: string;
  approvedBy?: string;
  blocked: boolean;
}

interface StateJson {
  stateId: number;
  detail?: string;
}

interface ByHand {
  api: Api;
  fleet: Fleet;
  lab: LabReady;
  folder: string;
  points: string;
  hasEnded: () => boolean;
}

type Profile = ConstructorParameters<typeof HandHost>[0]['profile'];

const LOOK_MS = 50;
const PATIENCE_MS = 60_000;
const LATER = '99.0.0';
/** ERROR_INSTALL_FAILURE. */
const FAILS_WITH = 1603;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Late is what was waited for in vain: a machine that is too busy, or somebody who ended the demo. */
class Late extends Error {}

/** isShown tells whether it came to what it was to show. */
export function isShown({ outcome }: Told): boolean {
  return !outcome.startsWith('not shown');
}

/**
 * playByHand shows what a site does with clients that it did not push: on machines of the lab somebody starts ccmsetup by hand, so no
 * token proves them. What they say before they can sign goes to the fallback status point.
 */
export async function playByHand(stage: ByHand): Promise<Told[]> {
  const scene = await Scene.open(stage);
  try {
    return await Promise.all([
      scene.proven(),
      scene.approved(),
      scene.blocked(),
      scene.merged(),
      scene.refused('HAND-0004', 'ccmsetup starts on Windows XP', 'windows-xp', 319, {
        config: { requires: { minimumBuild: 7601 } },
      }),
      scene.refused('HAND-0005', `its agent is of release ${LATER}, the site is not`, 'windows-11', 607, scene.later()),
      scene.refused('HAND-0006', `the prerequisite runtime.exe ends with ${FAILS_WITH}`, 'windows-10', 301, scene.prerequisite()),
    ]);
  } finally {
    await scene.close();
  }
}

/** reportByHand prints it. */
export function reportByHand(told: readonly Told[]): void {
  if (told.length === 0) return;
  print();
  table(
    ['NAME', 'WHAT HAPPENED', 'WHAT BECAME OF IT', 'STATES AT THE FSP'],
    told.map(({ name, what, outcome, states }) => [name, what, outcome, states.join(' ')]),
  );
}

interface Different {
  config?: Partial<MobileClient>;
  source?: { name: string; bytes: Uint8Array }[];
}

class Scene {
  readonly #stage: ByHand;
  readonly #lab: typeof import('#lab/fleet');
  readonly #hosts: HandHost[] = [];
  readonly #bootstrap: Uint8Array;
  readonly #agent: Uint8Array;
  readonly #config: MobileClient;

  private constructor(stage: ByHand, lab: typeof import('#lab/fleet')) {
    this.#stage = stage;
    this.#lab = lab;
    const file = (name: string) => readFileSync(join(dirname(stage.lab.package), name));
    const { version, payload } = JSON.parse(readFileSync(stage.lab.package, 'utf8')) as {
      version: string;
      payload: { file: string };
    };
    this.#bootstrap = file('ccmsetup.exe');
    this.#agent = file(payload.file);
    this.#config = {
      properties: '',
      site: 'P01',
      managementPoints: [stage.points],
      fallbackStatusPoint: stage.points,
      payload: { file: payload.file, sha256: sha256(this.#agent), size: this.#agent.length, version },
    };
  }

  static async open(stage: ByHand): Promise<Scene> {
    const { api, points } = stage;
    await api.send('PUT', '/points/fsp', { address: points });
    // A person decides about clients that seem to be others; by itself the site would make new records of them.
    await api.send('PATCH', '/settings', { client: { conflicts: 'manual' } });
    return new Scene(stage, await import('#lab/fleet'));
  }

  async close(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop()));
  }

  #host(name: string, profile: Profile): HandHost {
    const { fleet, folder } = this.#stage;
    const [one, other] = fleet.hosts;
    // Where the fleet has one address for all, this system has no other.
    const hasMany = other !== undefined && one!.host.address !== other.host.address;
    const address = hasMany ? `127.30.0.${this.#hosts.length + 1}` : '127.0.0.1';
    const { domain } = fleet;
    const host = new this.#lab.HandHost({ name, profile, folder, address, domain, clock: systemClock, random: systemRandom });
    this.#hosts.push(host);
    return host;
  }

  /** setup runs ccmsetup; one that goes on trying for days is left to itself. */
  async #setup(host: HandHost, { config, source }: Different = {}): Promise<void> {
    const setup = { bootstrap: this.#bootstrap, config: { ...this.#config, ...config }, ...(source && { source }) };
    let ended: boolean | undefined;
    const work = host.install(setup).finally(() => (ended = true));
    work.catch(() => {});
    await this.#until('the end of ccmsetup', async () => ended);
    await work;
  }

  later(): Different {
    const { bytes, sha256: hash } = this.#lab.laterAgent(this.#agent, LATER);
    const { payload } = this.#config;
    return {
      config: { payload: { ...payload, version: LATER, sha256: hash, size: bytes.length } },
      source: [{ name: payload.file, bytes }],
    };
  }

  prerequisite(): Different {
    const bytes = this.#lab.brokenInstaller(FAILS_WITH);
    const one = { file: 'runtime.exe', sha256: sha256(bytes), size: bytes.length, command: 'runtime.exe /quiet' };
    return { config: { prerequisites: [one] }, source: [{ name: one.file, bytes }] };
  }

  async #said(name: string): Promise<StateJson[]> {
    const { items } = await this.#stage.api.get<{ items: StateJson[] }>('/fallback-status', { name });
    return items.toReversed();
  }

  async #until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    for (const start = systemClock.monotonic(); ;) {
      const found = await look();
      if (found !== undefined) return found;
      if (this.#stage.hasEnded() || systemClock.monotonic() - start > PATIENCE_MS)
        throw new Late(`not shown: ${what} did not come in time`);
      await systemClock.sleep(LOOK_MS);
    }
  }

  #state(name: string, id: number): Promise<StateJson> {
    return this.#until(`state ${id}`, async () => (await this.#said(name)).find(({ stateId }) => stateId === id));
  }

  async #clients(name: string): Promise<ClientJson[]> {
    const { items } = await this.#stage.api.get<{ items: ClientJson[] }>('/clients', { limit: 1000 });
    return items.filter((one) => one.name === name);
  }

  #registered(name: string, count = 1): Promise<ClientJson[]> {
    return this.#until('its registration', async () => {
      const found = await this.#clients(name);
      return found.length >= count ? found : undefined;
    });
  }

  #decide(name: string, action: string): Promise<unknown> {
    return this.#stage.api.send('POST', `/clients/${encodeURIComponent(name)}/${action}`);
  }

  /** act plays one scene; one that takes too long says so and spoils no other. */
  async #act(name: string, what: string, work: () => Promise<string>): Promise<Told> {
    try {
      return await this.#told(name, what, await work());
    } catch (error) {
      if (!(error instanceof Late)) throw error;
      return this.#told(name, what, error.message);
    }
  }

  async #told(name: string, what: string, outcome: string): Promise<Told> {
    return { name, what, outcome, states: (await this.#said(name)).map(({ stateId }) => stateId) };
  }

  /** One of those that were pushed: its token proved it, and it signed what it had to say. */
  async proven(): Promise<Told> {
    const { items } = await this.#stage.api.get<{ items: ClientJson[] }>('/clients', { limit: 1000 });
    const one = items.find(({ approvedBy, name }) => approvedBy === 'token' && !name.startsWith('HAND'));
    if (!one) return { name: '-', what: 'no push has come to its end yet', outcome: '', states: [] };
    return this.#told(one.name, 'it was pushed, with a one-time token', `${one.approval} by its token; it signs all it says`);
  }

  approved(): Promise<Told> {
    const host = this.#host('HAND-0001', 'windows-11');
    return this.#act(host.name, 'installed by hand, nothing proves it', async () => {
      await this.#setup(host);
      const [before] = await this.#registered(host.name);
      await this.#decide(host.name, 'approve');
      const [after] = await this.#clients(host.name);
      return `${before!.approval}; client approve: ${after!.approval}`;
    });
  }

  blocked(): Promise<Told> {
    const host = this.#host('HAND-0002', 'windows-10');
    return this.#act(host.name, 'client block; then it registers again', async () => {
      await this.#setup(host);
      await this.#registered(host.name);
      await this.#decide(host.name, 'block');
      await host.startAgain('C:\\Windows\\CCM\\client.json');
      const { detail = '' } = await this.#state(host.name, 603);
      return `refused: ${detail}`;
    });
  }

  merged(): Promise<Told> {
    const host = this.#host('HAND-0003', 'windows-11');
    return this.#act(host.name, 'approved, then installed anew: same hardware, other key', async () => {
      await this.#setup(host);
      await this.#registered(host.name);
      await this.#decide(host.name, 'approve');
      await host.wipe();
      await this.#setup(host);
      const isOpen = async (): Promise<ClientJson | undefined> =>
        (await this.#stage.api.get<{ items: ClientJson[] }>('/clients/conflicts')).items.find((one) => one.name === host.name);
      const { guid } = await this.#until('a conflicting record', isOpen);
      await this.#decide(guid, 'merge');
      const left = await this.#clients(host.name);
      return `conflicting record; client merge: ${left.length === 1 ? `one record, ${left[0]!.approval}` : `${left.length} records`}`;
    });
  }

  refused(name: string, what: string, profile: Profile, state: number, different: Different): Promise<Told> {
    const host = this.#host(name, profile);
    return this.#act(name, what, async () => {
      await this.#setup(host, different);
      const { detail = '' } = await this.#state(name, state);
      return detail;
    });
  }
}
