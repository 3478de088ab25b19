/**
 * Measures what machines that are away cost: `npm run bench:offline [seconds]`. It makes a site in a temporary folder with CCRs in retry
 * whose machines are addresses of 127.0.0.0/8 where nobody listens (every tenth one is silent, every twentieth one has no route), spread over the hour as a
 * site that has run for long has them, runs the real site process (`pushpoint up`), and takes the CPU time (user and system) of that
 * process and of its database server from the system before and after.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { allMigrations, openRecords } from '../src/executive/records.ts';
import { openDatabase, migrate } from '#store/database';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { machines: { type: 'string', default: '10000' }, settle: { type: 'string', default: '15' } },
});
const SECONDS = Number(positionals[0] ?? 120);
const MACHINES = Number(options.machines);
const TICKS = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout) || 100;
const root = path.resolve(import.meta.dirname, '..');

const say = (line: string) => process.stdout.write(`${line}\n`);

/** Every tenth machine is silent: a listener that never accepts and whose queue is full drops what comes. */
const isSilent = (n: number) => n % 10 === 7;

/** address: refusing ones of loopback, and some that no route leads to. */
function address(n: number): string {
  if (isSilent(n)) return '127.200.0.1';
  if (n % 20 === 13) return '255.255.255.255';
  return `127.${1 + (n % 100)}.${(n >> 8) & 255}.${(n % 250) + 1}`;
}

/** silence starts that listener in a process of its own, which never comes to accepting. */
async function silence(): Promise<{ port: number; end: () => void }> {
  const script = `const s = require('net').createServer().listen({ port: 0, host: '127.200.0.1', backlog: 1 }, () => {
    require('fs').writeSync(1, s.address().port + '\\n'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise<number>((resolve) => child.stdout.once('data', (said: Buffer) => resolve(Number(String(said)))));
  const held = Array.from({ length: 4 }, () => connect({ host: '127.200.0.1', port }).on('error', () => {}));
  return {
    port,
    end() {
      for (const socket of held) socket.destroy();
      child.kill('SIGKILL');
    },
  };
}

async function prepare(data: string, silentPort: number): Promise<void> {
  const made = spawnSync(
    path.join(root, 'bin/pushpoint'),
    ['site', 'create', 'B01', '--data', data, '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0'],
    { encoding: 'utf8' },
  );
  if (made.status !== 0) throw new Error(made.stderr);
  const db = await openDatabase({ dataDir: data, clock, log: silentLog });
  try {
    await migrate(db, allMigrations, clock);
    const { ccr } = openRecords(db, clock, systemRandom);
    for (let from = 0; from < MACHINES; from += 500)
      await ccr.requestMany(
        Array.from({ length: Math.min(500, MACHINES - from) }, (_, i) => ({
          name: `AWAY${from + i}`,
          addresses: [address(from + i)],
          smbPort: isSilent(from + i) ? silentPort : undefined,
          source: 'push' as const,
          requestedBy: 'bench',
        })),
      );
    // As it is hours after the push: each has been tried some times and has its next hour, spread over the hour as `jitter` spreads them.
    const now = clock.now();
    await db.query(
      `update ccr set state = 'retry', attempts = 5, interval_attempts = 5, last_error = 'PP_NET_REFUSED', last_error_code = 53,
         last_error_text = 'nobody answered', initial_attempt_at = $1::timestamptz - interval '5 hours',
         retry_interval_start = $1::timestamptz - interval '5 hours' - (id % 3600) * interval '1 second',
         last_attempt_at = $1::timestamptz - (id % 3600) * interval '1 second',
         due_at = $1::timestamptz + (3600 - id % 3600) * interval '1 second'`,
      [now],
    );
    await db.query('vacuum analyze');
  } finally {
    await db.close();
  }
}

interface Cpu {
  site: number;
  database: number;
}

function statOf(pid: number): { ppid: number; ticks: number; dead: number } | undefined {
  try {
    const after = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return { ppid: Number(after[1]), ticks: Number(after[11]) + Number(after[12]), dead: Number(after[13]) + Number(after[14]) };
  } catch {
    return undefined;
  }
}

/** cpuOf is the CPU time of the site process, and of the database server and its backends, which hold the folder open. */
function cpuOf(site: number, postmaster: number): Cpu {
  let database = (statOf(postmaster)?.ticks ?? 0) + (statOf(postmaster)?.dead ?? 0);
  for (const entry of readdirSync('/proc')) {
    const stat = /^\d+$/.test(entry) ? statOf(Number(entry)) : undefined;
    if (stat?.ppid === postmaster) database += stat.ticks;
  }
  return { site: (statOf(site)?.ticks ?? 0) / TICKS, database: database / TICKS };
}

function postmasterOf(data: string): number {
  const find = (folder: string): string | undefined => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name === 'postmaster.pid') return path.join(folder, entry.name);
      if (entry.isDirectory() && entry.name !== 'base') {
        const found = find(path.join(folder, entry.name));
        if (found) return found;
      }
    }
    return undefined;
  };
  const file = find(data);
  if (!file) throw new Error('the database of the site does not run');
  return Number(readFileSync(file, 'utf8').split('\n', 1)[0]);
}

async function scrape(console: string, token: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${console}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text();
  return new Map(
    text.split('\n').flatMap((line): [string, number][] => {
      const cut = line.lastIndexOf(' ');
      return line.startsWith('#') || cut < 0 ? [] : [[line.slice(0, cut), Number(line.slice(cut + 1))]];
    }),
  );
}

async function measure(data: string): Promise<void> {
  const args = ['src/cli/main.ts', 'up', '--data', data, '--json'];
  const site = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => site.once('exit', () => resolve()));
  try {
    const ready = await new Promise<{ console: string }>((resolve, reject) => {
      let said = '';
      site.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('\n')) resolve(JSON.parse(said) as { console: string });
      });
      site.once('exit', () => reject(new Error('the site ended')));
    });
    const token = readFileSync(path.join(data, 'run/console.token'), 'utf8').trim();
    // At its start the site writes its files of ccrretry.box anew, once; that is not what is measured.
    const retryBox = path.join(data, 'inboxes/ccrretry.box');
    for (let n = 0; n < 300 && readdirSync(retryBox).length < MACHINES; n++) await clock.sleep(1000);
    await clock.sleep(Number(options.settle) * 1000);
    const postmaster = postmasterOf(data);
    const sums = (all: Map<string, number>, start: string) =>
      [...all].filter(([name]) => name.startsWith(start)).reduce((sum, [, n]) => sum + n, 0);
    const [from, at, seen] = [cpuOf(site.pid!, postmaster), clock.monotonic(), await scrape(ready.console, token)];
    await clock.sleep(SECONDS * 1000);
    const [to, until, now] = [cpuOf(site.pid!, postmaster), clock.monotonic(), await scrape(ready.console, token)];
    const seconds = (until - at) / 1000;
    const percent = (a: number, b: number) => `${(((b - a) / seconds) * 100).toFixed(2)} %`;
    const more = (start: string) => sums(now, start) - sums(seen, start);
    say(`${MACHINES} machines away, ${seconds.toFixed(0)} s, presencePerMinute as it is by default`);
    say(`  site process: ${percent(from.site, to.site)} of one core; database server: ${percent(from.database, to.database)}`);
    say(`  together ${percent(from.site + from.database, to.site + to.database)} of one core`);
    say(
      `  in that time: ${more('pushpoint_probes_total')} machines asked by the sweep, ${more('pushpoint_attempts_total')} hourly retries, ${more('pushpoint_woken_total')} woken`,
    );
    say(
      `  slots in use at the end: ${now.get('pushpoint_slots_used')}; open files: ${now.get('process_open_fds')}; RSS: ${Math.round((now.get('process_resident_memory_bytes') ?? 0) / 1048576)} MB`,
    );
  } finally {
    site.kill('SIGTERM');
    await ended;
  }
}

const folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-offline-'));
const silent = await silence();
try {
  await prepare(path.join(folder, 'site'), silent.port);
  await measure(path.join(folder, 'site'));
} finally {
  silent.end();
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}
