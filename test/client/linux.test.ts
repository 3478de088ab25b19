import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { buildBundle } from '#client/bundle';
import { writeLinuxPackage } from '#client/linux';
import { placeOf } from '#client/machine';
import { layout } from '#client/host';
import { HonestMp } from '#test/honest-mp';
import { LinuxTarget } from '#test/linux-push';
import { need } from '#test/need';
import { SECRET, payload } from '#test/target';

const ids = (mp: HonestMp) => mp.states.map((s) => s.stateId);
const junk = payload(300_000);
/** Where an agent ends at once, a busy machine needs time to see it. */
const PATIENT = { PUSHPOINT_LOOK_SECONDS: '1' };

async function until(holds: () => boolean, what: string): Promise<void> {
  const end = systemClock.monotonic() + 60_000;
  while (!holds()) {
    assert.ok(systemClock.monotonic() < end, what);
    await systemClock.sleep(50);
  }
}

/** fails pushes something that cannot come to its end, and gives return code and target. */
async function fails(t: TestContext, change: Parameters<LinuxTarget['push']>[2] = {}, args: string[] = []) {
  const target = new LinuxTarget(t);
  const mp = await HonestMp.start(t, systemClock);
  target.push([mp], junk, change);
  return { code: await target.run(args), mp, target };
}

for (const shell of [['dash'], ['busybox', 'sh'], ['bash', '--posix']])
  test(`${shell.join(' ')} reads the bootstrap for Linux`, shell[0] === 'busybox' ? need('busybox') : {}, () => {
    assert.equal(spawnSync(shell[0]!, [...shell.slice(1), '-n', 'client/linux/ccmsetup.sh'], { encoding: 'utf8' }).stderr, '');
  });

for (const shell of [['dash'], ['busybox', 'sh']])
  test(
    `pushed, installed, registered with the token, heard, and removed without a trace (${shell[0]})`,
    need('curl', ...(shell[0] === 'busybox' ? (['busybox'] as const) : [])),
    async (t) => {
      const target = new LinuxTarget(t);
      const mp = await HonestMp.start(t, systemClock);
      mkdirSync(join(target.root, 'etc'));
      for (const folder of ['opt', 'run', 'var/lib', 'var/log']) mkdirSync(join(target.root, folder), { recursive: true });
      writeFileSync(join(target.root, 'etc/hosts'), '127.0.0.1 localhost\n');
      const before = target.everything();
      target.push([mp], await buildBundle('machine'));
      let cuts = 0;
      mp.before = (request, response) => {
        if (request.url!.includes('/CCM_Client/') && cuts++ < 2) {
          const write = response.end.bind(response);
          response.end = ((chunk: Uint8Array) => (
            response.write(chunk.subarray(0, chunk.length >> 1), () => response.destroy()),
            response
          )) as typeof write;
        }
        return false;
      };
      assert.equal(await target.run([], shell), 0, target.log);
      await until(() => ids(mp).includes(700), target.text('var/log/pushpoint-client/CcmExec.log'));
      assert.deepEqual([mp.registrations[0]!.tokenId, mp.registrations[0]!.clientVersion], ['token-1_0_0', '1.0.0']);
      assert.deepEqual(
        ids(mp).toSorted((a, b) => a - b),
        [100, 400, 500, 700],
      );
      assert.match(target.log, /Download was cut at \d+ of/);
      assert.ok(mp.asked.some((one) => one.headers.range !== undefined));
      // The token is nowhere, and nobody but root reads what the agent knows.
      for (const [path] of target.everything())
        if (statSync(join(target.root, path)).isFile()) assert.ok(!target.text(path).includes(SECRET), path);
      assert.equal(statSync(join(target.root, 'var/lib/pushpoint-client')).mode & 0o077, 0);
      assert.equal(statSync(join(target.root, 'var/lib/pushpoint-client/client.key')).mode & 0o077, 0);
      // With a key of its own it says what comes later signed: that it was begun again, and how that ended.
      const first = mp.states.length;
      target.push([mp], junk, { requires: { architectures: ['sparc'] }, registration: undefined }, '2.0.0');
      assert.equal(await target.run([], shell), 9);
      assert.deepEqual(
        mp.states
          .slice(first)
          .map(({ stateId, signed, exitCode, clientVersion, guid }) => [stateId, signed, exitCode, clientVersion, guid]),
        [
          [100, true, undefined, '2.0.0', [...mp.clients.keys()][0]],
          [319, true, 9, '2.0.0', [...mp.clients.keys()][0]],
        ],
      );
      assert.equal(await target.run(['/uninstall'], shell), 0);
      assert.deepEqual(
        mp.farewells.map((f) => f.reason),
        ['uninstall'],
      );
      assert.deepEqual(target.everything(), before);
    },
  );

test(
  'the same version is not fetched again; a newer one replaces it; one that ends again at once is taken back',
  need('curl'),
  async (t) => {
    const target = new LinuxTarget(t, PATIENT);
    const mp = await HonestMp.start(t, systemClock);
    const agent = Buffer.from(await buildBundle('machine'));
    target.push([mp], agent);
    assert.equal(await target.run(), 0, target.log);
    mp.asked.length = 0;
    assert.equal(await target.run(), 0);
    assert.equal(mp.asks('/CCM_Client').length, 0);
    const newer = Buffer.concat([agent, Buffer.from('\n//newer')]);
    target.push([mp], newer, {}, '1.1.0');
    assert.equal(await target.run(), 0, target.log);
    assert.equal(JSON.parse(target.text('var/lib/pushpoint-client/installed.json')).version, '1.1.0');
    target.push([mp], Buffer.from('process.exit(3)'), {}, '1.2.0');
    assert.equal(await target.run(), 6);
    assert.equal(mp.states.at(-1)!.stateId, 313);
    assert.equal(JSON.parse(target.text('var/lib/pushpoint-client/installed.json')).version, '1.1.0');
    assert.deepEqual(readFileSync(join(target.root, 'opt/pushpoint-client/CcmExec.mjs')), newer);
    const pid = Number(target.text('run/pushpoint-client.pid'));
    assert.ok(process.kill(pid, 0));
  },
);

test(
  'of a mobileclient.tcf that is UTF-16 no token is left either, and while it is there only root reads it',
  need('curl'),
  async (t) => {
    const target = new LinuxTarget(t);
    const mp = await HonestMp.start(t, systemClock);
    const { payload } = target.push([mp], junk);
    const seen = join(target.root, 'seen');
    const command = `stat -c %a mobileclient.tcf >${seen}`;
    target.push([mp], junk, { properties: 'WHERE=M\u00fcnchen', payload: { ...payload, command } });
    assert.equal(await target.run(), 0, target.log);
    assert.equal(target.text('seen'), '600\n');
    for (const name of readdirSync(target.folder))
      for (const encoding of ['utf8', 'utf16le'] as const)
        if (name.startsWith('mobileclient')) assert.ok(!readFileSync(join(target.folder, name), encoding).includes(SECRET), name);
  },
);

test('an upgrade that the policy asks for comes to its end by itself', need('curl'), async (t) => {
  const target = new LinuxTarget(t);
  const mp = await HonestMp.start(t, systemClock);
  const agent = Buffer.from(await buildBundle('machine'));
  target.push([mp], agent);
  assert.equal(await target.run(), 0, target.log);
  await until(() => mp.clients.size === 1, 'registered');
  const newer = Buffer.concat([agent, Buffer.from('\n//newer')]);
  const script = readFileSync('client/linux/ccmsetup.sh');
  const files = [
    { name: 'ccmsetup.sh', bytes: script },
    { name: 'CcmExec-2.mjs', bytes: newer },
  ].map(({ name, bytes }) => {
    mp.files.set(name, bytes);
    return { name, sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length };
  });
  mp.policy = { revision: 'up', upgrade: { version: '2.0.0', files } };
  mp.prove = { token: SECRET, guid: [...mp.clients.keys()][0]! };
  // The next start of the agent asks soon.
  spawnSync('sh', [join(target.root, 'opt/pushpoint-client/service.sh'), 'restart']);
  await until(
    () => mp.heartbeats.at(-1)?.clientVersion === '2.0.0',
    `${target.text('var/log/pushpoint-client/PolicyAgent.log')}${target.log}`,
  );
  await until(() => (target.log.match(/return code 0/g)?.length ?? 0) === 2, target.log);
  assert.equal(JSON.parse(target.text('var/lib/pushpoint-client/installed.json')).version, '2.0.0');
  assert.equal(mp.clients.size, 1);
});

test('a runtime package is brought first where no node is, and a present one is taken otherwise', need('curl'), async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pushpoint-runtime-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'node/bin'), { recursive: true });
  writeFileSync(join(folder, 'node/bin/node'), `#!/bin/sh\nexec ${process.execPath} "$@"\n`, { mode: 0o755 });
  spawnSync('tar', ['-czf', join(folder, 'node.tar.gz'), '-C', folder, 'node']);
  const runtime = readFileSync(join(folder, 'node.tar.gz'));
  const prerequisites = [
    {
      file: 'node.tar.gz',
      sha256: createHash('sha256').update(runtime).digest('hex'),
      size: runtime.length,
      command: 'tar -xzf node.tar.gz -C "$CLIENT_FOLDER"',
      check: 'node:24',
    },
  ];
  const agent = await buildBundle('machine');
  for (const [PATH, asked] of [
    ['/usr/bin:/bin', 1],
    [process.env['PATH']!, 0],
  ] as const) {
    const target = new LinuxTarget(t, { PATH });
    const mp = await HonestMp.start(t, systemClock);
    mp.files.set('node.tar.gz', runtime);
    target.push([mp], agent, { prerequisites });
    const code = await target.run();
    // A machine with a node of its own in /usr/bin needs no runtime either.
    if (asked === 1 && mp.asks('/CCM_Client').every((one) => !one.path.endsWith('node.tar.gz'))) continue;
    assert.equal(code, 0, target.log);
    assert.equal(mp.asked.filter((one) => one.path.endsWith('node.tar.gz')).length, asked);
  }
});

test(
  'other bytes than the hash says: 10 and state 325; a wrong command line: 6 and 307; another processor: 9 and 319',
  need('curl'),
  async (t) => {
    const wrong = await fails(t, {
      payload: { file: 'CcmExec-1.0.0.mjs', sha256: 'ab'.repeat(32), size: junk.length, version: '1.0.0' },
    });
    assert.deepEqual([wrong.code, wrong.mp.states.at(-1)!.stateId, wrong.mp.states.at(-1)!.exitCode], [10, 325, 10]);
    for (const args of [['/instal'], ['/retry:0'], ['/mp:ftp://x'], ['x'], ['A="=1'], ['/BITSPriority:SOON']]) {
      const line = await fails(t, {}, args);
      assert.deepEqual([line.code, line.mp.states.at(-1)!.stateId, line.mp.asks('/CCM_Client').length], [6, 307, 0], args[0]);
    }
    const system = await fails(t, { requires: { architectures: ['sparc'] } });
    assert.deepEqual([system.code, system.mp.states.at(-1)!.stateId, system.mp.asks('/CCM_Client').length], [9, 319, 0]);
    const disk = await fails(t, { requires: { freeBytes: 900_000_000_000_000 } });
    assert.deepEqual([disk.code, disk.mp.states.at(-1)!.stateId], [9, 312]);
    assert.match(disk.target.log, /exiting with return code 9\]LOG\]!>/);
  },
);

test(
  'a dead point and one that does not have the file are passed over; nobody having it ends with 6 and 308',
  need('curl'),
  async (t) => {
    const target = new LinuxTarget(t, PATIENT);
    const [empty, full] = [await HonestMp.start(t, systemClock), await HonestMp.start(t, systemClock)];
    target.push(['http://127.0.0.1:1', empty, full], Buffer.from('process.exit(3)'));
    empty.files.clear();
    assert.equal(await target.run(), 6);
    // It is no agent, but it was downloaded from the third and judged right.
    assert.match(target.log, /Hash of CcmExec-1\.0\.0\.mjs is right/);
    full.files.clear();
    full.states.length = 0;
    target.push([empty, full], junk, {}, '3.0.0');
    for (const mp of [empty, full]) mp.files.clear();
    assert.equal(await target.run(['/retry:2', '/downloadtimeout:1', '/forceinstall']), 6);
    assert.ok([...ids(empty), ...ids(full)].includes(308));
  },
);

test('https: the pinned certificate and its key only, and nothing is sent to another', need('curl', 'openssl'), async (t) => {
  const mp = await HonestMp.start(t, systemClock, 'https');
  const { pin } = mp.certificate!;
  const [other, another] = ['ab'.repeat(32), 'cd'.repeat(32)];
  for (const [certificatePins, code] of [
    [[pin], 10],
    [[other], 6],
    [[other, pin], 10],
    [[pin, other], 10],
    [[other, another], 6],
  ] as const) {
    const target = new LinuxTarget(t);
    mp.asked.length = 0;
    const wrongBytes = { file: 'CcmExec-1.0.0.mjs', sha256: 'cd'.repeat(32), size: junk.length, version: '1.0.0' };
    target.push([mp], junk, { certificatePins: [...certificatePins], payload: wrongBytes });
    assert.equal(await target.run(), code, target.log);
    assert.equal(mp.asked.length > 0, code === 10);
  }
});

test('wget does where curl is not', need('wget'), async (t) => {
  const tools = mkdtempSync(join(tmpdir(), 'pushpoint-tools-'));
  t.after(() => rmSync(tools, { recursive: true }));
  const target = new LinuxTarget(t, PATIENT);
  const mp = await HonestMp.start(t, systemClock);
  target.push([mp], Buffer.from('process.exit(3)'));
  // The script puts the system's folders first, so curl is hidden by a copy of the script that does not.
  const script = readFileSync(join(target.folder, 'ccmsetup.sh'), 'utf8');
  for (const tool of [
    'wget',
    'sh',
    'cat',
    'tr',
    'cut',
    'sed',
    'awk',
    'head',
    'od',
    'wc',
    'sha256sum',
    'mkdir',
    'rm',
    'mv',
    'cp',
    'date',
    'uname',
    'df',
    'grep',
    'chmod',
    'sleep',
    'setsid',
    'tail',
    'printf',
    'kill',
  ])
    for (const folder of ['/usr/bin', '/bin']) {
      try {
        statSync(join(folder, tool));
        symlinkSync(join(folder, tool), join(tools, tool));
      } catch {
        // Not there, or linked already.
      }
    }
  writeFileSync(join(target.folder, 'ccmsetup.sh'), script.replace(/^PATH=.*$/m, `PATH=${tools}`));
  assert.equal(await target.run(['/skipprereq:none']), 9, target.log);
  assert.match(target.log, /Hash of CcmExec-1\.0\.0\.mjs is right/);
  assert.deepEqual([mp.states.at(-1)!.stateId, ids(mp)[0]], [320, 100]);
});

test('the package that is built has all its files, and its runtime is a prerequisite', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pushpoint-package-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'node-24-x64.tar.gz'), 'x');
  const path = await writeLinuxPackage(join(folder, 'out'), '0.1.0', {
    path: join(folder, 'node-24-x64.tar.gz'),
    architecture: 'x64',
  });
  const definition = JSON.parse(readFileSync(path, 'utf8'));
  for (const { file } of [definition.bootstrap, definition.payload, ...definition.prerequisites])
    statSync(join(folder, 'out', file));
  assert.equal(definition.prerequisites[0].command, 'tar -xzf node-24-x64.tar.gz -C "$CLIENT_FOLDER"');
});

test('the agent finds on Linux what its layout names, and nothing else', () => {
  for (const [name, path] of Object.entries(layout))
    if (path.startsWith('C:')) assert.match(placeOf(path, '/r'), /^\/r\/(?:var\/(?:lib|log)|etc)\/pushpoint-/, name);
  assert.throws(() => placeOf('C:\\Windows\\System32\\cmd.exe', ''), { code: 'ENOENT' });
});
