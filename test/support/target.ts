import { createHash } from 'node:crypto';
import { writeMobileClient, type MobileClient } from '#messages';
import type { HonestMp } from '#test/honest-mp';
import type { Machine } from '#test/memory-host';

/** SETUP is where CCM lays the bootstrap. */
export const SETUP = 'C:\\Windows\\ccmsetup\\ccmsetup.exe';
export const TCF = 'C:\\Windows\\ccmsetup\\mobileclient.tcf';
/** SECRET is the canary: it may stand in mobileclient.tcf and in the token file, and nowhere else. */
export const SECRET = 'canary-secret-of-the-registration-token-0123';

/** payload makes `size` bytes that a mistake with an offset would not survive. */
export function payload(size: number, salt = ''): Uint8Array {
  const parts: Buffer[] = [];
  for (let i = 0; parts.length * 32 < size; i++) parts.push(createHash('sha256').update(`${salt}${i}`).digest());
  return new Uint8Array(Buffer.concat(parts).subarray(0, size));
}

/** pushed does what CCM does to a machine: files, service, and the token known at the management point. */
export function pushed(
  machine: Machine,
  mps: (HonestMp | string)[],
  bytes: Uint8Array,
  change: Partial<MobileClient> = {},
  version = '1.0.0',
): MobileClient {
  const file = `client-${version}.mjs`;
  const config: MobileClient = {
    properties: 'SMSSITECODE=P01',
    site: 'P01',
    managementPoints: mps.map((mp) => (typeof mp === 'string' ? mp : mp.url)),
    payload: { file, sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length, version },
    registration: {
      machine: machine.name,
      tokenId: `token-${version.replaceAll('.', '_')}`,
      token: SECRET,
      expires: '2099-01-01T00:00:00.000Z',
    },
    ...change,
  };
  for (const mp of mps) {
    if (typeof mp === 'string') continue;
    mp.files.set(file, bytes);
    if (config.registration) mp.tokens.set(config.registration.tokenId, { secret: config.registration.token, used: false });
  }
  machine.put(SETUP, '//pushpoint-bootstrap');
  machine.put(TCF, writeMobileClient(config));
  machine.services.set('ccmsetup', {
    wish: { name: 'ccmsetup', displayName: 'ccmsetup', binaryPath: SETUP, startType: 'auto' },
    state: 'running',
  });
  return config;
}
