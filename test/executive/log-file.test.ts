import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { LogFile } from '#executive';

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
