import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '#base/clock';
import { silentLog } from '#base/log';
import type { Random } from '#base/random';
import { layout } from '#client/host';
import { removeWhole, writeWhole } from '#lab/disk';
import { LabHost, type LabDomain, type ProfileName } from '#lab/host';
import { writeMobileClient, type MobileClient } from '#messages';

export interface HandHostOptions {
  name: string;
  profile: ProfileName;
  folder: string;
  address: string;
  domain: LabDomain;
  clock: Clock;
  random: Random;
}

/** HandSetup is what somebody brings to the machine: the bootstrap, its file, and what else it shall find in C:\\Source. */
export interface HandSetup {
  bootstrap: Uint8Array;
  config: MobileClient;
  source?: { name: string; bytes: Uint8Array }[];
}

const LOOK_MS = 25;
/** A run that is cut off leaves its service behind, stopped. */
const RUNS = new Set(['start-pending', 'running', 'stop-pending']);

/** laterAgent is an agent that says it is of another release, without being built again. */
export function laterAgent(agent: Uint8Array, version: string): { bytes: Uint8Array; sha256: string } {
  const text = Buffer.from(agent).toString('utf8');
  const at = text.indexOf('\n') + 1;
  const bytes = Buffer.from(`${text.slice(0, at)}const PUSHPOINT_PRODUCT=${JSON.stringify(version)};${text.slice(at)}`);
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** brokenInstaller is a prerequisite that ends with a code, as one that does not like the machine. */
export function brokenInstaller(code: number): Uint8Array {
  return Buffer.from(`//pushpoint-bootstrap\nexport const main = async () => ${Math.trunc(code)};\n`);
}

const at = (path: string) => path.slice(3).split('\\');

/** HandHost is a lab host that nobody pushes to: it does not listen, and somebody sits at it and starts ccmsetup. */
export class HandHost {
  readonly #host: LabHost;
  readonly #clock: Clock;

  constructor({ folder, ...options }: HandHostOptions) {
    this.#clock = options.clock;
    this.#host = new LabHost({ ...options, folder: join(folder, options.name), log: silentLog });
  }

  get name(): string {
    return this.#host.name;
  }

  /** install runs ccmsetup and waits for its end, whatever that is. */
  async install({ bootstrap, config, source = [] }: HandSetup): Promise<void> {
    const { machine } = this.#host;
    await writeWhole(machine.disk, at(layout.setupFile), bootstrap);
    await writeWhole(machine.disk, at(`${layout.setupFolder}\\${layout.configFile}`), writeMobileClient(config));
    for (const { name, bytes } of source) await writeWhole(machine.disk, ['Source', name], bytes);
    const binaryPath = `${layout.setupFile}${source.length > 0 ? ' /source:C:\\Source' : ''}`;
    await machine.createService({ name: layout.setupService, displayName: 'ccmsetup', binaryPath, startType: 'demand' });
    await machine.startService(layout.setupService);
    const { setupService } = layout;
    while (RUNS.has(machine.serviceState(setupService) ?? 'gone')) await this.#clock.sleep(LOOK_MS);
  }

  /** startAgain stops the agent, takes files away, and starts it: what became of the machine meanwhile, it finds out then. */
  async startAgain(...gone: string[]): Promise<void> {
    await this.#stopAgent();
    for (const path of gone) await removeWhole(this.#host.machine.disk, at(path));
    await this.#host.machine.startService(layout.agentService);
  }

  /** wipe installs the machine anew: its disk knows nothing of a client, its hardware is the same. */
  async wipe(): Promise<void> {
    const { machine } = this.#host;
    await this.#stopAgent();
    await machine.removeService(layout.agentService);
    for (const path of [layout.agentFolder, layout.setupFolder, layout.identity]) await removeWhole(machine.disk, at(path));
    machine.removeRegistry(layout.registryKey);
  }

  async #stopAgent(): Promise<void> {
    const { machine } = this.#host;
    await machine.stopService(layout.agentService);
    while (machine.serviceState(layout.agentService) !== 'stopped') await this.#clock.sleep(LOOK_MS);
  }

  /** stop switches it off. */
  stop(): Promise<void> {
    return this.#host.stop();
  }
}
