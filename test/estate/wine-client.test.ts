import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildNative } from '#client/native';
import { TestSite } from '#test/points';
import { AGENT_LOG } from '#test/wine-agent';
import { testPoint, wineMachine } from '#test/wine-machine';
import { msiOf, VERSION } from '#test/wine-setup';

/** client.msi and the service it brings, on a machine of Wine: installed, reporting, supervised, upgraded, never downgraded, removed. */

const { peers, wine, setup, agent } = wineMachine();
const status = () => agent.status();
const msi = (version: string) => readFileSync(buildNative(version).files['client.msi']);
const registry = async (key: string) => (await wine.run('reg.exe', 'query', `HKLM\\${key}`, '/s')).out;

/** everything is all there is of files, services, registry keys and their values on the machine. */
async function everything(): Promise<Set<string>> {
  const files = globSync('{windows,Program Files,Program Files (x86),ProgramData}/**', { cwd: wine.path() });
  const all = new Set(files.map((name) => `file ${name}`));
  // Below Control\\Session Manager stands what is to be done at the next restart.
  const system = ['Services', String.raw`Control\Session Manager`].map(
    (key) => String.raw`SYSTEM\CurrentControlSet` + `\\${key}`,
  );
  for (const hive of ['SOFTWARE', ...system]) {
    await wine.run('reg.exe', 'export', `HKLM\\${hive}`, String.raw`C:\all.reg`, '/y');
    const text = readFileSync(wine.path('all.reg')).toString('utf16le');
    assert.ok(text.length > 100, hive);
    let key = '';
    for (const line of text.split('\r\n')) {
      if (line.startsWith('[')) key = line;
      if (line !== '') all.add(line.startsWith('[') ? key : `${key} ${line}`);
    }
  }
  wine.remove('all.reg');
  return all;
}

test('installed by ccmsetup, there already, repaired, and uninstalled: 0 each, and nothing of it is left', peers, async (t) => {
  const bytes = msi(VERSION);
  const mp = await testPoint(t, bytes);
  const properties = 'SMSSITECODE=P01 SMSMP=mp1.corp.example CCMHTTPPORT=8480';
  const before = await everything();
  setup.lay({ managementPoints: [mp.url], payload: msiOf(bytes), fallbackStatusPoint: mp.url, properties });
  assert.equal(await setup.byHand(), 0, setup.lines().join('\n'));
  assert.equal((await wine.service('CcmExec'))?.state, 'running');
  assert.match(await registry(String.raw`SOFTWARE\Microsoft\CCM`), /SMSMP\s+REG_SZ\s+mp1\.corp\.example/);
  assert.match(await registry(String.raw`SOFTWARE\Microsoft\SMS\Mobile Client`), /AssignedSiteCode\s+REG_SZ\s+P01/);
  assert.equal((JSON.parse(wine.text('windows/CCM/installed.json')) as { sha256: string }).sha256, msiOf(bytes).sha256);
  const file = 'windows/CCM/ccmsetup.exe';
  wine.remove(file);
  await wine.run('reg.exe', 'delete', String.raw`HKLM\SOFTWARE\Microsoft\CCM`, '/v', 'SMSMP', '/f');
  assert.equal(await setup.byHand(), 0);
  setup.told('Client 0.1.0 is installed already');
  assert.ok(!wine.has(file), 'what is noted as installed is left alone');
  assert.equal(await setup.byHand('/forceinstall'), 0);
  setup.told('The product is installed already; it is repaired');
  assert.deepEqual(readFileSync(wine.path(file)), readFileSync(buildNative(VERSION).files['ccmsetup.exe']));
  assert.match(await registry(String.raw`SOFTWARE\Microsoft\CCM`), /SMSMP\s+REG_SZ\s+mp1\.corp\.example/);
  assert.equal((await wine.service('CcmExec'))?.state, 'running');

  await setup.uninstall();
  // The empty folder and the empty keys of Windows Installer are made by the first MSI that a machine sees, whatever it is.
  const installers =
    /^file windows\/Installer$|^\[HKEY_LOCAL_MACHINE\\[^"]*\\Installer(\\(Features|Products|UpgradeCodes|UserData|Components|S-1-5-18))*\]$/;
  const left = [...(await everything())].filter((line) => !before.has(line) && !installers.test(line));
  assert.deepEqual(left, []);
  setup.lay({ managementPoints: [mp.url], payload: msiOf(bytes) });
  await setup.uninstall();
});

test(
  'the agent registers with a token, is heard, is started again when it dies, and goes on after a restart of the machine',
  peers,
  async (t) => {
    const site = await TestSite.make(t);
    const { url } = await site.managementPoint();
    await site.know(wine.name);
    // The agent belongs to a site only whose version it knows.
    await site.records.site.runs(VERSION);
    const bytes = msi(VERSION);
    const stored = await site.parts.content.put(bytes);
    const expires = '2099-01-01T00:00:00.000Z';
    const token = await site.records.client.issueToken({ name: wine.name, domain: 'CORP', expiresAt: new Date(expires) });
    const registration = { machine: wine.name, tokenId: token.id, token: token.secret, expires };
    const definition = {
      name: 'client',
      version: VERSION,
      platform: 'windows',
      bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
      payload: { file: 'client.msi' },
      verify: { service: 'CcmExec' },
    };
    const files = ['client.msi', 'ccmsetup.exe'].map((name) => ({ name, ...stored }));
    await site.records.package.add(definition, files, 'test');
    setup.lay({ managementPoints: [url], payload: msiOf(bytes), registration });
    assert.equal(await setup.byHand(), 0, setup.lines().join('\n'));
    await wine.eventually('the agent to be registered', () => status().state === 'registered');
    const [known] = await site.records.client.byName(wine.name);
    assert.deepEqual([known?.approval, known?.version, known?.site, known?.guid], ['approved', VERSION, 'P01', status().guid]);
    assert.ok(!wine.has('windows/CCM/registration.token'), 'a token is used once');
    assert.match(wine.text('windows/SMSCFG.INI'), new RegExp(known!.guid));
    const told = await wine.run(String.raw`C:\windows\CCM\CcmExec.exe`, 'status');
    assert.match(told.out, /state: registered/);
    assert.equal(told.code, 0);

    const pid = /The agent runs as process (\d+)/.exec(agent.log())![1]!;
    await wine.run('taskkill.exe', '/f', '/pid', pid);
    await wine.eventually('the next agent', () => (agent.log().match(/The agent runs as process/g) ?? []).length === 2);
    assert.match(agent.log(), /The agent is started again in 1 second/);
    await wine.eventually('a heartbeat', () => status().lastHeartbeatAt !== undefined);
    assert.equal(status().guid, known!.guid, 'the same client');

    await wine.run('net.exe', 'stop', 'CcmExec');
    await wine.eventually('stopped', async () => (await wine.service('CcmExec'))?.state === 'stopped');
    assert.equal(status().state, 'stopped', 'the agent ended in order');
    await wine.restart();
    await wine.eventually('the service of the next start', async () => (await wine.service('CcmExec'))?.state === 'running');
    await wine.eventually('its heartbeat', () => status().state === 'registered', 60_000);
    assert.equal((await site.records.client.byName(wine.name)).length, 1);
  },
);

test('a newer client takes the place of an older, an older one is refused with 1603 and the newer goes on', peers, async (t) => {
  const newer = msi('0.2.0');
  const older = msi(VERSION);
  const first = await testPoint(t, newer);
  setup.lay({ managementPoints: [first.url], payload: msiOf(newer, '0.2.0'), fallbackStatusPoint: first.url }, { keep: true });
  assert.equal(await setup.byHand(), 0, setup.lines().join('\n'));
  assert.equal((await wine.service('CcmExec'))?.state, 'running');
  const products = (await registry(String.raw`SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall`)).match(
    /DisplayVersion\s+REG_SZ\s+\S+/g,
  );
  assert.deepEqual(
    products?.map((line) => line.split(/\s+/).at(-1)),
    ['0.2.0'],
    'one product',
  );
  const second = await testPoint(t, older);
  setup.lay({ managementPoints: [second.url], payload: msiOf(older), fallbackStatusPoint: second.url }, { keep: true });
  assert.equal(await setup.byHand(), 6);
  assert.deepEqual(second.ids, [100, 313]);
  setup.told('Installer ended with 1603');
  assert.equal((await wine.service('CcmExec'))?.state, 'running', 'the newer one goes on');
  await setup.uninstall();
});

test('installed by hand from the MSI alone: the agent finds its site in the properties', peers, async (t) => {
  const site = await TestSite.make(t);
  const { port } = await site.managementPoint();
  await site.know(wine.name);
  await site.records.site.runs(VERSION);
  for (const gone of ['windows/CCM', 'windows/SMSCFG.INI']) wine.remove(gone);
  wine.put('client.msi', msi(VERSION));
  const properties = ['SMSSITECODE=P01', 'SMSMP=127.0.0.1', `CCMHTTPPORT=${port}`];
  const { code } = await wine.run('msiexec.exe', '/i', String.raw`C:\client.msi`, '/qn', ...properties);
  assert.equal(code, 0);
  await wine.eventually('the agent to be registered', () => status().state === 'registered');
  const [known] = await site.records.client.byName(wine.name);
  assert.equal(known?.approval, 'pending', 'nobody vouched for it');
  assert.equal(known.version, VERSION);
});

test('another program can be the agent; one that keeps ending is started again with growing pauses', peers, async () => {
  // The client of the test before is installed.
  wine.put('windows/CCM/agent.command', 'cmd.exe /c exit 3\r\n');
  await wine.run('net.exe', 'stop', 'CcmExec');
  wine.remove(AGENT_LOG);
  await wine.run('net.exe', 'start', 'CcmExec');
  await wine.eventually('three ends', () => (agent.log().match(/The agent ended with 3\]/g) ?? []).length >= 3);
  const pauses = [...agent.log().matchAll(/started again in (\d+) second/g)].map(([, seconds]) => Number(seconds));
  assert.deepEqual(pauses.slice(0, 2), [1, 2]);
  assert.equal((await wine.service('CcmExec'))?.state, 'running', 'the service itself stays');
  await wine.run('net.exe', 'stop', 'CcmExec');
  await wine.eventually('stopped', async () => (await wine.service('CcmExec'))?.state === 'stopped');
});
