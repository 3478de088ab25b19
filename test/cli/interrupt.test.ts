import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pushpoint, Running } from '#test/command';
import { scratch } from '#test/scratch';
import { eventually } from '#test/whole-site';

/** Ctrl-C in the middle of a command: nothing of it goes on for nobody, and the person is told what does go on. */

const BIN = fileURLToPath(new URL('../../bin/pushpoint', import.meta.url));
const folder = mkdtempSync(join(scratch, 'pushpoint-interrupt-'));
const data = join(folder, 'P01');
const postmaster = join(data, 'database', 'cluster', 'postmaster.pid');

/** interrupted runs a command, whose standard input stays open, until `holds`, interrupts it, and gives what it said and by what it ended. */
async function interrupted(
  args: string[],
  holds: (said: string) => boolean,
  signal: NodeJS.Signals,
): Promise<{ said: string; by: NodeJS.Signals | null }> {
  const child = spawn('sh', [BIN, ...args, '--data', data], { stdio: 'pipe' });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (said += part.toString()));
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  try {
    await eventually(`pushpoint ${args.join(' ')} has come so far`, () => {
      assert.equal(child.exitCode, null, said);
      return holds(said);
    });
    child.kill(signal);
    await eventually(
      `pushpoint ${args.join(' ')} ended by ${signal}`,
      () => child.exitCode !== null || child.signalCode !== null,
    );
  } finally {
    child.kill('SIGKILL');
  }
  const [, by] = await closed;
  return { said, by };
}

before(async () => {
  const made = await pushpoint(['site', 'create', 'P01', '--data', data, '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0']);
  assert.equal(made.code, 0, made.err);
});

after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));

test('a command that serves the folder itself takes its database server along, whenever it is interrupted', async () => {
  // It reads its list from standard input, which does not end: the first signal comes while the database starts, or just after.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const { said, by } = await interrupted(['device', 'import', '-'], () => existsSync(postmaster), signal);
    assert.equal(by, signal, said);
    assert.equal(said, 'pushpoint: interrupted; closing the database of the folder …\n');
    assert.ok(!existsSync(postmaster), 'the database server is gone');
  }
});

test('a push that is no longer waited for says that its CCRs go on, and how to take them back', async () => {
  const up = await Running.start(['up', '--data', data]);
  try {
    const on = (...args: string[]) => pushpoint([...args, '--data', data]);
    assert.equal((await on('point', 'set', 'mp', '--address', 'http://mp.corp.example:8480')).code, 0);
    const definition = { name: 'agent', version: '1.0', platform: 'windows', verify: { service: 'CcmExec' } };
    const files = { bootstrap: { file: 'setup.exe', service: 'ccmsetup' }, payload: { file: 'agent.msi' } };
    for (const name of ['setup.exe', 'agent.msi']) writeFileSync(join(folder, name), name);
    writeFileSync(join(folder, 'agent.json'), JSON.stringify({ ...definition, ...files }));
    assert.equal((await on('package', 'add', join(folder, 'agent.json'))).code, 0);
    assert.equal((await on('ccr', 'pause', '--all')).code, 0);
    const { said, by } = await interrupted(['push', 'PC1', '--wait'], (text) => text.includes('as wave 1'), 'SIGINT');
    assert.equal(by, 'SIGINT', said);
    assert.match(said, /^no longer waited for; the CCRs go on: pushpoint wave show 1, .*pushpoint ccr cancel --wave 1$/m);
    assert.match((await on('wave', 'show', '1')).out, /1 queued/);
  } finally {
    assert.equal(await up.stop('SIGINT'), 0);
  }
});
