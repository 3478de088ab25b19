import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { main } from '#client/agent';
import { buildBundle } from '#client/bundle';
import { layout, type TargetHost } from '#client/host';
import { clearRuntimes, windowsHost } from '#client/machine';
import { buildNative } from '#client/native';
import { cabinet, readRuntime, writeAgentPackage } from '#client/windows';
import { type Heartbeat, type MobileClient, type Registration } from '#messages';
import { scratch } from '#test/scratch';
import { AGENT_LOG } from '#test/wine-agent';
import { wineMachine } from '#test/wine-machine';
import { sha256, VERSION } from '#test/wine-setup';

/**
 * The agent in TypeScript on Windows. Here it runs in this system's Node over a disk and programs of Wine: everything of Windows that it touches is
 * Wine's and CcmExec.exe's, only the runtime is not. (bin/windows-node runs all of it by a real node.exe, which is not fetched for the suite.)
 */
const { peers, wine, setup, agent } = wineMachine();
const MODULE = String.raw`C:\windows\CCM\CcmExec.mjs`;

/** host is the machine as the agent in TypeScript sees it; it waits for nothing that is spread by chance. */
function host(signal = new AbortController().signal, print: (line: string) => void = () => {}): TargetHost {
  const local = (path: string) => wine.path(path.replace(/^C:\\/i, '').replaceAll('\\', '/'));
  const run = (program: string, args: readonly string[], input?: Uint8Array) => wine.runNow(program, args, input);
  const whole = windowsHost({ signal, modulePath: MODULE, run, local });
  return Object.create(whole, {
    random: { value: { ...whole.random, fraction: () => 0, uuid: () => whole.random.uuid() } },
    print: { value: print },
  }) as TargetHost;
}

/** lives lets the agent in TypeScript run until something is so. */
async function lives(until: () => boolean): Promise<void> {
  const stop = new AbortController();
  let ended: number | undefined;
  const running = main(host(stop.signal), [], VERSION).then((code) => (ended = code));
  try {
    await wine.eventually(`the agent in TypeScript; its log:\n${agent.log()}`, () => until() || ended !== undefined, 45_000);
  } finally {
    stop.abort();
    await running;
  }
  assert.equal(ended, 0, agent.log());
}

function factsOf(message: Registration | Heartbeat): Partial<Heartbeat> {
  const { name, domain, fqdn, os, hardwareId, architecture, addresses } = message;
  return { name, domain, fqdn, os, hardwareId, architecture, addresses };
}

test('a machine is the same client when its agent changes from C to TypeScript and back', peers, async (t) => {
  const mp = await agent.pushed(t);
  const { guid } = agent.status();
  await lives(() => mp.heartbeats.length === 1);
  assert.deepEqual(factsOf(mp.heartbeats[0]!), factsOf(mp.registrations[0]!), 'both tell the same of the machine');
  assert.equal(mp.heartbeats[0]!.guid, guid);
  const lines: string[] = [];
  assert.equal(
    await main(
      host(undefined, (line) => lines.push(line)),
      ['status', '--json'],
      VERSION,
    ),
    1,
  );
  assert.deepEqual([JSON.parse(lines[0]!).guid, JSON.parse(lines[0]!).state], [guid, 'stopped']);

  // Without its key it makes another one, which the agent in C reads.
  wine.remove('windows/CCM/client.key');
  await lives(() => mp.registrations.length === 2 && agent.status().state === 'registered');
  assert.deepEqual([mp.registrations[1]!.guid, mp.registrations[1]!.hardwareId], [guid, mp.registrations[0]!.hardwareId]);
  assert.notEqual(mp.registrations[1]!.publicKey, mp.registrations[0]!.publicKey);
  assert.equal(statSync(wine.path('windows/CCM/client.key')).mode & 0o007, 0, 'only LocalSystem and administrators read it');
  const before = mp.heartbeats.length;
  await agent.lives(() => mp.heartbeats.length > before);
  assert.deepEqual([mp.registrations.length, mp.heartbeats.at(-1)!.guid], [2, agent.status().guid]);
});

test('services, secrets and runtimes on Windows', peers, async (t) => {
  await agent.furnish(t);
  const machine = host();
  const { services } = machine;
  assert.equal(await services.status('ppx'), undefined);
  const wish = { name: 'ppx', displayName: 'ppx', binaryPath: '"C:\\a folder\\x.exe" /go', startType: 'demand' } as const;
  await services.create(wish);
  assert.equal(await services.status('ppx'), 'stopped');
  const key = String.raw`HKLM\SYSTEM\CurrentControlSet\Services\ppx`;
  assert.match((await wine.run('reg.exe', 'query', key, '/v', 'ImagePath')).out, /"C:\\a folder\\x\.exe" \/go/);
  await assert.rejects(services.create(wish), /sc\.exe create ended with/);
  await assert.rejects(services.start('ppx'), /sc\.exe start ended with/);
  await services.remove('ppx');
  assert.equal(await services.status('ppx'), undefined);

  await assert.rejects(machine.writeFile(layout.memory, Buffer.from('x'), { secret: true }), /could not be kept/);
  await assert.rejects(machine.writeFile(layout.secrets, new Uint8Array(1 << 20), { secret: true }), /could not be kept/);
  assert.ok(!wine.has('windows/CCM/secrets.json'));
  await machine.writeFile(layout.secrets, new Uint8Array(300_000).fill(65), { secret: true });
  assert.equal(wine.text('windows/CCM/secrets.json').length, 300_000);
  assert.equal(statSync(wine.path('windows/CCM/secrets.json')).mode & 0o007, 0, 'only LocalSystem and administrators read it');

  const own = String.raw`C:\windows\CCM\runtime\node-2\node.exe`;
  const there = async () => (await machine.list(layout.runtimes)).toSorted();
  for (const name of ['node-1', 'node-2']) wine.put(`windows/CCM/runtime/${name}/node.exe`, name);
  await clearRuntimes(machine, own);
  assert.deepEqual(await there(), ['node-1', 'node-2'], 'an installation is under way');
  wine.put('windows/CCM/installed.json', JSON.stringify({ version: '1', sha256: '', site: 'P01', installedAt: '' }));
  await clearRuntimes(machine, String.raw`C:\Program Files\nodejs\node.exe`);
  assert.deepEqual(await there(), ['node-1', 'node-2'], 'another one runs this agent');
  await clearRuntimes(machine, own);
  assert.deepEqual(await there(), ['node-2']);
});

/** standIn is a runtime that only tells how it was called, packed as a real one. */
function standIn(): { folder: string; file: string; version: string; bytes: Buffer } {
  const made = mkdtempSync(join(scratch, 'ppr-'));
  const exe = join(made, 'node.exe');
  const source = new URL('../support/stand-in.c', import.meta.url).pathname;
  const built = spawnSync('x86_64-w64-mingw32-gcc', ['-municode', '-O1', '-s', '-o', exe, source], { encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  const bytes = readFileSync(exe);
  rmSync(made, { recursive: true });
  return { folder: 'node-stand-in', file: 'node-stand-in.ex_', version: '0', bytes: cabinet('node.exe', bytes) };
}

test(
  'the package: runtime once, the bundle in the installer, supervised, and CcmExec.exe steps in where the runtime is gone',
  peers,
  async (t) => {
    const mp = await agent.furnish(t);
    const folder = mkdtempSync(join(scratch, 'ppr-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const definition = JSON.parse(readFileSync(await writeAgentPackage(folder, VERSION, standIn()), 'utf8')) as {
      payload: { file: string };
      prerequisites: { file: string; command: string; check: string }[];
    };
    const fileOf = (file: string) => {
      const bytes = readFileSync(join(folder, file));
      mp.files.set(file, bytes);
      return { file, sha256: sha256(bytes), size: bytes.length };
    };
    const [first] = definition.prerequisites;
    const prerequisites: MobileClient['prerequisites'] = [{ ...first!, ...fileOf(first!.file) }];
    const payload = { ...fileOf(definition.payload.file), version: VERSION };
    const config = { managementPoints: [mp.url], payload, prerequisites };
    setup.lay(config);
    assert.equal(await setup.byHand(), 0, setup.lines().join('\n'));
    const said = () => wine.text('windows/CCM/stand-in.txt');
    await wine.eventually('the runtime', () => said() !== '', 45_000);
    const runtime = String.raw`C:\windows\CCM\runtime\node-stand-in\node.exe`;
    assert.equal(said().split(/\r?\n/)[0], `"${runtime}" --use-system-ca "${MODULE}"`);
    assert.deepEqual(readFileSync(wine.path('windows/CCM/CcmExec.mjs')), Buffer.from(await buildBundle('machine')));
    assert.ok(!wine.has(`windows/ccmsetup/${first!.file}`), 'what was unpacked is not kept packed');

    setup.lay(config, { keep: true });
    assert.equal(await setup.byHand('/forceinstall'), 0, setup.lines().join('\n'));
    setup.told(`The prerequisite ${first!.file} is there already`);
    assert.equal(mp.asked.filter(({ path }) => path.endsWith(first!.file)).length, 1);

    await wine.run('net.exe', 'stop', 'CcmExec');
    await wine.eventually('its end', () => /told to end/.test(said()), 45_000);
    wine.remove('windows/CCM/runtime');
    await wine.run('net.exe', 'start', 'CcmExec');
    await wine.eventually('the agent in C', () => agent.status().state === 'registered', 45_000);
    assert.match(
      wine.text(AGENT_LOG),
      /What agent\.command names could not be started \(\d+\); CcmExec\.exe is the agent meanwhile/,
    );
    await setup.uninstall();
    assert.ok(!wine.has('windows/CCM'), 'nothing of it is left');
  },
);

test('a runtime is a node.exe for x64 that is new enough', peers, (t) => {
  const folder = mkdtempSync(join(scratch, 'ppr-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'node.exe'), '#!/bin/sh\n');
  assert.throws(() => readRuntime(join(folder, 'node.exe')), /it is no program for Windows/);
  assert.throws(() => readRuntime(buildNative(VERSION).files['CcmExec.exe']), /it is version 0\.1\.0, 22\.15 is the oldest/);
});
