import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:http';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pushpoint, Running, type How, type Ran } from '#test/command';
import { selfMade } from '#test/certificate';
import { scratch } from '#test/scratch';

/** The command against a site that runs: one `up` for the whole file. Its folder has a blank and an umlaut in its name. */

const CANARY = 'Kanarienvogel-77';
const BIN = fileURLToPath(new URL('../../bin/pushpoint', import.meta.url));
const folder = mkdtempSync(join(scratch, 'pushpoint-cli-'));
const at = (name: string) => join(folder, name);
const data = at('Büro P01');
let up: Running<{ ready: boolean; site: string; points: string; console: string; data: string }>;

interface Items<T> {
  items: T[];
  next?: string | null;
}

const on = (args: string[], how?: How) => pushpoint([...args, '--data', data], how);

/** done is what a verb printed, as JSON, when it said that all went well. */
async function done<T = Record<string, unknown>>(args: string[], how?: How): Promise<T> {
  const ran = await on([...args, '--json'], how);
  assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
  return ran.json<T>();
}

function refused(ran: Ran, exit: number, code: string, text: RegExp): void {
  assert.equal(ran.code, exit, ran.err);
  assert.match(ran.err, new RegExp(`^pushpoint: .* \\[${code}\\]\\n  cause: .+\\n  fix:   .+\\n$`));
  assert.match(ran.err, text);
  assert.equal(ran.out, '');
}

before(async () => {
  const made = await done<{ code: string; data: string }>([
    'site',
    'create',
    'p01',
    '--listen',
    '127.0.0.1:0',
    '--console',
    '127.0.0.1:0',
  ]);
  assert.deepEqual([made.code, made.data], ['P01', data]);
});

after(async () => {
  await up?.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
});

test('no site is made among the files of others', async () => {
  const others = join(folder, 'others');
  mkdirSync(others);
  writeFileSync(join(others, 'letters.txt'), 'Dear');
  refused(await pushpoint(['site', 'create', 'P03', '--data', others]), 1, 'PP_SITE_CREATE_FOLDER', /it holds letters.txt/);
  assert.deepEqual(readdirSync(others), ['letters.txt']);
});

test('a folder holds one site, and its secrets are for its owner alone', async () => {
  refused(await on(['site', 'create', 'P02']), 1, 'PP_SITE_EXISTS', /already holds the site P01/);
  for (const file of ['run/console.token', 'vault/vault.key', 'site.json'])
    assert.equal(statSync(join(data, file)).mode & 0o077, 0, file);
});

test('a site that does not run is told of: it can be prepared, and CCRs wait for it, but nobody waits in vain', async () => {
  await done(['point', 'set', 'mp', '--address', 'http://mp.corp.example:8480/']);
  const wait = await on(['push', 'PC1', '--wait']);
  refused(wait, 1, 'PP_SITE_NOT_RUNNING', /does not run/);
  assert.deepEqual(readdirSync(join(data, 'run')), ['console.token']);
});

test('up prints one line when it serves, and a second one is refused', async () => {
  up = await Running.start(['up', '--data', data]);
  assert.deepEqual(Object.keys(up.ready), ['ready', 'site', 'points', 'console', 'data']);
  assert.deepEqual([up.ready.ready, up.ready.site, up.ready.data], [true, 'P01', data]);
  for (const url of [up.ready.points, up.ready.console]) assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  const port = new URL(up.ready.console).port;
  const [again, inbox, taken, roles] = await Promise.all([
    on(['up']),
    on(['up', '--roles', 'ccm,inbox']),
    on(['up', '--roles', 'mp', '--listen', `127.0.0.1:${port}`]),
    on(['up', '--roles', 'ccm,dp']),
  ]);
  refused(again, 1, 'PP_SITE_RUNNING', /has the role console/);
  refused(inbox, 1, 'PP_SITE_RUNNING', /has the role inbox/);
  refused(taken, 1, 'PP_SITE_LISTEN', /another program listens there/);
  refused(roles, 2, 'PP_CLI_USAGE', /roles are .*; not dp/);
  writeFileSync(at('text.pem'), 'no certificate');
  const https = (...more: string[]) => on(['up', '--listen-https', '127.0.0.1:0', ...more]);
  refused(await https(), 2, 'PP_CLI_USAGE', /needs --cert FILE and --key FILE/);
  refused(await https('--cert', at('text.pem'), '--key', at('text.pem')), 2, 'PP_CLI_FILE', /not a certificate in PEM form/);
  const [one, other, old] = [selfMade(), selfMade(), selfMade('211231')];
  for (const [name, text] of Object.entries({ one: one.cert, key: one.key, other: other.key, old: old.cert, oldkey: old.key }))
    writeFileSync(at(`${name}.pem`), text);
  const wrong = async (cert: string, key: string, why: RegExp) =>
    refused(await https('--cert', at(`${cert}.pem`), '--key', at(`${key}.pem`)), 2, 'PP_CLI_FILE', why);
  await wrong('one', 'other', /one\.pem cannot be used: it does not belong to the key in .*other\.pem/);
  await wrong('one', 'text', /text\.pem cannot be used: it is not a private key/);
  await wrong('old', 'oldkey', /old\.pem cannot be used: it has expired on 2021-12-31T23:59:59.000Z/);
  await wrong('none', 'key', /none\.pem cannot be used: it is not there/);
  writeFileSync(at('der.pem'), new X509Certificate(one.cert).raw);
  await wrong('der', 'key', /der\.pem cannot be used: it is in DER form, and PEM is wanted/);
});

test('points and settings are set, and what is wrong with a value is said', async () => {
  const { items } = await done<Items<{ kind: string; on: boolean; address: string }>>(['point', 'list']);
  assert.deepEqual(
    items.map((p) => [p.kind, p.on, p.address]),
    [['mp', true, 'http://mp.corp.example:8480']],
  );
  const near = await on(['point', 'set', 'mp', '--address', 'http://127.0.0.1:80', '--dry-run']);
  assert.equal(near.code, 0, near.err);
  assert.ok(near.err.startsWith('only this machine reaches http://127.0.0.1;'), near.err);
  refused(await on(['point', 'set', 'mp', '--address', 'http://0.0.0.0:80']), 2, 'PP_SITE_POINT_ADDRESS', /all addresses/);
  const settings = ['push.systems=workstations,dcs', 'ccr.verifyMinutes=1,3', 'push.properties=SMSSITECODE=P01 FSP=x'];
  const set = await done<Record<string, Record<string, unknown>>>(['site', 'settings', ...settings]);
  assert.deepEqual(set['push']!['systems'], ['workstations', 'dcs']);
  assert.deepEqual(set['ccr']!['verifyMinutes'], [1, 3]);
  assert.equal(set['push']!['properties'], 'SMSSITECODE=P01 FSP=x');
  const shown = await on(['site', 'settings']);
  assert.match(shown.out, /^push\.systems=workstations,dcs$/m);
  for (const [given, text] of [
    ['ccr.retryMinutes=soon', /must be integer/],
    ['ccr.retryMinutes=0', /must be >= 1/],
    ['ccr.nothing=1', /there is no such setting/],
    ['nothing.x=1', /no such group/],
    ['constructor.x=1', /no such group/],
    ['push.systems=servers,phones', /one of workstations, servers, dcs/],
  ] as const)
    refused(await on(['site', 'settings', 'ccr.probeMs=999', given]), 2, 'PP_SITE_SETTING', text);
  refused(await on(['site', 'settings', 'ccr']), 2, 'PP_CLI_USAGE', /group\.name=value/);
  assert.equal((await done<typeof set>(['site', 'settings']))['ccr']!['probeMs'], 2000, 'nothing half-done');
  await done(['site', 'settings', 'push.systems=null', 'ccr.verifyMinutes=null', 'push.properties=null', 'ccr.probeMs=300']);
});

test('machines are imported from CSV, JSON, UTF-16, standard input; bad rows are named and the rest is taken', async () => {
  const csv =
    'name,domain,ip,os,type,smbPort,colour\nPC1,CORP,127.66.0.1;127.66.0.2,Windows 11,workstation,9,red\nbad name,,,,,,\nDC1,CORP,127.66.0.3,,dc,9,\n';
  writeFileSync(at('m.csv'), csv);
  const first = await on(['device', 'import', at('m.csv')]);
  assert.equal(first.code, 1);
  assert.equal(first.out, '2 added, 0 changed, 0 unchanged, 1 rejected.\n');
  assert.match(first.err, /left out: colour\nline 3: bad name is not a name of a machine/);
  writeFileSync(at('m16.csv'), Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(csv, 'utf16le')]));
  const second = await on(['device', 'import', at('m16.csv'), '--json']);
  const { rejected, ...counts } = second.json<{ added: number; rejected: { line: number }[] }>();
  assert.deepEqual(
    [counts, rejected.map((r) => r.line)],
    [{ added: 0, changed: 0, unchanged: 2, assigned: 0, requested: 0, repeated: [], ignored: ['colour'] }, [3]],
  );
  const json = JSON.stringify([{ name: 'PC2', domain: 'CORP', addresses: ['127.66.0.4'] }]);
  assert.equal((await done(['device', 'import', '-'], { input: json }))['added'], 1);
  const list = await on(['device', 'list', '--json']);
  assert.equal((await done(['device', 'import', '-'], { input: list.out }))['unchanged'], 3, 'an exported list comes back');
  const twice = await on(['device', 'import', '-', '--dry-run'], { input: 'name,domain\nPC7,CORP\nPC8,CORP\npc7,CORP\n' });
  assert.match(twice.err, /^line 4: PC7 is the machine of line 2 again; the two were merged$/im);
  const wrong: [string | Uint8Array, string, RegExp][] = [
    ['[{"name":', 'PP_CLI_FILE', /\(standard input\) cannot be used: it is not JSON/],
    ['', 'PP_IMPORT_UNREADABLE', /it is empty/],
    ['serial,owner\n1,2\n', 'PP_IMPORT_UNREADABLE', /no column name/],
    [Buffer.from([1, 0, 0xff, 0xfe, 0x80]), 'PP_CLI_FILE', /no text in UTF-8 or UTF-16/],
  ];
  for (const [input, code, text] of wrong) refused(await on(['device', 'import', '-'], { input }), 2, code, text);
  refused(await on(['device', 'import', at('gone.csv')]), 2, 'PP_CLI_FILE', /gone\.csv cannot be used: it is not there/);
  refused(await on(['device', 'import', folder]), 2, 'PP_CLI_FILE', /it is a folder/);
});

test('machines are listed by pages and shown', async () => {
  const page = await done<Items<{ name: string }>>(['device', 'list', '--limit', '2']);
  assert.deepEqual(
    page.items.map((d) => d.name),
    ['DC1', 'PC1'],
  );
  const rest = await done<Items<{ name: string }>>(['device', 'list', '--limit', '2', '--cursor', page.next!]);
  assert.deepEqual([rest.items.map((d) => d.name), rest.next], [['PC2'], null]);
  // The number was cut out of a file with Windows' line ends.
  const shown = await on(['device', 'list', '--limit', '2\r']);
  assert.equal(shown.err, `there are more: --cursor ${page.next} shows the next ones\n`);
  assert.equal((await on(['device', 'list', '--limit', '2', '--cursor', page.next!])).err, '', 'the last page');
  const device = await done(['device', 'show', 'pc1']);
  for (const name of ['name', 'domain', 'addresses', 'os', 'type', 'trusted', 'sources', 'client'])
    assert.ok(name in device, name);
  assert.deepEqual([device['name'], device['addresses'], device['type']], ['PC1', ['127.66.0.1', '127.66.0.2'], 'workstation']);
  assert.match((await on(['device', 'show', 'PC1'])).out, /^addresses +127\.66\.0\.1, 127\.66\.0\.2$/m);
  refused(await on(['device', 'show', 'PC9']), 1, 'PP_API_NOT_FOUND', /no machine PC9/);
});

test('an account takes its password from a file or standard input, and it is never seen again', async () => {
  const add = (name: string, file: string, input?: string | Uint8Array) =>
    on(
      ['account', 'add', name, '--username', 'CORP\\push', '--password-file', file, '--host', 'PC*'],
      input === undefined ? {} : { input },
    );
  const made = await add('one', '-', `${CANARY}\r\n`);
  assert.equal(made.code, 0, made.err);
  writeFileSync(at('pw'), Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(CANARY, 'utf16le')]));
  assert.equal((await add('two', at('pw'))).code, 0);
  refused(await add('three', '-', ''), 2, 'PP_CLI_FILE', /holds no password/);
  refused(await add('three', '-', '\n'), 2, 'PP_CLI_FILE', /holds no password/);
  refused(await add('three', '-', `${CANARY}\nsecond`), 2, 'PP_CLI_FILE', /more than one line/);
  refused(await add('three', '-', Buffer.from([0x70, 0xe4])), 2, 'PP_CLI_FILE', /no text/);
  refused(await add('ONE', '-', CANARY), 1, 'PP_ACCOUNT_EXISTS', /already/);
  const bad = await on(['account', 'add', 'x', '--username', 'nobody', '--password-file', '-'], { input: CANARY });
  refused(bad, 2, 'PP_ACCOUNT_USERNAME', /neither DOMAIN/);
  const both = await on(['account', 'add', 'x', '--username', 'A\\b', '--password-file', '-', '--host', 'a', '--subnet', 'b']);
  refused(both, 2, 'PP_CLI_USAGE', /not both/);
  const listed = await on(['account', 'list', '--json']);
  assert.deepEqual(
    listed.json<Items<{ name: string; state: string }>>().items.map((a) => [a.name, a.state]),
    [
      ['one', 'unproven'],
      ['two', 'unproven'],
    ],
  );
  assert.doesNotMatch([made, listed, bad].map((r) => r.out + r.err).join(), new RegExp(CANARY));
  await done(['account', 'resume', 'two']);
  await done(['account', 'remove', 'TWO']);
  refused(await on(['account', 'remove', 'two']), 1, 'PP_API_NOT_FOUND', /no account two/);
  const written = spawnSync('grep', ['-rlaF', CANARY, data]);
  assert.equal(written.stdout.toString(), '', 'the password stands in no file of the site');
});

test('a package is taken whole or not at all', async () => {
  const definition = {
    name: 'agent',
    version: '1.0',
    platform: 'windows',
    bootstrap: { file: 'setup.exe', service: 'ccmsetup' },
    payload: { file: 'agent.msi' },
    verify: { service: 'CcmExec' },
  };
  const add = (value: unknown) => {
    writeFileSync(at('agent.json'), typeof value === 'string' ? value : JSON.stringify(value));
    return on(['package', 'add', at('agent.json')]);
  };
  refused(await on(['package', 'add', at('none.json')]), 2, 'PP_CLI_FILE', /it is not there/);
  refused(await add('{'), 2, 'PP_CLI_FILE', /it is not JSON/);
  refused(await add([]), 2, 'PP_CLI_FILE', /describes no package/);
  writeFileSync(at('setup.exe'), 'MZ');
  refused(await add(definition), 2, 'PP_CLI_FILE', /agent\.msi cannot be used: it is not there/);
  writeFileSync(at('agent.msi'), 'MSI');
  refused(await add({ ...definition, payload: { file: '../../etc/passwd' } }), 2, 'PP_CLI_FILE', /stand beside it/);
  refused(await add({ ...definition, version: 5 }), 2, 'PP_PACKAGE_DEFINITION', /version/);
  assert.equal((await done<Items<unknown>>(['package', 'list'])).items.length, 0);
  assert.equal((await add(definition)).out, 'Package agent 1.0 added (setup.exe: 2 bytes, agent.msi: 3 bytes).\n');
  assert.equal((await done<Items<{ name: string }>>(['package', 'list'])).items[0]!.name, 'agent');
  assert.equal((await add({ ...definition, name: 'other', version: '0.9' })).code, 0);
  refused(
    await on(['package', 'remove', 'agent']),
    1,
    'PP_PACKAGE_USED',
    /it is the default of windows while there is other too/,
  );
  assert.match((await on(['package', 'remove', 'other', '--dry-run'])).out, /Package other 0\.9 removed/);
  assert.equal((await on(['package', 'remove', 'other'])).out, 'Package other 0.9 removed.\n');
  refused(await on(['package', 'remove', 'other']), 1, 'PP_API_NOT_FOUND', /no package other/);
  writeFileSync(at('agent.json'), JSON.stringify(definition));
});

interface PushItem {
  name: string;
  decision: string;
  reason: string;
  site: string;
  managementPoint?: string;
  account?: string;
}

test('push --dry-run says of every name what would be done, hostile names are refused one by one', async () => {
  const names = ['PC1', 'pc1.corp', 'DC1', 'NEW1', 'bad name', 'a@b', '10.0.0.1', 'x'.repeat(400), '\u001b[31mred'];
  const ran = await on(['push', '--dry-run', '--json', '-f', '-'], { input: `${names.join('\n')}\n#no\n` });
  assert.equal(ran.code, 1);
  const { items } = ran.json<Items<PushItem>>();
  assert.deepEqual(
    items.map((i) => i.decision),
    ['push', 'skip', 'skip', 'push', 'refuse', 'refuse', 'refuse', 'refuse', 'refuse'],
  );
  assert.deepEqual(items[0], {
    name: 'PC1',
    decision: 'push',
    reason: 'gets the client',
    site: 'P01',
    managementPoint: 'http://mp.corp.example:8480',
    account: 'one',
  });
  assert.match(items[2]!.reason, /--include-dcs/);
  const plain = await on(['push', 'PC1', '\u001b[31mred', '--dry-run']);
  assert.doesNotMatch(plain.out + plain.err, /\u001b/);
  assert.equal((await done<Items<unknown>>(['ccr', 'list'])).items.length, 0);
  const many = Array.from({ length: 10_050 }, (_, i) => `M-${i}`).join('\n');
  const all = await done<Items<PushItem>>(['push', '-f', '-', '--dry-run'], { input: many });
  assert.equal(all.items.filter((i) => i.decision === 'push').length, 10_050);
});

test('CCRs are made, listed, shown with their steps, paused, resumed, retried and cancelled', async () => {
  const pushed = await on(['push', 'PC1', 'pc1', 'DC1']);
  assert.deepEqual([pushed.code, pushed.out], [0, '1 of 2 machines get a CCR, as wave 1.\n']);
  assert.match(pushed.err, /^DC1: skip: /);
  // Nobody listens on the discard port there.
  const waited = await on(['push', 'PC1', '--wait', '--json']);
  assert.equal(waited.code, 1);
  const [ccr] = waited.json<{ ccrs: Record<string, unknown>[] }>().ccrs;
  assert.deepEqual([ccr!['name'], ccr!['state'], ccr!['lastErrorCode']], ['PC1', 'retry', 53]);
  const wanted =
    'name domain state forced source site attempts lastErrorCode lastError firstRequestedAt lastAttemptAt nextAttemptAt steps';
  for (const name of wanted.split(' ')) assert.ok(name in ccr!, name);
  const list = await done<Items<{ name: string; state: string }>>(['ccr', 'list', '--state', 'retry']);
  assert.deepEqual([list.items.map((c) => c.name), list.next], [['PC1'], null]);
  const shown = await done<{ steps: Record<string, unknown>[] }>(['ccr', 'show', 'pc1']);
  assert.deepEqual(Object.keys(shown.steps[0]!).slice(0, 4), ['name', 'outcome', 'startedAt', 'durationMs']);
  const told = await on(['ccr', 'show', 'PC1']);
  assert.match(told.out, /^error 53 PP_NET_\w+: .+\n {2}cause: .+\n {2}fix: .+\n(attempt \d.*\n)+ {2}✗ \S+ {2}probe /m);
  refused(await on(['ccr', 'show', 'PC9']), 1, 'PP_API_NOT_FOUND', /no CCR for PC9/);
  const act = async (action: string, ...names: string[]) => {
    const ran = await on(['ccr', action, ...names, '--json']);
    return [ran.code, ran.json<Items<{ done: boolean }>>().items.map((i) => i.done)];
  };
  assert.deepEqual(await act('pause', 'PC1', '--dry-run'), [0, [true]]);
  assert.deepEqual(await act('pause', 'PC1', 'PC9', 'a b'), [1, [true, false, false]]);
  assert.deepEqual(await act('pause', 'PC1'), [1, [false]]);
  assert.deepEqual(await act('resume', 'PC1'), [0, [true]]);
  assert.deepEqual(await act('retry', 'pc1.corp'), [0, [true]]);
  assert.deepEqual(await act('cancel', 'PC1'), [0, [true]]);
  assert.match((await on(['ccr', 'cancel', 'PC1'])).out, /^PC1: it has no live CCR$/m);
});

test('a site elsewhere is reached with its URL and a token, which goes to nobody else', async () => {
  const token = join(data, 'run', 'console.token');
  const list = (server: string, file = token) => pushpoint(['site', 'list', '--json', '--server', server, '--token-file', file]);
  const fine = await list(`${up.ready.console}/`);
  assert.deepEqual([fine.code, fine.err], [0, ''], 'no warning on loopback');
  const env = { PUSHPOINT_SERVER: up.ready.console, PUSHPOINT_TOKEN_FILE: token };
  assert.equal((await pushpoint(['site', 'list', '--json'], { env })).out, fine.out);
  assert.equal((await pushpoint(['site', 'list', '--json'], { env: { PUSHPOINT_DATA: data } })).out, fine.out);
  refused(await pushpoint(['site', 'list'], { env: { ...env, PUSHPOINT_DATA: data } }), 2, 'PP_CLI_USAGE', /both set/);
  assert.equal((await pushpoint(['--data', data, 'site', 'list', '--json'])).out, fine.out, 'options may stand before the verb');
  writeFileSync(at('other.token'), `pp_${'a'.repeat(43)}\n`);
  const unknown = await list(up.ready.console, at('other.token'));
  assert.deepEqual([unknown.code, unknown.json<{ error: { code: string } }>().error.code], [1, 'PP_API_UNAUTHORIZED']);
  writeFileSync(at('no.token'), 'two words\n');
  assert.match((await list(up.ready.console, at('no.token'))).err, /holds no API token \[PP_CLI_FILE\]/);
  assert.match((await list(up.ready.points)).err, /it is a point, and the console listens elsewhere \[PP_CLI_NOT_A_SITE\]/);
  // An address that does not look like this machine's, though it is: the warning is there, and the port is closed.
  const far = await list('http://[::ffff:127.66.0.9]:9');
  assert.match(
    far.err,
    /^pushpoint: warning: the token goes to \[::ffff:7f42:9\]:9 over plain HTTP.*\n.*PP_CLI_SERVER_UNREACHABLE/,
  );
  assert.equal(far.code, 1);
});

test('a command that is older or newer than its site server says so, and goes on', async (t) => {
  let served: string | undefined;
  const other = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', ...(served && { 'pushpoint-version': served }) });
    response.end('{"items":[]}');
  });
  other.listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const at = ['--server', `http://127.0.0.1:${(other.address() as AddressInfo).port}`];
  const list = () => pushpoint(['site', 'list', ...at, '--token-file', join(data, 'run', 'console.token')]);
  const own = (await pushpoint(['--version'])).out.trim();
  for (const [version, text] of [
    [
      '999.0.0',
      /^pushpoint: warning: this command is of version \S+ and the site server of 999\.0\.0, .*: update this command$/m,
    ],
    ['0.0.1', /the site server of 0\.0\.1, which may not know what it is asked for: use the pushpoint command of the server/],
    [undefined, /the site server of an earlier one, which may not know/],
    [own, /^$/],
  ] as const) {
    served = version;
    const ran = await list();
    assert.equal(ran.code, 0);
    assert.match(ran.err.replace(/^no .*\n/m, ''), text);
  }
});

test('what is no site server is told apart from one that does not answer, and a redirect is not followed', async () => {
  const asked: string[] = [];
  const other = createServer((request, response) => {
    asked.push(request.url!);
    response.writeHead(request.url!.startsWith('/moved') ? 302 : 200, { location: '/elsewhere', 'content-type': 'text/html' });
    response.end('<html>');
  });
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const list = (path: string) =>
    pushpoint([
      'site',
      'list',
      '--server',
      `http://127.0.0.1:${port}${path}`,
      '--token-file',
      join(data, 'run', 'console.token'),
    ]);
  try {
    refused(await list(''), 1, 'PP_CLI_NOT_A_SITE', /it answered 200, and not in the form of the API/);
    refused(await list('/moved'), 1, 'PP_CLI_NOT_A_SITE', /it answered 302/);
    assert.deepEqual(asked, ['/api/v1/sites', '/moved/api/v1/sites']);
  } finally {
    other.close();
    await once(other, 'close');
  }
  refused(await list(''), 1, 'PP_CLI_SERVER_UNREACHABLE', /nobody listens there/);
});

test('a reader that has seen enough is no error, a full disk is one', () => {
  const shell = (command: string) => spawnSync('bash', ['-c', command, 'bash', BIN, data], { encoding: 'utf8' });
  const head = shell(
    'set -o pipefail; for i in 1 2 3; do sh "$1" site settings --data "$2" | head -c 1 >/dev/null || exit $?; done',
  );
  assert.deepEqual([head.status, head.stderr], [0, '']);
  if (!existsSync('/dev/full')) return;
  const full = shell('sh "$1" site settings --data "$2" >/dev/full');
  assert.equal(full.status, 1);
  assert.match(full.stderr, /^pushpoint: .*ENOSPC.* \[PP_CLI_SYSTEM\]\n {2}cause: .+\n {2}fix: .+\n$/);
});

test('every verb that changes something can be tried: a dry run says the same and changes nothing', async () => {
  const state = async () => {
    const lists = [
      ['point', 'list'],
      ['site', 'settings'],
      ['device', 'list'],
      ['account', 'list'],
      ['package', 'list'],
    ];
    return Promise.all(lists.map((verb) => done(verb)));
  };
  const before = await state();
  const dry = async (args: string[], how?: How) => {
    const ran = await on([...args, '--dry-run'], how);
    assert.deepEqual([ran.code, ran.err], [0, ''], args.join(' '));
    assert.match(ran.out, /^dry run, nothing is changed: /);
    return ran.out;
  };
  assert.match(await dry(['point', 'set', 'mp', '--address', 'http://other.corp.example']), /reach the mp at http:\/\/other/);
  assert.match(await dry(['site', 'settings', 'ccr.concurrency=9']), /ccr\.concurrency=9/);
  assert.match(await dry(['device', 'import', '-'], { input: 'name\nTRIED\n' }), /1 added/);
  const account = ['account', 'add', 'tried', '--username', 'CORP\\tried', '--password-file', '-'];
  assert.match(await dry(account, { input: CANARY }), /Account tried /);
  assert.match(await dry(['account', 'remove', 'one']), /Account one removed/);
  assert.match(await dry(['account', 'resume', 'one', '--password-file', '-'], { input: 'other' }), /Account one is used again/);
  const content = readdirSync(join(data, 'content'));
  const definition = JSON.parse(readFileSync(at('agent.json'), 'utf8')) as { version: string };
  writeFileSync(at('setup.exe'), 'MZ two');
  writeFileSync(at('agent.json'), JSON.stringify({ ...definition, version: '2.0' }));
  assert.match(await dry(['package', 'add', at('agent.json')]), /Package agent 2\.0 added \(setup\.exe: 6 bytes/);
  assert.deepEqual(readdirSync(join(data, 'content')), content);
  assert.deepEqual(await state(), before);
  refused(await on(['account', 'remove', 'nobody', '--dry-run']), 1, 'PP_API_NOT_FOUND', /no account nobody/);
  refused(await on(['site', 'settings', 'ccr.concurrency=0', '--dry-run']), 2, 'PP_SITE_SETTING', />= 1/);
  const site = await pushpoint(['site', 'create', 'P02', '--dry-run', '--data', at('P02')]);
  assert.deepEqual([site.code, existsSync(at('P02'))], [0, false]);
  refused(await pushpoint(['site', 'create', 'P02', '--dry-run', '--data', '/dev/null/x']), 1, 'PP_SITE_FOLDER', /not a folder/);
});

test('SIGTERM ends up in order: exit code 0, no server.json, no database server', async () => {
  const { pid } = JSON.parse(readFileSync(join(data, 'run', 'server.json'), 'utf8')) as { pid: number };
  assert.equal(await up.stop('SIGTERM'), 0);
  assert.throws(() => process.kill(pid, 0));
  assert.match(up.err, /pushpoint: stopped \(SIGTERM\)\n$/);
  assert.ok(!existsSync(join(data, 'run', 'server.json')));
  assert.ok(!existsSync(join(data, 'database', 'cluster', 'postmaster.pid')));
});

test('a server that was killed leaves nothing that hinders the next one, and the site can be asked in between', async () => {
  const killed = await Running.start(['up', '--data', data]);
  await killed.stop('SIGKILL');
  assert.ok(existsSync(join(data, 'run', 'server.json')));
  assert.equal((await done<Items<{ code: string }>>(['site', 'list'])).items[0]!.code, 'P01');
  up = await Running.start(['up', '--data', data]);
  assert.equal((await done<Items<{ code: string }>>(['site', 'list'])).items[0]!.code, 'P01');
  assert.equal(await up.stop('SIGINT'), 0);
});
