import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { main } from '#client/agent';
import { layout } from '#client/host';
import { SIGNATURE_HEADERS } from '#messages';
import { live } from '#test/memory-host';
import { both, lives, service, statusOf, furnish } from '#test/agent-run';
import { HonestMp } from '#test/honest-mp';
import { Machine } from '#test/memory-host';

const HOURS = 3_600_000;

/** states are the ids that reached the management point, and whether they were signed. */
const states = (mp: HonestMp) => mp.states.map(({ stateId, signed }) => [stateId, signed] as const);

/** pair is a machine whose tcf has these properties, and its management point, which is the fallback status point too. */
async function pair(t: Parameters<typeof HonestMp.start>[0], properties: string) {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  furnish(machine, [mp.url], { token: false, change: { properties, fallbackStatusPoint: mp.url } });
  return { machine, mp };
}

test('the agent calls itself what the release is called', async (t) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const { machine, mp } = await pair(t, '');
  await lives(machine, () => mp.registrations.length === 1);
  assert.equal((await statusOf(machine))?.product, version);
});

test('SMSCACHESIZE is told to what a package brings, by the status; one that is no size is not', async (t) => {
  for (const [properties, size] of [
    ['SMSCACHESIZE=2000', 2000],
    ['SMSCACHESIZE=lots', undefined],
  ] as const) {
    const { machine, mp } = await pair(t, properties);
    await lives(machine, () => mp.registrations.length === 1 && mp.states.length === 2);
    assert.equal((await statusOf(machine))?.cacheMegabytes, size);
  }
});

test('a site that takes the client: 500 unsigned, then 700 signed, under one TopicId', async (t) => {
  const { machine, mp } = await pair(t, 'SMSSITECODE=P01');
  await lives(machine, () => mp.states.length === 2);
  assert.deepEqual(states(mp), [
    [500, false],
    [700, true],
  ]);
  assert.equal(new Set(mp.states.map((s) => s.topicId)).size, 1);
  assert.equal((await statusOf(machine))?.assignment?.stateId, 700);
  assert.match(machine.text(layout.locationLog)!, /Assigned to site P01/);
  // Started again, it is assigned already and asks nobody.
  const asked = mp.asks('/ccm_system/sites').length;
  await lives(machine, () => mp.heartbeats.length === 1);
  assert.deepEqual([mp.asks('/ccm_system/sites').length, mp.states.length], [asked, 2]);
});

for (const [what, properties, prepare, state, product] of [
  ['a code that nobody knows', 'SMSSITECODE=XYZ', () => {}, 602],
  ['a code that is none', 'SMSSITECODE=P_01', () => {}, 602],
  ['AUTO outside all boundaries', 'SMSSITECODE=AUTO', (mp: HonestMp) => (mp.location = {}), 606],
  ['a site older than the client', '', () => {}, 607, '0.2.0'],
  ['a site whose version nobody tells', '', (mp: HonestMp) => mp.sites.set('P01', { version: undefined }), 608],
  ['a site without a management point', '', (mp: HonestMp) => mp.sites.set('P01', { managementPoints: [] }), 604],
  ['a client without a version', '', () => {}, 609, 'unknown'],
  [
    'a secondary whose primary nobody knows',
    'SMSSITECODE=S01',
    (mp: HonestMp) => mp.sites.set('S01', { type: 'secondary', parent: 'P09' }),
    602,
  ],
] as [string, string, (mp: HonestMp) => unknown, number, string?][]) {
  test(`${what}: state ${state}, told once, installed and unassigned, and tried again every ten minutes`, async (t) => {
    const { machine, mp } = await pair(t, properties);
    prepare(mp);
    const from = machine.clock.now().getTime();
    const tries = () => machine.text(layout.locationLog)?.match(/assignment begins/g)?.length ?? 0;
    const stop = await service(machine, () => tries() === 4, product);
    const said = await statusOf(machine);
    assert.deepEqual([said?.state, said?.site, said?.assignment?.stateId], ['unassigned', '', state]);
    assert.deepEqual(states(mp), [
      [500, false],
      [state, false],
    ]);
    // The site that it was to belong to, so that somebody there finds it; AUTO and what is no code name none, the installation did.
    const named = /^SMSSITECODE=([A-Z0-9]{3})$/.exec(properties)?.[1] ?? 'P01';
    assert.deepEqual(
      mp.states.map(({ site }) => site),
      [named, named],
    );
    assert.equal(Math.round((machine.clock.now().getTime() - from) / 60_000), 30);
    assert.equal(mp.registrations.length, 0);
    assert.equal(await main(machine.program(layout.agentFile), ['status']), 1);
    // What was wrong is mended: it is assigned by itself.
    if (product === undefined) {
      mp.location = undefined;
      for (const code of ['XYZ', 'P01', 'P09']) mp.sites.set(code, {});
      if (properties === 'SMSSITECODE=P_01') return void (await stop());
      await live(machine, new Promise(() => {}), () => mp.states.at(-1)?.stateId === 700);
      assert.equal(mp.registrations.length, 1);
    }
    await stop();
  });
}

test('what nobody foresaw, as a disk that is full while the site is written down: state 601, and assigned once there is room', async (t) => {
  const { machine, mp } = await pair(t, 'SMSSITECODE=P01');
  const { free } = machine;
  mp.before = (request) => {
    if (request.url!.startsWith('/ccm_system/sites')) machine.free = 0;
    return false;
  };
  const stop = await service(machine, () => mp.states.length === 2);
  assert.deepEqual(states(mp), [
    [500, false],
    [601, false],
  ]);
  assert.match(mp.states[1]!.detail!, /no space|ENOSPC|full/i);
  assert.equal(mp.registrations.length, 0);
  mp.before = () => false;
  machine.free = free;
  await live(machine, new Promise(() => {}), () => mp.states.at(-1)?.stateId === 700);
  assert.equal(mp.registrations.length, 1);
  await stop();
});

test('a bootstrap that lets the agent sign finds a key and makes none, whatever the agent is writing just then', async (t) => {
  const { machine, mp } = await pair(t, 'SMSSITECODE=P01');
  const say = () => main(machine.program(layout.agentFile), ['say-state', randomUUID(), '400', '2.0.0', '0', 'all is "well"\n']);
  assert.equal(await say(), 1, 'nothing is there');
  await lives(machine, () => mp.states.length === 2);
  assert.equal(await say(), 0);
  const { stateId, signed, clientVersion, exitCode, guid } = mp.states.at(-1)!;
  assert.deepEqual([stateId, signed, clientVersion, exitCode, guid], [400, true, '2.0.0', 0, [...mp.clients.keys()][0]]);
  // Between the memory and the file of the SMSID: for the agent that would be a copy of another machine.
  const key = machine.text(layout.key);
  machine.files.delete(layout.identity.toLowerCase());
  const memory = machine.text(layout.memory);
  await say();
  assert.deepEqual([machine.text(layout.key), machine.text(layout.memory)], [key, memory]);
});

test('AUTO is the primary whose boundaries hold the machine, asked with its addresses, at the locator point too', async (t) => {
  const machine = new Machine();
  const [mp, slp] = [await HonestMp.start(t, machine.clock), await HonestMp.start(t, machine.clock)];
  mp.location = {};
  slp.site = 'P02';
  slp.sites.set('P02', { managementPoints: [mp.url] });
  furnish(machine, [mp.url], { token: false, change: { properties: `SMSSITECODE=AUTO SMSSLP=${slp.url}` } });
  await lives(machine, () => /Assigned Site Code=P02/.test(machine.text(layout.identity) ?? ''));
  assert.equal(mp.registrations[0]!.site, 'P02');
  assert.match(slp.asked[0]!.path, /^\/sms_slp\/location\?address=10\.1\.2\.3$/);
});

test('the code of a secondary means its primary, and its proxy comes first for everything but the registration', async (t) => {
  const machine = new Machine();
  const [mp, proxy] = [await HonestMp.start(t, machine.clock), await HonestMp.start(t, machine.clock)];
  mp.sites.set('S01', { type: 'secondary', parent: 'P01', managementPoints: [proxy.url] });
  mp.location = { site: 'P01', secondary: 'S01', managementPoints: [mp.url], proxyManagementPoints: [proxy.url] };
  furnish(machine, [mp.url], { token: false, change: { properties: 'SMSSITECODE=S01' } });
  const stop = await service(machine, () => mp.registrations.length === 1);
  const [[guid, key]] = [...mp.clients] as [[string, string]];
  proxy.clients.set(guid, key);
  await live(machine, new Promise(() => {}), () => proxy.heartbeats.length === 2);
  // Nothing proves the proxy: the first message after it was named goes to the point of the installation, whichever it is; all later ones do not.
  const named = mp.asked.findIndex(({ path }) => path.startsWith('/ccm_system/location'));
  const later = mp.asked.slice(named + 1).filter(({ headers }) => SIGNATURE_HEADERS.signature in headers);
  assert.deepEqual([named >= 0, later.length, proxy.registrations.length], [true, 1, 0]);
  const said = await statusOf(machine);
  assert.deepEqual([said?.site, said?.managementPoint, said?.proxyManagementPoints], ['P01', proxy.url, [proxy.url]]);
  await stop();
});

test('a client that roams into another primary stays with its own', async (t) => {
  const { machine, mp } = await both(t);
  const other = await HonestMp.start(t, machine.clock);
  mp.location = { site: 'P02', managementPoints: [other.url], proxyManagementPoints: [] };
  await lives(machine, () => mp.heartbeats.length === 30);
  assert.equal(other.asked.length, 0);
  assert.equal((await statusOf(machine))?.site, 'P01');
});

test('a management point that fails is passed over at once, and after five failures in ten minutes another is asked first', async (t) => {
  const machine = new Machine();
  const points = [await HonestMp.start(t, machine.clock), await HonestMp.start(t, machine.clock)];
  for (const mp of points) {
    mp.managementPoints = points.map(({ url }) => url);
    mp.heartbeatMinutes = 1;
  }
  furnish(machine, [points[0]!.url], { token: false });
  const stop = await service(machine, () => points[0]!.registrations.length === 1);
  for (const [guid, key] of points[0]!.clients) points[1]!.clients.set(guid, key);
  const beats = () => points.map((mp) => mp.heartbeats.length);
  // The second one becomes known by the answer of the first, and only then one of them is chosen.
  await live(machine, new Promise(() => {}), () => (beats()[0] ?? 0) + (beats()[1] ?? 0) === 3);
  const chosen = beats();
  const since = () => beats().map((n, i) => n - chosen[i]!);
  await live(machine, new Promise(() => {}), () => Math.max(...since()) === 3);
  const first = since()[0]! > 0 ? 0 : 1;
  assert.equal(Math.min(...since()), 0, 'one is asked as long as it answers');
  points[first]!.before = (_request, response) => Boolean(response.destroy());
  const before = points[first]!.asked.length;
  await live(machine, new Promise(() => {}), () => since()[1 - first] === 12);
  assert.equal(points[first]!.asked.length - before, 5);
  assert.match(machine.text(layout.servicesLog)!, /failed 5 times within ten minutes/);
  await stop();
});

test('the list of management points is asked anew every 25 hours', async (t) => {
  const { machine, mp } = await both(t);
  const stop = await service(machine, () => mp.asks('/ccm_system/location').length === 3);
  const [first, , third] = mp.asks('/ccm_system/location').map((a) => a.at.getTime());
  assert.equal(Math.round((third! - first!) / HOURS), 50);
  await stop();
});

test('a change of address is told within a quarter of an hour, and asks anew where the machine is', async (t) => {
  const { machine, mp } = await both(t);
  mp.heartbeatMinutes = 10_080;
  const stop = await service(machine, () => mp.asks('/ccm_system/location').length === 1);
  machine.addresses = ['10.9.9.9', 'fe80::1'];
  const from = machine.clock.now().getTime();
  await live(machine, new Promise(() => {}), () => mp.heartbeats.length === 1);
  assert.deepEqual(mp.heartbeats[0]!.addresses, ['10.9.9.9', 'fe80::1']);
  const minutes = (mp.asks('/ccm_system/heartbeat')[0]!.at.getTime() - from) / 60_000;
  assert.ok(minutes <= 17, `${minutes} minutes`);
  await live(machine, new Promise(() => {}), () => mp.asks('/ccm_system/location').length === 2);
  assert.match(mp.asks('/ccm_system/location')[1]!.path, /address=10\.9\.9\.9&address=fe80/);
  await stop();
});

test('a site code that the next installation names moves the client; AUTO does not, unless SITEREASSIGN says so', async (t) => {
  const { machine, mp } = await pair(t, 'SMSSITECODE=P01');
  mp.sites.set('P02', {});
  await lives(machine, () => mp.heartbeats.length === 1);
  mp.location = { site: 'P02', managementPoints: [mp.url], proxyManagementPoints: [] };
  furnish(machine, [mp.url], { token: false, change: { properties: 'SMSSITECODE=AUTO' } });
  await lives(machine, () => mp.heartbeats.length === 2);
  assert.equal((await statusOf(machine))?.site, 'P01');
  furnish(machine, [mp.url], { token: false, change: { properties: 'SMSSITECODE=AUTO SITEREASSIGN=TRUE' } });
  await lives(machine, () => /Assigned Site Code=P02/.test(machine.text(layout.identity) ?? ''));
  assert.equal((await statusOf(machine))?.site, 'P02');
  assert.equal(mp.registrations.length, 2);
});

test('a management point of the site that takes no registration is state 603, and 700 follows when it does', async (t) => {
  const { machine, mp } = await pair(t, '');
  mp.before = (request, response) =>
    request.url === '/ccm_system/registration' && mp.asked.length < 12 && Boolean(response.destroy());
  await lives(machine, () => mp.states.at(-1)?.stateId === 700);
  assert.deepEqual(states(mp), [
    [500, false],
    [603, false],
    [700, true],
  ]);
});

test('DNSSUFFIX: the management points that DNS names for the site are asked when those of the file do not answer', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const { port } = new URL(mp.url);
  const asked: string[] = [];
  machine.srv = async (name) => {
    asked.push(name);
    return [
      { name: 'evil/../x', port: 80 },
      { name: '127.0.0.1', port: Number(port) },
    ];
  };
  furnish(machine, ['http://127.0.0.1:1'], { token: false, change: { properties: 'SMSSITECODE=P01 DNSSUFFIX=corp.example' } });
  await lives(machine, () => mp.registrations.length === 1);
  assert.deepEqual([...new Set(asked)], ['_mssms_mp_p01._tcp.corp.example']);
});
