import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildBundle } from '#client/bundle';
import { buildNative, type Signing } from '#client/native';
import type { WindowsRuntime } from './runtime.ts';

/** Windows 10 and Server 2016: Node.js runs on nothing older. */
const MINIMUM_BUILD = 14_393;
const RUNTIMES = String.raw`%windir%\CCM\runtime`;
const SETUP = 'ccmsetup.exe';
const INSTALLER = 'client.msi';

/** commandOf is what CcmExec.exe runs. https is judged by the trust store of the machine, as ccmsetup.exe judges it. */
function commandOf({ folder }: WindowsRuntime): string {
  return `"${RUNTIMES}\\${folder}\\node.exe" --use-system-ca "%windir%\\CCM\\CcmExec.mjs"`;
}

/** prerequisiteOf brings the runtime once: unpacked beside its place and then moved there, so that it is whole or not there. */
function prerequisiteOf({ folder, file }: WindowsRuntime) {
  const place = `${RUNTIMES}\\${folder}`;
  const steps = [
    `rd /s /q ${place} & md ${place}.new & expand.exe ${file} ${place}.new\\node.exe && move /y ${place}.new ${place} && del ${file}`,
    `if not exist ${place}\\node.exe exit 1`,
  ].join(' & ');
  return { file, command: `cmd.exe /d /c "${steps}"`, check: `${place}\\node.exe` };
}

/**
 * writeAgentPackage lays the Windows client with the agent in TypeScript into a folder, ready for `pushpoint package add`, and gives the path of its
 * definition: ccmsetup.exe and client.msi as in the package without it, the bundle in the installer, and the runtime as a prerequisite of its own.
 */
export async function writeAgentPackage(
  folder: string,
  version: string,
  runtime: WindowsRuntime,
  signing?: Signing,
): Promise<string> {
  const agent = { script: await buildBundle('machine'), command: commandOf(runtime) };
  const { files } = buildNative(version, { signing, agent });
  mkdirSync(folder, { recursive: true });
  for (const name of [SETUP, INSTALLER] as const) copyFileSync(files[name], join(folder, name));
  writeFileSync(join(folder, runtime.file), runtime.bytes);
  const msi = readFileSync(files[INSTALLER]);
  const definition = {
    name: 'pushpoint-client-node',
    version,
    platform: 'windows',
    bootstrap: { file: SETUP, service: 'ccmsetup' },
    payload: { file: INSTALLER, sha256: createHash('sha256').update(msi).digest('hex') },
    verify: { service: 'CcmExec' },
    requires: { minimumBuild: MINIMUM_BUILD, architectures: ['x64'] },
    prerequisites: [prerequisiteOf(runtime)],
  };
  const path = join(folder, 'pushpoint-client-node.json');
  writeFileSync(path, `${JSON.stringify(definition, undefined, 2)}\n`);
  return path;
}
