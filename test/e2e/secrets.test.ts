import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import { readMobileClient } from '#messages';
import { openDatabase } from '#store/database';
import { ntHash } from '#wire/auth';
import { pushpoint } from '#test/command';
import { family } from '#test/family';
import { eventually, WholeSite, type Shown } from '#test/whole-site';

/** Secrets are looked for in everything that the product writes, answers or shows of itself; they stand nowhere. */

const RIGHT = 'Canary-7g2Kx-right!';
const WRONG = 'Canary-9w4Qz-wrong!';
/** A secret of the policy, which approved clients get sealed for their keys. */
const POLICY = 'Canary-3p8Lf-policy!';
/** What escapes, encodings and shells stumble over; its first letters are the same in every escaping, so they are looked for by themselves. */
const ODD_CORE = 'Canary-5tRb8';
const ODD = `${ODD_CORE} "quoted" 'so' \\ %41%machinename% $HOME \u00e9\ud83d\ude00\u007f&<!-- end`;

let site: WholeSite;
let fleet: Fleet;

/** A secret in the forms in which it could leak: as text of either kind, in base64 and hex, and the hash that is as good as a password. */
function forms(secret: string): Map<string, Buffer> {
  const utf8 = Buffer.from(secret, 'utf8');
  const wide = Buffer.from(secret, 'utf16le');
  const nt = Buffer.from(ntHash(secret));
  const text = (words: string) => Buffer.from(words, 'latin1');
  // Inside longer base64 the first and last characters depend on the neighbours; the middle does not, at each of three offsets.
  const middles = [0, 1, 2].map((offset) =>
    Buffer.concat([Buffer.alloc(offset), utf8])
      .toString('base64')
      .slice(4, -4),
  );
  return new Map([
    ['text', utf8],
    ['UTF-16', wide],
    ['UTF-16BE', Buffer.from(wide).swap16()],
    ['hex', text(utf8.toString('hex'))],
    ['HEX', text(utf8.toString('hex').toUpperCase())],
    ['hex of UTF-16', text(wide.toString('hex'))],
    ['JSON', text(JSON.stringify(secret).slice(1, -1))],
    ['JSON in UTF-8', Buffer.from(JSON.stringify(secret).slice(1, -1))],
    ['a list of octets', text([...utf8].join(','))],
    ['as Node shows octets', text(utf8.toString('hex').replace(/../g, '$& ').trim())],
    ...middles.map((middle, offset) => [`base64 ${offset}`, text(middle)] as const),
    ['base64 of UTF-16', text(wide.toString('base64').slice(0, -4))],
    ['in a URL', text(encodeURIComponent(secret).replaceAll('!', '%21'))],
    // What a token secret stands for.
    ['decoded', Buffer.from(secret, 'base64url')],
    ['hex of decoded', text(Buffer.from(secret, 'base64url').toString('hex'))],
    ['NT hash', nt],
    ['NT hash in hex', text(nt.toString('hex'))],
    ['NT hash in base64', text(nt.toString('base64').slice(0, -4))],
  ]);
}

/** Search holds the places that were looked into, and what was found there. */
class Search {
  readonly #secrets: { name: string; forms: Map<string, Buffer> }[];
  readonly found: string[] = [];
  places = 0;
  bytes = 0;

  constructor(secrets: Record<string, string>) {
    this.#secrets = Object.entries(secrets).map(([name, secret]) => ({ name, forms: forms(secret) }));
  }

  look(place: string, octets: Buffer): void {
    this.places++;
    this.bytes += octets.length;
    for (const { name, forms: all } of this.#secrets)
      for (const [form, needle] of all) if (octets.includes(needle)) this.found.push(`${name} (${form}) in ${place}`);
  }

  /** folder looks into all files below; what a running site takes away meanwhile is not there any more. */
  folder(folder: string): void {
    for (const entry of unlessGone(() => readdirSync(folder, { withFileTypes: true })) ?? []) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) this.folder(path);
      else if (entry.isFile()) this.look(path, unlessGone(() => readFileSync(path)) ?? Buffer.alloc(0));
    }
  }
}

function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

before(async () => {
  site = new WholeSite();
  fleet = await startFleet({
    windows: 5,
    folder: join(site.folder, 'hosts'),
    clock: systemClock,
    random: systemRandom,
    addresses: '127.25.1.1',
    password: RIGHT,
  });
  await (await site.create()).spawn();
});

after(async () => {
  await site?.close();
  await fleet?.stop();
});

/** tokenOn is the secret of the registration token that a push has laid on a machine, as long as it lies there. */
function tokenOn(name: string): string | undefined {
  const file = join(site.folder, 'hosts', name, 'Windows', 'ccmsetup', 'mobileclient.tcf');
  if (!existsSync(file)) return undefined;
  try {
    return readMobileClient(readFileSync(file)).registration?.token;
  } catch {
    return undefined; // half written
  }
}

test('no password, and no secret of a registration token, stands in anything that the site writes, answers or shows', async (t) => {
  const [good, denied, broken, refused, shy] = fleet.hosts.map(({ host }) => host);
  await good!.set({ slowMs: 60 });
  await denied!.set({ ordinaryRights: true });
  await broken!.set({ startTimesOut: true });
  await shy!.set({ answersAs: 'SOMEBODY' });
  const answers: string[] = [];
  await site.prepare({ csv: fleet.csv(), account: fleet.account });
  // A password with everything in it, from a file in UTF-16 as Windows' editors write it, through the command.
  const file = join(site.folder, 'odd.txt');
  writeFileSync(file, Buffer.from(`\ufeff${ODD}\r\n`, 'utf16le'), { mode: 0o600 });
  fleet.domain.accounts.add({ username: 'odd', password: ODD, administrator: true });
  const who = ['--username', 'CORP\\odd', '--host', good!.name, '--data', site.data];
  const told = [
    await pushpoint(['account', 'add', 'odd', ...who, '--password-file', file]),
    await pushpoint(['account', 'add', 'odd two', ...who, '--password-file', '-', '--dry-run'], { input: `${ODD}\n` }),
    await pushpoint(['account', 'add', 'odd', ...who, '--password-file', '-', '--json'], { input: ODD }),
    await pushpoint(['account', 'add', 'odd three', ...who, '--password-file', '-'], { input: `${ODD}\n${ODD}` }),
    await pushpoint(['account', 'list', '--json', '--data', site.data]),
    await pushpoint(['policy', 'secret', '--set', 'wifi.key', '--value-file', '-', '--data', site.data], {
      input: `${POLICY}\n`,
    }),
    await pushpoint(['policy', 'secret', '--json', '--data', site.data]),
  ];
  assert.deepEqual(
    told.map(({ code }) => code),
    [0, 0, 1, 2, 0, 0, 0],
    JSON.stringify(told),
  );
  for (const { out, err } of told) answers.push(out, err);
  const refusing = { name: 'wrong', username: 'CORP\\push', password: WRONG, scope: { kind: 'host', pattern: refused!.name } };
  answers.push(JSON.stringify(await site.send('POST', '/accounts', refusing)));

  // Requests that are wrong in every way that puts the password near an error.
  for (const body of [
    JSON.stringify(refusing),
    JSON.stringify({ ...refusing, name: WRONG.repeat(40) }),
    JSON.stringify({ ...refusing, name: 'b', password: { of: WRONG } }),
    JSON.stringify({ ...refusing, name: 'c', scope: { kind: WRONG } }),
    `{"name":"e","password":"${WRONG}`,
    WRONG,
  ]) {
    const answer = await site.call('POST', '/accounts', body, 'application/json');
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text}`);
    answers.push(answer.text);
  }

  await site.push([good!, denied!, broken!, refused!, shy!].map(({ name }) => name));
  let goodToken: string | undefined;
  await eventually('the token on the machine', () => (goodToken = tokenOn(good!.name)) !== undefined);
  const states: Record<string, Shown> = {};
  for (const host of [good!, denied!, broken!, refused!, shy!]) states[host.name] = await site.until(host.name);
  assert.equal(states[good!.name]!.state, 'complete', JSON.stringify(states[good!.name]!.steps));
  assert.equal(states[denied!.name]!.lastErrorCode, 5);
  assert.equal(states[broken!.name]!.lastErrorCode, 1053);
  assert.equal(states[refused!.name]!.steps[1]!.outcome, 'ok', 'the second account was right');
  assert.match(states[refused!.name]!.steps[1]!.detail!, /trying the next account/);
  assert.equal(states[shy!.name]!.lastErrorCode, 1396);
  const brokenToken = tokenOn(broken!.name)!;
  assert.ok(goodToken && brokenToken && goodToken !== brokenToken);

  assert.ok(fleet.domain.accounts.find('odd')!.tries.succeeded > 0, 'the odd password is the one that was typed');

  // It was sealed for the client that registered, so it has been open where the vault opens.
  await eventually('the secret in the policy of the client', async () => {
    const { items } = await site.get<{ items: { guid: string; hasSecrets: boolean }[] }>('/clients');
    return items.some(({ hasSecrets }) => hasSecrets);
  });
  const passwords = {
    'right password': RIGHT,
    'wrong password': WRONG,
    'odd password': ODD,
    'part of it': ODD_CORE,
    'policy secret': POLICY,
  };
  const search = new Search({ ...passwords, 'token of a push': goodToken, 'token of a failed push': brokenToken });
  for (const [form, octets] of forms(ODD)) {
    const listening = new Search({ 'odd password': ODD });
    listening.look('itself', Buffer.concat([Buffer.from('x '), octets, Buffer.from(' x')]));
    assert.ok(
      listening.found.some((one) => one.includes(`(${form})`)),
      `the search can find it as ${form}`,
    );
  }

  search.look('the outputs of the process', Buffer.from(site.said));
  for (const [index, answer] of answers.entries()) search.look(`answer ${index}`, Buffer.from(answer));
  const { paths } = await site.get<{ paths: Record<string, Record<string, unknown>> }>('/openapi.json');
  for (const [path, methods] of Object.entries(paths)) {
    if (!('get' in methods)) continue;
    for (const name of [good!.name, refused!.name]) {
      const answer = await site.call('GET', path.replace(/^\/api\/v1/, '').replace(/\{\w+\}/g, name));
      search.look(`GET ${path}`, Buffer.from(answer.text));
    }
  }
  for (const pid of family(site.pid!, site.data)) {
    for (const file of ['cmdline', 'environ']) {
      const path = `/proc/${pid}/${file}`;
      if (existsSync(path)) search.look(path, readFileSync(path));
    }
  }
  const database = await openDatabase({ dataDir: site.data, clock: systemClock, log: silentLog, connections: 1 });
  const tables = await database.query<{ name: string }>(
    "select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace",
  );
  assert.ok(tables.length > 10);
  for (const { name } of tables) {
    const rows = await database.query<{ row: string }>(`select t::text as row from "${name}" t`);
    search.look(`table ${name}`, Buffer.from(rows.map(({ row }) => row).join('\n')));
  }
  await database.close();
  search.folder(site.data);
  // A backup is for other disks: what is compressed in it is looked into as well.
  const backup = join(site.folder, 'backup.tar');
  const made = await pushpoint(['backup', '--data', site.data, '-o', backup]);
  assert.equal(made.code, 0, made.err);
  const unpacked = join(site.folder, 'unpacked');
  mkdirSync(unpacked);
  assert.equal(spawnSync('tar', ['xf', backup, '-C', unpacked]).status, 0);
  for (const entry of readdirSync(unpacked, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && entry.name.endsWith('.gz'))
      search.look(`${entry.name} of the backup`, gunzipSync(readFileSync(join(entry.parentPath, entry.name))));
  search.look('the backup', readFileSync(backup));
  search.look('what backup says', Buffer.from(made.out + made.err));
  assert.deepEqual(search.found, []);

  // On the machines: the tokens belong there while they are of use, a policy's secret in the file that its agent keeps for it once it has asked, the
  // passwords never.
  const onHosts = new Search(passwords);
  onHosts.folder(join(site.folder, 'hosts'));
  const kept = new RegExp(`^policy secret \\(.*\\) in .*/(?:${good!.name}|${refused!.name})/Windows/CCM/secrets\\.json$`);
  assert.deepEqual(
    onHosts.found.filter((one) => !kept.test(one)),
    [],
  );
  const logs = new Search({ 'token of a push': goodToken, 'token of a failed push': brokenToken });
  logs.folder(join(site.folder, 'hosts', good!.name));
  assert.deepEqual(logs.found, [], 'nothing is left of the token where the client was installed');
  assert.ok(search.places > 100 && search.bytes > 1_000_000);
  t.diagnostic(`${search.places} places of the site, ${Math.round(search.bytes / 1e6)} MB`);
});
