import { chown } from 'node:fs/promises';
import { Client } from 'pg';
import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import type { Log } from '#base/log';
import type { Where } from '../pool.ts';
import { findBinaries } from './binaries.ts';
import { chooseRunner } from './runner.ts';
import { clusterMajor, createCluster, SUPERUSER, writeAccessRules } from './cluster.ts';
import { layout, onSocket, privateFolder, socketFolder, type Layout } from './layout.ts';
import { attach, lockName, tryHold, type Attached, type Held } from './lock.ts';
import { stopServer } from './processes.ts';
import { probe, Server } from './server.ts';

/** How long an attached process waits for the holder of the lock to bring the server up, at its own start and later. */
const ATTACH_MS = 150_000;
const REVIVE_MS = 30_000;
const POLL_MS = 50;
/** The site's database and the role that owns it, which is no superuser: SQL alone cannot reach the server's files or programs. */
const NAME = 'pushpoint';

export interface KeeperOptions {
  dataDir: string;
  pgBin: string | undefined;
  clock: Clock;
  log: Log;
}

/**
 * Keeper keeps the managed server of a data folder running for this process: the first process to come holds the lock and starts the
 * server, later ones attach, one of them takes over when the holder goes, and the last one to leave stops it.
 */
export class Keeper {
  readonly #options: KeeperOptions;
  #layout!: Layout;
  #lock!: string;
  #sockets!: string;
  #held: Held | undefined;
  #attached: Attached | undefined;
  #server: Server | undefined;
  #work: Promise<void> | undefined;
  #leaving = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** start resolves when the server answers. */
  async start(): Promise<Where> {
    this.#layout = await layout(this.#options.dataDir);
    this.#lock = await lockName(this.#layout.folder);
    await this.revive(ATTACH_MS);
    const host = this.#sockets;
    const url = `postgresql:///${NAME}?host=${encodeURIComponent(host)}&user=${NAME}`;
    return { kind: 'managed', url, where: this.#layout.folder, config: onSocket(host, NAME, NAME) };
  }

  /** revive makes sure that the server answers, whoever has to start it; calls at the same time share one try. */
  revive(patience = REVIVE_MS): Promise<void> {
    this.#work ??= this.#revive(patience).finally(() => (this.#work = undefined));
    return this.#work;
  }

  async #revive(patience: number): Promise<void> {
    const { clock } = this.#options;
    const deadline = clock.monotonic() + patience;
    for (let last: unknown; !this.#leaving;) {
      if (!this.#held && !this.#attached) await this.#join();
      if (this.#held) return await this.#serve();
      // The holder left between the two tries; without lock and holder a server that answers is nobody's and may go any moment.
      if (!this.#attached) continue;
      last = await this.#wait();
      // A holder that went meanwhile left it to this very call to find the next one.
      if (last === undefined && this.#attached) return;
      if (clock.monotonic() > deadline) throw raise('PP_STORE_HELD', { folder: this.#layout.folder }, { cause: last });
      await clock.sleep(POLL_MS);
    }
    throw raise('PP_STORE_CLOSED');
  }

  async #join(): Promise<void> {
    this.#held = await tryHold(this.#lock, () => void this.revive().catch((error: unknown) => this.#failed(error)));
    if (this.#held) return;
    const attached = await attach(this.#lock);
    this.#attached = attached;
    void attached?.gone.then(() => {
      if (this.#attached !== attached) return;
      this.#attached = undefined;
      // Without a holder somebody has to look after the server: whoever gets the lock.
      if (!this.#leaving) void this.revive().catch((error: unknown) => this.#failed(error));
    });
  }

  /** wait asks whether the server answers to an attached process; it gives the reason when not. */
  async #wait(): Promise<unknown> {
    if ((await clusterMajor(this.#layout.cluster).catch(forbidden(this.#layout))) === undefined)
      return new Error('the cluster is not made yet');
    this.#sockets = await socketFolder(this.#layout);
    const error = await probe(this.#sockets);
    if (error !== undefined) this.#attached?.check();
    return error;
  }

  async #serve(): Promise<void> {
    const server = (this.#server ??= await this.#prepare());
    const how = await server.ensure();
    if (!this.#leaving) server.watchLog();
    if (how !== 'running') await this.#furnish();
  }

  async #prepare(): Promise<Server> {
    const { clock, log, pgBin } = this.#options;
    const { folder, cluster, libraries } = this.#layout;
    const major = await clusterMajor(cluster).catch(forbidden(this.#layout));
    const binaries = await findBinaries({ pgBin, libraries, major });
    const runner = await chooseRunner(folder, cluster, binaries.bin);
    if (runner.user === 'nobody')
      log.warn('database server runs as nobody, like other services may; a system user pushpoint keeps them apart');
    if (major === undefined) {
      const started = clock.monotonic();
      await createCluster(this.#layout, binaries, runner);
      log.info('database cluster made', { version: binaries.version, ms: Math.round(clock.monotonic() - started) });
    }
    await writeAccessRules(this.#layout);
    this.#sockets = await socketFolder(this.#layout);
    const own = process.getuid!() === 0 ? () => chown(this.#sockets, runner.uid, runner.gid) : () => Promise.resolve();
    await privateFolder(this.#sockets, runner.uid, own);
    const server = new Server({ layout: this.#layout, sockets: this.#sockets, binaries, runner, clock, log });
    server.onExit = () => {
      if (this.#leaving) return;
      log.error('database server ended unexpectedly and is started again');
      void this.revive().catch((error: unknown) => this.#failed(error));
    };
    return server;
  }

  /** furnish makes the role and the database that the site works with. */
  async #furnish(): Promise<void> {
    const client = new Client(onSocket(this.#sockets, SUPERUSER, 'postgres'));
    client.on('error', () => {});
    await client.connect();
    try {
      const role = await client.query('select 1 from pg_roles where rolname = $1', [NAME]);
      if (role.rowCount === 0) await client.query(`create role ${NAME} login`);
      const database = await client.query('select 1 from pg_database where datname = $1', [NAME]);
      if (database.rowCount === 0) await client.query(`create database ${NAME} owner ${NAME}`);
    } finally {
      await client.end();
    }
  }

  #failed(error: unknown): void {
    if (!this.#leaving) this.#options.log.error('database server could not be brought back', { error });
  }

  /** leave stops the server if nobody else uses it. */
  async leave(): Promise<void> {
    this.#leaving = true;
    await this.#work?.catch(() => {});
    this.#server?.unwatch();
    const attached = this.#attached;
    this.#attached = undefined;
    if (attached && (await attached.leave()) === 'alone') {
      this.#held = await tryHold(this.#lock, () => {});
    }
    if (!this.#held) return;
    const { clock, log } = this.#options;
    const alone = this.#held.attached() === 0;
    if (alone && (await stopServer(this.#layout.cluster, clock, log))) log.info('database server stopped');
    await this.#held.release();
  }
}

/** forbidden tells that a cluster cannot even be looked at: it is another user's. */
function forbidden({ folder }: Layout): (error: unknown) => never {
  return (error) => {
    if (error instanceof PushpointError || (error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    throw raise('PP_STORE_FOLDER_OWNER', { folder, owner: 'another user', user: process.getuid!() }, { cause: error });
  };
}
