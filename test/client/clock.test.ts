import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ManualClock, type Clock } from '#base/clock';
import { layout } from '#client/host';
import type { MobileClient } from '#messages';
import { furnish, guidOf, lives } from '#test/agent-run';
import { HonestMp } from '#test/honest-mp';
import { Machine } from '#test/memory-host';

/** What a site's word on the time is worth: the same for this agent as for that in C (test/estate/wine-agent.test.ts). */

const HOUR_MS = 3_600_000;
const REFUSED = /the clock of this machine is not set forward that far by a point that nothing proves/;

/** off is a clock that is always so many hours ahead of another. */
const off = (clock: Clock, hours: number): Clock => ({
  now: () => new Date(clock.now().getTime() + hours * HOUR_MS),
  monotonic: () => clock.monotonic(),
  after: (ms, fn) => clock.after(ms, fn),
  sleep: (ms, signal) => clock.sleep(ms, signal),
});

/** pair is a machine whose clock stands after this release, and a site whose clock is so many hours ahead of it. */
async function pair(
  t: TestContext,
  hours: number,
  kind: 'http' | 'https' = 'http',
  more: (mp: HonestMp) => Partial<MobileClient> = () => ({}),
) {
  const machine = new Machine(new ManualClock('2027-01-05T08:00:00Z'));
  const mp = await HonestMp.start(t, off(machine.clock, hours), kind);
  furnish(machine, [mp.url], { token: false, change: more(mp) });
  const log = () => machine.text(layout.agentLog) ?? '';
  return { machine, mp, log };
}

/** signedAhead is by how many hours the signatures that a site saw were ahead of the machine's clock, at most. */
const signedAhead = (mp: HonestMp, hours: number) =>
  Math.max(
    ...mp.asked
      .filter(({ headers }) => headers['x-pushpoint-time'] !== undefined)
      .map(({ headers, at }) => new Date(String(headers['x-pushpoint-time'])).getTime() - (at.getTime() - hours * HOUR_MS)),
  ) / HOUR_MS;

for (const hours of [23, -23, -24 * 365 * 5])
  test(`a site that is ${hours} hours ahead is believed, whoever says it`, async (t) => {
    const { machine, mp, log } = await pair(t, hours);
    await lives(machine, () => mp.heartbeats.length === 1);
    assert.equal(mp.registrations.length, 1);
    assert.ok(Math.abs(signedAhead(mp, hours) - Math.max(hours, 0)) < 0.1, `${signedAhead(mp, hours)} hours`);
    assert.doesNotMatch(log(), REFUSED);
  });

test('a point over plain HTTP does not set the clock forward by more than a day, and nothing is signed for a time to come', async (t) => {
  const { machine, mp, log } = await pair(t, 25);
  await lives(machine, () => mp.asks('/ccm_system/registration').length === 3);
  assert.equal(mp.registrations.length, 0);
  assert.ok(signedAhead(mp, 25) < 0.1, `${signedAhead(mp, 25)} hours`);
  assert.match(log(), /http:\/\/127\.0\.0\.1:\d+ says that it is 2027-01-06T09:/);
  assert.match(log(), REFUSED);
});

test('two steps of less than a day do not add up', async (t) => {
  const { machine, mp } = await pair(t, 0);
  const said = [20, 40, 60];
  let n = 0;
  mp.before = (request, response) => {
    if (request.url !== '/ccm_system/registration') return false;
    const serverTime = new Date(machine.clock.now().getTime() + said[Math.min(n++, 2)]! * HOUR_MS).toISOString();
    response.writeHead(401).end(JSON.stringify({ code: 'PP_MSG_TIME_OFF', serverTime }));
    return true;
  };
  await lives(machine, () => mp.asks('/ccm_system/registration').length === 8);
  assert.equal(Math.round(signedAhead(mp, 0)), 20);
});

test('the point with the pinned certificate, and an https point of the installation, are believed', async (t) => {
  const pinned = await pair(t, 48, 'https', (mp) => ({ certificatePins: [mp.certificate!.pin] }));
  const named = await pair(t, 48, 'https');
  named.machine.trusts = named.mp.certificate!.pin;
  for (const { machine, mp, log } of [pinned, named]) {
    await lives(machine, () => mp.heartbeats.length === 1);
    assert.equal(mp.registrations.length, 1);
    assert.doesNotMatch(log(), REFUSED);
  }
});

test('an https point that somebody on the way named is not', async (t) => {
  const { machine, mp, log } = await pair(t, 0);
  await lives(machine, () => mp.heartbeats.length === 1);
  const other = await HonestMp.start(t, off(machine.clock, 48), 'https');
  machine.trusts = other.certificate!.pin;
  other.clients.set(guidOf(machine)!, mp.clients.get(guidOf(machine)!)!);
  mp.managementPoints = [other.url];
  await lives(machine, () => REFUSED.test(log()));
  assert.deepEqual([other.heartbeats.length, signedAhead(other, 48) < 0.1], [0, true]);
});
