import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { family } from '#test/family';
import { eventually, WholeSite } from '#test/whole-site';

/** What a site server has in its memory is written nowhere and shown to nobody: no core dump, no debugger, no report. */

const COMMAND = fileURLToPath(new URL('../../bin/pushpoint', import.meta.url));

let site: WholeSite;
before(async () => {
  site = await new WholeSite().create();
});
after(() => site.close());

const said = (pid: number, file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8');

test('no core dump of the site and of PostgreSQL, and no debugger for who sends SIGUSR1', async (t) => {
  const work = join(site.folder, 'work');
  mkdirSync(work);
  // As in a shell of somebody who wants core dumps of everything.
  const up = `ulimit -c unlimited 2>/dev/null || ulimit -c hard; exec "$0" up --data "$1" --json`;
  const child = spawn('/bin/sh', ['-c', up, COMMAND, site.data], { cwd: work, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (words += part.toString()));
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { console: address } = JSON.parse(line) as { console: string };
  const pid = child.pid!;
  const all = family(pid, site.data);
  assert.ok(all.length > 4, 'the site and its database');
  for (const one of all) assert.match(said(one, 'limits'), /^Max core file size +0 +0 /m, said(one, 'cmdline'));

  child.kill('SIGUSR1');
  // The answer shows that the process has seen the signal and goes on.
  for (let i = 0; i < 3; i++) assert.equal((await fetch(`${address}/healthz`)).status, 200);
  assert.ok(!/debugger/i.test(words), words);
  const caught = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(said(pid, 'status'))![1]}`);
  assert.equal(caught & (1n << 9n), 0n, 'SIGUSR1 is not listened to');

  // Other signals that Node could be told to write a report or a snapshot at do nothing of the kind unless it is told.
  child.kill('SIGABRT');
  const [, signal] = (await once(child, 'exit')) as [number | null, string];
  assert.equal(signal, 'SIGABRT');
  assert.deepEqual(readdirSync(work), [], 'no core, no report, no snapshot');
  const left = readdirSync(site.data, { recursive: true }).filter((name) =>
    /(^|\/)core(\.|$)|heapsnapshot|report\..*json/.test(String(name)),
  );
  assert.deepEqual(left, []);
  // The next start takes over what was left running, and ends it in order.
  await site.spawn();
  await eventually('the site to answer', async () => (await site.call('GET', '/accounts')).status === 200);
});
