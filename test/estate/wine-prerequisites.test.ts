import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { testPoint, wineMachine } from '#test/wine-machine';
import { closedPort, PAYLOAD, payloadOf, sha256, TAKEN } from '#test/wine-setup';

/** What ccmsetup.exe asks of a machine before it brings anything, what it installs first, and whose settings win, on a machine of Wine. */

const { peers, wine, setup } = wineMachine();
const PREREQUISITE = Buffer.from('MZ not run by itself: the command names it');

const reg = (...args: string[]) => wine.run('reg.exe', ...args);

test('another system or architecture than the package is for: 9, state 319, unless the check is skipped', peers, async (t) => {
  const mp = await testPoint(t, PAYLOAD);
  const config = { managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: mp.url };
  setup.lay({ ...config, requires: { minimumBuild: 99_999 } });
  assert.equal(await setup.byHand(), 9);
  setup.told(/^the operating system is not supported: build \d+, the package needs 99999$/);
  setup.lay({ ...config, requires: { architectures: ['arm64', 'x86'] } });
  assert.equal(await setup.byHand(), 9);
  setup.told('the operating system is not supported: architecture x64, the package needs arm64;x86');
  assert.deepEqual(mp.ids, [100, 319, 100, 319]);
  assert.equal(mp.states.at(-1)!.exitCode, 9);
  assert.equal(await setup.byHand('/skipprereq:OS'), 0);
  setup.lay({ ...config, requires: { minimumBuild: 7601, architectures: ['x64'], windowsInstaller: 301 } });
  assert.equal(await setup.byHand(), 0);
});

test(
  'Windows Installer too old: 9, state 320; a restart that is pending, where the package minds: 7, state 317',
  peers,
  async (t) => {
    const mp = await testPoint(t, PAYLOAD);
    const config = { managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: mp.url };
    setup.lay({ ...config, requires: { windowsInstaller: 9900 } });
    assert.equal(await setup.byHand(), 9);
    setup.told(/Windows Installer is \d+\.\d+, 99\.00 is needed$/);
    const pending = String.raw`HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending`;
    await reg('add', pending, '/f');
    t.after(() => reg('delete', pending, '/f'));
    setup.lay({ ...config, requires: { noRestartPending: true } });
    await setup.asService();
    await wine.eventually('the service to have stopped', async () => (await wine.service('ccmsetup'))?.state === 'stopped');
    // It stays, so that it goes on after the restart, and tells in the words of Windows what it waits for.
    assert.equal((await wine.service('ccmsetup'))?.win32, 3010);
    assert.equal(setup.lines().at(-1), 'CcmSetup is exiting with return code 7');
    assert.deepEqual(mp.ids, [100, 320, 100, 317]);
    setup.lay(config);
    assert.equal(await setup.byHand(), 0, 'a package that does not mind');
    assert.equal(await wine.service('ccmsetup'), undefined);

    setup.lay({ ...config, payload: payloadOf(PAYLOAD, { command: undefined! }) });
    mp.asked.length = 0;
    assert.equal(await setup.byHand(), 9, 'what it cannot run it does not fetch');
    setup.told(/payload\.bin is no file of Windows Installer, and the package has no command that installs it$/);
    assert.ok(!mp.asked.some((line) => line.startsWith('GET')), mp.asked.join());
    assert.deepEqual(mp.ids.slice(-2), [100, 320]);
  },
);

test('a prerequisite is fetched, verified and installed first, once; one that fails ends it with 9', peers, async (t) => {
  const mp = await testPoint(t, PAYLOAD);
  const folder = wine.path('share');
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/first.bin`, PREREQUISITE);
  writeFileSync(`${folder}/payload.bin`, PAYLOAD);
  const one = {
    file: 'first.bin',
    sha256: sha256(PREREQUISITE),
    size: PREREQUISITE.length,
    command: String.raw`cmd.exe /c echo x>>C:\first.txt`,
    check: String.raw`%SystemDrive%\first.txt`,
  };
  const config = {
    managementPoints: [`http://127.0.0.1:${await closedPort()}`],
    payload: payloadOf(PAYLOAD),
    fallbackStatusPoint: mp.url,
  };
  setup.lay({ ...config, prerequisites: [one] });
  assert.equal(
    await setup.byHand(String.raw`/source:C:\nowhere`, String.raw`/source:C:\share`),
    0,
    'from a folder, with no management point at all',
  );
  setup.told(/^the source C:\\nowhere\\first\.bin cannot be read \(\d+\)$/);
  setup.told('Installing the prerequisite first.bin');
  assert.ok(wine.has(TAKEN));
  setup.lay({ ...config, prerequisites: [one] });
  assert.equal(await setup.byHand(String.raw`/source:C:\share`), 0);
  setup.told('The prerequisite first.bin is there already');
  assert.equal(wine.text('first.txt').trim(), 'x', 'installed once');
  const { check: _, ...always } = one;
  setup.lay({ ...config, prerequisites: [{ ...always, command: 'cmd.exe /c exit 5' }] });
  assert.equal(await setup.byHand(String.raw`/source:C:\share`), 9);
  setup.told('the prerequisite first.bin could not be installed: it ended with 5');
  assert.ok(!wine.has(TAKEN));
  assert.equal(await setup.byHand(String.raw`/source:C:\share`, '/skipprereq:first.bin'), 0);
  setup.lay({ ...config, prerequisites: [{ ...always, command: 'cmd.exe /c exit 3010' }] });
  assert.equal(await setup.byHand(String.raw`/source:C:\share`), 7);
  assert.deepEqual(
    mp.ids.filter((id) => id !== 100),
    [400, 400, 301, 400, 317],
  );
});

test('whose settings win: the command line, then group policy, then mobileclient.tcf', peers, async (t) => {
  const key = String.raw`HKLM\SOFTWARE\Policies\Microsoft\ccmsetup`;
  const mp = await testPoint(t, PAYLOAD);
  const fsp = await testPoint(t, PAYLOAD);
  const dead = `http://127.0.0.1:${await closedPort()}`;
  setup.lay({
    managementPoints: [dead],
    payload: payloadOf(PAYLOAD),
    fallbackStatusPoint: mp.url,
    properties: 'SMSSITECODE=P01',
  });
  await reg('add', key, '/v', 'SetupParameters', '/d', `/mp:${mp.url} SMSSITECODE=Q02 FSP=127.0.0.1:${fsp.port}`, '/f');
  t.after(() => reg('delete', key, '/f'));
  const installed = () => (JSON.parse(wine.text('windows/CCM/installed.json')) as { site: string }).site;
  assert.equal(await setup.byHand(), 0, 'the management point of the policy');
  setup.told('Installation properties of the policy are used');
  assert.equal(installed(), 'Q02');
  assert.deepEqual([fsp.ids, mp.ids], [[100, 400], []], 'the fallback status point of the policy');
  assert.match(wine.text('windows/CCM/mobileclient.tcf'), /^Install=INSTALL=ALL SMSSITECODE=Q02 FSP=127\.0\.0\.1:\d+\r$/m);
  assert.equal(await setup.byHand('/forceinstall', 'SMSSITECODE=R03'), 0);
  assert.equal(installed(), 'R03', 'the command line');
  assert.deepEqual(
    mp.ids,
    [100, 400],
    'and nothing of the policy beside its properties: the fallback status point is that of the file',
  );
});
