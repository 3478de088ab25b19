import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildNative } from '#client/native';
import { need } from '#test/need';

/** The build of the Windows programs: small, the same bytes each time, signed where there is a key, and plain about what is missing. */

const compiler = need('x86_64-w64-mingw32-gcc', 'wixl');
const NATIVE = fileURLToPath(new URL('../../bin/native.ts', import.meta.url));

/** One cache for all: a build takes ten seconds of a processor. */
const cache = mkdtempSync(join(tmpdir(), 'ppn-'));
after(() => rmSync(cache, { recursive: true, force: true }));

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'ppn-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test('two builds are the same to the byte, below 100 KB, and hold nothing of the machine that made them', compiler, () => {
  const first = buildNative('1.2.3', { cache });
  const bytes = Object.entries(first.files).map(([name, path]) => [name, readFileSync(path)] as const);
  rmSync(first.folder, { recursive: true });
  const second = buildNative('1.2.3', { cache });
  for (const [name, before] of bytes) {
    const again = readFileSync(second.files[name as keyof typeof second.files]);
    assert.ok(again.equals(before), `${name} differs`);
    assert.ok(before.length < 100_000, `${name} has ${before.length} bytes`);
    const text = before.toString('latin1');
    for (const trace of [cache, fileURLToPath(new URL('../..', import.meta.url))])
      assert.ok(!text.includes(trace), `${name} holds ${trace}`);
  }
});

test('a build is kept until its sources, its version or its key change', compiler, () => {
  const one = buildNative('1.2.3', { cache });
  const marked = one.files['ccmsetup.exe'];
  utimesSync(marked, 1, 1);
  assert.equal(buildNative('1.2.3', { cache }).folder, one.folder);
  assert.equal(statSync(marked).mtimeMs, 1000, 'not built again');
  const other = buildNative('1.2.4', { cache });
  assert.notEqual(other.folder, one.folder);
  assert.deepEqual(readdirSync(other.folder).sort(), ['CcmExec.exe', 'ccmsetup.exe', 'client.msi']);
  const resource = (path: string) => readFileSync(path).includes(Buffer.from('1.2.4', 'utf16le'));
  assert.deepEqual(
    [resource(other.files['ccmsetup.exe']), resource(marked)],
    [true, false],
    'the version stands in its properties',
  );
});

test(
  'signed with a key that is configured; osslsigncode finds the signature right',
  { ...compiler, ...need('osslsigncode', 'openssl') },
  (t) => {
    const home = folder(t);
    const [key, certificate] = [join(home, 'key.pem'), join(home, 'certificate.pem')];
    const subject = ['-subj', '/CN=Pushpoint test signing', '-addext', 'extendedKeyUsage=codeSigning'];
    const made = spawnSync('openssl', [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      key,
      '-out',
      certificate,
      ...subject,
    ]);
    assert.equal(made.status, 0, String(made.stderr));
    const out = join(home, 'out');
    const args = [NATIVE, '--out', out, '--sign-certificate', certificate, '--sign-key', key];
    const built = spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, PUSHPOINT_CACHE: home } });
    assert.equal(built.status, 0, built.stderr);
    assert.match(built.stdout, /^signed; a site takes it in when it starts .* pushpoint package add .*pushpoint-client\.json$/m);
    assert.match(built.stdout, /^[0-9a-f]{64} +\d+ .*ccmsetup\.exe$/m);
    for (const name of ['ccmsetup.exe', 'CcmExec.exe', 'client.msi']) {
      const seen = spawnSync('osslsigncode', ['verify', '-CAfile', certificate, '-in', join(out, name)], { encoding: 'utf8' });
      assert.match(seen.stdout, /Signature verification: ok/, `${name}: ${seen.stdout}${seen.stderr}`);
    }
    const half = spawnSync(process.execPath, [NATIVE, '--sign-key', key], { encoding: 'utf8' });
    assert.equal(half.status, 2);
  },
);

test('without the compiler it says what is missing and which Debian package has it', () => {
  const env = { PATH: '/nonexistent' };
  const { status, stderr } = spawnSync(process.execPath, [NATIVE, '--out', '/nonexistent/out'], { encoding: 'utf8', env });
  assert.equal(status, 1);
  assert.match(stderr, /lacks x86_64-w64-mingw32-gcc \(Debian: gcc-mingw-w64-x86-64\), .*wixl \(Debian: wixl\)/);
});
