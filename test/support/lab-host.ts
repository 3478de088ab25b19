import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { LabDomain, LabHost, type LabHostOptions } from '#lab/host';
import { ntlmCredential } from '#wire/auth';
import { connectSmb, type SmbSession } from '#wire/smb';

/** PASSWORD is that of every account here. */
export const PASSWORD = 'Host-Test-1!';
/** newDomain is CORP with an account in each state; `push` is the administrator of all machines. */
export const newDomain = (lockAfter = 0) =>
  new LabDomain({
    netbios: 'CORP',
    dns: 'corp.example',
    lockAfter,
    accounts: [
      { username: 'push', password: PASSWORD, administrator: true },
      { username: 'clerk', password: PASSWORD },
      { username: 'gone', password: PASSWORD, administrator: true, state: 'disabled' },
      { username: 'late', password: PASSWORD, administrator: true, state: 'expired' },
      { username: 'stale', password: PASSWORD, administrator: true, state: 'password-expired' },
    ],
  });

/** startHost starts one machine of that domain; the test ends it. */
export async function startHost(t: TestContext, options: Partial<LabHostOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'lab-host-'));
  const host = new LabHost({
    name: 'WS-1',
    profile: 'windows-11',
    folder: join(folder, 'c'),
    clock: systemClock,
    random: systemRandom,
    domain: newDomain(),
    accounts: [
      { username: 'Administrator', password: PASSWORD, administrator: true },
      { username: 'helper', password: PASSWORD, administrator: true, filtered: true },
    ],
    ...options,
  });
  await host.start();
  t.after(async () => {
    await host.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  });
  return { host, folder };
}

/** As is who logs on, and as which machine the other side is wanted. */
export interface As {
  username?: string;
  domain?: string;
  password?: string;
  host?: string;
}

/** logOn connects as CORP\push unless told otherwise. */
export function logOn(
  host: LabHost,
  { username = 'push', domain = 'CORP', password = PASSWORD, host: wanted = host.name }: As = {},
): Promise<SmbSession> {
  return connectSmb({
    host: wanted,
    address: host.address,
    port: host.port,
    credential: ntlmCredential({ username, domain, password, clock: systemClock, random: systemRandom }),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    timeouts: { connectMs: 2000, negotiateMs: 300, logonMs: 2000, operationMs: 2000 },
  });
}
