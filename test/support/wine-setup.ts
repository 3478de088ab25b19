import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { buildNative } from '#client/native';
import { writeMobileClient, type MobileClient } from '#messages';
import { TestPoint } from '#test/wine-point';
import type { Wine } from '#test/wine';

const SETUP = 'windows/ccmsetup/ccmsetup.exe';
export const TCF = 'windows/ccmsetup/mobileclient.tcf';
export const LOG = 'windows/ccmsetup/logs/ccmsetup.log';
export const VERSION = '0.1.0';
export const PROGRAM = String.raw`C:\windows\ccmsetup\ccmsetup.exe`;
const LINE =
  /^<!\[LOG\[(.*)\]LOG\]!><time="\d\d:\d\d:\d\d\.\d{3}\+000" date="\d\d-\d\d-\d{4}" component="ccmsetup" context="" type="[123]" thread="\d+" file="">$/;

export const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

/** PAYLOAD stands for a client; the command copies it, so that a test sees what was run. */
export const PAYLOAD = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 31 + (i >> 9)) & 255));
export const TAKEN = 'windows/ccmsetup/taken.bin';

/** payloadOf describes bytes as the payload of a package. */
export const payloadOf = (data: Uint8Array, more: Partial<MobileClient['payload']> = {}): MobileClient['payload'] => ({
  file: 'payload.bin',
  sha256: sha256(data),
  size: data.length,
  version: VERSION,
  command: 'cmd.exe /c copy payload.bin taken.bin',
  ...more,
});

/** msiOf describes an installer file, which ccmsetup installs by itself. */
export const msiOf = (data: Uint8Array, version = VERSION): MobileClient['payload'] => ({
  file: 'client.msi',
  sha256: sha256(data),
  size: data.length,
  version,
});

/** Bootstrap is ccmsetup.exe on one machine of Wine. */
export class Bootstrap {
  readonly wine: Wine;

  constructor(wine: Wine) {
    this.wine = wine;
  }

  /** lay puts a fresh ccmsetup and its file on the machine. */
  lay(config: Partial<MobileClient> & Pick<MobileClient, 'managementPoints' | 'payload'>, o: { keep?: boolean } = {}): void {
    if (!o.keep) for (const folder of ['windows/ccmsetup', 'windows/CCM']) this.wine.remove(folder);
    this.wine.put(SETUP, readFileSync(buildNative(VERSION).files['ccmsetup.exe']));
    this.wine.put(TCF, writeMobileClient({ properties: '', site: 'P01', ...config }));
  }

  /** asService makes the service as a push does, and starts it. */
  async asService(...args: string[]): Promise<void> {
    const line = [PROGRAM, ...args].join(' ');
    await this.#manager('sc.exe', 'create', 'ccmsetup', 'binPath=', line, 'start=', 'demand');
    await this.#manager('net.exe', 'start', 'ccmsetup');
  }

  /** manager asks the service manager until it does it: a service of before may just be going, and the manager itself just coming. */
  async #manager(program: string, ...args: string[]): Promise<void> {
    let said = '';
    await this.wine
      .eventually(
        `${program} ${args[0]}`,
        async () => {
          const { code, out } = await this.wine.run(program, ...args);
          said = `${code}: ${out}`;
          return code === 0;
        },
        20_000,
      )
      .catch((cause: unknown) => {
        throw new Error(`${program} ${args.join(' ')}: ${said}`, { cause });
      });
  }

  /** byHand runs it in the foreground, gives its return code, and sees that the log says the same. */
  async byHand(...args: string[]): Promise<number> {
    const { code, out } = await this.wine.run(PROGRAM, '/noservice', ...args);
    assert.equal(this.lines().at(-1), `CcmSetup is exiting with return code ${code}`, out);
    return code!;
  }

  /** uninstall removes the client in the foreground, and sees that ccmsetup with its log is gone when it has ended. */
  async uninstall(): Promise<void> {
    const { code, out } = await this.wine.run(PROGRAM, '/noservice', '/uninstall');
    assert.equal(code, 0, `${out}\n${this.wine.text(LOG)}`);
    assert.ok(!this.wine.has('windows/ccmsetup'));
    // The program itself goes when it has ended.
    const rest = () => readdirSync(this.wine.path('windows/temp')).filter((name) => name.startsWith('ccmsetup-'));
    await this.wine.eventually('the program to be gone', () => rest().length === 0, 60_000);
  }

  /** lines are the texts of the log, each of which has to be in the form that log viewers read. */
  lines(): string[] {
    const all = this.wine.text(LOG).split('\r\n');
    assert.equal(all.pop(), '');
    return all.map((line) => {
      const text = LINE.exec(line)?.[1];
      assert.ok(text !== undefined, `no line of a log: ${line}`);
      return text;
    });
  }

  /** told says whether the log has such a line. */
  told(what: string | RegExp): void {
    const all = this.lines();
    const found = all.some((line) => (typeof what === 'string' ? line === what : what.test(line)));
    assert.ok(found, `no line ${String(what)} in:\n${all.join('\n')}`);
  }
}

/** closedPort is a port where nobody listens. */
export async function closedPort(): Promise<number> {
  const gone = await TestPoint.start(PAYLOAD);
  await gone.close();
  return gone.port;
}
