import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildBundle } from '#client/bundle';

/** The oldest Node that runs the agent. */
const NODE = 24;
const SETUP = 'ccmsetup.sh';
const AGENT = 'CcmExec.mjs';

/** Runtime is a tar.gz with node/bin/node in it, and the processor it is for (x64, arm64). */
export interface Runtime {
  path: string;
  architecture: string;
}

/**
 * writeLinuxPackage lays the Linux client into a folder, ready for `pushpoint package add`, and gives the path of its definition. With a runtime it
 * brings Node to machines that have none; without one only machines with a Node of their own can take it.
 */
export async function writeLinuxPackage(folder: string, version: string, runtime?: Runtime): Promise<string> {
  const agent = await buildBundle('machine');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, AGENT), agent);
  writeFileSync(join(folder, SETUP), readFileSync(fileURLToPath(new URL(SETUP, import.meta.url))));
  const file = runtime && basename(runtime.path);
  if (runtime && file) copyFileSync(runtime.path, join(folder, file));
  const definition = {
    name: 'pushpoint-client-linux',
    version,
    platform: 'linux',
    bootstrap: { file: SETUP, service: 'pushpoint-ccmsetup' },
    payload: { file: AGENT, sha256: createHash('sha256').update(agent).digest('hex') },
    verify: { service: 'pushpoint-client' },
    ...(runtime && {
      requires: { architectures: [runtime.architecture] },
      prerequisites: [{ file, command: `tar -xzf ${file} -C "$CLIENT_FOLDER"`, check: `node:${NODE}` }],
    }),
  };
  const path = join(folder, 'pushpoint-client-linux.json');
  writeFileSync(path, `${JSON.stringify(definition, undefined, 2)}\n`);
  return path;
}
