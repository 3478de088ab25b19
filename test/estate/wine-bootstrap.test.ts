import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { systemClock } from '#base/clock';
import { selfMade } from '#test/certificate';
import { need } from '#test/need';
import { TestSite } from '#test/points';
import { testPoint, wineMachine } from '#test/wine-machine';
import { closedPort, LOG, msiOf, PAYLOAD, payloadOf, sha256, TAKEN, TCF, VERSION } from '#test/wine-setup';

/** The bootstrap in C, alone, on a machine of Wine: our own management point, and what can go wrong on the way. */

const { peers, wine, setup } = wineMachine();

const serviceGone = async () => (await wine.service('ccmsetup')) === undefined;

test(
  'as a service: downloads from our management point, verifies, installs, tells the site, removes itself',
  peers,
  async (t) => {
    const site = await TestSite.make(t);
    const { url } = await site.managementPoint();
    await site.know(wine.name);
    const stored = await site.parts.content.put(PAYLOAD);
    const definition = {
      name: 'whole',
      version: VERSION,
      platform: 'windows',
      bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
      payload: { file: 'payload.bin' },
      verify: { service: 'CcmExec' },
    };
    const files = ['payload.bin', 'ccmsetup.exe'].map((name) => ({ name, ...stored }));
    await site.records.package.add(definition, files, 'test');
    const expires = '2099-01-01T00:00:00.000Z';
    const token = await site.records.client.issueToken({ name: wine.name, domain: 'CORP', expiresAt: new Date(expires) });
    const registration = { machine: wine.name, tokenId: token.id, token: token.secret, expires };
    setup.lay({ managementPoints: [url], payload: payloadOf(PAYLOAD), registration });
    await setup.asService();
    await wine.eventually('the run to end', () => /return code/.test(wine.text(LOG)));
    setup.told('CcmSetup is exiting with return code 0');
    setup.told(`Hash of payload.bin is right: ${sha256(PAYLOAD)}`);
    assert.deepEqual(readFileSync(wine.path(TAKEN)), PAYLOAD);
    const states = await site.records.client.statesOf({ name: wine.name });
    const wanted = [400, 100].map((stateId) => [stateId, true]);
    assert.deepEqual(
      states.map((s) => [s.stateId, s.proven]),
      wanted,
    );
    await wine.eventually('the service to be gone', serviceGone);
    assert.ok(!wine.text(TCF).includes(token.secret), 'the token does not stay in the file');
  },
);

test('1. a download that is cut goes on where it stopped, and the whole file is verified', peers, async (t) => {
  let cuts = 0;
  const mp = await testPoint(t, PAYLOAD, {
    misbehave: (_request, answer, body) => {
      if (cuts++ > 0) return false;
      answer.writeHead(200, { 'content-length': body.length });
      answer.write(body.subarray(0, 1_234_567), () => answer.destroy());
      return true;
    },
  });
  setup.lay({ managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: mp.url });
  assert.equal(await setup.byHand(), 0);
  setup.told(/^Download was cut at \d+ of 3000000 bytes: .*(ended early|was cut)/);
  const again = mp.asked.filter((line) => line.includes('bytes='));
  assert.match(again[0] ?? '', /^GET \/CCM_Client\/[0-9a-f]{64}\/payload\.bin bytes=[1-9]\d*-$/, JSON.stringify(mp.asked));
  assert.deepEqual(mp.ids, [100, 400]);
  assert.equal(new Set(mp.states.map(({ topicId }) => topicId)).size, 1, 'one TopicId per run');
  assert.deepEqual(readFileSync(wine.path(TAKEN)), PAYLOAD);
});

for (const [id, how, share, ended] of [
  ['1b', 'while it comes slowly', 0.5, /told to stop\]LOG[\s\S]*return code 6/],
  ['1c', 'while nothing comes any more', 0.02, /told to stop; a request that hangs is left, return code 6/],
] as const)
  test(
    `${id}. stopped in the middle of a download, ${how}, it goes on from there when its service is started again`,
    peers,
    async (t) => {
      let [isFirst, isSilent] = [true, false];
      const mp = await testPoint(t, PAYLOAD, {
        misbehave: (_request, answer, body) => {
          if (!isFirst) return false;
          isFirst = false;
          answer.writeHead(200, { 'content-length': body.length });
          const drip = (at: number) => {
            isSilent = at > body.length * share;
            if (answer.destroyed || isSilent) return;
            answer.write(body.subarray(at, at + 20_000), () => systemClock.after(250, () => drip(at + 20_000)));
          };
          drip(0);
          return true;
        },
      });
      setup.lay({ managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: mp.url });
      await setup.asService();
      const part = `windows/ccmsetup/payload.bin.${sha256(PAYLOAD).slice(0, 16)}.part`;
      await wine.eventually('something to have come', () => wine.has(part) && statSync(wine.path(part)).size > 0);
      if (id === '1c') await wine.eventually('the point to be silent', () => isSilent);
      await wine.run('net.exe', 'stop', 'ccmsetup');
      await wine.eventually('the end', () => ended.test(wine.text(LOG)));
      await wine.eventually('stopped', async () => (await wine.service('ccmsetup'))?.state === 'stopped');
      const { size } = statSync(wine.path(part));
      assert.ok(size > 0 && size < PAYLOAD.length, `${size} bytes`);
      await wine.run('net.exe', 'start', 'ccmsetup');
      await wine.eventually('success', () => /return code 0/.test(wine.text(LOG)));
      assert.match(
        mp.asked.filter((line) => line.startsWith('GET'))[1] ?? '',
        new RegExp(` bytes=${size}-$`),
        mp.asked.join('\n'),
      );
      assert.deepEqual(readFileSync(wine.path(TAKEN)), PAYLOAD);
      await wine.eventually('the service to be gone', serviceGone);
    },
  );

test('2. other bytes than mobileclient.tcf names are never run: 10, state 325', peers, async (t) => {
  const other = Buffer.from(PAYLOAD);
  other[2_000_000]! ^= 1;
  const mp = await testPoint(t, other);
  setup.lay({ managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: mp.url });
  assert.equal(await setup.byHand(), 10);
  setup.told('payload.bin does not have the expected hash');
  assert.ok(!wine.has(TAKEN) && !wine.has('windows/ccmsetup/payload.bin'));
  assert.deepEqual(mp.ids, [100, 325]);
  const failed = mp.states.at(-1)!;
  assert.deepEqual([failed.exitCode, failed.detail], [10, 'payload.bin does not have the expected hash']);
  assert.match(failed.logTail!, /Downloading http/);
});

test(
  '3. another certificate than the pinned one: nothing is fetched, 6, state 308; the right pin is enough',
  peers,
  async (t) => {
    const fsp = await testPoint(t, PAYLOAD);
    const tls = selfMade();
    const mp = await testPoint(t, PAYLOAD, { tls });
    const config = { managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: fsp.url };
    setup.lay({ ...config, certificatePins: [selfMade().pin, selfMade().pin] });
    assert.equal(await setup.byHand(), 6);
    setup.told(/shows another certificate than the one this client was told to expect$/);
    assert.deepEqual(fsp.ids, [100, 308]);
    assert.ok(!wine.has(TAKEN));
    setup.lay({ ...config, certificatePins: [selfMade().pin, tls.pin] });
    assert.equal(await setup.byHand(), 0);
    assert.deepEqual(fsp.ids, [100, 308, 100, 400]);
  },
);

test('4. TLS of an authority that the machine does not trust: told as that, 6, state 308', peers, async (t) => {
  const fsp = await testPoint(t, PAYLOAD);
  const mp = await testPoint(t, PAYLOAD, { tls: selfMade() });
  setup.lay({ managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: fsp.url });
  assert.equal(await setup.byHand('/retry:1', '/downloadtimeout:1'), 6);
  setup.told(/cannot be reached: .*(certificate|secure channel).*\(12\d{3}\)/);
  setup.told('payload.bin could not be downloaded from any management point within 1 minutes');
  assert.deepEqual(fsp.ids, [100, 101, 308]);
  assert.deepEqual(mp.asked, [], 'not one request was sent');
});

/** refusing makes a real installer file that refuses every machine. */
function refusing(): Buffer {
  const folder = wine.path('build');
  mkdirSync(folder, { recursive: true });
  const guid = (n: number) => `2F1C7A60-0000-4000-8000-00000000000${n}`;
  const wxs = `<?xml version="1.0"?><Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
    <Product Id="${guid(1)}" Name="Refuses" Language="1033" Version="1.0.0" Manufacturer="Test" UpgradeCode="${guid(2)}">
      <Package InstallerVersion="301" Compressed="yes"/><Media Id="1" Cabinet="a.cab" EmbedCab="yes"/>
      <Condition Message="not here">0 = 1</Condition>
      <Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="WindowsFolder" Name="Windows">
        <Component Id="A" Guid="${guid(3)}"><File Id="a" Name="a.txt" Source="a.txt" KeyPath="yes"/></Component>
      </Directory></Directory>
      <Feature Id="F" Level="1"><ComponentRef Id="A"/></Feature>
    </Product></Wix>`;
  writeFileSync(`${folder}/a.txt`, 'a');
  writeFileSync(`${folder}/a.wxs`, wxs);
  const built = spawnSync('wixl', ['-a', 'x64', '-o', 'a.msi', 'a.wxs'], { cwd: folder, encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  return readFileSync(`${folder}/a.msi`);
}

test('5. Windows Installer refuses with 1603: 6, state 313, and the code in the sentence', peers, async (t) => {
  const msi = refusing();
  const mp = await testPoint(t, msi);
  setup.lay({ managementPoints: [mp.url], payload: msiOf(msi), fallbackStatusPoint: mp.url, properties: 'SMSSITECODE=P01' });
  assert.equal(await setup.byHand(), 6);
  setup.told('Installer ended with 1603');
  setup.told('the installer of the client ended with 1603');
  assert.deepEqual(mp.ids, [100, 313]);
  const { exitCode, detail } = mp.states.at(-1)!;
  assert.deepEqual([exitCode, detail], [6, 'the installer of the client ended with 1603']);
  assert.ok(!wine.has('windows/CCM/installed.json'), 'the client does not count as installed');
});

test('6. a disk that is full before, and one that becomes full: 9, state 312', { ...peers, ...need('root') }, async (t) => {
  const mp = await testPoint(t, PAYLOAD);
  const config = { managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: mp.url };
  const folder = wine.path('windows/ccmsetup');
  setup.lay(config);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder], { encoding: 'utf8' });
  assert.equal(mounted.status, 0, mounted.stderr);
  t.after(() => spawnSync('umount', ['-l', folder]));
  setup.lay(config, { keep: true });
  assert.equal(await setup.byHand(), 9);
  setup.told(/^the system drive has \d+ bytes free, 16000000 are needed$/);
  assert.deepEqual(mp.ids, [100, 312]);
  assert.ok(!mp.asked.some((line) => line.startsWith('GET')), 'nothing was fetched in vain');
  assert.equal(await setup.byHand('/skipprereq:disk'), 9);
  assert.deepEqual(mp.ids, [100, 312, 100, 312]);
  assert.ok(mp.asked.some((line) => line.startsWith('GET')));
});

test('7. a management point that is dead is told, and the next one is asked: 0', peers, async (t) => {
  const mp = await testPoint(t, PAYLOAD);
  const dead = `http://127.0.0.1:${await closedPort()}`;
  setup.lay({ managementPoints: [dead, mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: mp.url });
  assert.equal(await setup.byHand(), 0);
  setup.told(new RegExp(`^the management point ${dead}/CCM_Client/.* cannot be reached: nobody listens there \\(12029\\)$`));
  assert.deepEqual(mp.ids, [100, 400]);
});

test(
  '8. stopped while it waits: ends at once, keeps its service, and a restart of the machine takes it up again',
  peers,
  async (t) => {
    const fsp = await testPoint(t, PAYLOAD);
    const port = await closedPort();
    setup.lay({ managementPoints: [`http://127.0.0.1:${port}`], payload: payloadOf(PAYLOAD), fallbackStatusPoint: fsp.url });
    await setup.asService();
    await wine.eventually('the wait', () => /Next retry in 10 minute/.test(wine.text(LOG)));
    assert.equal((await wine.service('ccmsetup'))?.state, 'running');
    await wine.run('net.exe', 'stop', 'ccmsetup');
    await wine.eventually('the end', () => /return code/.test(wine.text(LOG)));
    assert.deepEqual(setup.lines().slice(-2), ['ccmsetup was told to stop', 'CcmSetup is exiting with return code 6']);
    await wine.eventually('stopped', async () => (await wine.service('ccmsetup'))?.state === 'stopped');
    assert.deepEqual(fsp.ids, [100, 101]);
    await testPoint(t, PAYLOAD, { port });
    await wine.restart();
    await wine.eventually('success', () => /return code 0/.test(wine.text(LOG)));
    assert.deepEqual(fsp.ids, [100, 101, 100, 400]);
    await wine.eventually('the service to be gone', serviceGone);
  },
);

test(
  'a command line that is not known: 6, state 307; what is known is taken; a second run at the same time: 8',
  peers,
  async (t) => {
    const mp = await testPoint(t, PAYLOAD);
    const config = { managementPoints: [mp.url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: mp.url };
    setup.lay(config);
    assert.equal(await setup.byHand('/frobnicate'), 6);
    setup.told('ccmsetup does not know /frobnicate');
    assert.deepEqual(mp.ids, [307]);
    assert.equal(await setup.byHand('/BITSPriority:FOREGROUND', '/retry:5', 'SMSCACHESIZE=500'), 0);
    setup.lay({ ...config, managementPoints: [`http://127.0.0.1:${await closedPort()}`] });
    await setup.asService();
    await wine.eventually('the wait', () => /Next retry/.test(wine.text(LOG)));
    assert.equal(await setup.byHand(), 8);
    await wine.run('net.exe', 'stop', 'ccmsetup');
    await wine.run('sc.exe', 'delete', 'ccmsetup');
  },
);
