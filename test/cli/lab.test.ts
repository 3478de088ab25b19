import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { publicKeyOf, signRequest, type Registration } from '#messages';
import { pushpoint, Running } from '#test/command';
import { scratch } from '#test/scratch';

/** The command against a site and a lab that run: what an administrator does on the first day, from import to a blocked client. */

interface Lab {
  hosts: number;
  csv: string;
  username: string;
  passwordFile: string;
  package: string;
}

interface Client {
  name: string;
  guid: string;
  approval: string;
  blocked: boolean;
}

const folder = mkdtempSync(join(scratch, 'pushpoint-cli-'));
const data = join(folder, 'P01');
let lab: Running<Lab>;
let up: Running<{ points: string }>;

const on = (...args: string[]) => pushpoint([...args, '--data', data]);

async function done<T = Record<string, unknown>>(...args: string[]): Promise<T> {
  const ran = await on(...args, '--json');
  assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
  return ran.json<T>();
}

before(async () => {
  await done('site', 'create', 'P01', '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0');
  up = await Running.start(['up', '--data', data]);
  lab = await Running.start(['lab', 'up', '--windows', '8', '--folder', join(folder, 'lab')]);
});

after(async () => {
  await up?.stop();
  await lab?.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
});

test('machines, account, package and management point, then push --wait: every machine has its verdict, with cause and fix', async () => {
  const { ready } = lab;
  assert.equal(ready.hosts, 8);
  await done('point', 'set', 'mp', '--address', up.ready.points);
  assert.equal((await done('device', 'import', ready.csv))['added'], 8);
  await done('account', 'add', 'lab', '--username', ready.username, '--password-file', ready.passwordFile);
  await done('package', 'add', ready.package);
  const names = readFileSync(ready.csv, 'utf8')
    .trim()
    .split('\r\n')
    .slice(1)
    .map((row) => row.split(',', 1)[0]!);
  const ran = await pushpoint(['push', '-f', '-', '--wait', '--timeout', '2', '--data', data], { input: names.join('\n') });
  assert.equal(ran.code, 1, 'a lab has faulty machines among the healthy ones');
  assert.match(ran.out, /^8 of 8 machines get a CCR, as wave 1\.\nNAME +STATE +CODE +WHY\n/);
  for (const name of names) assert.match(ran.out, new RegExp(`^${name} +(complete|skipped|retry|waiting) `, 'm'));
  assert.match(ran.out, /^\d+ PP_\w+\n {2}cause: .+\n {2}fix: {3}.+$/m);
});

test('a machine that was repaired completes at the next push, and a healthy one when it is forced', async () => {
  const { items } = await done<{ items: { name: string }[] }>('ccr', 'list', '--state', 'retry');
  const name = items[0]!.name;
  const where = ['--folder', join(folder, 'lab')];
  const strange = await pushpoint(['lab', 'repair', name, '../WS-9', ...where]);
  assert.match(strange.err, /it has no host \.\.\/WS-9 \[PP_CLI_LAB\]/);
  assert.equal((await pushpoint(['lab', 'repair', name.toLowerCase(), ...where])).code, 0);
  assert.equal((await on('push', name, '--wait')).code, 0);
  const again = await on('push', name, '--wait');
  assert.deepEqual([again.code, again.out], [0, '0 of 1 machines get a CCR.\n']);
  assert.match(again.err, /: skip: client .* is installed and was heard .*: --force/);
  const forced = await done<{ ccrs: { state: string; forced: boolean }[] }>('push', name, '--force', '--wait');
  assert.deepEqual(
    forced.ccrs.map((c) => [c.state, c.forced]),
    [['complete', true]],
  );
  const looked = await done<{ ccrs: { state: string; steps: { name: string }[] }[] }>('push', name, '--inspect', '--wait');
  assert.ok(!looked.ccrs[0]!.steps.some((step) => step.name === 'copy' || step.name === 'start'));
});

/** What a machine that was never pushed to says of itself when it registers. */
async function register(name: string, hardwareId = `2:${randomUUID()}`): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const path = '/ccm_system/registration';
  const registration: Registration = {
    requestId: randomUUID(),
    publicKey: publicKeyOf(privateKey),
    name,
    domain: 'CORP',
    fqdn: `${name.toLowerCase()}.corp.example`,
    addresses: ['127.0.0.1'],
    os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
    hardwareId,
    clientVersion: '0.0.1',
    time: new Date().toISOString(),
  };
  const body = JSON.stringify(registration);
  const at = { time: new Date(), nonce: randomBytes(16).toString('base64url') };
  const headers = signRequest({ method: 'POST', path, body: Buffer.from(body) }, { privateKey }, at);
  const answer = await fetch(up.ready.points + path, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body,
  });
  assert.equal(answer.status, 200, await answer.text());
}

test('clients are listed, shown, blocked and unblocked; a conflict is seen, told by GUID and decided', async () => {
  const { items } = await done<{ items: Client[] }>('client', 'list');
  const real = items[0]!;
  assert.deepEqual([real.approval, real.blocked], ['approved', false]);
  const show = await on('client', 'show', real.name);
  assert.match(
    show.out,
    new RegExp(
      `^name +${real.name}$[^]*^guid +${real.guid}$[^]*^approval +approved by the token of a push$[^]*^what happened to it[^]*registered  by site[^]*^what it said`,
      'm',
    ),
  );
  const act = async (action: string, name: string, ...more: string[]) => (await on('client', action, name, ...more)).out;
  assert.equal(await act('block', real.name, '--dry-run'), `${real.name} (${real.guid}) would be blocked.\n`);
  assert.equal((await done<Client>('client', 'show', real.guid)).blocked, false);
  assert.equal(await act('block', real.name.toLowerCase()), `${real.name} (${real.guid}) blocked.\n`);
  assert.equal((await done<Client>('client', 'show', real.name)).blocked, true);
  assert.match((await on('client', 'list')).out, new RegExp(`^${real.name} .*approved, blocked`, 'm'));
  assert.equal(await act('block', real.name), `${real.name} (${real.guid}) was blocked already.\n`);
  assert.equal(await act('unblock', real.name), `${real.name} (${real.guid}) unblocked.\n`);

  assert.match((await on('client', 'conflicts')).err, /no conflicts/);
  await register(real.name);
  const conflicts = await done<{ items: Client[] }>('client', 'conflicts');
  assert.deepEqual(
    conflicts.items.map((c) => [c.name, c.approval]),
    [[real.name, 'pending']],
  );
  const liar = conflicts.items[0]!.guid;
  const which = await on('client', 'block', real.name);
  assert.equal(which.code, 1);
  assert.match(which.err, new RegExp(`${liar} \\(pending\\).*PP_API_AMBIGUOUS`));
  assert.deepEqual(await done('client', 'block', liar), { guid: liar, name: real.name, done: true });
  await register('NEWCOMER');
  assert.equal((await done<Client>('client', 'show', 'newcomer')).approval, 'pending');
  assert.equal((await done('client', 'approve', 'NEWCOMER'))['done'], true);
  assert.equal((await done('client', 'approve', 'NEWCOMER'))['done'], false);
  assert.equal((await done<Client>('client', 'show', 'newcomer')).approval, 'approved');
  assert.match((await on('client', 'reject', 'NEWCOMER')).out, / rejected\.$/m);
  assert.match((await on('client', 'list', '--approval', 'rejected')).out, /^NEWCOMER .*rejected/m);
  assert.match((await on('client', 'show', 'NEWCOMER')).out, /rejected {2}by console\.token {2}before approved/);
  assert.equal((await on('client', 'list', '--approval', 'maybe')).code, 2);
  await decideConflicts();
  const nobody = await on('client', 'approve', 'NOBODY');
  assert.deepEqual([nobody.code, /PP_API_NOT_FOUND/.test(nobody.err)], [1, true]);
});

/** One machine of two keys, one that is another machine, hardware ids that are compared no more; all of it by the command. */
async function decideConflicts(): Promise<void> {
  const mode = await on('site', 'approval', 'all');
  assert.match(mode.out, /^approval is all\.$/m);
  assert.match(mode.err, /closed networks only/);
  assert.equal((await on('site', 'approval', 'perhaps')).code, 2);
  await done('site', 'approval', 'proven');
  await done('site', 'settings', 'client.conflicts=manual');
  const hardware = `HW-${randomUUID()}`;
  for (const name of ['TWIN-A', 'TWIN-B', 'TWIN-C']) await register(name, hardware);
  const held = await on('client', 'approve', 'TWIN-B');
  assert.deepEqual([held.code, /PP_CLIENT_CONFLICT/.test(held.err)], [1, true]);
  assert.match((await on('client', 'conflicts')).out, /^TWIN-B .*pending, held +has the hardware id of TWIN-A GUID:[^ ]+ +60$/m);
  const { guid } = await done<Client>('client', 'show', 'TWIN-A');
  assert.equal((await on('client', 'merge', 'TWIN-B')).out, `TWIN-B is ${guid} from now on.\n`);
  assert.match((await on('client', 'new', 'TWIN-C')).out, /^TWIN-C \(GUID:[^)]+\) is a machine of its own\.$/m);
  assert.match((await on('client', 'delete', 'TWIN-C')).out, /^TWIN-C .* deleted\.$/m);
  assert.match(
    (await on('client', 'bad-hardware', '--add', hardware, '--why', 'dock')).out,
    /is compared no more; 0 conflicts closed/,
  );
  assert.match((await on('client', 'bad-hardware')).out, new RegExp(`^${hardware.toUpperCase()} .*dock$`, 'm'));
  await done('client', 'bad-hardware', '--remove', hardware);
  const asked = await on('client', 'uninstall', guid, '--dry-run');
  assert.match(asked.out, /^dry run, nothing is changed: uninstall is asked of 1 client: 1 waiting\.$/m);
  const { id } = await done<{ id: number }>('client', 'migrate', guid, '--to', 'P77', '--mp', 'http://mp77.corp.example:8480');
  assert.match((await on('policy', 'list')).out, new RegExp(`^${id} +migrate to P77 +1 client`, 'm'));
  assert.match((await on('policy', 'cancel', String(id))).out, /is cancelled/);
  assert.match((await on('policy', 'show', String(id))).out, /^state +cancelled$/m);
}

test('a report is a table, JSON or a file, and what it cannot be narrowed to is told', async () => {
  const { items } = await done<{ items: { name: string }[] }>('report', 'list');
  assert.ok(items.some(({ name }) => name === 'push-status-details'));
  assert.match((await on('report', 'show', 'push-status-details')).out, /^COLUMN +MEANS\nname +name of the machine$/m);
  const ran = await on('report', 'run', 'push-status-summary');
  assert.match(ran.out, /^SITE +STATE +(CODE +ERROR +)?CCRS +PERCENT\nP01 +complete +/);
  const rows = await done<{ items: { name: string; state: string }[]; next: null }>('report', 'run', 'push-status-details');
  const file = await on('report', 'run', 'push-status-details', '--csv');
  const [head, ...lines] = file.out.split('\r\n').slice(0, -1);
  assert.match(head!, /^name,domain,site,state,/);
  assert.deepEqual(
    lines.map((line) => line.split(',', 4)),
    rows.items.map((row) => [row.name, 'CORP', 'P01', row.state]),
  );
  assert.ok(lines.length >= 8);
  const page = await on('report', 'run', 'push-status-details', '--limit', '2');
  assert.match(page.err, /^there are more rows: --csv has all of them, --cursor \S+ the next ones\n$/);
  assert.deepEqual((await on('report', 'run', 'duplicate-macs', '--days', '3')).code, 2);
  const none = await on('report', 'run', 'push-status-details', '--csv', '--site', 'X99');
  assert.deepEqual([none.out, /PP_SITE_UNKNOWN/.test(none.err)], ['', true]);
  assert.match((await on('report', 'run', 'not-reporting', '--csv', '--json')).err, /--csv or --json, not both/);
});

test('a second lab in the folder of one that runs is refused, and the first goes on', async () => {
  const ran = await pushpoint(['lab', 'up', '--windows', '1', '--folder', join(folder, 'lab')]);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /a lab runs there already.*PP_CLI_LAB/);
  assert.equal((await pushpoint(['lab', 'repair', 'WS-0001', '--folder', join(folder, 'lab')])).code, 0);
});

test('a lab that ended is not asked in vain', async () => {
  assert.equal(await lab.stop('SIGINT'), 0);
  const ran = await pushpoint(['lab', 'repair', 'WS-0001', '--folder', join(folder, 'lab')]);
  assert.match(ran.err, /no lab runs there \[PP_CLI_LAB\]/);
});

test('demo does all of it by itself and leaves nothing running', async () => {
  const where = join(folder, 'demo of mine');
  const ran = await pushpoint(['demo', '--windows', '3', '--exit', '--json', '--folder', where]);
  assert.equal(ran.code, 0, ran.err);
  const { ccrs } = ran.json<{ ccrs: { state: string }[] }>();
  assert.equal(ccrs.length, 3);
  assert.ok(ccrs.every((ccr) => ['complete', 'skipped', 'retry', 'waiting'].includes(ccr.state)));
  const { byHand } = ran.json<{ byHand: { name: string; outcome: string; states: number[] }[] }>();
  const [pushed, ...others] = byHand;
  assert.deepEqual([pushed!.outcome, pushed!.states], ['approved by its token; it signs all it says', []]);
  const expected: [string, RegExp, number[]][] = [
    ['HAND-0001', /^pending; client approve: approved$/, [100, 400]],
    ['HAND-0002', /^refused: .* 403 PP_CLIENT_BLOCKED$/, [100, 400, 603]],
    ['HAND-0003', /^conflicting record; client merge: one record, approved$/, [100, 400]],
    ['HAND-0004', /not supported: build 2600/, [100, 319]],
    ['HAND-0005', /\(99\.0\.0\) is newer than site P01/, [100, 607]],
    ['HAND-0006', /runtime\.exe .* 1603$/, [100, 301]],
  ];
  assert.deepEqual(
    others.map(({ name }) => name),
    expected.map(([name]) => name),
  );
  for (const [i, [name, outcome, states]] of expected.entries()) {
    assert.match(others[i]!.outcome, outcome, name);
    assert.deepEqual(
      states.filter((id) => !others[i]!.states.includes(id)),
      [],
      name,
    );
  }
  assert.ok(!existsSync(join(where, 'P01', 'run', 'server.json')), 'nothing runs any more');
});
