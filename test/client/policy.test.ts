import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { layout } from '#client/host';
import { readMobileClient, sealFor } from '#messages';
import { TOKEN, both, furnish, guidOf, lives, service, statusOf } from '#test/agent-run';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';
import { SECRET, payload } from '#test/target';

const FOLDER = 'C:\\Windows\\ccmsetup';
const polls = (mp: HonestMp) => mp.asks('/ccm_system/policy');
const forever = new Promise<never>(() => {});

/** upgradeTo puts an upgrade of two files at a management point and into its policy. */
function upgradeTo(mp: HonestMp, version: string, change: object = {}) {
  const files = [
    { name: 'ccmsetup.exe', bytes: payload(3000, 'setup') },
    { name: 'CcmExec.exe', bytes: payload(9000, 'agent') },
  ];
  for (const { name, bytes } of files) mp.files.set(name, bytes);
  const named = files.map(({ name, bytes }) => ({
    name,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    size: bytes.length,
  }));
  mp.policy = { revision: `u${version}`, upgrade: { version, files: named, ...change } };
  return named;
}

/** registered starts a pushed client and waits until it is known; its policy can be proven from then on. */
async function registered(t: Parameters<typeof HonestMp.start>[0]) {
  const { machine, mp } = await both(t);
  mp.heartbeatMinutes = 10_080;
  const stop = await service(machine, () => /lastPolicyAt/.test(machine.text(layout.status) ?? ''));
  mp.prove = { token: SECRET, guid: guidOf(machine)! };
  return { machine, mp, stop };
}

test('the settings of the policy are taken at once, and one that has not changed is asked for by its revision only', async (t) => {
  const { machine, mp, stop } = await registered(t);
  mp.heartbeatMinutes = 90;
  mp.policy = { revision: 'r2', policyMinutes: 120, logLevel: 3, heartbeatMinutes: 90 };
  await live(machine, forever, () => polls(mp).length === 2);
  await live(machine, forever, () => mp.heartbeats.length === 2);
  const [a, b] = mp.asks('/ccm_system/heartbeat').map((one) => one.at.getTime());
  assert.ok((b! - a!) / 60_000 <= 90);
  await live(machine, forever, () => polls(mp).length === 8);
  assert.deepEqual(
    polls(mp)
      .slice(3)
      .map((one) => [one.headers['if-none-match'], one.status])
      .at(0),
    ['"r2"', 304],
  );
  const said = JSON.parse(machine.text(layout.memory)!);
  assert.deepEqual([said.policyRevision, said.policyMinutes, said.logLevel], ['r2', 120, 3]);
  const size = machine.text(layout.policyLog)!.length;
  await live(machine, forever, () => polls(mp).length === 10);
  assert.equal(machine.text(layout.policyLog)!.length, size, 'CCMLOGLEVEL 3 writes errors only');
  await stop();
});

test('an upgrade: the bootstrap by its hash, mobileclient.tcf with the new payload, and its service started', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const [setup, agent] = upgradeTo(mp, '2.0.0', { command: 'agent.cmd', arguments: '/retry:5' });
  await live(machine, forever, () => machine.serviceState('ccmsetup') === 'running');
  assert.equal(
    createHash('sha256')
      .update(machine.files.get(`${FOLDER}\\ccmsetup.exe`.toLowerCase())!.bytes)
      .digest('hex'),
    setup!.sha256,
  );
  assert.equal(
    mp.asks('/CCM_Client')[0]!.headers['x-pushpoint-client'],
    mp.asks('/ccm_system/policy')[0]!.headers['x-pushpoint-client'],
  );
  const tcf = readMobileClient(machine.files.get(`${FOLDER}\\mobileclient.tcf`.toLowerCase())!.bytes);
  assert.deepEqual(tcf.payload, {
    file: 'CcmExec.exe',
    sha256: agent!.sha256,
    size: agent!.size,
    version: '2.0.0',
    command: 'agent.cmd',
  });
  assert.deepEqual([tcf.site, tcf.managementPoints, tcf.registration], ['P01', [mp.url], undefined]);
  assert.equal(machine.services.get('ccmsetup')!.wish.binaryPath, `"${FOLDER}\\ccmsetup.exe" /retry:5`);
  await stop();
});

test('an upgrade asks of the machine what its own version needs, not what the one before needed', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const [, agent] = upgradeTo(mp, '2.0.0', {
    bootstrap: 'ccmsetup.exe',
    payload: 'CcmExec.exe',
    requires: { minimumBuild: 14_393 },
    prerequisites: [{ file: 'runtime.cab', command: 'expand.exe runtime.cab', check: 'C:\\runtime' }],
  });
  const log = () => machine.text(layout.policyLog) ?? '';
  await live(machine, forever, () => /the upgrade does not bring its prerequisite runtime\.cab/.test(log()));
  const { upgrade } = mp.policy as { upgrade: { files: object[] } };
  mp.policy = {
    revision: 'again',
    upgrade: { ...upgrade, files: [...upgrade.files, { ...agent!, name: 'runtime.cab' }] } as never,
  };
  await live(machine, forever, () => machine.serviceState('ccmsetup') === 'running');
  const { requires, prerequisites } = readMobileClient(machine.files.get(`${FOLDER}\\mobileclient.tcf`.toLowerCase())!.bytes);
  assert.deepEqual(requires, { minimumBuild: 14_393 });
  const { sha256, size } = agent!;
  assert.deepEqual(prerequisites, [
    { file: 'runtime.cab', sha256, size, command: 'expand.exe runtime.cab', check: 'C:\\runtime' },
  ]);
  await stop();
});

test('an upgrade that does not come to its end is tried again after 1, 4, 24 and 24 hours, not at every poll', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const starts: number[] = [];
  machine.onStart = (m, service) => {
    if (service === 'ccmsetup') starts.push(m.clock.now().getTime());
    return 'dies';
  };
  mp.policy = { policyMinutes: 30 };
  upgradeTo(mp, '2.0.0');
  mp.policy = { ...mp.policy, policyMinutes: 30 };
  await live(machine, forever, () => starts.length === 5);
  const hours = starts.slice(1).map((at, i) => (at - starts[i]!) / 3_600_000);
  [1, 4, 24, 24].forEach((most, i) => assert.ok(hours[i]! >= most && hours[i]! < most + 0.6, `${hours[i]} of ${most}`));
  await stop();
});

test('before its time, and of the version that is there, nothing is upgraded', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const notBefore = new Date(machine.clock.now().getTime() + 3 * 86_400_000).toISOString();
  upgradeTo(mp, '2.0.0', { notBefore });
  await live(machine, forever, () => machine.services.has('ccmsetup'));
  assert.ok(machine.clock.now().toISOString() >= notBefore);
  machine.services.delete('ccmsetup');
  upgradeTo(mp, '1.0.0');
  const from = polls(mp).length;
  await live(machine, forever, () => polls(mp).length === from + 3);
  assert.equal(machine.services.has('ccmsetup'), false);
  await stop();
});

test('the secrets of a proven policy are kept in one file of the system; what it has no longer goes, a stranger gives and takes none', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const guid = guidOf(machine)!;
  const key = mp.registrations[0]!.publicKey;
  const log = () => machine.text(layout.policyLog) ?? '';
  const kept = () => JSON.parse(machine.text(layout.secrets) ?? '{}') as object;
  const seal = (name: string, text: string, to = guid) => sealFor(key, { guid: to, name }, text);
  const gives = async (revision: string, secrets: Record<string, string> | undefined, until: RegExp) => {
    mp.policy = { revision, ...(secrets && { secrets }) };
    const from = log().length;
    await live(machine, forever, () => until.test(log().slice(from)));
  };
  const twin = 'GUID:00000000-0000-0000-0000-000000000009';
  await gives(
    's1',
    { 'wifi.key': seal('wifi.key', 'päss "1"'), other: seal('wifi.key', 'x'), foreign: seal('foreign', 'x', twin), cut: 'AAAA' },
    /Secrets of the policy kept: wifi\.key\]LOG/,
  );
  assert.deepEqual(kept(), { 'wifi.key': 'päss "1"' });
  for (const left of ['other', 'foreign', 'cut'])
    assert.match(log(), new RegExp(`The secret ${left} of the policy is not sealed for this`));
  assert.doesNotMatch(log(), /päss/);
  await gives(
    's2',
    { 'wifi.key': seal('wifi.key', 'two'), vpn: seal('vpn', 'three') },
    /Secrets of the policy kept: vpn, wifi\.key\]LOG/,
  );
  assert.deepEqual(kept(), { vpn: 'three', 'wifi.key': 'two' });
  const proof = mp.prove;
  mp.prove = undefined;
  await gives('s3', { vpn: seal('vpn', 'of a stranger') }, /The policy has secrets, and nothing proves/);
  await gives('s4', undefined, /Policy s4 of site/);
  assert.deepEqual(kept(), { vpn: 'three', 'wifi.key': 'two' });
  mp.prove = proof;
  await gives('s5', undefined, /The policy has no secrets any more/);
  assert.equal(machine.text(layout.secrets), undefined);
  await stop();
});

for (const [what, spoil] of [
  ['that nobody proved', (mp: HonestMp) => (mp.prove = undefined)],
  ['proven with another token', (mp: HonestMp) => (mp.prove = { token: 'another-token-of-somebody', guid: mp.prove!.guid })],
  [
    'proven for another client',
    (mp: HonestMp) => (mp.prove = { token: SECRET, guid: 'GUID:00000000-0000-0000-0000-000000000009' }),
  ],
] as [string, (mp: HonestMp) => unknown][])
  test(`over plain HTTP a policy ${what} changes settings and installs, moves and removes nothing`, async (t) => {
    const { machine, mp, stop } = await registered(t);
    spoil(mp);
    upgradeTo(mp, '6.6.6');
    mp.policy = { ...mp.policy, uninstall: true, migrate: { site: 'EVL', managementPoints: [mp.url] } };
    const from = polls(mp).length;
    await live(machine, forever, () => polls(mp).length === from + 3);
    assert.deepEqual([machine.services.has('ccmsetup'), (await statusOf(machine))?.site], [false, 'P01']);
    assert.match(machine.text(layout.policyLog)!, /nothing proves that it comes from the site/);
    await stop();
  });

test('over TLS with a pin no further proof is wanted', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock, 'https');
  furnish(machine, [mp.url], { token: false, change: { certificatePins: [mp.certificate!.pin] } });
  upgradeTo(mp, '2.0.0');
  await lives(machine, () => machine.serviceState('ccmsetup') === 'running');
});

test('a policy that somebody made up under the revision of the real one does not hide that', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const { prove } = mp;
  mp.prove = undefined;
  mp.policy = { revision: 'u2.0.0', policyMinutes: 60 };
  const from = polls(mp).length;
  await live(machine, forever, () => polls(mp).length === from + 1);
  mp.prove = prove;
  upgradeTo(mp, '2.0.0');
  await live(machine, forever, () => polls(mp).length === from + 2);
  assert.equal(polls(mp).at(-1)!.status, 200);
  await live(machine, forever, () => machine.serviceState('ccmsetup') === 'running');
  await stop();
});

test('an https point that somebody on the way named proves nothing, whatever authority signed its certificate', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const evil = await HonestMp.start(t, machine.clock, 'https');
  machine.trusts = evil.certificate!.pin;
  evil.clients.set(guidOf(machine)!, mp.clients.get(guidOf(machine)!)!);
  upgradeTo(evil, '6.6.6');
  evil.policy = { ...evil.policy, uninstall: true };
  // What a heartbeat is answered over plain HTTP is what anybody on the way says.
  mp.managementPoints = [evil.url];
  mp.prove = undefined;
  await live(machine, forever, () => polls(evil).length === 3);
  assert.equal(machine.services.has('ccmsetup'), false);
  assert.match(machine.text(layout.policyLog)!, /nothing proves that it comes from the site/);
  // Named by a policy that is proven it is the site's.
  const from = polls(evil).length;
  mp.managementPoints = [evil.url, mp.url];
  evil.prove = { token: SECRET, guid: guidOf(machine)! };
  evil.managementPoints = [evil.url];
  evil.policy = { revision: 'good' };
  await live(machine, forever, () => polls(evil).length === from + 1);
  evil.prove = undefined;
  upgradeTo(evil, '2.0.0');
  await live(machine, forever, () => machine.serviceState('ccmsetup') === 'running');
  await stop();
});

test('uninstall by policy starts the bootstrap that installed the client', async (t) => {
  const { machine, mp, stop } = await registered(t);
  machine.put(layout.setupFile, 'bootstrap');
  mp.policy = { revision: 'bye', uninstall: true };
  await live(machine, forever, () => machine.serviceState('ccmsetup') === 'running');
  assert.equal(machine.services.get('ccmsetup')!.wish.binaryPath, `"${layout.setupFile}" /uninstall`);
  await stop();
});

test('a client moves to another site: it looks whether that takes it, says farewell to the old one, and registers anew', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const other = await HonestMp.start(t, machine.clock);
  other.site = 'P02';
  other.version = '0.0.9';
  mp.policy = { revision: 'm1', policyMinutes: 60, migrate: { site: 'P02', managementPoints: [other.url] } };
  await live(machine, forever, () => /newer than site P02/.test(machine.text(layout.policyLog) ?? ''));
  assert.deepEqual([(await statusOf(machine))?.site, mp.farewells.length, other.registrations.length], ['P01', 0, 0]);
  other.version = '0.1.0';
  const guid = guidOf(machine);
  await live(machine, forever, () => other.heartbeats.length === 1);
  assert.deepEqual(
    mp.farewells.map((f) => [f.guid, f.reason]),
    [[guid, 'migrate']],
  );
  assert.deepEqual([other.registrations[0]!.site, other.registrations[0]!.guid], ['P02', guid]);
  assert.equal((await statusOf(machine))?.site, 'P02');
  await stop();
  // It stays there when it is started again, whatever mobileclient.tcf says.
  const asked = mp.asked.length;
  await lives(machine, () => other.heartbeats.length === 2);
  assert.equal(mp.asked.length, asked);
});

test('the policy of another site is not heeded', async (t) => {
  const { machine, mp, stop } = await registered(t);
  mp.policy = { revision: 'x', site: 'EVL', uninstall: true, heartbeatMinutes: 1 };
  const from = polls(mp).length;
  await live(machine, forever, () => polls(mp).length === from + 2);
  assert.equal(machine.services.has('ccmsetup'), false);
  assert.notEqual(JSON.parse(machine.text(layout.memory)!).heartbeatMinutes, 1);
  await stop();
});

test('a new revision that a heartbeat tells of is fetched at once', async (t) => {
  const { machine, mp, stop } = await registered(t);
  mp.heartbeatMinutes = 60;
  mp.policy = { revision: 'r2', heartbeatMinutes: 60 };
  await live(machine, forever, () => polls(mp).length === 2);
  mp.policy = { revision: 'r3', heartbeatMinutes: 60 };
  const before = mp.heartbeats.length;
  await live(machine, forever, () => mp.heartbeats.length === before + 1 && polls(mp).length === 3);
  const beat = mp.asks('/ccm_system/heartbeat').at(-1)!.at.getTime();
  assert.equal(polls(mp).at(-1)!.at.getTime(), beat);
  await stop();
  assert.equal(TOKEN, mp.registrations[0]!.tokenId);
});

test('points that somebody on the way named keep a client for a day at most: then the point of its installation is asked, and believed', async (t) => {
  const { machine, mp, stop } = await registered(t);
  const evil = await HonestMp.start(t, machine.clock);
  evil.clients.set(guidOf(machine)!, mp.clients.get(guidOf(machine)!)!);
  evil.managementPoints = [evil.url];
  evil.heartbeatMinutes = 10_080;
  mp.prove = undefined;
  mp.managementPoints = [evil.url];
  mp.policy = { revision: 'made up' };
  await live(machine, forever, () => polls(evil).length === 2);
  // Whoever it was is gone; the site says the same policy of before, under the revision that the client has.
  mp.managementPoints = [mp.url];
  const from = polls(mp).length;
  await live(machine, forever, () => polls(mp).length > from || polls(evil).length > 40);
  assert.ok(polls(evil).length < 28, `${polls(evil).length} policies of the wrong one`);
  const wrong = evil.asked.length;
  await live(machine, forever, () => polls(mp).length > from + 30 || evil.asked.length > wrong + 1);
  assert.equal(evil.asked.length, wrong);
  // A list that changes is asked about at once: whichever message brings it, the next one goes to the point of the installation.
  mp.managementPoints = [evil.url];
  const before = mp.asked.length;
  const after = () => mp.asked.slice(before);
  const told = () => after().findIndex(({ path }) => /\/(?:policy|heartbeat)$/.test(path));
  await live(machine, forever, () => (told() !== -1 && after().length > told() + 1) || evil.asked.length > wrong);
  assert.equal(evil.asked.length, wrong);
  await stop();
});
