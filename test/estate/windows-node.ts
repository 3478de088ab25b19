import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock';
import { readRuntime, writeAgentPackage, type WindowsRuntime } from '#client/windows';
import type { MobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { scratch } from '#test/scratch';
import { SECRET } from '#test/wine-agent';
import { wineMachine } from '#test/wine-machine';
import { LOG, sha256, VERSION } from '#test/wine-setup';

/**
 * The agent in TypeScript in a real node.exe, in Wine: its package installed by ccmsetup, supervised by CcmExec.exe, killed, stopped, restarted with
 * the machine, upgraded and removed by policy. `npm run test:windows-node` fetches the node.exe and names it here; without that name there is
 * nothing to test (wine-typescript.test.ts has what can be had without it).
 */
const NODE = process.env['PUSHPOINT_NODE_EXE'];
const { peers, wine, setup, agent } = wineMachine();
const NEXT = '0.1.0.1';

interface Laid {
  payload: MobileClient['payload'];
  prerequisites: NonNullable<MobileClient['prerequisites']>;
  files: { name: string; sha256: string; size: number }[];
}

/** packed makes the package of a version and lays its files to a management point. */
async function packed(mp: HonestMp, version: string, runtime: WindowsRuntime): Promise<Laid> {
  const folder = mkdtempSync(join(scratch, 'ppr-'));
  try {
    const definition = JSON.parse(readFileSync(await writeAgentPackage(folder, version, runtime), 'utf8')) as {
      bootstrap: { file: string };
      payload: { file: string };
      prerequisites: { file: string; command: string; check: string }[];
    };
    const laid = (name: string) => {
      const bytes = readFileSync(join(folder, name));
      mp.files.set(name, bytes);
      return { name, sha256: sha256(bytes), size: bytes.length };
    };
    const [payload, first] = [laid(definition.payload.file), laid(definition.prerequisites[0]!.file)];
    return {
      payload: { file: payload.name, sha256: payload.sha256, size: payload.size, version },
      prerequisites: [{ ...definition.prerequisites[0]!, sha256: first.sha256, size: first.size }],
      files: [payload, first, laid(definition.bootstrap.file)],
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const program = (folder: string) => String.raw`C:\windows\CCM\runtime\${folder}\node.exe`.replace('${folder}', folder);
const log = (name: string) => wine.text(`windows/CCM/logs/${name}.log`);

const until = (what: string, look: () => boolean | Promise<boolean>, ms: number) => wine.eventually(what, look, ms);

/** said is all that the machine and the point can tell of a run that failed, whatever failed it. */
function said(mp: HonestMp): string {
  const logs = ['CcmExec', 'ClientIDManagerStartup', 'ClientLocation', 'LocationServices', 'PolicyAgent', 'FSPStateMessage'];
  const asked = mp.asked.map(({ at, method, path, status }) => `${at.toISOString()} ${method} ${path} ${status}`);
  const parts = {
    'ccmsetup.log': [wine.text(LOG)],
    'client.msi.log': [wine.text('windows/ccmsetup/logs/client.msi.log').replaceAll('\0', '').slice(-12_000)],
    'status.json': [wine.text('windows/CCM/status.json')],
    'asked of the point': asked,
  };
  return [...logs.map((name) => [name, [log(name)]] as const), ...Object.entries(parts)]
    .map(([name, lines]) => `---- ${name}\n${lines.join('\n')}`)
    .join('\n');
}

/**
 * give has the agent ask for another policy: it asks when it starts. It is laid while the agent is stopped, because one that asks by itself just
 * then would have ccmsetup at work while the service is stopped and started here. The ccmsetup of the policy before has to be done as well.
 */
async function give(mp: HonestMp, policy: HonestMp['policy']): Promise<void> {
  await until('ccmsetup to be done', async () => (await wine.service('ccmsetup')) === undefined, 120_000);
  await wine.run('net.exe', 'stop', 'CcmExec');
  await until('stopped', async () => (await wine.service('CcmExec'))?.state === 'stopped', 30_000);
  mp.policy = policy;
  await wine.run('net.exe', 'start', 'CcmExec');
  await until('started', async () => (await wine.service('CcmExec'))?.state !== 'stopped', 30_000);
}

if (NODE !== undefined)
  test('a real node.exe: installed, registered, killed, stopped, restarted, upgraded and removed by policy', peers, async (t) => {
    const mp = await HonestMp.start(t, systemClock);
    await life(mp, readRuntime(NODE)).catch((cause: unknown) => {
      throw new Error(`${String(cause)}\n${said(mp)}`, { cause });
    });
  });

/** life is that of one machine, from its installation to its removal. */
async function life(mp: HonestMp, runtime: WindowsRuntime): Promise<void> {
  const { payload, prerequisites } = await packed(mp, VERSION, runtime);
  const registration = { machine: wine.name, tokenId: 'token-0001', token: SECRET, expires: '2099-01-01T00:00:00.000Z' };
  mp.tokens.set('token-0001', { secret: SECRET, used: false });
  setup.lay({ managementPoints: [mp.url], payload, prerequisites, registration, fallbackStatusPoint: mp.url });
  assert.equal(await setup.byHand(), 0, setup.lines().join('\n'));
  await until('the registration', () => agent.status().state === 'registered', 60_000);
  await until('its lines', () => /Client 0\.1\.0 \(agent 0\.1\.0\) starts/.test(log('CcmExec')), 10_000);
  await until('its lines', () => /Registered with site P01 as GUID:/.test(log('ClientIDManagerStartup')), 10_000);
  const { guid } = agent.status();
  assert.ok(guid);
  mp.prove = { token: SECRET, guid };
  const status = `${program(runtime.folder)} C:\\windows\\CCM\\CcmExec.mjs status --json > C:\\said.json 2>&1`;
  assert.equal((await wine.run('cmd.exe', '/c', status)).code, 0, wine.text('said.json'));
  assert.equal((JSON.parse(wine.text('said.json')) as { guid: string }).guid, guid);
  assert.equal((await wine.run(String.raw`C:\windows\CCM\CcmExec.exe`, 'status')).code, 0);

  const beats = mp.heartbeats.length;
  const pid = /The agent runs as process (\d+)/.exec(log('CcmExec'))![1]!;
  await wine.run('taskkill.exe', '/f', '/pid', pid);
  await until('a heartbeat of the next one', () => mp.heartbeats.length > beats, 60_000);
  assert.match(log('CcmExec'), /The agent is started again in 1 second/);

  await wine.run('net.exe', 'stop', 'CcmExec');
  await until('stopped', async () => (await wine.service('CcmExec'))?.state === 'stopped', 30_000);
  assert.equal(agent.status().state, 'stopped', 'it ended in order');
  assert.doesNotMatch(log('CcmExec'), /did not end by itself/);
  const heard = mp.heartbeats.length;
  await wine.restart();
  await until('a heartbeat after the restart', () => mp.heartbeats.length > heard, 90_000);

  const next = await packed(mp, NEXT, runtime);
  const [first] = next.prerequisites;
  await give(mp, {
    revision: 'upgrade',
    upgrade: {
      version: NEXT,
      files: next.files,
      bootstrap: 'ccmsetup.exe',
      payload: next.payload.file,
      prerequisites: [{ file: first!.file, command: first!.command, check: first!.check! }],
    },
  });
  await until('the next version', () => mp.heartbeats.at(-1)!.clientVersion === NEXT, 120_000);
  assert.equal(mp.asked.filter(({ path }) => path.endsWith(runtime.file)).length, 1, 'the runtime came once');
  assert.deepEqual([mp.registrations.length, mp.heartbeats.at(-1)!.guid], [1, guid]);

  await give(mp, { revision: 'remove', uninstall: true });
  await until('its farewell', () => mp.farewells.length === 1, 90_000);
  await until('nothing of it', () => !wine.has('windows/CCM'), 60_000);
  await until('no service', async () => (await wine.service('CcmExec')) === undefined, 30_000);
}
