/**
 * What one process with the management point carries, asked by simulated agents with real keys and signatures:
 * a registration storm of all clients, heartbeats as fast as they are taken, heartbeats at half of that with the time each waited, as many
 * connections kept open as one process holds with 2,000 more that trickle beside honest ones, and a file of client content against nginx with
 * the same file. Agents, the management point, PostgreSQL and nginx share this machine's processors.
 *
 *     npm run bench:points [-- CLIENTS]
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { systemClock as clock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom as random } from '#base/random';
import { createSite } from '#executive';
import { ClientRecord } from '#records/client';
import { PackageRecord } from '#records/package';
import { SiteRecord } from '#records/site';
import { ContentStore } from '#store/content';
import { openDatabase, type Database } from '#store/database';
import { heartbeatOf, Line, makeAgent, nameOf, registrationOf, type Agent, type Said } from './agents.ts';
import { quantile, table } from './figures.ts';

const CLIENTS = Number(process.argv[2] ?? 25_000);
const LINES = 512;
const ROUNDS = 3;
const FILE_MB = 512;
const TRICKLING = 2000;
const TRICKLE_SECONDS = 10;
const run = promisify(execFile);

const folder = mkdtempSync(join(tmpdir(), 'pushpoint-points-'));
chmodSync(folder, 0o755);
const data = join(folder, 'B01');
const ends: (() => Promise<void> | void)[] = [() => rmSync(folder, { recursive: true, force: true })];
const said = (text: string) => void process.stderr.write(`${text}\n`);

/** cpuOf is how many seconds of processor a process had so far, in user mode and in the system, and those of its children that ended. */
function cpuOf(pid: number): { user: number; system: number; ended: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return {
    user: Number(fields[11]) / 100,
    system: Number(fields[12]) / 100,
    ended: (Number(fields[13]) + Number(fields[14])) / 100,
  };
}

/** postgresCpu is the processor time of all PostgreSQL processes of the site, those that ended included. */
function postgresCpu(): number {
  const root = Number(readFileSync(join(data, 'database', 'cluster', 'postmaster.pid'), 'utf8').split('\n')[0]);
  const children = readFileSync(`/proc/${root}/task/${root}/children`, 'latin1').trim().split(' ').map(Number);
  return [root, ...children].reduce((sum, pid) => {
    try {
      const { user, system, ended } = cpuOf(pid);
      return sum + user + system + (pid === root ? ended : 0);
    } catch {
      return sum;
    }
  }, 0);
}

async function startPoint(): Promise<{ child: ChildProcess; port: number; url: string }> {
  const command = new URL('../bin/pushpoint', import.meta.url).pathname;
  const child = spawn(command, ['up', '--data', data, '--roles', 'mp', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  ends.push(async () => {
    if (child.exitCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const { points } = JSON.parse(String(line)) as { points: string };
  return { child, port: Number(new URL(points).port), url: points };
}

/** pidOf is the process that serves, behind the shell that found Node for it. */
function pidOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number);
  const node = children.find((one) => !readFileSync(`/proc/${one}/cmdline`, 'latin1').includes('postgres'));
  return node === undefined ? pid : pidOf(node);
}

/** storm sends all requests over all lines, one at a time on each, as fast as they are answered; who is told to come later does. */
async function storm(lines: readonly Line[], requests: readonly Buffer[], heard: (index: number, answer: Said) => void) {
  const times: number[] = [];
  let at = 0;
  let later = 0;
  const from = clock.monotonic();
  await Promise.all(
    lines.map(async (line) => {
      for (let index = at++; index < requests.length; index = at++) {
        const began = clock.monotonic();
        for (;;) {
          const answer = await line.send(requests[index]!);
          if (answer.status !== 429 && answer.status !== 503) {
            times.push(clock.monotonic() - began);
            heard(index, answer);
            break;
          }
          later++;
          await clock.sleep(answer.retryAfter * 1000);
        }
      }
    }),
  );
  return { seconds: (clock.monotonic() - from) / 1000, times, later };
}

/** steady sends requests at a rate, whether answers come or not; what counts is the time since each was due. */
async function steady(port: number, lines: readonly Line[], requests: readonly Buffer[], perSecond: number) {
  const free = [...lines];
  const waiting: (() => void)[] = [];
  const times: number[] = [];
  let refused = 0;
  const from = clock.monotonic();
  const one = async (request: Buffer, due: number): Promise<void> => {
    while (free.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    let line = free.pop()!;
    // One that was never needed so far was given up by the point.
    if (line.closed) line = await Line.open(port, free.length);
    const { status } = await line.send(request);
    free.push(line);
    waiting.shift()?.();
    if (status === 200) times.push(clock.monotonic() - due);
    else refused++;
  };
  const all: Promise<void>[] = [];
  for (let sent = 0; sent < requests.length;) {
    const due = Math.min(requests.length, Math.floor(((clock.monotonic() - from) / 1000) * perSecond));
    for (; sent < due; sent++) all.push(one(requests[sent]!, from + (sent / perSecond) * 1000));
    await clock.sleep(2);
  }
  await Promise.all(all);
  return { times, refused };
}

const rows: (string | number)[][] = [
  ['', 'a second', 'p50 ms', 'p99 ms', 'MP CPU ms each', 'PostgreSQL ms each', 'refused for now'],
];
const figures: Record<string, unknown> = { clients: CLIENTS, lines: LINES };

/** withLines opens the lines for one part: the point closes those that say nothing for a minute. */
async function withLines<T>(port: number, work: (lines: readonly Line[]) => Promise<T>): Promise<T> {
  const lines = await Promise.all(Array.from({ length: LINES }, (_, n) => Line.open(port, n)));
  try {
    return await work(lines);
  } finally {
    for (const line of lines) line.close();
  }
}

async function measured<T extends { times: number[] }>(what: string, pid: number, n: number, work: () => Promise<T>): Promise<T> {
  const [mp, pg] = [cpuOf(pid), postgresCpu()];
  const from = clock.monotonic();
  const result = await work();
  const seconds = (clock.monotonic() - from) / 1000;
  const now = cpuOf(pid);
  const each = (cpu: number) => Number(((cpu / n) * 1000).toFixed(3));
  const mpMs = each(now.user - mp.user + now.system - mp.system);
  const pgMs = each(postgresCpu() - pg);
  const perSecond = Math.round(n / seconds);
  const [p50, p99] = [0.5, 0.99].map((q) => Math.round(quantile(result.times, q)));
  const later = 'later' in result ? Number(result.later) : 'refused' in result ? Number(result.refused) : 0;
  rows.push([what, perSecond, p50!, p99!, mpMs, pgMs, later]);
  figures[what] = { perSecond, p50, p99, mpCpuMs: mpMs, postgresCpuMs: pgMs, later };
  said(`${what}: ${perSecond} a second, p50 ${p50} ms, p99 ${p99} ms, MP ${mpMs} ms and PostgreSQL ${pgMs} ms of processor each`);
  return result;
}

async function messages(database: Database, port: number, pid: number): Promise<Agent[]> {
  const client = new ClientRecord(database, clock, random);
  said(`${CLIENTS} keys and one-time tokens…`);
  const expiresAt = new Date(clock.now().getTime() + 3_600_000);
  const tokens = await Promise.all(
    Array.from({ length: CLIENTS }, (_, n) => client.issueToken({ name: nameOf(n), domain: 'CORP', expiresAt })),
  );
  const agents: Agent[] = tokens.map((token, n) => makeAgent(n, token));
  const registrations = agents.map(registrationOf);
  const wrong = new Map<number, number>();
  const count = ({ status }: Said) => void wrong.set(status, (wrong.get(status) ?? 0) + 1);
  await measured('registrations', pid, CLIENTS, () =>
    withLines(port, (lines) =>
      storm(lines, registrations, (index, answer) => {
        if (answer.status === 200) agents[index]!.guid = (JSON.parse(answer.body) as { guid: string }).guid;
        else count(answer);
      }),
    ),
  );
  // Sent once more, signed anew, as by clients that did not hear the answer: nobody is there twice.
  const again = agents.slice(0, 1000);
  let same = 0;
  await withLines(port, (lines) =>
    storm(lines, again.map(registrationOf), (index, answer) => {
      if (answer.status === 200 && (JSON.parse(answer.body) as { guid: string }).guid === again[index]!.guid) same++;
    }),
  );
  const [stored] = await database.query<{ n: number; guids: number }>(
    `select count(*)::int as n, count(distinct guid)::int as guids from client where approval = 'approved' and not obsolete`,
  );
  const guids = new Set(agents.map(({ guid }) => guid)).size;
  const whole =
    stored!.n === CLIENTS && stored!.guids === CLIENTS && guids === CLIENTS && same === again.length && wrong.size === 0;
  said(
    `registered: ${stored!.n} clients in the database, ${guids} SMSIDs heard, ${same} of ${again.length} repeats the same client`,
  );
  figures['lost or doubled'] = CLIENTS - Math.min(stored!.n, guids);
  if (!whole) throw new Error(`registrations were lost, doubled or refused: ${JSON.stringify([...wrong])}`);

  const startedAt = clock.now().toISOString();
  const beats = Array.from({ length: ROUNDS }, () => agents.map((agent) => heartbeatOf(agent, startedAt))).flat();
  const fast = await measured('heartbeats', pid, beats.length, () =>
    withLines(port, (lines) => storm(lines, beats, (_, answer) => answer.status === 200 || count(answer))),
  );
  const [heard] = await database.query<{ n: number }>('select count(*)::int as n from client where sequence = $1', [ROUNDS]);
  if (heard!.n !== CLIENTS || wrong.size > 0) throw new Error(`heartbeats were lost: ${heard!.n} ${JSON.stringify([...wrong])}`);
  const half = Math.round(beats.length / fast.seconds / 2);
  const more = agents.map((agent) => heartbeatOf(agent, startedAt));
  await measured(`heartbeats at half load`, pid, more.length, () => withLines(port, (lines) => steady(port, lines, more, half)));
  return agents;
}

const statusOf = (pid: number, what: string) =>
  Number(new RegExp(`${what}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1024;
const filesOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
const limitOf = (pid: number) => Number(/^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))![1]);

/** trickle opens connections on which one octet of a head comes each second, and gives how many were open at the end. */
async function trickle(port: number, seconds: number): Promise<number> {
  const lines = await Promise.all(Array.from({ length: TRICKLING }, (_, n) => Line.open(port, n)));
  for (const line of lines) line.write('POST /ccm_system/heartbeat HTTP/1.1\r\nHost: mp\r\nX: ');
  for (let second = 0; second < seconds; second++) {
    await clock.sleep(1000);
    for (const line of lines) line.write('a');
  }
  const open = lines.filter(({ closed }) => !closed).length;
  for (const line of lines) line.close();
  return open;
}

/** manyOpen keeps as many connections open as the files of both processes allow, a heartbeat on each; then some trickle while others go on. */
async function manyOpen(port: number, pid: number, agents: readonly Agent[]): Promise<void> {
  const startedAt = clock.now().toISOString();
  const most = Math.min(agents.length, limitOf(pid) - 1000 - TRICKLING, limitOf(process.pid) - 500 - TRICKLING);
  const before = { rss: statusOf(pid, 'VmRSS'), files: filesOf(pid) };
  const lines: Line[] = [];
  while (lines.length < most) {
    const next = agents.slice(lines.length, Math.min(lines.length + LINES, most));
    const more = await Promise.all(next.map((_, n) => Line.open(port, lines.length + n)));
    const said = await Promise.all(more.map((line, n) => line.send(heartbeatOf(next[n]!, startedAt))));
    if (said.some(({ status }) => status !== 200)) throw new Error(`with ${lines.length} open: ${JSON.stringify(said[0])}`);
    lines.push(...more);
  }
  const open = lines.filter(({ closed }) => !closed).length;
  const kilobytes = ((statusOf(pid, 'VmRSS') - before.rss) * 1024) / open;
  const files = filesOf(pid);
  said(`${open} connections kept open, ${files} files, ${kilobytes.toFixed(1)} KB of memory each; ${TRICKLING} more trickle…`);
  const perSecond = 300;
  const beats = agents.slice(0, perSecond * TRICKLE_SECONDS).map((agent) => heartbeatOf(agent, startedAt));
  const [trickled] = await Promise.all([
    trickle(port, TRICKLE_SECONDS),
    measured('beside 2,000 that trickle', pid, beats.length, () => steady(port, lines.slice(0, LINES), beats, perSecond)),
  ]);
  figures['open'] = { connections: open, files, kilobytesEach: Number(kilobytes.toFixed(1)), trickled };
  for (const line of lines) line.close();
}

/** content compares one file from the management point and from nginx, in turns, and gives what 1 Gbit/s costs. */
async function content(database: Database, url: string, pid: number): Promise<void> {
  if (!existsSync('/usr/sbin/nginx')) return said('nginx is not installed, so the content is not compared');
  const file = join(folder, 'payload.bin');
  writeFileSync(file, random.bytes(1024 * 1024));
  for (let mb = 1; mb < FILE_MB; mb++) writeFileSync(file, random.bytes(1024 * 1024), { flag: 'a' });
  const stored = await new ContentStore({ dir: join(data, 'content'), random }).put(file);
  const definition = {
    name: 'bench',
    version: '1',
    platform: 'windows',
    bootstrap: { file: 'payload.bin', service: 'x' },
    verify: { service: 'x' },
  };
  await new PackageRecord(database, clock).add(definition, [{ name: 'payload.bin', ...stored }], 'bench');
  const nginx = await startNginx();
  const from = { ours: `${url}/CCM_Client/payload.bin`, nginx: `${nginx.url}/payload.bin` };
  const speeds: Record<string, number[]> = { ours: [], nginx: [] };
  const costs: Record<string, number[]> = { ours: [], nginx: [] };
  for (let round = 0; round < 6; round++)
    for (const [who, at] of Object.entries(from)) {
      const of = who === 'ours' ? pid : nginx.pid;
      const before = cpuOf(of);
      const { stdout } = await run('curl', [
        '-s',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code} %{size_download} %{speed_download}',
        at,
      ]);
      const [status, size, speed] = stdout.split(' ').map(Number);
      if (status !== 200 || size !== statSync(file).size) throw new Error(`${who} answered ${stdout}`);
      const after = cpuOf(of);
      // The first round is to warm up.
      if (round === 0) continue;
      speeds[who]!.push((speed! * 8) / 1e9);
      costs[who]!.push(((after.user + after.system - before.user - before.system) / ((size * 8) / 1e9)) * 100);
    }
  const [ours, theirs] = [quantile(speeds['ours']!, 0.5), quantile(speeds['nginx']!, 0.5)];
  const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
  const result = {
    gbits: Number(ours.toFixed(2)),
    nginxGbits: Number(theirs.toFixed(2)),
    ratio: Number((ours / theirs).toFixed(2)),
    cpuPercentAtOneGbit: Number(mean(costs['ours']!).toFixed(1)),
    nginxCpuPercentAtOneGbit: Number(mean(costs['nginx']!).toFixed(1)),
  };
  figures['content'] = result;
  said(
    `content: ${result.gbits} Gbit/s, nginx ${result.nginxGbits}, ratio ${result.ratio}; 1 Gbit/s costs ${result.cpuPercentAtOneGbit} % of a core`,
  );
}

async function startNginx(): Promise<{ url: string; pid: number }> {
  const home = join(folder, 'nginx');
  mkdirSync(home);
  const port = await freePort();
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${home}/${one};`).join(' ');
  writeFileSync(
    join(home, 'nginx.conf'),
    `daemon off; master_process off; pid ${home}/pid; error_log ${home}/error.log; events {}
     http { access_log off; sendfile on; tcp_nopush on; ${paths} server { listen 127.0.0.1:${port}; root ${folder}; } }`,
  );
  const child = spawn('/usr/sbin/nginx', ['-p', home, '-c', join(home, 'nginx.conf')], { stdio: 'ignore' });
  ends.push(async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 100; tries++) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      break;
    await clock.sleep(50);
  }
  return { url, pid: child.pid! };
}

async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

try {
  said(
    `load before: ${loadavg()
      .map((one) => one.toFixed(2))
      .join(' ')}`,
  );
  await createSite({ code: 'B01', data, listen: '127.0.0.1:0', console: '127.0.0.1:0' });
  const { child, port, url } = await startPoint();
  const pid = pidOf(child.pid!);
  const database = await openDatabase({ dataDir: data, clock, log: silentLog });
  ends.push(() => database.close());
  await new SiteRecord(database, clock, random).setPoint('mp', { address: url }, 'bench');
  const agents = await messages(database, port, pid);
  await manyOpen(port, pid, agents);
  await content(database, url, pid);
  const rss = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
  figures['peakMB'] = Math.round(rss / 1024);
  process.stdout.write(`${table(rows)}\n${JSON.stringify(figures, undefined, 2)}\n`);
} finally {
  for (const end of ends.reverse()) await end();
}
