import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { main } from '#client/ccmsetup';
import { layout, readInstalled } from '#client/host';
import { readMobileClient, type MobileClient } from '#messages';
import { guidOf, service } from '#test/agent-run';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';
import { SETUP, payload, pushed } from '#test/target';

const bytes = payload(700_000);
const run = (machine: Machine, args: string[] = []) => live(machine, main(machine.program(SETUP), args));

test('/uninstall leaves the machine as it was before the push, tells the site, and may be repeated', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const snapshot = () => ({
    files: new Map([...machine.files].map(([path, file]) => [path, Buffer.from(file.bytes).toString('base64')])),
    services: [...machine.services.keys()],
    registry: [...machine.registry.keys()],
  });
  machine.put('C:\\Windows\\win.ini', 'as it was');
  const before = snapshot();
  pushed(machine, [mp], bytes);
  assert.equal(await run(machine), 0);
  const stop = await service(machine, () => mp.heartbeats.length === 1);
  await stop();
  const guid = guidOf(machine);
  assert.notDeepEqual(snapshot(), before);
  for (let times = 0; times < 2; times++) {
    assert.equal(await run(machine, ['/uninstall']), 0);
    assert.deepEqual(snapshot(), before);
  }
  assert.deepEqual(
    mp.farewells.map((f) => [f.guid, f.reason]),
    [[guid, 'uninstall']],
  );
});

test('a site that cannot be told holds no uninstallation up', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  await run(machine);
  await (
    await service(machine, () => mp.heartbeats.length === 1)
  )();
  mp.before = (_request, response) => Boolean(response.destroy());
  assert.equal(await run(machine, ['/uninstall']), 0);
  assert.deepEqual([[...machine.files.keys()], machine.services.size], [[], 0]);
});

test('/logon does nothing where a client is: state 104', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  await run(machine);
  mp.asked.length = 0;
  pushed(machine, [mp], payload(2000, 'newer'), {}, '9.0.0');
  assert.equal(await run(machine, ['/logon']), 0);
  assert.deepEqual([mp.states.at(-1)!.stateId, mp.asks('/CCM_Client').length], [104, 0]);
  assert.equal((await readInstalled(machine.program(SETUP)))?.version, '1.0.0');
});

test('/source is asked first and judged by the hash; what is not there comes from the management point', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const { payload: named } = pushed(machine, [mp], bytes);
  machine.put(`D:\\empty\\other.txt`, 'x');
  machine.put(`D:\\wrong\\${named.file}`, payload(named.size, 'wrong'));
  machine.put(`D:\\right\\${named.file}`, bytes);
  assert.equal(await run(machine, ['/source:D:\\empty', '/source:D:\\wrong', '/source:D:\\right']), 0);
  assert.equal(mp.asks('/CCM_Client').length, 0);
  assert.match(machine.text(layout.setupLog)!, /wrong\\client-1\.0\.0\.mjs does not have the expected hash/);
  assert.equal(await run(machine, ['/source:D:\\wrong', '/forceinstall']), 0);
  assert.equal(mp.asks('/CCM_Client').length, 1);
});

test('properties of the command line take the place of those of the file', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes, { properties: 'SMSSITECODE=P01 CCMLOGLEVEL=3' });
  assert.equal(await run(machine, ['SMSSITECODE=AUTO', 'DNSSUFFIX=corp.example', 'CCMADMINS=a b']), 0);
  const { properties } = readMobileClient(machine.files.get(layout.agentConfig.toLowerCase())!.bytes);
  assert.equal(properties, 'SMSSITECODE=AUTO DNSSUFFIX=corp.example CCMADMINS="a b"');
});

test('RESETKEYINFORMATION=TRUE makes a new key under the SMSID that the machine has', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  await run(machine);
  await (
    await service(machine, () => mp.heartbeats.length === 1)
  )();
  const [guid, key] = [...mp.clients][0]!;
  pushed(machine, [mp], bytes, {}, '1.1.0');
  assert.equal(await run(machine, ['RESETKEYINFORMATION=TRUE']), 0);
  await (
    await service(machine, () => mp.registrations.length === 2)
  )();
  assert.equal(mp.registrations[1]!.guid, guid);
  assert.notEqual(mp.registrations[1]!.publicKey, key);
});

for (const [what, requires, args, state, code] of [
  ['an older system', { minimumBuild: 22_000 }, ['/skipprereq:os'], 319, 9],
  ['another processor', { architectures: ['arm64'] }, ['/skipprereq:OS;disk'], 319, 9],
  ['no Windows Installer', { windowsInstaller: 301 }, ['/skipprereq:installer'], 320, 9],
  ['a full disk', { freeBytes: 2_000_000_000 }, ['/skipprereq:disk'], 312, 9],
  ['a restart that is pending', { noRestartPending: true }, ['/skipprereq:restart'], 317, 7],
] as [string, MobileClient['requires'], string[], number, number][])
  test(`${what} ends the run with ${code} and state ${state} before anything is downloaded; ${args[0]} goes on`, async (t) => {
    const machine = new Machine();
    machine.restartPending = true;
    const mp = await HonestMp.start(t, machine.clock);
    pushed(machine, [mp], bytes, { requires });
    assert.equal(await run(machine), code);
    assert.deepEqual([mp.states.at(-1)!.stateId, mp.states.at(-1)!.exitCode, mp.asks('/CCM_Client').length], [state, code, 0]);
    // A restart is waited for: the service stays for it.
    assert.equal(machine.services.has('ccmsetup'), code === 7);
    assert.equal(await run(machine, args), 0);
  });

test('prerequisites are installed first, in their order, where what they bring is not there', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const files = ['one.exe', 'two.exe', 'three.exe', 'four.exe'].map((file) => ({ file, bytes: payload(500, file) }));
  for (const { file, bytes: content } of files) mp.files.set(file, content);
  const prerequisites = files.map(({ file, bytes: content }) => ({
    file,
    sha256: createHash('sha256').update(content).digest('hex'),
    size: content.length,
    command: `${file} /quiet`,
    ...(file === 'two.exe' && { check: 'HKLM\\SOFTWARE\\Two' }),
    ...(file === 'three.exe' && { check: '%SystemRoot%\\three.dll' }),
  }));
  machine.registry.set('SOFTWARE\\Two', {});
  machine.put('C:\\Windows\\three.dll', 'x');
  const ran: string[] = [];
  let ends = 0;
  machine.run = async (command) => (ran.push(command), ends);
  pushed(machine, [mp], bytes, { prerequisites });
  assert.equal(await run(machine, ['/skipprereq:four.exe']), 0);
  assert.deepEqual(ran, ['one.exe /quiet']);
  assert.equal(machine.files.has('c:\\windows\\ccmsetup\\one.exe'), false, 'what was only needed for it is cleared away');
  for (const [code, state, exit] of [
    [3010, 317, 7],
    [1603, 301, 9],
  ] as const) {
    ends = code;
    pushed(machine, [mp], payload(700, String(code)), { prerequisites }, `2.0.${code}`);
    assert.equal(await run(machine), exit);
    assert.equal(mp.states.at(-1)!.stateId, state);
  }
});

test('a new version that starts and ends again at once leaves the older one running', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  await run(machine);
  const newer = payload(5000, 'crashes');
  pushed(machine, [mp], newer, {}, '2.0.0');
  let starts = 0;
  machine.onStart = (m) => {
    // Two seconds after its start it is gone.
    if (++starts === 1) m.clock.after(2000, () => void (m.services.get('ccmexec')!.state = 'stopped'));
    return 'runs';
  };
  assert.equal(await run(machine), 6);
  assert.deepEqual([machine.serviceState('CcmExec'), starts], ['running', 2]);
  assert.deepEqual(machine.files.get(layout.agentFile.toLowerCase())!.bytes, bytes);
  assert.equal((await readInstalled(machine.program(SETUP)))?.version, '1.0.0');
  assert.equal(mp.states.at(-1)!.stateId, 313);
});

test('/? prints what there is and does nothing', async () => {
  const machine = new Machine();
  assert.equal(await run(machine, ['/?']), 0);
  assert.ok(machine.printed.some((line) => line.includes('/skipprereq')));
  assert.equal(machine.files.size, 0);
});
