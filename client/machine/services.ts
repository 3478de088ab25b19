import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { ServiceState, ServiceWish, TargetHost } from '#client/host';

const UNIT = 'pushpoint-ccmsetup';

/**
 * Services stands for the service manager as the agent needs it: it starts the bootstrap so that this goes on when it stops the agent. Under
 * systemd that is a transient unit of its own, elsewhere a session of its own.
 */
export class Services implements Pick<TargetHost['services'], keyof TargetHost['services']> {
  readonly #place: (path: string) => string;
  readonly #wishes = new Map<string, ServiceWish>();

  constructor(place: (path: string) => string) {
    this.#place = place;
  }

  get #isSystemd(): boolean {
    return existsSync('/run/systemd/system') && process.env['PUSHPOINT_ROOT'] === undefined;
  }

  async create(wish: ServiceWish): Promise<void> {
    this.#wishes.set(wish.name.toLowerCase(), wish);
  }

  async start(name: string): Promise<void> {
    const wish = this.#wishes.get(name.toLowerCase());
    if (!wish) throw Object.assign(new Error(`service ${name} does not exist`), { code: 1060 });
    const [, quoted, bare, rest = ''] = /^(?:"([^"]*)"|(\S+))(.*)$/.exec(wish.binaryPath) ?? [];
    const words = [this.#place(quoted ?? bare ?? ''), ...rest.split(/\s+/).filter((word) => word !== '')];
    if (!this.#isSystemd) {
      spawn('/bin/sh', words, { detached: true, stdio: 'ignore', env: { ...process.env, PUSHPOINT_DETACHED: '1' } }).unref();
      return;
    }
    const args = ['-q', '--collect', `--unit=${UNIT}`, '--setenv=PUSHPOINT_DETACHED=1', '/bin/sh', ...words];
    const { status, stderr } = spawnSync('systemd-run', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`systemd-run: ${stderr.trim() || status}`);
  }

  async stop(name: string): Promise<void> {
    this.#wishes.delete(name.toLowerCase());
  }

  async remove(name: string): Promise<void> {
    this.#wishes.delete(name.toLowerCase());
  }

  async status(): Promise<ServiceState | undefined> {
    if (!this.#isSystemd) return undefined;
    return spawnSync('systemctl', ['-q', 'is-active', `${UNIT}.service`]).status === 0 ? 'running' : undefined;
  }
}
