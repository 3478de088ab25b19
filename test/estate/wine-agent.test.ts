import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '#base/clock';
import { HonestMp } from '#test/honest-mp';
import { wineMachine } from '#test/wine-machine';

/**
 * What the agent in CcmExec.exe does from day to day: which management point it asks, what it tells when its machine changes, which clock it
 * believes, what it writes. Its periods are divided by 300: an hour is twelve seconds.
 */

const { peers, wine, agent } = wineMachine();
agent.trial = { hurry: 300 };
const status = () => agent.status();
const lives = (until: () => boolean) => agent.lives(until);
const registered = () => status().state === 'registered';

/** other is one more management point, which knows the client of the first. */
async function other(t: TestContext, mp: HonestMp): Promise<HonestMp> {
  const made = await HonestMp.start(t, systemClock);
  for (const [guid, key] of mp.clients) made.clients.set(guid, key);
  made.heartbeatMinutes = mp.heartbeatMinutes;
  return made;
}

test(
  'in the boundaries of a secondary its proxy is asked first, and nobody registers there; elsewhere no more',
  peers,
  async (t) => {
    const mp = await agent.furnish(t);
    mp.heartbeatMinutes = 1;
    await lives(registered);
    const proxy = await other(t, mp);
    proxy.managementPoints = [proxy.url, mp.url];
    const home = { site: 'P01', version: '0.1.0', managementPoints: [mp.url] };
    mp.location = { ...home, secondary: 'S01', proxyManagementPoints: [proxy.url] };
    proxy.location = mp.location;
    await lives(() => proxy.heartbeats.length > 0 && agent.memory()['proxyPoints'] !== undefined);
    assert.ok(agent.log('LocationServices').includes(`Management points: proxy ${proxy.url}, local none, assigned ${mp.url}`));
    assert.deepEqual([agent.memory()['proxyPoints'], agent.memory()['managementPoints']], [[proxy.url], [mp.url]]);
    // At a proxy nobody registers, also when the site forgot this client.
    proxy.clients.clear();
    await lives(() => mp.registrations.length > 1);
    assert.equal(proxy.asks('/ccm_system/registration').length, 0);
    // In the boundaries of another primary: its points are for files, and the messages go home.
    const away = { site: 'P02', version: '0.1.0', managementPoints: ['http://127.0.0.9:1'], proxyManagementPoints: [] };
    for (const point of [mp, proxy]) point.location = away;
    await lives(() => agent.memory()['localPoints'] !== undefined);
    const { proxyPoints, localPoints, site } = agent.memory();
    assert.deepEqual([proxyPoints, localPoints, site], [undefined, away.managementPoints, 'P01']);
  },
);

test('the chosen management point stays, and loses its place after five failures within ten minutes', peers, async (t) => {
  const mp = await agent.furnish(t);
  const second = await other(t, mp);
  const all = [mp, second];
  // Who registers at one is known at the other at once.
  Object.assign(second, { clients: mp.clients });
  for (const one of all) {
    one.heartbeatMinutes = 1;
    one.policy = { policyMinutes: 1 };
    one.managementPoints = [mp.url, second.url];
    // A list that changes is chosen from anew, so all say the same.
    one.location = { site: 'P01', managementPoints: one.managementPoints };
  }
  let chosen: HonestMp | undefined;
  let before = 0;
  const left = () => (chosen === mp ? second : mp);
  await lives(() => {
    if (chosen)
      return left().heartbeats.length > before + 8 && /failed 5 times within ten minutes/.test(agent.log('LocationServices'));
    chosen = all.find(({ heartbeats }) => heartbeats.length > 2);
    if (chosen) before = left().heartbeats.length;
    if (chosen) chosen.before = (_, response) => !!response.writeHead(500).end();
    return false;
  });
  assert.equal(before, 0, 'while it answered nobody else was asked');
  const asked = chosen!.asked.length;
  assert.ok(asked < left().asked.length * 2, `the one that fails is left alone: ${asked} and ${left().asked.length}`);
});

test(
  'points that somebody on the way named are not asked before the one of the installation, which is believed',
  peers,
  async (t) => {
    const mp = await agent.furnish(t);
    mp.heartbeatMinutes = 1;
    await lives(registered);
    const evil = await other(t, mp);
    let named = false;
    mp.before = (request) => {
      mp.managementPoints = !named && request.url!.endsWith('/heartbeat') ? [evil.url] : [mp.url];
      named ||= request.url!.endsWith('/heartbeat');
      return false;
    };
    await lives(() => named && mp.heartbeats.length > 3 && agent.log('LocationServices').includes(`assigned ${evil.url}`));
    assert.deepEqual([evil.asked.length, agent.memory()['managementPoints']], [0, [mp.url]]);
  },
);

test('a machine that is called otherwise tells it long before its next heartbeat', peers, async (t) => {
  const mp = await agent.furnish(t);
  mp.heartbeatMinutes = 10_080;
  const key = String.raw`HKLM\System\CurrentControlSet\Control\ComputerName\ActiveComputerName`;
  const call = (name: string) => wine.run('reg.exe', 'add', key, '/v', 'ComputerName', '/d', name, '/f');
  t.after(() => call(wine.name));
  let renamed: Promise<unknown> | undefined;
  await lives(() => {
    if (registered()) renamed ??= call('PC-ANEW');
    return mp.heartbeats.some(({ name }) => name === 'PC-ANEW');
  });
  assert.match(agent.log('CcmExec'), /The name, an address or the system of this machine has changed/);
  assert.equal(mp.registrations.length, 1);
});

test(
  'set back to an older copy of its disk it goes on from where the site is; a damaged file is had from its copy',
  peers,
  async (t) => {
    const mp = await agent.furnish(t);
    mp.knowsSequence = true;
    mp.heartbeatMinutes = 1;
    await lives(() => mp.heartbeats.length >= 3);
    const memory = agent.memory();
    wine.put('windows/CCM/client.json', JSON.stringify({ ...memory, sequence: 0 }));
    wine.put('windows/CCM/mobileclient.tcf', 'no such file at all');
    const before = mp.heartbeats.length;
    await lives(() => mp.heartbeats.length > before);
    const sequences = mp.heartbeats.map(({ sequence }) => sequence);
    assert.deepEqual(
      sequences,
      sequences.map((_, i) => i + 1),
    );
    assert.match(agent.log('ClientIDManagerStartup'), /The site has heard heartbeat \d+ of this client already/);
    assert.deepEqual([mp.registrations.length, status().guid], [1, memory['guid']]);
  },
);

test(
  'the clock of a site is believed: behind as far as it may be, and ahead for a day unless TLS proves who says it',
  peers,
  async (t) => {
    const hours = (n: number): Clock => ({ ...systemClock, now: () => new Date(systemClock.now().getTime() + n * 3_600_000) });
    for (const off of [12, -24 * 365 * 5]) {
      await agent.furnish(t, '', hours(off));
      await lives(registered);
    }
    const ahead = await agent.furnish(t, '', hours(48));
    await lives(() => /the clock of this machine is not set forward that far/.test(agent.log()));
    assert.deepEqual([ahead.registrations.length, status().state], [0, 'stopped']);
    const proven = await agent.furnishTls(t, hours(48));
    await lives(registered);
    assert.equal(proven.registrations.length, 1);
  },
);

test(
  'CCMLOGLEVEL, CCMLOGMAXSIZE and CCMLOGMAXHISTORY hold for each log; the level of the policy goes before',
  peers,
  async (t) => {
    const mp = await agent.furnish(t, 'CCMLOGLEVEL=3 CCMLOGMAXSIZE=10000 CCMLOGMAXHISTORY=2 SMSCACHESIZE=250');
    await lives(registered);
    assert.equal(status().cacheMegabytes, 250);
    assert.equal(agent.log(), '', 'errors only, and there was none');
    mp.policy = { revision: 'r2', logLevel: 1, cacheMegabytes: 900 };
    await lives(() => agent.memory()['logLevel'] === 1 && status().cacheMegabytes === 900);
    const log = (ending: string) => `windows/CCM/logs/CcmExec.${ending}`;
    wine.put(log('lo_'), 'older');
    wine.put(log('log'), 'x'.repeat(9_990));
    const before = mp.heartbeats.length;
    await lives(() => mp.heartbeats.length > before);
    assert.deepEqual([wine.text(log('lo_1')), wine.text(log('lo_')).length], ['older', 9_990]);
    assert.match(wine.text(log('log')), /Client 0\.1\.0 \(agent .*\) starts[^]*Client stops/);
  },
);

test('told to stop it ends within seconds, also in the middle of a request that nobody answers', peers, async (t) => {
  const mp = await agent.furnish(t);
  await lives(registered);
  mp.before = ({ url }) => url!.endsWith('/heartbeat');
  let asked = 0;
  await lives(() => {
    if (mp.asks('/ccm_system/heartbeat').length > 0) asked ||= systemClock.monotonic();
    return asked > 0;
  });
  const took = systemClock.monotonic() - asked;
  // A request is waited for half a minute.
  assert.ok(took < 15_000, `it took ${took} ms`);
  assert.equal(status().state, 'stopped');
});
