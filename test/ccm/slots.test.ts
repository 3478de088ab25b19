import assert from 'node:assert/strict';
import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openFiles, roomFor } from '../../src/components/ccm/work/descriptors.ts';
import { Slots } from '../../src/components/ccm/work/slots.ts';

test('a slot is given in turn, given back once, and one that nobody waits for any more is not lost', async () => {
  const slots = new Slots();
  slots.resize(2);
  const [a, b, c, d] = [slots.open(), slots.open(), slots.open(), slots.open()];
  await a.take();
  await b.take();
  const order: string[] = [];
  const waiting = [c.take().then(() => order.push('c')), d.take().then(() => order.push('d'))];
  assert.equal(slots.busy, 4);
  c.leave(); // ended while it waited
  a.leave();
  a.leave();
  await Promise.all(waiting);
  assert.deepEqual(order, ['c', 'd']);
  assert.equal(slots.used, 2);
  b.leave();
  d.leave();
  assert.equal(slots.busy, 0);
});

test('a machine that never took a slot leaves none', async () => {
  const slots = new Slots();
  slots.resize(1);
  slots.open().leave();
  assert.equal(slots.used, 0);
  await slots.open().take();
  assert.equal(slots.used, 1);
});

test('more room serves those that wait', async () => {
  const slots = new Slots();
  slots.resize(1);
  await slots.open().take();
  const second = slots.open().take();
  slots.resize(2);
  await second;
  assert.equal(slots.used, 2);
});

test('the limit of open files bounds the concurrency', async (t) => {
  assert.deepEqual(roomFor(256, undefined), { slots: 256, asking: 256, sweep: 256 });
  assert.deepEqual(roomFor(256, 65_536), { slots: 256, asking: 256, sweep: 256 });
  const small = roomFor(256, 512);
  assert.ok(small.slots + small.asking + small.sweep + 300 <= 512, JSON.stringify(small));
  assert.ok(roomFor(256, 10).slots >= 1);
  const folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-limits-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'limits');
  await writeFile(
    file,
    'Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n',
  );
  assert.equal(openFiles(file), 1024);
  assert.equal(openFiles(path.join(folder, 'none')), undefined);
});
