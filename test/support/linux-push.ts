import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { copyFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { writeMobileClient, type MobileClient } from '#messages';
import type { HonestMp } from '#test/honest-mp';
import { SECRET } from '#test/target';

const SCRIPT = fileURLToPath(new URL('../../client/linux/ccmsetup.sh', import.meta.url));

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** LinuxTarget is a folder that stands for the `/` of a Linux machine, with what a push lays into it. */
export class LinuxTarget {
  readonly root: string;
  readonly folder: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(t: TestContext, env: NodeJS.ProcessEnv = {}) {
    this.root = mkdtempSync(join(tmpdir(), 'pushpoint-linux-'));
    this.folder = join(this.root, 'var/lib/pushpoint-setup');
    this.#env = env;
    t.after(async () => {
      await this.run(['/uninstall']);
      rmSync(this.root, { recursive: true, force: true });
    });
  }

  /** push lays bootstrap and mobileclient.tcf down; the files are known at the management points. */
  push(mps: (HonestMp | string)[], agent: Uint8Array, change: Partial<MobileClient> = {}, version = '1.0.0'): MobileClient {
    const file = `CcmExec-${version}.mjs`;
    const config: MobileClient = {
      properties: '',
      site: 'P01',
      managementPoints: mps.map((mp) => (typeof mp === 'string' ? mp : mp.url)),
      payload: { file, sha256: sha256(agent), size: agent.length, version },
      registration: {
        machine: hostname().split('.')[0]!,
        tokenId: `token-${version.replaceAll('.', '_')}`,
        token: SECRET,
        expires: '2099-01-01T00:00:00.000Z',
      },
      ...change,
    };
    for (const mp of mps) {
      if (typeof mp === 'string') continue;
      mp.files.set(file, agent);
      if (config.registration) mp.tokens.set(config.registration.tokenId, { secret: SECRET, used: false });
      config.fallbackStatusPoint ??= mp.url;
    }
    mkdirSync(this.folder, { recursive: true });
    copyFileSync(SCRIPT, join(this.folder, 'ccmsetup.sh'));
    writeFileSync(join(this.folder, 'mobileclient.tcf'), writeMobileClient(config));
    return config;
  }

  /** run runs the bootstrap to its end and gives its return code. */
  run(args: string[] = [], shell: string[] = ['dash']): Promise<number> {
    const path = existsSync(join(this.folder, 'ccmsetup.sh')) ? join(this.folder, 'ccmsetup.sh') : SCRIPT;
    return new Promise((resolve, reject) => {
      const child = spawn(shell[0]!, [...shell.slice(1), path, '/noservice', ...args], {
        env: {
          PATH: process.env['PATH'],
          // An agent that works is believed sooner than on a machine of people.
          PUSHPOINT_LOOK_SECONDS: '0.3',
          ...this.#env,
          PUSHPOINT_ROOT: this.root,
          PUSHPOINT_RESUME_SECONDS: '0',
        },
        stdio: ['ignore', 'ignore', 'ignore'],
      });
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? -1));
    });
  }

  text(path: string): string {
    try {
      return readFileSync(join(this.root, path), 'utf8');
    } catch {
      return '';
    }
  }

  get log(): string {
    return this.text('var/lib/pushpoint-setup/logs/ccmsetup.log');
  }

  /** everything is each path below the root with its content, for comparing. */
  everything(): Map<string, string> {
    const all = new Map<string, string>();
    for (const entry of readdirSync(this.root, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const what = entry.isSymbolicLink() ? readlinkSync(path) : entry.isFile() ? sha256(readFileSync(path)) : 'folder';
      all.set(path.slice(this.root.length), `${statSync(path, { throwIfNoEntry: false })?.mode ?? 0} ${what}`);
    }
    return all;
  }
}
