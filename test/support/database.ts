import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { glob, readFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { scratch } from '#test/scratch';
import { migrate, migrationSteps, openDatabase, type Database, type Migrations } from '#store/database';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HOST = fileURLToPath(new URL('database-host.ts', import.meta.url));
const KEY = createHash('sha256').update(ROOT).digest('hex').slice(0, 12);
const NAME = `pushpoint-test-${process.getuid!()}-${KEY}`;
const FOLDER = path.join(scratch, NAME);
const LOG = path.join(tmpdir(), `${NAME}.log`);
const START_MS = 90_000;
const POLL_MS = 50;

/** askHost connects to the host of this run and waits for its answer; undefined when there is no host. */
function askHost(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: `\0${NAME}` });
    let said = '';
    socket.on('error', () => {});
    // Each file is a process of its own; the runner (bin/run-tests.ts, or node's own) keeps the server for the next file.
    const runner = process.env['PUSHPOINT_TEST_RUNNER'] ?? (process.env['NODE_TEST_CONTEXT'] && String(process.ppid));
    socket.on('connect', () => runner && socket.write(runner));
    socket.on('data', (data) => {
      said += data.toString('utf8');
      if (!said.endsWith('\n')) return;
      socket.unref();
      resolve(said.trim());
    });
    socket.on('close', () => resolve(undefined));
  });
}

function startHost(): void {
  const log = openSync(LOG, 'w', 0o600);
  spawn(process.execPath, [HOST, FOLDER, NAME], { detached: true, cwd: ROOT, stdio: ['ignore', log, log] }).unref();
  closeSync(log);
}

let server: Promise<string> | undefined;

async function findServer(): Promise<string> {
  const deadline = systemClock.monotonic() + START_MS;
  for (let tried = 0; systemClock.monotonic() < deadline; tried++) {
    const url = await askHost();
    if (url !== undefined) return url;
    // A host that just ends lets a moment pass without any; one start per second is plenty.
    if (tried % (1000 / POLL_MS) === 0) startHost();
    await systemClock.sleep(POLL_MS);
  }
  const said = await readFile(LOG, 'utf8').catch(() => '');
  throw new Error(`the test database did not start: ${said.slice(-2000)}`);
}

function urlOf(base: string, database: string): string {
  const url = new URL(base);
  url.pathname = `/${database}`;
  return url.href;
}

/** administer runs `fn` as the server's superuser. */
async function administer<T>(base: string, fn: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ host: new URL(base).searchParams.get('host')!, user: 'postgres', database: 'postgres' });
  await client.connect();
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
}

/** recordMigrations finds the migrations of all records, or of those that are named. */
export async function recordMigrations(records?: string[]): Promise<Migrations[]> {
  const found: Migrations[] = [];
  for await (const folder of glob('src/records/*/migrations', { cwd: ROOT })) {
    const record = path.basename(path.dirname(folder));
    if (!records || records.includes(record)) found.push({ record, folder: pathToFileURL(`${path.join(ROOT, folder)}/`) });
  }
  return found;
}

function open(url: string): Promise<Database> {
  return openDatabase({ dataDir: path.join(FOLDER, 'client'), url, clock: systemClock, log: silentLog, connections: 5 });
}

/** template gives the name of a database with these migrations; the first process that needs it makes it. */
async function template(base: string, records: Migrations[]): Promise<string> {
  const steps = (await migrationSteps(records)).map(({ id, checksum }) => `${id} ${checksum}`);
  const name = `template_${createHash('sha256').update(steps.join('\n')).digest('hex').slice(0, 16)}`;
  return await administer(base, async (client) => {
    await client.query('select pg_advisory_lock(hashtext($1))', [name]);
    const there = await client.query('select 1 from pg_database where datname = $1', [name]);
    if (there.rowCount) return name;
    const fresh = `${name}_new`;
    await client.query(`drop database if exists ${fresh} with (force)`);
    await client.query(`create database ${fresh} owner pushpoint strategy file_copy`);
    const db = await open(urlOf(base, fresh));
    try {
      await migrate(db, records, systemClock);
    } finally {
      await db.close();
    }
    await client.query(`alter database ${fresh} rename to ${name}`);
    return name;
  });
}

export interface TestDatabase {
  db: Database;
  /** url leads another process, or another openDatabase, to the same database. */
  url: string;
  close: () => Promise<void>;
}

/**
 * testDatabase gives a new database with the migrations of all records (or of the named ones and nothing else), on a PostgreSQL that all
 * test processes of this checkout share. Closing drops it.
 */
export async function testDatabase(options: { records?: string[] } = {}): Promise<TestDatabase> {
  server ??= findServer();
  const base = await server;
  const source = await template(base, await recordMigrations(options.records));
  const name = `test_${process.pid}_${randomBytes(6).toString('hex')}`;
  await administer(base, (client) =>
    client.query(`create database ${name} owner pushpoint template ${source} strategy file_copy`),
  );
  const url = urlOf(base, name);
  const db = await open(url);
  const close = async () => {
    await db.close();
    await administer(base, (client) => client.query(`drop database if exists ${name} with (force)`));
  };
  return { db, url, close };
}
