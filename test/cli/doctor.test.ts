import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pushpoint, Running } from '#test/command';
import { scratch } from '#test/scratch';

/** The verb doctor against a site that stands still, then against one that runs with lab hosts. */

interface Check {
  group: string;
  name: string;
  verdict: string;
  found: string;
  code?: string;
}

interface Examination {
  state: string;
  headline: string;
  checks: Check[];
}

const folder = mkdtempSync(join(scratch, 'pushpoint-doctor-'));
// Started by root, PostgreSQL runs as another user, who must come through.
chmodSync(folder, 0o711);
const data = join(folder, 'P01');
const on = (...args: string[]) => pushpoint([...args, '--data', data]);

async function examined(code: number, ...args: string[]): Promise<Examination> {
  const ran = await on('doctor', ...args, '--json');
  assert.equal(ran.code, code, `${ran.out}${ran.err}`);
  return ran.json<Examination>();
}

function the(done: Examination, name: string): Check {
  const found = done.checks.find((check) => check.name === name);
  assert.ok(found, `${name} among ${done.checks.map((check) => check.name).join(', ')}`);
  return found;
}

before(async () => {
  const made = await on('site', 'create', 'P01', '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0');
  assert.equal(made.code, 0, made.err);
});

after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));

test('wrong use is told as such', async () => {
  assert.equal((await pushpoint(['doctor'])).code, 2);
  assert.equal((await pushpoint(['doctor', '--data', join(folder, 'nowhere')])).code, 1);
  assert.equal((await on('doctor', '--no-logon')).code, 2);
});

test('a site that does not run is looked at by the command, which says so; a machine is not', async () => {
  const done = await examined(1);
  assert.equal(done.headline, 'The site server has a problem: no site server runs on this folder; this command looked by itself');
  for (const name of ['folders', 'disk', 'vault', 'logs', 'inboxes', 'database', 'clock', 'queue'])
    assert.equal(the(done, name).verdict, 'ok', JSON.stringify(the(done, name)));
  assert.equal(the(done, 'management-point').verdict, 'not-tried');
  const host = await on('doctor', 'PC-1', '--json');
  assert.equal(host.code, 1);
  assert.equal(host.json<{ error: { code: string } }>().error.code, 'PP_SITE_NOT_RUNNING');
});

test('what ails the folder is told by name: a key others can read, a key that is gone, files that nobody took, files that were refused', async () => {
  const key = join(data, 'vault', 'vault.key');
  chmodSync(key, 0o644);
  assert.equal(the(await examined(1), 'vault').code, 'PP_STORE_VAULT_LOOSE');
  chmodSync(key, 0o600);
  renameSync(key, `${key}.away`);
  assert.equal(the(await examined(1), 'vault').code, 'PP_STORE_VAULT_MISSING');
  renameSync(`${key}.away`, key);
  const box = join(data, 'inboxes', 'ccr.box');
  mkdirSync(join(box, 'bad'), { recursive: true });
  writeFileSync(join(box, 'bad', 'X.CCR'), 'no');
  writeFileSync(join(box, 'bad', 'X.CCR.reason'), 'why');
  const refused = the(await examined(1), 'inboxes');
  assert.deepEqual([refused.verdict, refused.found], ['warning', 'files were refused: 1 in ccr.box/bad']);
  writeFileSync(join(box, 'OLD.CCR'), 'waits');
  utimesSync(join(box, 'OLD.CCR'), 1_700_000_000, 1_700_000_000);
  const waiting = the(await examined(1), 'inboxes');
  assert.equal(waiting.verdict, 'problem');
  assert.match(waiting.found, /1 in ccr\.box, such as OLD\.CCR/);
  rmSync(box, { recursive: true });
});

test('a database that cannot be opened is a finding, and the folder is looked at all the same', async () => {
  const conf = join(data, 'site.json');
  const before = readFileSync(conf, 'utf8');
  writeFileSync(conf, JSON.stringify({ ...JSON.parse(before), database: 'postgresql://nobody@127.0.0.1:9/none' }));
  const done = await examined(1);
  assert.equal(the(done, 'database').verdict, 'problem');
  assert.equal(the(done, 'vault').verdict, 'ok');
  writeFileSync(conf, before);
});

test('a site that runs: the server is well with a warning of its loopback address, machines are examined, exit codes tell', async (t) => {
  const up = await Running.start<{ points: string }>(['up', '--data', data]);
  t.after(() => up.stop());
  const lab = await Running.start<{ csv: string; username: string; passwordFile: string; package: string }>([
    'lab',
    'up',
    '--windows',
    '8',
    '--folder',
    join(folder, 'lab'),
  ]);
  t.after(() => lab.stop());
  for (const args of [
    ['point', 'set', 'mp', '--address', up.ready.points],
    ['device', 'import', lab.ready.csv],
    ['account', 'add', 'lab', '--username', lab.ready.username, '--password-file', lab.ready.passwordFile],
    ['package', 'add', lab.ready.package],
  ])
    assert.equal((await on(...args)).code, 0, args.join(' '));
  const names = readFileSync(lab.ready.csv, 'utf8')
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line) => line.split(',')[0]!);
  const all = await Promise.all(names.map((name) => on('doctor', name, '--json')));
  const done = all.map((ran) => ({ code: ran.code, ...ran.json<Examination>() }));
  for (const { code, checks, headline } of done) {
    const problem = checks.some(({ verdict }) => verdict === 'problem');
    assert.equal(code, problem ? 1 : 0, headline);
    assert.match(headline, problem ? /^The push to \S+ would / : /^A push to \S+ would /);
  }
  assert.ok(done.some(({ code }) => code === 0) && done.some(({ code }) => code === 1), 'some are ill and some are not');
  const healthy = names[done.findIndex(({ code }) => code === 0)]!;
  const text = await on('doctor', healthy);
  assert.equal(text.code, 0);
  assert.match(text.out, /^A push to \S+ would .*\n\n31 checks: \d+ well.*; --all shows every one\.\n$/);
  assert.match((await on('doctor', healthy, '--all')).out, /✓ admin-share: the shares ADMIN\$ and IPC\$\n {6}both are open/);
  const server = await examined(0);
  assert.match(server.headline, /^The site server is well\. One thing is worth a look\.$/);
  assert.equal(the(server, 'management-point').verdict, 'warning');
  assert.match(the(server, 'management-point').found, /an address of this machine alone/);
  assert.equal(the(server, 'roles').verdict, 'ok');
  const page = readFileSync(new URL('../../docs/doctor.md', import.meta.url), 'utf8');
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .join('\n');
  for (const { checks } of [...done, server])
    for (const { name } of checks) assert.ok(rows.includes(`\`${name}\``), `docs/doctor.md has no row for the check ${name}`);
  const list = (await on('ccr', 'list', '--json')).json<{ items: unknown[] }>();
  assert.deepEqual(list.items, [], 'no CCR was made');
});
