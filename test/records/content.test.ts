import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isCode } from '#base/errors';
import { systemRandom } from '#base/random';
import { ContentStore } from '#store/content';

let dir: string;
let store: ContentStore;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pushpoint-content-'));
  store = new ContentStore({ dir: path.join(dir, 'content'), random: systemRandom });
});
after(() => rm(dir, { recursive: true, force: true }));

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const noise = (length: number) => systemRandom.bytes(length);

test('bytes, streams and files are stored under their hash, the same ones once', async () => {
  const bytes = noise(300_000);
  const file = path.join(dir, 'given');
  await writeFile(file, bytes);
  async function* stream() {
    for (let at = 0; at < bytes.length; at += 70_001) yield bytes.subarray(at, at + 70_001);
  }
  const stored = { sha256: sha(bytes), size: 300_000 };
  for (const source of [bytes, stream(), file]) assert.deepEqual(await store.put(source), stored);
  assert.deepEqual(await store.read(stored.sha256), bytes);
  assert.deepEqual(new Uint8Array(await readFile(store.path(stored.sha256))), bytes);
  assert.deepEqual(await store.stat(stored.sha256), stored);
  assert.deepEqual(await readdir(path.join(dir, 'content', 'incoming')), []);
});

test('the same content put many times at once is whole', async () => {
  const bytes = noise(100_000);
  const all = await Promise.all(Array.from({ length: 12 }, () => store.put(bytes)));
  assert.equal(new Set(all.map((s) => s.sha256)).size, 1);
  await store.check(sha(bytes));
});

test('damaged content is noticed by each reader and replaced by the next put', async () => {
  const bytes = noise(1000);
  const { sha256 } = await store.put(bytes);
  const damaged = bytes.slice();
  damaged[500]! ^= 1;
  await writeFile(store.path(sha256), damaged);
  await assert.rejects(store.read(sha256), (e) => isCode(e, 'PP_STORE_CONTENT_CORRUPT'));
  await assert.rejects(store.check(sha256), (e) => isCode(e, 'PP_STORE_CONTENT_CORRUPT'));
  await store.put(bytes);
  assert.deepEqual(await store.read(sha256), bytes);
});

test('a stream that breaks, and bytes other than those announced, leave nothing behind', async () => {
  async function* broken() {
    yield noise(10);
    throw new Error('the line was cut');
  }
  const before = await readdir(path.join(dir, 'content'));
  await assert.rejects(store.put(broken()), /the line was cut/);
  await assert.rejects(store.put(noise(10), 'a'.repeat(64)), (e) => isCode(e, 'PP_STORE_CONTENT_MISMATCH'));
  assert.deepEqual(await readdir(path.join(dir, 'content', 'incoming')), []);
  assert.deepEqual(await readdir(path.join(dir, 'content')), before);
});

test('what is no hash is no path, and what is missing is told', async () => {
  for (const name of ['../../etc/passwd', 'A'.repeat(64), '', 'a'.repeat(63)])
    assert.throws(
      () => store.path(name),
      (e) => isCode(e, 'PP_STORE_CONTENT_NAME'),
    );
  const missing = 'c'.repeat(64);
  assert.equal(await store.stat(missing), undefined);
  await assert.rejects(store.read(missing), (e) => isCode(e, 'PP_STORE_CONTENT_MISSING'));
  await assert.rejects(store.check(missing), (e) => isCode(e, 'PP_STORE_CONTENT_MISSING'));
  const { sha256 } = await store.put(noise(5));
  assert.deepEqual([await store.remove(sha256), await store.remove(sha256)], [true, false]);
});

test('a folder that takes no files is told as such, and a file handed in that is not there is not', async () => {
  const blocked = path.join(dir, 'blocked');
  await writeFile(blocked, '');
  const there = new ContentStore({ dir: blocked, random: systemRandom });
  await assert.rejects(there.put(noise(10)), (e) => isCode(e, 'PP_STORE_CONTENT_FOLDER'));
  await assert.rejects(store.put(path.join(dir, 'not there')), { code: 'ENOENT' });
});
