import { spawn, type ChildProcess } from 'node:child_process';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Client } from 'pg';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Log } from '#base/log';
import { codeOf } from '../failures.ts';
import type { Binaries } from './binaries.ts';
import { childEnvironment, SUPERUSER } from './cluster.ts';
import { PORT, type Layout } from './layout.ts';
import { isZombie, postmasterOf, serverProcesses, signal } from './processes.ts';
import type { Runner } from './runner.ts';

const POLL_MS = 25;
/** A killed server's last processes end within this time; a zombie is reaped within it, if anybody reaps at all. */
const REST_MS = 5_000;
/** A fast shutdown that takes longer is made an immediate one; the next start recovers. */
const STOP_MS = 30_000;
/** Recovery after a crash reads at most the WAL kept below; this is far more than it needs. */
const START_MS = 120_000;
const LOG_OCTETS = 5 * 1024 * 1024;

const SETTINGS: Record<string, string> = {
  listen_addresses: '',
  port: String(PORT),
  unix_socket_permissions: '0700',
  max_connections: '200',
  max_wal_size: '256MB',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_line_prefix: '%m [%p] ',
  // Neither statements nor rows stand in the server's log: they are the site's data.
  log_min_messages: 'warning',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};

export interface ServerOptions {
  layout: Layout;
  sockets: string;
  binaries: Binaries;
  runner: Runner;
  clock: Clock;
  log: Log;
}

/** probe asks for an answer; it gives undefined on success and the error otherwise. */
export async function probe(sockets: string): Promise<unknown> {
  const client = new Client({
    host: sockets,
    port: PORT,
    user: SUPERUSER,
    database: 'postgres',
    connectionTimeoutMillis: 5_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Server is the PostgreSQL of one cluster, seen by the process that holds the lock. */
export class Server {
  readonly #options: ServerOptions;
  #child: ChildProcess | undefined;
  /** onExit runs when the server ends without having been asked to. */
  onExit: (() => void) | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  #arguments(): string[] {
    const { layout, sockets } = this.#options;
    // A list of folders is expected: quoted, so that blanks and commas in the path belong to it.
    const lists = { unix_socket_directories: `"${sockets.replaceAll('"', '""')}"`, hba_file: layout.accessRules };
    const all = Object.entries({ ...SETTINGS, ...lists });
    return ['-D', layout.cluster, ...all.flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  }

  /** ensure makes the server run and answer: it takes over one that a killed process left behind, or starts it. */
  async ensure(): Promise<'running' | 'adopted' | 'started'> {
    const { layout, sockets, log } = this.#options;
    const postmaster = postmasterOf(await serverProcesses(layout.cluster));
    if (postmaster !== undefined) {
      if (this.#child?.pid === postmaster && (await this.#answers())) return 'running';
      if ((await this.#isAsWanted()) && (await probe(sockets)) === undefined) {
        if (this.#child?.pid === postmaster) return 'running';
        log.info('database server of an earlier process taken over', { pid: postmaster });
        return 'adopted';
      }
      log.info('database server of an earlier process is stopped', { pid: postmaster });
      await this.stop();
    }
    await this.#clear();
    await this.#start();
    return 'started';
  }

  async #answers(): Promise<boolean> {
    const error = await probe(this.#options.sockets);
    // Still starting or recovering is an answer; #start waits for the end of it.
    return error === undefined || codeOf(error) === '57P03';
  }

  /** isAsWanted compares the command line of the running server with ours. */
  async #isAsWanted(): Promise<boolean> {
    const { layout, binaries } = this.#options;
    const said = await readFile(path.join(layout.cluster, 'postmaster.opts'), 'utf8').catch(() => '');
    const wanted = [path.join(binaries.bin, 'postgres'), ...this.#arguments().map((argument) => `"${argument}"`)].join(' ');
    return said.trim() === wanted;
  }

  /** clear ends what a dead postmaster left: its processes, and a postmaster.pid that would keep a new one from starting. */
  async #clear(): Promise<void> {
    const { layout, clock, log } = this.#options;
    const deadline = clock.monotonic() + REST_MS;
    for (let left = await serverProcesses(layout.cluster); left.length > 0; left = await serverProcesses(layout.cluster)) {
      for (const { pid } of left) signal(pid, clock.monotonic() > deadline ? 'SIGKILL' : 'SIGQUIT');
      await clock.sleep(POLL_MS);
    }
    const file = path.join(layout.cluster, 'postmaster.pid');
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) return;
    const pid = Number.parseInt(text, 10);
    // A zombie still counts as alive for PostgreSQL; whoever has to reap it gets a moment.
    while (pid > 0 && (await isZombie(pid)) && clock.monotonic() < deadline) await clock.sleep(POLL_MS);
    // We hold the lock and no process works in the cluster, so whatever has that number now is no server of it.
    log.info('lock file of a server that is gone removed', { pid });
    await rm(file, { force: true });
  }

  async #start(): Promise<void> {
    const { layout, binaries, runner, clock, log } = this.#options;
    const { size } = await stat(layout.log).catch(() => ({ size: 0 }));
    if (size > LOG_OCTETS) await rename(layout.log, `${layout.log}.1`);
    const output = await open(layout.log, 'a', 0o600);
    const from = (await output.stat()).size;
    const command = runner.command(path.join(binaries.bin, 'postgres'), this.#arguments());
    const started = clock.monotonic();
    const child = spawn(command.file, command.args, {
      ...command.options,
      cwd: '/',
      env: childEnvironment(binaries),
      // Its own session: Ctrl+C in a terminal goes to us alone, and we stop the server after the last statement.
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
    });
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, by) => resolve(`it ended with ${by ?? `code ${code}`}`));
    });
    await output.close();
    child.unref();
    this.#child = child;
    await this.#ready(child, ended, from);
    child.once('exit', () => this.#exited(child));
    if (child.exitCode !== null || child.signalCode !== null) this.#exited(child);
    log.info('database server started', {
      pid: child.pid,
      version: binaries.version,
      user: runner.user,
      ms: Math.round(clock.monotonic() - started),
    });
  }

  #exited(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    this.onExit?.();
  }

  async #ready(child: ChildProcess, ended: Promise<string>, from: number): Promise<void> {
    const { sockets, clock } = this.#options;
    const deadline = clock.monotonic() + START_MS;
    let why: string | undefined;
    void ended.then((said) => (why = said));
    for (;;) {
      const error = await probe(sockets);
      if (error === undefined && why === undefined) return;
      if (why === undefined && clock.monotonic() > deadline) why = `it did not answer for ${START_MS / 1000} s`;
      if (why !== undefined) {
        if (this.#child === child) this.#child = undefined;
        child.kill('SIGQUIT');
        throw raise('PP_STORE_START_FAILED', { what: 'postgres', why: `${why}; ${await this.#said(from)}` }, { cause: error });
      }
      await clock.sleep(POLL_MS);
    }
  }

  /** said is what the server wrote to its log since the start. */
  async #said(from: number): Promise<string> {
    const text = (await readFile(this.#options.layout.log)).subarray(from).toString('utf8');
    return text.trim().split('\n').slice(-3).join(' ').slice(0, 600);
  }

  /** stop ends the server in order, with what runs rolled back, and waits until it is gone. */
  async stop(): Promise<void> {
    const { layout, clock, log } = this.#options;
    this.#child = undefined;
    const started = clock.monotonic();
    let asked = false;
    for (;;) {
      const processes = await serverProcesses(layout.cluster);
      const postmaster = postmasterOf(processes);
      if (postmaster === undefined) return;
      const waited = clock.monotonic() - started;
      if (!asked) asked = signal(postmaster, 'SIGINT');
      else if (waited > STOP_MS) {
        log.warn('database server did not stop in time', { pid: postmaster });
        for (const { pid } of processes) signal(pid, waited > STOP_MS + REST_MS ? 'SIGKILL' : 'SIGQUIT');
      }
      await clock.sleep(POLL_MS);
    }
  }
}
