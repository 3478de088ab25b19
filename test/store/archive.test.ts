import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { PushpointError, isCode } from '#base/errors';
import { Archive, checkArchive, readArchive, type Source } from '#store/archive';

/** Backups as files: what was written is read again, tar can look into it, and no altered or cut octet goes unnoticed. */

const folder = mkdtempSync(path.join(tmpdir(), 'pushpoint archive '));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);
const passphrase = 'correct horse battery staple';
const madeAt = new Date('2026-01-05T08:00:00Z');
const parts: [string, Buffer][] = [
  ['format.json', Buffer.from('{}\n')],
  ['tables/01-site/00001.jsonl.gz', Buffer.alloc(512, 7)],
  ['content/aa/empty', Buffer.alloc(0)],
  ['content/ab/large', Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * i) % 251))],
];

async function make(name: string, pass?: string): Promise<string> {
  const archive = await Archive.inFile(at(name), { passphrase: pass, madeAt });
  for (const [part, bytes] of parts) {
    const pieces = (async function* () {
      for (let i = 0; i < bytes.length; i += 30_000) yield bytes.subarray(i, i + 30_000);
    })();
    await archive.add(part, { size: bytes.length, bytes: pieces });
  }
  await archive.end();
  return at(name);
}

async function readAll(source: Source): Promise<[string, Buffer][]> {
  const { sums } = await checkArchive(source, () => false);
  const found: [string, Buffer][] = [];
  for await (const entry of readArchive(source, sums)) {
    const pieces: Buffer[] = [];
    for await (const piece of entry.bytes) pieces.push(piece);
    found.push([entry.name, Buffer.concat(pieces)]);
  }
  return found;
}

test('what is written is read again, in the clear, sealed and as a folder; files are for their owner alone', async () => {
  for (const pass of [undefined, passphrase]) {
    const file = await make(`round-${pass === undefined}`, pass);
    assert.deepEqual(await readAll({ file, passphrase: pass }), parts);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(readFileSync(file).includes('format.json'), pass === undefined);
  }
  const folderOf = mkdtempSync(at('folder-'));
  const archive = Archive.inFolder(folderOf);
  for (const [part, bytes] of parts) await archive.add(part, bytes);
  await archive.end();
  assert.deepEqual(await readAll({ file: folderOf }), parts);
  rmSync(path.join(folderOf, 'content/ab/large'));
  await assert.rejects(
    readAll({ file: folderOf }),
    (error) => isCode(error, 'PP_STORE_BACKUP_DAMAGED') && /content\/ab\/large/.test(error.message),
  );
});

test('tar and sha256sum of the system agree with an archive in the clear', async () => {
  const file = await make('plain.tar');
  const out = mkdtempSync(at('out-'));
  const ran = spawnSync('sh', ['-c', 'tar xf "$1" && sha256sum -c SHA256SUMS', 'sh', file], { cwd: out, encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
  assert.equal(ran.stdout.split('\n').filter((line) => line.endsWith(': OK')).length, parts.length);
  for (const [part, bytes] of parts) assert.ok(readFileSync(path.join(out, part)).equals(bytes), part);
});

test('every octet that is altered and every cut is noticed, and the part is named', async () => {
  for (const pass of [undefined, passphrase]) {
    const whole = readFileSync(await make(`hurt-${pass === undefined}`, pass));
    const file = at('hurt');
    const seen = new Set<string>();
    const refuse = async (bytes: Buffer, what: string) => {
      writeFileSync(file, bytes);
      await assert.rejects(
        checkArchive({ file, passphrase: pass }, () => false),
        (error) => {
          assert.ok(error instanceof PushpointError && error.code.startsWith('PP_STORE_BACKUP_'), `${what}: ${String(error)}`);
          seen.add(error.code);
          return true;
        },
        what,
      );
    };
    // Each place of the first headers, then here and there; a seal costs a tenth of a second a try.
    const places = pass === undefined ? [...Array(600).keys()] : [9, 30];
    const step = Math.floor(whole.length / (pass === undefined ? 300 : 4));
    for (let i = 600; i < whole.length; i += step) places.push(i);
    for (const place of [...places, whole.length - 1]) {
      const bytes = Buffer.from(whole);
      bytes[place]! ^= 0x20;
      await refuse(bytes, `octet ${place} altered`);
    }
    for (let length = 0; length < whole.length - 1024; length += step * 3)
      await refuse(whole.subarray(0, length), `cut at ${length}`);
    assert.ok(seen.has('PP_STORE_BACKUP_DAMAGED'));
  }
});

test('a seal whose head asks for much memory is refused before any is taken', async () => {
  const file = await make('costly', passphrase);
  const bytes = readFileSync(file);
  // log2 of N, r and p stand at octets 8 to 10: 2^20 times 16 would be 2 GiB, 2^18 times 8 still is what we allow.
  for (const [log2n, r, code] of [
    [20, 16, 'PP_STORE_BACKUP_DAMAGED'],
    [19, 8, 'PP_STORE_BACKUP_DAMAGED'],
    [18, 8, 'PP_STORE_BACKUP_PASSPHRASE'],
  ] as const) {
    bytes.set([log2n, r], 8);
    writeFileSync(file, bytes);
    const before = process.resourceUsage().maxRSS;
    await assert.rejects(readAll({ file, passphrase }), (error) => isCode(error, code), `${log2n}, ${r}`);
    if (code === 'PP_STORE_BACKUP_DAMAGED') assert.ok(process.resourceUsage().maxRSS - before < 100_000);
  }
});

test('without the passphrase, or with another one, a sealed archive does not open', async () => {
  const file = await make('sealed', passphrase);
  await assert.rejects(readAll({ file }), (error) => isCode(error, 'PP_STORE_BACKUP_SEALED'));
  await assert.rejects(readAll({ file, passphrase: 'another passphrase' }), (error) =>
    isCode(error, 'PP_STORE_BACKUP_PASSPHRASE'),
  );
  await assert.rejects(readAll({ file: at('none') }), (error) => isCode(error, 'PP_STORE_BACKUP_READ'));
  writeFileSync(at('text'), 'no archive at all\n'.repeat(100));
  await assert.rejects(readAll({ file: at('text') }), (error) => isCode(error, 'PP_STORE_BACKUP_FORMAT'));
  await assert.rejects(make('sealed'), (error) => isCode(error, 'PP_STORE_BACKUP_WRITE'));
});

test('a part whose size changes while it is read is refused', async () => {
  const archive = await Archive.inFile(at('grown'), { madeAt });
  const bytes = (async function* () {
    yield Buffer.alloc(20);
  })();
  await assert.rejects(archive.add('x', { size: 10, bytes }), (error) => isCode(error, 'PP_STORE_BACKUP_WRITE'));
  await archive.drop();
});

test('parts that would lead out of the folder are refused', async () => {
  const archive = await Archive.inFile(at('evil'), { madeAt });
  await archive.add('../evil', Buffer.from('x'));
  await archive.end();
  await assert.rejects(readAll({ file: at('evil') }), (error) => isCode(error, 'PP_STORE_BACKUP_DAMAGED'));
});
