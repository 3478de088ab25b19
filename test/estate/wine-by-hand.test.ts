import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { buildNative } from '#client/native';
import { systemClock } from '#base/clock';
import { writeMobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { cases, plainTcf, serve, wantedOf } from '#test/setup-cases';
import { outcomeOf, type SetupOutcome } from '#test/setup-outcome';
import { testPoint, wineMachine } from '#test/wine-machine';
import type { TestPoint } from '#test/wine-point';
import { LOG, PAYLOAD, PROGRAM, TAKEN, TCF, VERSION, payloadOf } from '#test/wine-setup';

/** ccmsetup.exe as a person starts it, on a machine of Wine. */

const { peers, wine, setup } = wineMachine();
const point = (t: TestContext) => testPoint(t);

const configOf = (mp: TestPoint) => ({
  properties: '',
  site: 'P01',
  managementPoints: [mp.url],
  payload: payloadOf(PAYLOAD),
  fallbackStatusPoint: mp.url,
});

test('started from anywhere it copies itself, becomes a service, and that does the work', peers, async (t) => {
  const mp = await point(t);
  for (const folder of ['windows/ccmsetup', 'windows/CCM']) wine.remove(folder);
  wine.put('media/ccmsetup.exe', readFileSync(buildNative(VERSION).files['ccmsetup.exe']));
  wine.put('media/ours.tcf', writeMobileClient(configOf(mp)));
  const { code, out } = await wine.run(String.raw`C:\media\ccmsetup.exe`, '/config:ours.tcf', '/retry:3', 'SMSSITECODE=Q02');
  assert.equal(code, 0, out);
  assert.match(out, /ccmsetup works as a service now/);
  await wine.eventually('the run to end', () => /return code/.test(wine.text(LOG)));
  setup.told('CcmSetup is exiting with return code 0');
  assert.ok(wine.has(TAKEN));
  assert.deepEqual(mp.ids, [100, 400]);
  assert.equal(mp.states.at(-1)!.site, 'Q02', 'its arguments went with it');
  await wine.eventually('the service to be gone', async () => (await wine.service('ccmsetup')) === undefined);
});

test('/logon does nothing where a client is installed: 0, state 104', peers, async (t) => {
  const mp = await point(t);
  setup.lay(configOf(mp));
  await wine.run('sc.exe', 'create', 'CcmExec', 'binPath=', String.raw`C:\windows\system32\svchost.exe`, 'start=', 'demand');
  t.after(() => wine.run('sc.exe', 'delete', 'CcmExec'));
  assert.equal(await setup.byHand('/logon'), 0);
  assert.deepEqual(mp.ids, [104]);
  assert.ok(!wine.has(TAKEN));
});

test('a file that is not there, or damaged: 6; one with a token for another machine is used without it', peers, async (t) => {
  const mp = await point(t);
  setup.lay(configOf(mp));
  assert.equal(await setup.byHand('/config:none.tcf'), 6);
  setup.told(/^mobileclient\.tcf cannot be used: C:\\windows\\ccmsetup\\none\.tcf is not there$/i);
  wine.put(TCF, '[Site]\r\nSiteCode=P01\r\n');
  assert.equal(await setup.byHand(), 6);
  setup.told('mobileclient.tcf cannot be used: it names no management point ([Site] MP)');
  const registration = {
    machine: 'SOMEBODY',
    tokenId: 'token-0001',
    token: 'a-secret-of-another-1',
    expires: '2099-01-01T00:00:00.000Z',
  };
  setup.lay({ ...configOf(mp), registration });
  assert.equal(await setup.byHand(), 0);
  setup.told('The registration token was made for SOMEBODY; it is not used');
  assert.ok(!wine.has('windows/CCM/registration.token'));
  assert.deepEqual(mp.ids, [100, 400], 'told to the fallback status point, unsigned');
});

test('a file in UTF-16, as an editor of Windows writes it, with names in other letters, goes through whole', peers, async (t) => {
  const mp = await point(t);
  setup.lay(configOf(mp));
  const command = 'cmd.exe /c copy payload.bin taken.bin & rem Prüfgerät';
  wine.put(TCF, writeMobileClient({ ...configOf(mp), payload: payloadOf(PAYLOAD, { command }) }));
  assert.deepEqual([...readFileSync(wine.path(TCF)).subarray(0, 2)], [0xff, 0xfe]);
  assert.equal(await setup.byHand(), 0);
  const handed = readFileSync(wine.path('windows/CCM/mobileclient.tcf'));
  assert.match(handed.toString('utf16le'), /^\ufeff\[Client Install\][\s\S]*Command=cmd\.exe .* rem Prüfgerät\r\n/);
});

test('RESETKEYINFORMATION=TRUE takes the key away, and the SMSID stays; without it both stay', peers, async (t) => {
  const mp = await point(t);
  const keys = ['client.key', 'site.key', 'client.json'].map((name) => `windows/CCM/${name}`);
  setup.lay(configOf(mp));
  for (const path of [...keys, 'windows/SMSCFG.INI']) wine.put(path, 'x');
  assert.equal(await setup.byHand('RESETKEYINFORMATION=FALSE'), 0);
  assert.deepEqual(
    keys.filter((path) => wine.has(path)),
    keys,
  );
  assert.equal(await setup.byHand('/forceinstall', 'RESETKEYINFORMATION=true'), 0);
  assert.deepEqual(
    keys.filter((path) => wine.has(path)),
    [],
  );
  assert.ok(wine.has('windows/SMSCFG.INI'));
  wine.remove('windows/SMSCFG.INI');
});

test('every case that both programs called ccmsetup are held to (test/client/ccmsetup-cases.test.ts)', peers, async (t) => {
  const seen: Record<string, SetupOutcome> = {};
  const wanted: Record<string, SetupOutcome> = {};
  for (const [title, one] of Object.entries(cases)) {
    const kind = one.https ? 'https' : 'http';
    const mp = await HonestMp.start(t, systemClock, kind);
    const other = await HonestMp.start(t, systemClock, kind);
    serve(mp);
    one.mp?.(mp);
    setup.lay({ ...plainTcf(mp, wine.name), ...one.tcf?.(mp, other) });
    if (one.edit) wine.put(TCF, Buffer.from(one.edit(wine.text(TCF))));
    for (const [path, bytes] of Object.entries(one.files ?? {})) wine.put(path, bytes);
    const args = (one.args ?? []).map((argument) => argument.replace('@', mp.url));
    const { code } = await wine.run(PROGRAM, '/noservice', ...args);
    for (const path of Object.keys(one.files ?? {})) wine.remove(path);
    seen[title] = outcomeOf(mp, code ?? undefined, one.elsewhere && other);
    wanted[title] = wantedOf(one);
  }
  assert.deepEqual(seen, wanted);
});
