import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { systemClock as clock } from '#base/clock';
import type { CrashLabOrder, CrashLabReady, HostSeen } from '#test/crash-lab';
import { judge, type Verdict } from '#test/crash-judge';
import { seeded } from '#test/seeded';
import { endInOrder, eventually, WholeSite } from '#test/whole-site';

/** Victim is what is killed: the site's process, the database server, one connection's process of it, one of several workers; or a worker sleeps past its lease. */
export type Victim = 'site' | 'database' | 'backend' | 'worker' | 'pause';

/** CrashWish is one push and the kills it has to live through. */
export interface CrashWish {
  hosts: number;
  mix: 'healthy' | 'mixed';
  seed: number;
  /** One for each kill, in this order. */
  victims: readonly Victim[];
  say: (line: string) => void;
}

const COMMAND = fileURLToPath(new URL('../../bin/pushpoint', import.meta.url));
const LAB = fileURLToPath(new URL('crash-lab.ts', import.meta.url));
const WORKERS = 3;
const LOOK_MS = 20;
/** A worker that sleeps so long has lost its lease of a minute, and others have had time to see it. */
const PAUSE_MS = 80_000;
const PATIENCE_MS = 180_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

type States = Record<string, number>;
/** How far a CCR is, in thirds of its way. */
const THIRDS: Record<string, number> = { queued: 0, processing: 1, verifying: 2 };
const OPEN = Object.keys(THIRDS);

/** CrashRun is one push to a lab in another process, with a site of its own, that is hit while it goes on. */
export class CrashRun {
  readonly site = new WholeSite();
  readonly #wish: CrashWish;
  readonly #fraction: () => number;
  readonly #workers: ChildProcess[] = [];
  #lab: ChildProcess | undefined;
  #db: Client | undefined;
  #names: string[] = [];
  #lastBack = 0;

  constructor(wish: CrashWish) {
    this.#wish = wish;
    this.#fraction = seeded(wish.seed);
  }

  get #several(): boolean {
    return this.#wish.victims.some((victim) => victim === 'worker' || victim === 'pause');
  }

  /** run pushes, hits, waits for the end and judges. */
  async run(): Promise<Verdict> {
    await this.#prepare();
    const from = clock.monotonic();
    await this.site.push(this.#names, { includeDcs: true });
    const { victims, say } = this.#wish;
    const instants = victims.map(() => this.#fraction()).sort((a, b) => a - b);
    for (const [index, victim] of victims.entries()) {
      const states = await this.#reached(instants[index]!);
      await clock.sleep(150 * this.#fraction());
      const at = clock.monotonic() - from;
      const back = await this.#hit(victim);
      this.#lastBack = clock.monotonic();
      const shown = Object.entries(states).map(([state, n]) => `${n} ${state}`);
      say(
        `  ${victim} at ${(at / 1000).toFixed(2)} s, ${Math.round(100 * instants[index]!)} % of the way (${shown.join(', ')}); ${back}`,
      );
    }
    await this.#settled();
    const waited = (clock.monotonic() - this.#lastBack) / 1000;
    return judge({ site: this.site, hosts: await this.#hostsAtRest(), waited, stop: () => this.#stop() });
  }

  async #prepare(): Promise<void> {
    const { hosts, mix, seed } = this.#wish;
    // A fifth of the machines is slow, so that each kill meets pushes in different steps.
    const slowMs = Array.from({ length: hosts }, () =>
      Math.round(this.#fraction() < 0.2 ? 15 + 60 * this.#fraction() : 4 * this.#fraction()),
    );
    this.#lab = fork(LAB, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const order: CrashLabOrder = { folder: join(this.site.folder, 'hosts'), slowMs, mix, seed };
    const lab = await this.#ask<CrashLabReady>(order);
    this.#names = lab.names;
    await this.site.create(`127.0.0.1:${await freePort()}`);
    await this.#spawnSite();
    await this.site.prepare({ csv: lab.csv, account: lab.account });
    if (this.#several) for (let n = 0; n < WORKERS; n++) this.#workers.push(await this.#spawnWorker());
  }

  #spawnSite(): Promise<unknown> {
    return this.site.spawn(this.#several ? ['--roles', 'inbox,mp,console'] : []);
  }

  async #spawnWorker(): Promise<ChildProcess> {
    const child = spawn(COMMAND, ['up', '--data', this.site.data, '--roles', 'ccm', '--json'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`a worker ended with ${code} at its start`))),
    ]);
    return child;
  }

  async #ask<T>(message: unknown): Promise<T> {
    const lab = this.#lab!;
    lab.send(message as object);
    const [answer] = (await once(lab, 'message')) as [T];
    return answer;
  }

  /** query asks the database past the site; undefined while it does not answer. */
  async #query<R extends object>(sql: string): Promise<R[] | undefined> {
    try {
      if (!this.#db) {
        const db = new Client({
          host: join(this.site.data, 'database', 'run'),
          user: 'postgres',
          database: 'pushpoint',
          application_name: 'crash rounds',
        });
        db.on('error', () => {});
        await db.connect();
        this.#db = db;
      }
      return (await this.#db.query<R>(sql)).rows;
    } catch {
      void this.#db?.end().catch(() => {});
      this.#db = undefined;
      return undefined;
    }
  }

  async #states(): Promise<States | undefined> {
    const rows = await this.#query<{ state: string; n: number }>(
      'select state, count(*)::integer as n from ccr group by state order by state',
    );
    return rows && Object.fromEntries(rows.map(({ state, n }) => [state, n]));
  }

  /** reached waits until so much of the way of all CCRs is gone. */
  async #reached(part: number): Promise<States> {
    let states: States | undefined;
    await eventually(
      `${Math.round(100 * part)} % of the push`,
      async () => {
        await clock.sleep(LOOK_MS);
        states = await this.#states();
        const thirds = Object.entries(states ?? {}).reduce((sum, [state, n]) => sum + n * (THIRDS[state] ?? 3), 0);
        return states !== undefined && thirds >= part * 3 * this.#names.length;
      },
      PATIENCE_MS,
    );
    return states!;
  }

  async #hit(victim: Victim): Promise<string> {
    switch (victim) {
      case 'site':
        return this.#hitSite();
      case 'database':
      case 'backend':
        return this.#hitDatabase(victim);
      case 'worker':
        return this.#hitWorker();
      case 'pause':
        return this.#pauseWorker();
    }
  }

  async #hitSite(): Promise<string> {
    const from = clock.monotonic();
    await this.site.kill();
    let more = '';
    if (this.#fraction() < 0.25) {
      // Once more while it starts.
      const starting = this.#spawnSite().catch(() => {});
      const after = 100 + 1200 * this.#fraction();
      await clock.sleep(after);
      await this.site.kill();
      await starting;
      more = `, killed again ${Math.round(after)} ms into its start`;
    }
    await this.#spawnSite();
    return `serves again after ${((clock.monotonic() - from) / 1000).toFixed(1)} s${more}`;
  }

  async #hitDatabase(what: 'database' | 'backend'): Promise<string> {
    const from = clock.monotonic();
    const started = () => this.#query<{ at: Date }>('select pg_postmaster_start_time() as at');
    if (what === 'database')
      process.kill(
        Number.parseInt(readFileSync(join(this.site.data, 'database', 'cluster', 'postmaster.pid'), 'utf8'), 10),
        'SIGKILL',
      );
    else {
      const backends = await this.#query<{ pid: number }>(
        "select pid from pg_stat_activity where application_name = 'pushpoint' order by pid",
      );
      const one = backends![Math.floor(this.#fraction() * backends!.length)]!;
      process.kill(one.pid, 'SIGKILL');
    }
    // The old connection fails with the server; a new one is had when it is back.
    await eventually('the death of the server to be seen', async () => (await started()) === undefined);
    await eventually('the database to come back by itself', async () => (await started()) !== undefined, 60_000);
    return `answers again after ${((clock.monotonic() - from) / 1000).toFixed(1)} s`;
  }

  async #hitWorker(): Promise<string> {
    const index = Math.floor(this.#fraction() * this.#workers.length);
    const from = clock.monotonic();
    const gone = once(this.#workers[index]!, 'exit');
    this.#workers[index]!.kill('SIGKILL');
    await gone;
    this.#workers[index] = await this.#spawnWorker();
    return `the next worker serves after ${((clock.monotonic() - from) / 1000).toFixed(1)} s`;
  }

  async #pauseWorker(): Promise<string> {
    const one = this.#workers[Math.floor(this.#fraction() * this.#workers.length)]!;
    one.kill('SIGSTOP');
    await clock.sleep(PAUSE_MS);
    const taken = await this.#query<{ n: number }>('select count(*)::integer as n from ccr_worker where ended_at is not null');
    one.kill('SIGCONT');
    return `slept ${PAUSE_MS / 1000} s; ${taken?.[0]?.n ?? 0} worker was declared dead meanwhile`;
  }

  /** settled waits until no CCR is on its way any more; who waits for longer than the patience is judged as it stands. */
  async #settled(): Promise<void> {
    const until = clock.monotonic() + PATIENCE_MS;
    let hasty = false;
    for (;;) {
      const states = await this.#states();
      if (states && OPEN.every((state) => !states[state])) return;
      if (clock.monotonic() > until) return;
      if (!hasty) await this.#ask('quick');
      hasty = true;
      await clock.sleep(100);
    }
  }

  /** hostsAtRest: a client may report in a moment before its bootstrap has cleaned up and gone. */
  async #hostsAtRest(): Promise<HostSeen[]> {
    let hosts: HostSeen[] = [];
    const isAtRest = async () => {
      hosts = await this.#ask<HostSeen[]>('look');
      return hosts.every(({ expected, setup }) => expected.state !== 'complete' || setup === undefined);
    };
    await eventually('the bootstraps to end', isAtRest).catch(() => {});
    return hosts;
  }

  /** stop ends all processes in order and tells what the site's ended with. */
  async #stop(): Promise<{ code: number | null; ms: number }> {
    await this.#db?.end().catch(() => {});
    this.#db = undefined;
    const from = clock.monotonic();
    const codes = await Promise.all([...this.#workers.splice(0).map((worker) => endInOrder(worker)), this.site.end()]);
    return { code: codes.find((code) => code !== 0) ?? 0, ms: clock.monotonic() - from };
  }

  /** close ends everything; `keep` leaves the folder for whoever wants to know why. */
  async close(keep = false): Promise<void> {
    await this.#stop();
    await this.site.close(keep);
    const lab = this.#lab;
    if (!lab || lab.exitCode !== null) return;
    const gone = once(lab, 'exit');
    lab.disconnect();
    await gone;
  }
}
