import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildNative, type NativeFiles, type Signing } from './build.ts';

/** Windows 8.1 and Server 2012 R2: older ones have no TLS 1.2 by default and no bcrypt that keeps such keys. */
const MINIMUM_BUILD = 9600;

/** WindowsPackage is what a site pushes to real Windows machines: ccmsetup.exe as the bootstrap, client.msi as the payload. */
export interface WindowsPackage {
  definition: {
    name: string;
    version: string;
    platform: 'windows';
    bootstrap: { file: string; service: string };
    payload: { file: string; sha256: string };
    verify: { service: string };
    requires: { minimumBuild: number; architectures: string[] };
  };
  files: { name: string; bytes: Uint8Array }[];
}

/** packageOf describes built files as a package. */
function packageOf({ version, files }: NativeFiles): WindowsPackage {
  const [setup, msi] = [readFileSync(files['ccmsetup.exe']), readFileSync(files['client.msi'])];
  return {
    definition: {
      name: 'pushpoint-client',
      version,
      platform: 'windows',
      bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
      payload: { file: 'client.msi', sha256: createHash('sha256').update(msi).digest('hex') },
      verify: { service: 'CcmExec' },
      requires: { minimumBuild: MINIMUM_BUILD, architectures: ['x64'] },
    },
    files: [
      { name: 'ccmsetup.exe', bytes: setup },
      { name: 'client.msi', bytes: msi },
    ],
  };
}

/** windowsPackage builds the Windows client, or takes it from the cache, as a package. */
export function windowsPackage(version: string, signing?: Signing): WindowsPackage {
  return packageOf(buildNative(version, { signing }));
}

/** writeWindowsPackage lays the package into a folder, ready for `pushpoint package add`, and gives the path of its definition. */
export function writeWindowsPackage(folder: string, version: string, signing?: Signing): string {
  const built = buildNative(version, { signing });
  mkdirSync(folder, { recursive: true });
  for (const [name, path] of Object.entries(built.files)) copyFileSync(path, join(folder, name));
  const path = join(folder, 'pushpoint-client.json');
  writeFileSync(path, `${JSON.stringify(packageOf(built).definition, undefined, 2)}\n`);
  return path;
}
