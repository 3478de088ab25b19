import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pushpoint, Running, type Ran } from '#test/command';
import { testDatabase } from '#test/database';
import { scratch } from '#test/scratch';

/** Backup, restore and moves of the database as an administrator does them, with the command alone. */

const CANARY = 'Kanarienvogel-78';
const PASS = 'correct horse battery staple';
const folder = mkdtempSync(join(scratch, 'pushpoint-backup-'));
const at = (name: string) => join(folder, name);
const data = at('p01');

interface Up {
  points: string;
  console: string;
}

async function done<T = Record<string, unknown>>(args: string[]): Promise<T> {
  const ran = await pushpoint([...args, '--json']);
  assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
  return ran.json<T>();
}

function refused(ran: Ran, code: string, text: RegExp): void {
  assert.notEqual(ran.code, 0);
  assert.match(ran.err, new RegExp(`^pushpoint: .* \\[${code}\\]\\n  cause: .+\\n  fix:   .+\\n$`));
  assert.match(ran.err, text);
}

const names = async (site: string) =>
  (await done<{ items: { name: string }[] }>(['device', 'list', '--data', site])).items.map(({ name }) => name).sort();
const ccr = (site: string, name: string) => done<{ state: string; forced: boolean }>(['ccr', 'show', name, '--data', site]);

before(async () => {
  writeFileSync(at('password'), `${CANARY}\n`);
  writeFileSync(at('passphrase'), `${PASS}\n`);
  writeFileSync(at('pcs.csv'), 'name,domain,ip\nPC1,CORP,10.0.0.1\nPC2,CORP,10.0.0.2\n');
  writeFileSync(at('later.csv'), 'name,domain,ip\nPC3,CORP,10.0.0.3\n');
  await done(['site', 'create', 'P01', '--data', data, '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0']);
  await done(['device', 'import', at('pcs.csv'), '--data', data]);
  await done(['account', 'add', 'push', '--username', 'CORP\\push', '--password-file', at('password'), '--data', data]);
  await done(['point', 'set', 'mp', '--address', 'http://mp.corp.example:8480', '--data', data]);
  for (const file of ['setup.exe', 'agent.msi']) writeFileSync(at(file), Buffer.alloc(300_000, file));
  const definition = {
    name: 'agent',
    version: '1.0',
    platform: 'windows',
    bootstrap: { file: 'setup.exe', service: 'setup', arguments: '' },
    payload: { file: 'agent.msi', command: 'msiexec /i agent.msi /qn' },
    verify: { service: 'Agent' },
  };
  writeFileSync(at('agent.json'), JSON.stringify(definition));
  await done(['package', 'add', at('agent.json'), '--data', data]);
  await done(['push', 'PC1', '--data', data]);
  await done(['push', 'PC2', '--force', '--data', data]);
  mkdirSync(join(data, 'inboxes/ccr.box'), { recursive: true });
  writeFileSync(join(data, 'inboxes/ccr.box/PC1 ö.ccr'), 'not taken yet\n');
});
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));

test('a backup in the clear: made while nobody runs, for its owner alone, without key, token and passwords; tar looks into it', async () => {
  const dry = await done<{ file: string; rows: number }>(['backup', '--data', data, '-o', at('plain.tar'), '--dry-run']);
  assert.ok(!existsSync(at('plain.tar')));
  const made = await done<{ rows: number; key: boolean; sealed: boolean; inbox: { files: number } }>([
    'backup',
    '--data',
    data,
    '-o',
    at('plain.tar'),
  ]);
  assert.deepEqual([made.key, made.sealed, made.inbox.files, made.rows], [false, false, 1, dry.rows]);
  assert.equal(statSync(at('plain.tar')).mode & 0o777, 0o600);
  const inside = at('inside');
  mkdirSync(inside);
  const tar = spawnSync(
    'sh',
    ['-c', 'tar xf "$1" && sha256sum -c SHA256SUMS && find . -name "*.gz" | xargs gunzip', 'sh', at('plain.tar')],
    { cwd: inside, encoding: 'utf8' },
  );
  assert.equal(tar.status, 0, tar.stderr);
  const secrets = [
    CANARY,
    readFileSync(join(data, 'run/console.token'), 'utf8').trim(),
    readFileSync(join(data, 'vault/vault.key'), 'utf8').trim().split(' ')[1]!,
  ];
  const files = readdirSync(inside, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const file of files)
    for (const secret of secrets) assert.ok(!readFileSync(join(file.parentPath, file.name)).includes(secret), file.name);
  const checked = await done<{ ok: boolean; site: string }>(['backup', '--check', at('plain.tar')]);
  assert.deepEqual([checked.ok, checked.site], [true, 'P01']);
  refused(await pushpoint(['backup', '--data', data, '-o', at('plain.tar')]), 'PP_STORE_BACKUP_WRITE', /is there already/);
  refused(await pushpoint(['backup', '--data', data, '-o', at('x'), '--with-key']), 'PP_CLI_USAGE', /passphrase-file/);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.includes('partial')),
    [],
  );
});

test('an encrypted backup of a running site, with everything; restored, it is the site of that instant and nothing is installed twice', async (t) => {
  const up = await Running.start<Up>(['up', '--data', data]);
  t.after(() => up.stop());
  await done(['backup', '--data', data, '-o', at('sealed'), '--with-key', '--passphrase-file', at('passphrase')]);
  await done(['device', 'import', at('later.csv'), '--data', data]);
  refused(await pushpoint(['backup', '--check', at('sealed')]), 'PP_STORE_BACKUP_SEALED', /encrypted/);
  refused(
    await pushpoint(['restore', at('sealed'), '--data', at('no'), '--passphrase-file', at('password')]),
    'PP_STORE_BACKUP_PASSPHRASE',
    /does not open/,
  );
  refused(
    await pushpoint(['restore', at('sealed'), '--data', data, '--passphrase-file', at('passphrase')]),
    'PP_SITE_RESTORE_FOLDER',
    /holds the site P01/,
  );
  const dry = await done<{ rows: number }>([
    'restore',
    at('sealed'),
    '--data',
    at('twin'),
    '--passphrase-file',
    at('passphrase'),
    '--dry-run',
  ]);
  assert.ok(!existsSync(at('twin')));
  const made = await done<{ key: boolean; token: boolean; paused: string[]; rows: number; content: object }>([
    'restore',
    at('sealed'),
    '--data',
    at('twin'),
    '--passphrase-file',
    at('passphrase'),
  ]);
  assert.deepEqual([made.key, made.token, made.paused, made.rows], [true, true, ['PC2'], dry.rows]);
  assert.deepEqual(made.content, { files: 2, missing: [] });
  assert.equal(readFileSync(join(at('twin'), 'vault/vault.key'), 'utf8'), readFileSync(join(data, 'vault/vault.key'), 'utf8'));
  for (const secret of ['vault/vault.key', 'run/console.token'])
    assert.equal(statSync(join(at('twin'), secret)).mode & 0o777, 0o600);
  const twin = await Running.start<Up>(['up', '--data', at('twin')]);
  t.after(() => twin.stop());
  assert.deepEqual(await names(at('twin')), ['PC1', 'PC2'], 'what came later is not there');
  assert.deepEqual([(await ccr(at('twin'), 'PC2')).state, (await ccr(at('twin'), 'PC2')).forced], ['paused', true]);
  assert.notEqual((await ccr(at('twin'), 'PC1')).state, 'paused');
  // The token of before opens the new site too.
  const token = readFileSync(join(data, 'run/console.token'), 'utf8').trim();
  const audit = await fetch(`${twin.ready.console}/api/v1/audit?limit=50`, { headers: { authorization: `Bearer ${token}` } });
  assert.match(await audit.text(), /site\.restore/);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.includes('partial')),
    [],
  );
});

test('a backup without the key says so, takes the key from a file, and refuses that of another site', async () => {
  const plain = await done<{ key: boolean; token: boolean; inbox: { files: number } }>([
    'restore',
    at('plain.tar'),
    '--data',
    at('keyless'),
  ]);
  assert.deepEqual([plain.key, plain.token, plain.inbox.files], [false, false, 1]);
  assert.equal(readFileSync(join(at('keyless'), 'inboxes/ccr.box/PC1 ö.ccr'), 'utf8'), 'not taken yet\n');
  assert.deepEqual(await names(at('keyless')), ['PC1', 'PC2'], 'the new token opens it');
  const key = join(data, 'vault/vault.key');
  const given = await done<{ key: boolean }>(['restore', at('plain.tar'), '--data', at('keyed'), '--vault-key', key]);
  assert.equal(given.key, true);
  await done(['site', 'create', 'P09', '--data', at('other')]);
  const wrong = await pushpoint([
    'restore',
    at('plain.tar'),
    '--data',
    at('wrong'),
    '--vault-key',
    join(at('other'), 'vault/vault.key'),
  ]);
  refused(wrong, 'PP_STORE_VAULT_PAIR', /does not belong/);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('wrong')),
    [],
    'nothing is left of it',
  );
});

test('a vault whose key is just being replaced is not backed up; what a killed restore left is taken away, and nothing else is', async () => {
  const next = join(data, 'vault/vault.key.next');
  writeFileSync(next, 'x');
  refused(await pushpoint(['backup', '--data', data, '-o', at('between.tar')]), 'PP_STORE_BACKUP_WRITE', /just being replaced/);
  rmSync(next);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('between')),
    [],
  );
  // What cannot be written is named as it was asked for.
  const nowhere = await pushpoint(['backup', '--data', data, '-o', at('no-such-folder/site.tar')]);
  refused(nowhere, 'PP_STORE_BACKUP_WRITE', /no-such-folder\/site\.tar cannot be written/);
  for (const name of ['stale', 'foreign']) mkdirSync(at(`${name}.partial`), { mode: 0o711 });
  writeFileSync(join(at('stale.partial'), '.restoring'), '');
  writeFileSync(join(at('stale.partial'), 'site.json'), 'half');
  await done(['restore', at('plain.tar'), '--data', at('stale')]);
  assert.ok(!existsSync(at('stale.partial')) && existsSync(join(at('stale'), 'site.json')));
  refused(
    await pushpoint(['restore', at('plain.tar'), '--data', at('foreign')]),
    'PP_SITE_RESTORE_FOLDER',
    /not made by a restore/,
  );
  assert.ok(existsSync(at('foreign.partial')) && !existsSync(at('foreign')));
});

test('damaged and cut backups are refused with the part named, and leave nothing', async () => {
  const whole = readFileSync(at('plain.tar'));
  const hurt = Buffer.from(whole);
  const place = hurt.indexOf('tables/') + 512 + 20;
  hurt[place]! ^= 1;
  for (const [name, bytes, code, part] of [
    ['hurt.tar', hurt, 'PP_STORE_BACKUP_DAMAGED', /tables\//],
    ['cut.tar', whole.subarray(0, 3000), 'PP_STORE_BACKUP_CUT', /ends after /],
    ['text.tar', Buffer.from('text\n'.repeat(500)), 'PP_STORE_BACKUP_FORMAT', /no backup/],
  ] as const) {
    writeFileSync(at(name), bytes);
    refused(await pushpoint(['restore', at(name), '--data', at('from-hurt')]), code, part);
  }
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('from-hurt')),
    [],
  );
});

test('the database moves to an external PostgreSQL and back; the other one is refused from then on', async (t) => {
  const external = await testDatabase({ records: [] });
  t.after(() => external.close());
  const site = at('keyed');
  await done(['db', 'export', '--data', site, '-o', at('rows')]);
  const up = await Running.start<Up>(['up', '--data', site]);
  refused(
    await pushpoint(['db', 'import', at('rows'), '--data', site, '--database', external.url]),
    'PP_SITE_RUNNING',
    /running/,
  );
  await up.stop();
  refused(await pushpoint(['db', 'import', at('rows'), '--data', site]), 'PP_STORE_NOT_EMPTY', /holds the site P01/);
  refused(await pushpoint(['db', 'import', at('rows'), '--data', at('other'), '--embedded']), 'PP_SITE_OTHER', /P09/);
  const there = await done<{ moved: boolean }>(['db', 'import', at('rows'), '--data', site, '--database', external.url]);
  assert.equal(there.moved, true);
  assert.deepEqual(await names(site), ['PC1', 'PC2']);
  await done(['device', 'import', at('later.csv'), '--data', site]);
  // Back into a new cluster: the one of before is moved aside, as the guide says.
  await done(['db', 'export', '--data', site, '-o', at('rows2')]);
  rmSync(join(site, 'database'), { recursive: true });
  await done(['db', 'import', at('rows2'), '--data', site, '--embedded']);
  assert.deepEqual(await names(site), ['PC1', 'PC2', 'PC3']);
  assert.ok(!readFileSync(join(site, 'site.json'), 'utf8').includes('postgresql://'));
});
