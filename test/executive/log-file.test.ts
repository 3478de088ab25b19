import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { ManualClock } from '#base/clock';
import { LogFile } from '#base/log';

test('a log that cannot be written is told when it begins and when it is over, each time, with what was lost', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'log-file-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const told: string[] = [];
  const file = new LogFile(folder, 'ccm.log', (line) => told.push(line));
  const path = join(folder, 'ccm.log');
  for (const round of [1, 2]) {
    // A folder in its place refuses every line, also to root.
    await rm(path, { force: true });
    await mkdir(path);
    for (let i = 0; i < 3; i++) file.write(`lost ${i}\n`);
    assert.equal(file.lost, 3);
    assert.equal(told.length, 2 * round - 1, told.join(''));
    assert.match(told.at(-1)!, /ccm\.log cannot be written, lines are lost: EISDIR/);
    await rmdir(path);
    file.write(`kept ${round}\n`);
    file.write(`kept ${round} too\n`);
    assert.equal(file.lost, 0);
    assert.equal(told.length, 2 * round);
    assert.match(told.at(-1)!, /can be written again; 3 lines were lost/);
    assert.equal(await readFile(path, 'utf8'), `\nkept ${round}\nkept ${round} too\n`);
  }
});

test('with a clock, lines are written together soon; many at once without waiting, and the rest when the process ends', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'log-file-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const clock = new ManualClock();
  const file = new LogFile(folder, 'ccm.log', undefined, clock);
  const content = () => readFile(join(folder, 'ccm.log'), 'utf8').catch(() => 'none');
  file.write('one\n');
  file.write('two\n');
  assert.equal(await content(), 'none');
  await clock.advance(50);
  assert.equal(await content(), 'one\ntwo\n');
  const long = `${'x'.repeat(70_000)}\n`;
  file.write(long);
  assert.equal(await content(), `one\ntwo\n${long}`);
  assert.equal(clock.nextAt(), undefined, 'nothing waits, so no timer runs');
  const program = `import { LogFile } from '#base/log';
    import { systemClock } from '#base/clock';
    new LogFile(${JSON.stringify(folder)}, 'last.log', undefined, systemClock).write('the last words\\n');
    throw new Error('fatal');`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', program], { cwd: process.cwd(), encoding: 'utf8' });
  assert.notEqual(run.status, 0);
  assert.equal(await readFile(join(folder, 'last.log'), 'utf8'), 'the last words\n', run.stderr);
});

test('lines that waited and could not be written are all counted', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'log-file-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const clock = new ManualClock();
  const told: string[] = [];
  const file = new LogFile(folder, 'ccm.log', (line) => told.push(line), clock);
  await mkdir(join(folder, 'ccm.log'));
  for (let i = 0; i < 3; i++) file.write(`lost ${i}\n`);
  await clock.advance(50);
  assert.equal(file.lost, 3);
  await rmdir(join(folder, 'ccm.log'));
  file.write('kept\n');
  await clock.advance(50);
  assert.equal(await readFile(join(folder, 'ccm.log'), 'utf8'), '\nkept\n');
  assert.match(told.at(-1)!, /3 lines were lost/);
});
