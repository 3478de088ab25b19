import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pushpoint, type Ran } from '#test/command';
import { scratch } from '#test/scratch';

/** What the command says to a wrong command line, and what it does without any site. */

const folder = mkdtempSync(join(scratch, 'pushpoint-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

/** A refusal has its code, its cause and its fix on standard error, no stack trace, and nothing on standard output. */
function refused(ran: Ran, exit: number, code: string, text: RegExp): void {
  assert.equal(ran.code, exit, ran.err);
  assert.match(ran.err, new RegExp(`^pushpoint: .* \\[${code}\\]\\n  cause: .+\\n  fix:   .+\\n$`));
  assert.match(ran.err, text);
  assert.doesNotMatch(ran.err, /\n\s+at /);
  assert.equal(ran.out, '');
}

test('the version and the help are printed, the help with first steps and exit codes', async () => {
  const [version, help, bare] = await Promise.all([pushpoint(['--version']), pushpoint(['--help']), pushpoint([])]);
  assert.deepEqual([version.code, version.err], [0, '']);
  assert.match(version.out, /^\d+\.\d+\.\d+\n$/);
  assert.deepEqual([help.code, help.err], [0, '']);
  for (const verb of [
    'site',
    'point',
    'up',
    'boundary',
    'device',
    'account',
    'vault',
    'package',
    'push',
    'ccr',
    'client',
    'lab',
    'demo',
    'completion',
  ])
    assert.match(help.out, new RegExp(`^  ${verb}\\b`, 'm'));
  assert.match(help.out, /First steps:[^]*Exit codes: 0 done, 1 some of it failed, 2 wrong use/);
  assert.equal(bare.out, help.out);
});

test('verbs have help with an example, and --json', async () => {
  const verbs = [
    'site create',
    'point set',
    'up',
    'boundary add',
    'boundary which',
    'device import',
    'account add',
    'vault rotate',
    'package add',
    'push',
    'ccr list',
    'ccr retry',
  ];
  verbs.push('client approve', 'lab up', 'demo');
  for (let i = 0; i < verbs.length; i += 4)
    for (const ran of await Promise.all(verbs.slice(i, i + 4).map((verb) => pushpoint([...verb.split(' '), '--help'])))) {
      assert.equal(ran.code, 0);
      assert.match(ran.out, /--json[^]*Examples:\n {2}\$ pushpoint /);
    }
});

test('a wrong command line is answered with 2, the reason and a suggestion', async () => {
  const wrong: [string[], RegExp][] = [
    [['pusch'], /unknown command 'pusch' \(Did you mean push\?\)/],
    [['foo'], /unknown command 'foo'; pushpoint has site, point, up, .*, completion \[/],
    [['help', 'foo'], /unknown command 'foo'; pushpoint has site/],
    [['deploy'], /unknown command 'deploy'; perhaps pushpoint push \[/],
    [['package', 'drop', 'x'], /unknown command 'drop'; package has add, list, remove \[/],
    [['site', 'creat'], /Did you mean create\?/],
    [['push', 'A', '--forc'], /unknown option '--forc' \(Did you mean --force\?\)/],
    [['site', 'create'], /missing required argument 'code'/],
    [['site', 'create', 'P01'], /site create needs --data DIR/],
    [['up'], /up needs --data DIR/],
    [['ccr', 'list'], /say which site: --data DIR \(or PUSHPOINT_DATA\), or --server URL --token-file FILE/],
    [['ccr', 'list', '--data', 'a', '--server', 'http://b'], /--data or --server, not both/],
    [['ccr', 'list', '--server', 'b'], /URL that begins with http/],
    [['ccr', 'list', '--server', 'http://u:secret@b', '--token-file', 'x'], /wants the URL alone/],
    [['ccr', 'list', '--server', 'http://b'], /needs --token-file/],
    [['ccr', 'list', '--state', 'happy', '--data', 'a'], /Allowed choices are queued, processing/],
    [['ccr', 'list', '--limit', '0', '--data', 'a'], /not a whole number from 1 to 1000/],
    [['point', 'set', 'dp', '--off', '--data', 'a'], /Allowed choices are mp, slp, fsp/],
    [['push', '--data', 'a'], /at least one machine name/],
    [['push', 'A', '--wait', '--dry-run', '--data', 'a'], /nothing to --wait for/],
    [['push', 'A', '--timeout', '5', '--data', 'a'], /--timeout goes with --wait/],
    [['account', 'add', 'a', '--username', 'A\\b', '--data', 'a'], /required option '--password-file <file>'/],
    [['up', '--cert', 'a', '--data', 'a'], /--cert, --key, --client-ca and --client-crl go with --listen-https/],
    [['--data', 'a', 'demo'], /demo works on no site/],
    [['completion', 'fish'], /Allowed choices are bash, zsh/],
  ];
  for (let i = 0; i < wrong.length; i += 4)
    await Promise.all(wrong.slice(i, i + 4).map(async ([args, text]) => refused(await pushpoint(args), 2, 'PP_CLI_USAGE', text)));
  const group = await pushpoint(['ccr']);
  assert.deepEqual([group.code, group.out], [2, '']);
  assert.match(group.err, /Usage: pushpoint ccr/);
});

test('a number, a name or a time of a wrong form is told before any site is asked', async () => {
  writeFileSync(at('token'), 'a'.repeat(43));
  const wrong: [string[], RegExp][] = [
    [['wave', 'show', 'abc'], /abc is no number of a wave; wave list shows them/],
    [['policy', 'show', 'x'], /x is no number of an assignment; policy list shows them/],
    [['policy', 'secret', '--set', 'a b', '--value-file', at('token')], /the name of a secret begins with a letter/],
    [
      ['client', 'upgrade', 'PC1', '--not-before', 'tomorrow'],
      /--not-before takes a time with its zone, such as .*; not tomorrow/,
    ],
    [['client', 'upgrade', 'PC1', '--not-before', '2026-13-41T22:00Z'], /; not 2026-13-41T22:00Z/],
  ];
  const nobody = ['--server', 'http://127.0.0.1:1', '--token-file', at('token')];
  await Promise.all(wrong.map(async ([args, text]) => refused(await pushpoint([...args, ...nobody]), 2, 'PP_CLI_USAGE', text)));
  rmSync(at('token'));
});

test('with --json a complaint is one JSON document on standard output as well', async () => {
  const ran = await pushpoint(['site', 'create', 'P0', '--data', at('x'), '--json']);
  assert.equal(ran.code, 2);
  const { error } = ran.json<{ error: Record<string, string> }>();
  assert.deepEqual(Object.keys(error), ['code', 'message', 'cause', 'remedy']);
  assert.equal(error['code'], 'PP_SITE_CODE');
  assert.match(ran.err, /PP_SITE_CODE/);
  assert.equal(
    (await pushpoint(['ccr', 'list', '--bad', '--json'])).json<{ error: { code: string } }>().error.code,
    'PP_CLI_USAGE',
  );
});

test('a site is not made where it cannot be, and nothing is left of the try', async () => {
  const create = (...args: string[]) => pushpoint(['site', 'create', ...args]);
  refused(await create('P001', '--data', at('a')), 2, 'PP_SITE_CODE', /P001 is not a site code/);
  refused(await create('P01', '--data', at('a'), '--listen', '0.0.0.0:99999'), 2, 'PP_CLI_USAGE', /--listen wants HOST:PORT/);
  refused(await create('P01', '--data', at('a'), '--console', 'here'), 2, 'PP_CLI_USAGE', /--console wants HOST:PORT/);
  const secret = await create('P01', '--data', at('a'), '--database', 'postgresql://u:canary@h/d');
  refused(secret, 2, 'PP_CLI_USAGE', /must not hold a password/);
  assert.doesNotMatch(secret.err, /canary/);
  refused(
    await create('P01', '--data', at('a'), '--database', 'postgresql://h/d?password=canary'),
    2,
    'PP_CLI_USAGE',
    /password/,
  );
  refused(await create('P01', '--data', at('a'), '--database', 'mysql://h/d'), 1, 'PP_STORE_URL', /./);
  refused(await create('P01', '--data', '/dev/null/a'), 1, 'PP_SITE_FOLDER', /\/dev\/null is not a folder/);
  // Node's own recursive mkdir never comes back from there.
  refused(await create('P01', '--data', '/proc/a'), 1, 'PP_SITE_FOLDER', /\/proc\/a cannot be used/);
  writeFileSync(at('file'), '');
  refused(await create('P01', '--data', at('file')), 1, 'PP_SITE_FOLDER', /is not a folder/);
  refused(await pushpoint(['up', '--data', at('a')]), 1, 'PP_SITE_NOT_HERE', /holds no site/);
  refused(await pushpoint(['ccr', 'list', '--data', at('a')]), 1, 'PP_SITE_NOT_HERE', /holds no site/);
  assert.deepEqual(readdirSync(folder), ['file']);
});

test('ccr generate writes one file for each machine, refuses hostile names one by one, and --dry-run writes nothing', async () => {
  const names = ['# branch office', 'PC1', 'pc1', '', 'bad name', 'srv.corp.example', '../../etc/passwd', '; end'].join('\r\n');
  writeFileSync(at('names.txt'), names);
  const dry = await pushpoint(['ccr', 'generate', '-f', at('names.txt'), '-o', at('out'), '--dry-run']);
  assert.equal(dry.code, 1);
  assert.match(dry.out, /^2 CCR files would be written to /);
  assert.ok(!existsSync(at('out')));
  const ran = await pushpoint(['ccr', 'generate', '-f', '-', '-o', at('out'), '--forced', '--domain', 'CORP', '--json'], {
    input: names,
  });
  assert.equal(ran.code, 1);
  const { written, rejected } = ran.json<{ written: string[]; rejected: { name: string; reason: string }[] }>();
  assert.deepEqual(written, [join(at('out'), 'PC1.ccr'), join(at('out'), 'srv.corp.example.ccr')]);
  assert.deepEqual(
    rejected.map((r) => r.name),
    ['bad name', '../../etc/passwd'],
  );
  assert.deepEqual(readdirSync(at('out')).sort(), ['PC1.ccr', 'srv.corp.example.ccr']);
  const text = readFileSync(join(at('out'), 'PC1.ccr'), 'latin1');
  assert.match(text, /^\[NT Client Configuration Request\]\r\nMachine Name=PC1\r\n/);
  assert.match(text, /Forced CCR=TRUE/);
  assert.match(text, /CORP/);
  const into = (...args: string[]) => pushpoint(['ccr', 'generate', ...args]);
  refused(await into('-f', at('names.txt'), '-o', '/dev/null/x'), 2, 'PP_CLI_FILE', /\/dev\/null is not a folder/);
  refused(await into('-f', at('gone.txt'), '-o', at('out')), 2, 'PP_CLI_FILE', /gone\.txt cannot be used: it is not there/);
  writeFileSync(at('binary'), Buffer.from([0x50, 0x43, 0, 0xff, 0xfe]));
  refused(await into('-f', at('binary'), '-o', at('out')), 2, 'PP_CLI_FILE', /no text in UTF-8 or UTF-16/);
  refused(await into('-f', at('names.txt'), '-o', at('out'), '--domain', 'a b'), 2, 'PP_REQUEST_DOMAIN', /./);
});

test('the completion script completes verbs, options, choices and leaves the rest to files', async () => {
  const { out, code } = await pushpoint(['completion', 'bash']);
  assert.equal(code, 0);
  const complete = (...words: string[]) => {
    const script = `${out}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pushpoint; echo "\${COMPREPLY[*]}"`;
    const ran = spawnSync('bash', ['--norc', '-u', '-c', script, 'bash', 'pushpoint', ...words], { encoding: 'utf8' });
    assert.equal(ran.stderr, '');
    return ran.stdout.trim().split(' ');
  };
  assert.deepEqual(complete('c'), ['collection', 'ccr', 'client', 'completion']);
  assert.deepEqual(complete('ccr', ''), ['list', 'show', 'retry', 'cancel', 'pause', 'resume', 'generate']);
  assert.deepEqual(complete('client', 'app'), ['approve']);
  assert.deepEqual(complete('push', 'PC1', '--dr'), ['--dry-run']);
  assert.deepEqual(complete('ccr', 'list', '--state', 're'), ['retry']);
  assert.deepEqual(complete('ccr', 'list', '--state', '=', 're'), ['retry']);
  assert.deepEqual(complete('--data', './p01', 'point', 'set', ''), ['mp', 'slp', 'fsp']);
  assert.deepEqual(complete('device', 'import', ''), ['']);
  assert.deepEqual(complete('ccr', 'list', '--data', ''), ['']);
  const zsh = await pushpoint(['completion', 'zsh']);
  assert.match(zsh.out, /^autoload -U \+X compinit bashcompinit/);
});

test('a lab refuses what it cannot do', async () => {
  refused(await pushpoint(['lab', 'up', '--windows', '0']), 2, 'PP_CLI_USAGE', /from 1 to 1000/);
  refused(await pushpoint(['lab', 'up', '--windows', '1', '--folder', '/proc/lab']), 1, 'PP_CLI_LAB', /\/proc\/lab/);
  refused(await pushpoint(['lab', 'repair', 'WS-0001', '--folder', at('nolab')]), 1, 'PP_CLI_LAB', /no lab runs there/);
  refused(await pushpoint(['demo', '--folder', folder]), 2, 'PP_CLI_FILE', /not made by a demo/);
});
