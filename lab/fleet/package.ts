import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { buildBundle } from '#client/bundle';

/** LabPackage is what a site pushes to lab hosts: our TypeScript ccmsetup as the bootstrap and our agent as the payload. */
export interface LabPackage {
  definition: {
    name: string;
    version: string;
    platform: 'windows';
    bootstrap: { file: string; service: string };
    payload: { file: string; sha256: string };
    verify: { service: string };
    requires: { freeBytes: number };
    /** Real Windows programs do not run on lab hosts: where a site has those too, its lab hosts still get these. */
    default: true;
  };
  files: { name: string; bytes: Uint8Array }[];
}

const version = (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;

/** labPackage builds it. */
export async function labPackage(): Promise<LabPackage> {
  const [bootstrap, agent] = await Promise.all([buildBundle('ccmsetup'), buildBundle('agent')]);
  const sha256 = createHash('sha256').update(agent).digest('hex');
  return {
    definition: {
      name: 'pushpoint-lab-client',
      version,
      platform: 'windows',
      bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
      payload: { file: 'CcmExec.exe', sha256 },
      verify: { service: 'CcmExec' },
      requires: { freeBytes: 4 * (bootstrap.length + agent.length) },
      default: true,
    },
    files: [
      { name: 'ccmsetup.exe', bytes: bootstrap },
      { name: 'CcmExec.exe', bytes: agent },
    ],
  };
}
