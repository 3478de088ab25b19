import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { HonestMp } from '#test/honest-mp';
import { need } from '#test/need';
import type { AgentSaid } from '#test/wine-agent';
import { dnsAnswer } from '#test/tiny-dns';
import { wineMachine } from '#test/wine-machine';
import { VERSION } from '#test/wine-setup';

/** The agent in CcmExec.exe finds its site: the same cases, states and words as the agent in TypeScript (test/client/assignment.test.ts). */

const { peers, wine, agent } = wineMachine();
const status = () => agent.status();
const lives = (until: () => boolean) => agent.lives(until);
const furnish = (t: TestContext, properties: string) => agent.furnish(t, properties);

const tries = () => agent.log().match(/Site assignment begins/g)?.length ?? 0;
const states = (mp: HonestMp) => mp.states.map(({ stateId, signed }) => [stateId, signed] as const);

test(
  'a site that takes the client: 500 unsigned, then 700 signed, under one TopicId; started again it asks nobody',
  peers,
  async (t) => {
    const mp = await furnish(t, 'SMSSITECODE=P01');
    await lives(() => mp.states.length === 2 && status().state === 'registered');
    assert.deepEqual(states(mp), [
      [500, false],
      [700, true],
    ]);
    assert.equal(new Set(mp.states.map((s) => s.topicId)).size, 1);
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    const { site, siteVersion, product, assignment } = status();
    assert.deepEqual([site, siteVersion, product, assignment?.stateId], ['P01', '0.1.0', version, 700]);
    const asked = mp.asks('/ccm_system/sites').length;
    await lives(() => mp.heartbeats.length === 1);
    assert.deepEqual([mp.asks('/ccm_system/sites').length, mp.states.length, mp.registrations.length], [asked, 2, 1]);
  },
);

for (const [what, properties, prepare, state] of [
  ['a code that nobody knows', 'SMSSITECODE=XYZ', () => {}, 602],
  ['a code that is none', 'SMSSITECODE=P_01', () => {}, 602],
  ['AUTO outside all boundaries', 'SMSSITECODE=AUTO', (mp: HonestMp) => (mp.location = {}), 606],
  ['a site older than the client', '', (mp: HonestMp) => (mp.version = '0.0.9'), 607],
  ['a site whose version nobody tells', '', (mp: HonestMp) => mp.sites.set('P01', { version: undefined }), 608],
  ['a site whose version cannot be read', '', (mp: HonestMp) => (mp.version = 'new'), 608],
  ['a site without a management point', '', (mp: HonestMp) => mp.sites.set('P01', { managementPoints: [] }), 604],
] as [string, string, (mp: HonestMp) => unknown, number][]) {
  test(`${what}: state ${state}, told once, installed and unassigned, and tried again in ten minutes`, peers, async (t) => {
    const mp = await furnish(t, properties);
    prepare(mp);
    let said: AgentSaid = {};
    const failed = (times: number) => () => {
      said = status();
      return tries() === times && said.state === 'unassigned' && said.nextContactAt !== undefined;
    };
    await lives(failed(1));
    const wait = new Date(said.nextContactAt!).getTime() - systemClock.now().getTime();
    assert.ok(wait > 9 * 60_000 && wait <= 10 * 60_000 + 2000, `tried again in ${wait} ms`);
    assert.deepEqual([said.site, said.assignment?.stateId], ['', state]);
    const told = [
      [500, false],
      [state, false],
    ] as const;
    assert.deepEqual(states(mp), told);
    assert.equal(new Set(mp.states.map((s) => s.topicId)).size, 1);
    const { name, site, guid, clientVersion, detail } = mp.states[1]!;
    assert.deepEqual([name, site, guid, clientVersion, detail], [wine.name, undefined, undefined, VERSION, said.assignment!.why]);
    // The next try says nothing that was said before.
    await lives(failed(2));
    assert.deepEqual(states(mp), told);
    assert.equal(mp.registrations.length, 0);
    // What was wrong is mended: it is assigned by itself.
    if (properties === 'SMSSITECODE=P_01') return;
    mp.location = undefined;
    mp.version = '0.1.0';
    for (const code of ['XYZ', 'P01']) mp.sites.set(code, {});
    await lives(() => mp.states.length === 3 && status().state === 'registered');
    assert.deepEqual(states(mp), [...told, [700, true]]);
    assert.equal(mp.registrations.length, 1);
  });
}

test('nobody answers: 608 is told where it can be, and the next try comes as after any failed contact', peers, async (t) => {
  const mp = await furnish(t, '');
  mp.before = (request, response) => {
    if (!request.url!.startsWith('/ccm_system/')) return false;
    response.writeHead(500).end();
    return true;
  };
  let said: AgentSaid = {};
  await lives(() => {
    said = status();
    return said.state === 'unassigned' && said.nextContactAt !== undefined;
  });
  assert.ok(new Date(said.nextContactAt!).getTime() - systemClock.now().getTime() < 60_000);
  assert.deepEqual(states(mp), [
    [500, false],
    [608, false],
  ]);
});

test(
  'AUTO is the primary whose boundaries hold the machine, asked with its addresses, at the locator point too',
  peers,
  async (t) => {
    const slp = await HonestMp.start(t, systemClock);
    const mp = await furnish(t, `SMSSITECODE=AUTO SMSSLP=${slp.url}`);
    mp.location = {};
    slp.site = 'P02';
    slp.sites.set('P02', { managementPoints: [mp.url] });
    mp.site = 'P02';
    await lives(() => status().state === 'registered');
    assert.equal(mp.registrations[0]!.site, 'P02');
    assert.match(wine.text('windows/SMSCFG.INI'), /Assigned Site Code=P02/);
    const [first] = slp.asked;
    const addresses = new URL(first!.path, slp.url).searchParams.getAll('address');
    assert.deepEqual(addresses, mp.registrations[0]!.addresses, first!.path);
    assert.match(first!.path, /^\/sms_slp\/location/);
  },
);

test('the code of a secondary means its primary; a secondary whose primary nobody knows is 602', peers, async (t) => {
  const mp = await furnish(t, 'SMSSITECODE=S01');
  mp.sites.set('S01', { type: 'secondary', parent: 'P01' });
  await lives(() => status().state === 'registered');
  assert.deepEqual([mp.registrations[0]!.site, status().site], ['P01', 'P01']);
  const other = await furnish(t, 'SMSSITECODE=S02');
  other.sites.set('S02', { type: 'secondary', parent: 'P09' });
  await lives(() => other.states.length === 2);
  assert.equal(other.states[1]!.stateId, 602);
});

test('a client that has a site is moved by an installation that names another, and not by AUTO', peers, async (t) => {
  const mp = await furnish(t, 'SMSSITECODE=P01');
  await lives(() => status().state === 'registered');
  const lay = (properties: string) => {
    const text = wine.text('windows/CCM/mobileclient.tcf');
    wine.put('windows/CCM/mobileclient.tcf', text.replace(/SMSSITECODE=\S+/, properties));
  };
  mp.sites.set('P02', {});
  mp.location = { site: 'P02' };
  lay('SMSSITECODE=AUTO');
  await lives(() => mp.heartbeats.length === 1);
  assert.equal(status().site, 'P01');
  lay('SMSSITECODE=P02');
  mp.site = 'P02';
  await lives(() => mp.registrations.length === 2 && status().site === 'P02');
  assert.equal(mp.registrations[1]!.site, 'P02');
});

test('an agent whose release cannot be compared belongs to no site: 609', peers, async (t) => {
  agent.trial = { release: 'new' };
  t.after(() => (agent.trial = undefined));
  const mp = await furnish(t, '');
  await lives(() => mp.states.length === 2);
  assert.deepEqual(states(mp), [
    [500, false],
    [609, false],
  ]);
  assert.match(status().assignment!.why!, /this client has no version that can be compared \(new\)/);
});

test('a management point that only DNS names is asked for the site', { ...peers, ...need('root') }, async (t) => {
  const mp = await furnish(t, 'SMSSITECODE=P01 DNSSUFFIX=corp.example');
  const names = createSocket('udp4');
  const asked: string[] = [];
  const zone = { '_mssms_mp_p01._tcp.corp.example': [`7 9 ${new URL(mp.url).port} localhost`, '0 0 0 nobody.corp.example'] };
  names.on('message', (question, from) => {
    asked.push(question.toString('latin1'));
    const answer = dnsAnswer(question, zone);
    if (!answer) return;
    // The address of the target rides along, as with other servers; Wine 8 overlooks a name at the very end of an answer.
    answer.writeUInt16BE(1, 10);
    names.send(Buffer.concat([answer, Buffer.from('c00c000100010000003c00047f000001', 'hex')]), from.port, from.address);
  });
  // Names are asked for at this port only; the address is one of the loopback that nobody else uses.
  names.bind(53, '127.53.7.53');
  await once(names, 'listening');
  t.after(() => names.close());
  wine.put('resolv.conf', 'nameserver 127.53.7.53\noptions timeout:2 attempts:2\n');
  const tcf = wine.text('windows/CCM/mobileclient.tcf');
  // Of what the installation names nobody answers.
  wine.put('windows/CCM/mobileclient.tcf', tcf.replaceAll(mp.url, 'http://127.0.0.9:1'));
  await agent.lives(() => status().state === 'registered', wine.path('resolv.conf'));
  assert.equal(mp.registrations.length, 1);
  assert.ok(asked.some((question) => question.includes('_mssms_mp_p01')));
  assert.ok(mp.asked.some(({ headers }) => headers.host === new URL(mp.url).host.replace('127.0.0.1', 'localhost')));
});
