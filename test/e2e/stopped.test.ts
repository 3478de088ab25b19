import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet } from '#lab/fleet';
import { eventually, WholeSite } from '#test/whole-site';

/** A site that is asked to end in the middle of pushes to slow machines. */

const HOSTS = 12;

async function pushing(t: TestContext, slowMs = 150) {
  const site = new WholeSite();
  t.after(() => site.close());
  const folder = join(site.folder, 'hosts');
  const fleet = await startFleet({ windows: HOSTS, folder, clock: systemClock, random: systemRandom });
  t.after(() => fleet.stop());
  await (await site.create()).spawn();
  await site.prepare({ csv: fleet.csv(), account: fleet.account });
  for (const { host } of fleet.hosts) await host.set({ slowMs });
  const names = fleet.hosts.map(({ host }) => host.name);
  await site.push(names, { includeDcs: true });
  const windows = (name: string) => join(folder, name, 'Windows');
  const locked = () =>
    names.filter(
      (name) => existsSync(windows(name)) && readdirSync(windows(name)).some((file) => /^SMSClientInstall\./i.test(file)),
    );
  await eventually('machines to be locked', () => locked().length > 2);
  return { site, fleet, names, locked };
}

async function finished(o: Awaited<ReturnType<typeof pushing>>): Promise<void> {
  for (const { host } of o.fleet.hosts) await host.set({ slowMs: 0 });
  await o.site.spawn();
  await o.site.send('PUT', '/points/mp', { address: o.site.points });
  for (const name of o.names) {
    const ccr = await o.site.until(name, 'complete', 'verifying', 'failed', 'retry', 'waiting');
    assert.ok(['complete', 'verifying'].includes(ccr.state), `${name} is ${ccr.state}: ${ccr.lastErrorText}`);
  }
  await eventually('no machine to be locked', () => o.locked().length === 0);
}

test('asked once, it gives back what it has, takes its locks away and ends well within its time; the next start goes on', async (t) => {
  const o = await pushing(t);
  const from = systemClock.monotonic();
  assert.equal(await o.site.end(), 0);
  const ms = systemClock.monotonic() - from;
  assert.ok(ms < 20_000, `it took ${Math.round(ms)} ms`);
  assert.deepEqual(o.locked(), []);
  await finished(o);
  t.diagnostic(`stopped in ${Math.round(ms)} ms`);
});

for (const second of ['SIGTERM', 'SIGINT'] as const) {
  test(`asked a second time, by ${second}, it ends at once, and the next start goes on`, async (t) => {
    const o = await pushing(t, 300);
    // Those that hold a lock now need seconds to take it away: the orderly end is still under way when the second signal comes.
    await Promise.all(o.fleet.hosts.map(({ host }) => host.set({ slowMs: 4000 })));
    const gone = once(o.site.child!, 'exit');
    process.kill(o.site.pid!, 'SIGTERM');
    // The first thing that an end does.
    await eventually('the first one to be heard', () => !existsSync(join(o.site.data, 'run/server.json')));
    process.kill(o.site.pid!, second);
    assert.deepEqual(await gone, [null, second]);
    await finished(o);
  });
}
