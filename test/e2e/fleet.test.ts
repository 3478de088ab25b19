import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import { brief, eventually, WholeSite } from '#test/whole-site';

/** A mixed fleet, pushed to as a whole: each machine ends as what is wrong with it makes it end. */

let site: WholeSite;
let fleet: Fleet;

before(async () => {
  site = new WholeSite();
  fleet = await startFleet({
    windows: 36,
    mix: 'mixed',
    folder: join(site.folder, 'hosts'),
    clock: systemClock,
    random: systemRandom,
    addresses: '127.21.1.1',
  });
  await (await site.create()).run();
  await site.prepare({ csv: fleet.csv(), account: fleet.account });
});

after(async () => {
  await fleet?.stop();
  await site?.close();
});

test('each machine of a mixed fleet ends as what is wrong with it makes it end', async () => {
  await site.push(
    fleet.hosts.map(({ host }) => host.name),
    { includeDcs: true },
  );
  const wrong: string[] = [];
  for (const { host, trouble, expected } of fleet.hosts) {
    const ccr = await site.until(host.name);
    const { state, lastErrorCode, lastError } = ccr;
    const win32 = state === 'complete' ? undefined : lastErrorCode;
    if (state !== expected.state || (expected.win32 !== undefined && win32 !== expected.win32))
      wrong.push(
        `${host.name} (${trouble ?? 'healthy'}): ${state} ${win32} ${lastError}, expected ${expected.state} ${expected.win32}: ${JSON.stringify(ccr.steps)}`,
      );
  }
  assert.deepEqual(wrong, []);
});
