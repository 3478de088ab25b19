import { spawn, type ChildProcess } from 'node:child_process';
import { copyFile, open, readFile, rename, rm, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import { Client } from 'pg';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Log } from '#base/log';
import { codeOf } from '../failures.ts';
import type { Binaries } from './binaries.ts';
import { childEnvironment, SUPERUSER } from './cluster.ts';
import { onSocket, PORT, type Layout } from './layout.ts';
import { endProcesses, POLL_MS, postmasterFile, REST_MS, runningPostmaster, stopServer } from './processes.ts';
import type { Runner } from './runner.ts';

/** Recovery after a crash reads at most the WAL kept below; this is far more than it needs. */
const START_MS = 120_000;
const LOG_OCTETS = 5 * 1024 * 1024;
const LOG_LOOK_MS = 60_000;

const SETTINGS: Record<string, string> = {
  listen_addresses: '',
  port: String(PORT),
  unix_socket_permissions: '0700',
  max_connections: '200',
  max_logical_replication_workers: '0',
  // Shared memory in files of the cluster: a killed server leaves nothing in /dev/shm, which containers have little of anyway.
  dynamic_shared_memory_type: 'mmap',
  min_dynamic_shared_memory: '16MB',
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
  const client = new Client(onSocket(sockets, SUPERUSER, 'postgres'));
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
  #asked = false;
  #unwatch: (() => void) | undefined;
  /** onExit runs when the server ends without having been asked to. */
  onExit: (() => void) | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  #arguments(): string[] {
    const { layout, sockets } = this.#options;
    // A list of folders is expected: quoted, so that blanks and commas in the path belong to it.
    const places = { unix_socket_directories: `"${sockets.replaceAll('"', '""')}"`, hba_file: layout.accessRules };
    const all = Object.entries({ ...SETTINGS, ...places });
    return ['-D', layout.cluster, ...all.flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  }

  /**
   * watchLog keeps the server's log from growing without end while it runs: a full disk fills it with complaints. The server appends, so a
   * log that was copied and cut begins anew.
   */
  watchLog(): void {
    const { layout, clock, log } = this.#options;
    this.#unwatch?.();
    this.#unwatch = clock.after(LOG_LOOK_MS, () => {
      const turn = async () => {
        if ((await stat(layout.log)).size <= LOG_OCTETS) return;
        await copyFile(layout.log, `${layout.log}.1`).catch((error: unknown) => log.debug('old server log not kept', { error }));
        await truncate(layout.log);
      };
      turn().catch((error: unknown) => log.debug('server log not turned over', { error }));
      this.watchLog();
    });
  }

  /** unwatch ends what this process does for the server without being asked; the server goes on. */
  unwatch(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
  }

  /** ensure makes the server run and answer: it takes over one that a killed process left behind, or starts it. */
  async ensure(): Promise<'running' | 'adopted' | 'started'> {
    const { layout, sockets, clock, log } = this.#options;
    const pid = await runningPostmaster(layout.cluster);
    if (pid === undefined) {
      // Another container that shares the folder has its own process ids and lock names, but a socket is a file.
      const error = await probe(sockets);
      if (error === undefined || codeOf(error) === '57P03') throw raise('PP_STORE_SHARED', { folder: layout.folder });
    } else {
      const own = this.#child?.pid === pid;
      if ((own || (await this.#isAsWanted())) && (await this.#answers(pid))) {
        if (!own) log.info('database server of an earlier process taken over', { pid });
        return own ? 'running' : 'adopted';
      }
      log.info('database server is stopped to be started anew', { pid });
      await this.stop();
    }
    await endProcesses(layout.cluster, clock);
    await this.#unlock();
    await this.#start();
    return 'started';
  }

  /** answers waits for a server that runs until it takes connections, which it does not while it starts or recovers. */
  async #answers(pid: number): Promise<boolean> {
    const { layout, sockets, clock } = this.#options;
    const patience = clock.monotonic() + REST_MS;
    for (const deadline = clock.monotonic() + START_MS; clock.monotonic() < deadline;) {
      const error = await probe(sockets);
      if (error === undefined) return true;
      if (codeOf(error) !== '57P03' && clock.monotonic() > patience) return false;
      await clock.sleep(POLL_MS);
      if ((await runningPostmaster(layout.cluster)) !== pid) return false;
    }
    return false;
  }

  /** isAsWanted compares the command line of the running server with ours. */
  async #isAsWanted(): Promise<boolean> {
    const { layout, binaries } = this.#options;
    const said = await readFile(path.join(layout.cluster, 'postmaster.opts'), 'utf8').catch(() => '');
    const wanted = [path.join(binaries.bin, 'postgres'), ...this.#arguments().map((argument) => `"${argument}"`)].join(' ');
    return said.trim() === wanted;
  }

  /**
   * unlock removes the lock files of a server that is gone: PostgreSQL would take a zombie, and any other process that has the number by
   * now, for its own server and not start. We hold the lock and no process works in the cluster, so there is none.
   */
  async #unlock(): Promise<void> {
    const { layout, sockets, log } = this.#options;
    const said = await postmasterFile(layout.cluster);
    if (said) log.info('lock file of a database server that is gone removed', { pid: said.pid });
    await rm(path.join(layout.cluster, 'postmaster.pid'), { force: true });
    await rm(path.join(sockets, `.s.PGSQL.${PORT}.lock`), { force: true });
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
    let why: string | undefined;
    child.once('error', (error) => (why = error.message));
    child.once('exit', (code, by) => {
      why = `it ended with ${by ?? `code ${code}`}`;
      this.#exited(child);
    });
    await output.close();
    child.unref();
    this.#asked = false;
    await this.#ready(child, from, () => why);
    this.#child = child;
    const ms = Math.round(clock.monotonic() - started);
    log.info('database server started', { pid: child.pid, version: binaries.version, user: runner.user, ms });
  }

  #exited(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    if (!this.#asked) this.onExit?.();
  }

  async #ready(child: ChildProcess, from: number, why: () => string | undefined): Promise<void> {
    const { layout, sockets, clock } = this.#options;
    for (const deadline = clock.monotonic() + START_MS; ;) {
      // Asking earlier would only fill the server's log.
      const error = (await postmasterFile(layout.cluster))?.ready ? await probe(sockets) : new Error('not ready yet');
      if (error === undefined && why() === undefined) return;
      const late = clock.monotonic() > deadline ? `it did not answer for ${START_MS / 1000} s` : undefined;
      const ended = why() ?? late;
      if (ended !== undefined) {
        child.kill('SIGQUIT');
        const said = await this.#said(from);
        if (/No space left on device|Disk quota exceeded/.test(said))
          throw raise('PP_STORE_DISK_FULL', { where: layout.folder }, { cause: error, detail: said });
        throw raise('PP_STORE_START_FAILED', { what: 'postgres', why: `${ended}; ${said}` }, { cause: error });
      }
      await clock.sleep(POLL_MS);
    }
  }

  /** said is what the server wrote to its log since the start. */
  async #said(from: number): Promise<string> {
    const text = (await readFile(this.#options.layout.log)).subarray(from).toString('utf8');
    return text.trim().split('\n').slice(-3).join(' ').slice(0, 600);
  }

  async stop(): Promise<void> {
    this.#asked = true;
    this.#child = undefined;
    await stopServer(this.#options.layout.cluster, this.#options.clock, this.#options.log);
  }
}
