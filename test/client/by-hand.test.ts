import assert from 'node:assert/strict';
import { test } from 'node:test';
import { main } from '#client/agent';
import { layout, type TargetHost } from '#client/host';
import { statusOf } from '#test/agent-run';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';

/** An agent whose client was installed by hand on Windows: there is no mobileclient.tcf, but what the installer was given. */

function given(machine: Machine, properties: string, signal: AbortSignal): TargetHost {
  const host = machine.program(layout.agentFile, { signal });
  return Object.assign(host, { installerSettings: () => ({ properties, version: '0.9.0' }) });
}

test('the agent finds its site in what the installer was given, and tells the version of the client', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const stop = new AbortController();
  const properties = `SMSSITECODE=P01 SMSMP=127.0.0.1 CCMHTTPPORT=${new URL(mp.url).port}`;
  const running = main(given(machine, properties, stop.signal), []);
  await live(machine, running, () => mp.registrations.length === 1);
  stop.abort();
  assert.equal(await running, 0);
  const [one] = mp.registrations;
  assert.deepEqual([one!.site, one!.clientVersion, one!.tokenId], ['P01', '0.9.0', undefined]);
});

for (const properties of ['', 'SMSMP=127.0.0.1', 'SMSSITECODE=P01'])
  test(`what says not where the site is (${properties || 'nothing'}) is not enough`, async () => {
    const machine = new Machine();
    assert.equal(await main(given(machine, properties, new AbortController().signal), []), 2);
    assert.match(machine.text(layout.agentLog) ?? '', /the client is not installed completely/);
    assert.equal(await statusOf(machine), undefined);
  });
