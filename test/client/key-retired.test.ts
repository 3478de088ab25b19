import assert from 'node:assert/strict';
import { test } from 'node:test';
import { raise } from '#base/errors';
import { layout } from '#client/host';
import { both, guidOf, lives, service } from '#test/agent-run';
import { live } from '#test/memory-host';

test('told that another machine has its key, a client makes a new one, registers with it and is another client', async (t) => {
  const { machine, mp } = await both(t);
  const stop = await service(machine, () => mp.heartbeats.length === 2);
  const before = { guid: guidOf(machine)!, key: mp.clients.get(guidOf(machine)!) };
  let fault = 'unknown';
  mp.before = (request) => {
    if (fault === 'unknown' && request.url === '/ccm_system/heartbeat') {
      fault = 'retired';
      throw raise('PP_CLIENT_UNKNOWN', { guid: before.guid });
    }
    if (fault === 'retired' && request.url === '/ccm_system/registration') {
      fault = 'none';
      throw raise('PP_CLIENT_KEY_RETIRED');
    }
    return false;
  };
  await live(machine, new Promise<never>(() => {}), () => mp.heartbeats.length === 4);
  await stop();
  assert.equal(mp.clients.size, 2);
  const after = guidOf(machine)!;
  assert.notEqual(after, before.guid);
  assert.notEqual(mp.clients.get(after), before.key);
  assert.deepEqual(
    mp.heartbeats.map(({ guid, sequence }) => `${guid === after} ${sequence}`),
    ['false 1', 'false 2', 'true 1', 'true 2'],
  );
  // What proved the policy to the old client proves nothing to this one.
  assert.equal(machine.files.has(layout.siteKey.toLowerCase()), false);
  // It stays who it is after a restart.
  await lives(machine, () => mp.heartbeats.length === 5);
  assert.equal(mp.clients.size, 2);
});

test('a site that says so again and again makes no client try without a pause', async (t) => {
  const { machine, mp } = await both(t);
  const at: number[] = [];
  mp.before = (request) => {
    if (request.url !== '/ccm_system/registration') return false;
    at.push(machine.clock.now().getTime());
    throw raise('PP_CLIENT_KEY_RETIRED');
  };
  await lives(machine, () => at.length >= 6);
  // Two asks to a try, the second with a new key; between tries it waits as after every failure.
  assert.deepEqual([at[0] === at[1], at[2]! - at[1]! >= 15_000, at[4]! - at[3]! >= 15_000], [true, true, true]);
  assert.equal(mp.clients.size, 0);
});
