import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pushpoint, Running } from '#test/command';
import { scratch } from '#test/scratch';

/** The client packages that were built beside the program: a site has them without being told, and what an administrator added stays. */

const folder = mkdtempSync(join(scratch, 'ppd-'));
const data = join(folder, 'p01');
const dist = join(folder, 'dist');
process.env['PUSHPOINT_DIST'] = dist;
let up: Running<object> | undefined;
after(async () => {
  await up?.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
});

interface Listed {
  name: string;
  version: string;
  isDefault: boolean;
  addedBy: string;
  files: { name: string; size: number }[];
}

/** build stands for `npm run native` or `npm run linux`: a definition, and the files it names beside it. */
function build(where: string, definition: Record<string, unknown>, files: Record<string, string>): string {
  mkdirSync(where, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(where, name), content);
  const name = definition['platform'] === 'windows' ? 'pushpoint-client.json' : 'pushpoint-client-linux.json';
  writeFileSync(join(where, name), JSON.stringify(definition));
  return join(where, name);
}

const windows = (version: string) => ({
  name: 'pushpoint-client',
  version,
  platform: 'windows',
  bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
  payload: { file: 'client.msi' },
  verify: { service: 'CcmExec' },
  requires: { minimumBuild: 9600, architectures: ['x64'] },
});
const linux = (version: string) => ({
  name: 'pushpoint-client-linux',
  version,
  platform: 'linux',
  bootstrap: { file: 'ccmsetup.sh', service: 'pushpoint-ccmsetup' },
  payload: { file: 'CcmExec.mjs' },
  verify: { service: 'pushpoint-client' },
  prerequisites: [{ file: 'node.tar.gz', command: 'tar -xzf node.tar.gz', check: 'node:24' }],
});
const parts = { 'ccmsetup.sh': 'sh', 'CcmExec.mjs': 'agent', 'node.tar.gz': 'runtime' };

async function packages(): Promise<Record<string, Listed>> {
  const ran = await pushpoint(['package', 'list', '--data', data, '--json']);
  assert.equal(ran.code, 0, ran.err);
  return Object.fromEntries(ran.json<{ items: Listed[] }>().items.map((one) => [one.name, one]));
}

test('a new site has the Windows client that was built, a new build follows, and what somebody added stays', async () => {
  build(join(dist, 'windows'), windows('0.1.0'), { 'ccmsetup.exe': 'setup', 'client.msi': 'msi' });
  const made = await pushpoint(['site', 'create', 'P01', '--data', data, '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0']);
  assert.equal(made.code, 0, made.err);
  const first = (await packages())['pushpoint-client'];
  assert.deepEqual([first?.version, first?.isDefault, first?.addedBy], ['0.1.0', true, 'site P01']);

  const own = build(join(folder, 'mine'), linux('7.0.0'), parts);
  const added = await pushpoint(['package', 'add', own, '--data', data]);
  assert.equal(added.code, 0, added.err);
  build(join(dist, 'windows'), windows('0.1.0'), { 'client.msi': 'another build' });
  build(join(dist, 'linux'), linux('0.2.0'), { ...parts, 'CcmExec.mjs': 'newer' });
  up = await Running.start(['up', '--data', data]);
  const { 'pushpoint-client': second, 'pushpoint-client-linux': mine } = await packages();
  assert.equal(second?.files.find(({ name }) => name === 'client.msi')?.size, 'another build'.length);
  assert.equal(second?.isDefault, true);
  assert.equal(mine?.version, '7.0.0');
  assert.deepEqual(mine?.files.map(({ name }) => name).sort(), Object.keys(parts).sort(), 'prerequisites are sent too');
  const text = await pushpoint(['package', 'list', '--data', data]);
  assert.match(text.out, /^pushpoint-client +0\.1\.0 +windows +yes$/m);
});
