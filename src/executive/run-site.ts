import { readFileSync } from 'node:fs';
import { systemClock } from '#base/clock';
import { checkDatabaseUrl, DataFolder, parseListen } from './data-folder.ts';
import { watchDisk } from './disk-watch.ts';
import { Executive, type Served } from './executive.ts';
import { holdInbox } from './one-database.ts';
import { takeOwnPackages } from './own-packages.ts';
import { readRoles } from './roles.ts';
import { holdRoles } from './role-lock.ts';
import { openSite, type OpenSite } from './site-folder.ts';
import { readTls, type TlsWish } from './tls-files.ts';

/** RunWish is what `up` is told. */
export interface RunWish {
  data: string;
  roles?: readonly string[] | undefined;
  database?: string | undefined;
  /** Other addresses than those in site.json, for this run. */
  listen?: string | undefined;
  console?: string | undefined;
  https?: ({ listen: string } & TlsWish) | undefined;
  verbose?: boolean;
  /** Stop on SIGINT and SIGTERM (default); a caller that has its own end says no. */
  signals?: boolean;
}

/** RunningSite is a site that serves; `stopped` resolves with the signal's name, or with undefined when `stop` was called. */
export interface RunningSite {
  ready: Served & { site: string; data: string };
  stop(): Promise<void>;
  stopped: Promise<string | undefined>;
}

/** runSite runs the roles of a data folder in this process. */
export async function runSite(wish: RunWish): Promise<RunningSite> {
  const folder = new DataFolder(wish.data);
  const file = folder.readSite();
  const roles = readRoles(wish.roles);
  checkDatabaseUrl(wish.database);
  const at = {
    points: wish.listen === undefined ? file.points : parseListen(wish.listen, '--listen'),
    console: wish.console === undefined ? file.console : parseListen(wish.console, '--console'),
    https: wish.https && {
      listen: parseListen(wish.https.listen, '--listen-https'),
      files: wish.https,
      tls: readTls(wish.https, systemClock.now()),
    },
  };
  // Asked to end while it starts, the site is brought up first and then down in order: half a start leaves a database server behind.
  const signal = wish.signals === false ? new Promise<string>(() => {}) : firstSignal();
  const release = await holdRoles(folder, roles).catch((error: unknown) => {
    throw folder.writing(error);
  });
  let site: OpenSite | undefined;
  let executive: Executive | undefined;
  let unwatch = (): void => {};
  let letGo = (): Promise<void> => Promise.resolve();
  const close = async () => {
    unwatch();
    await executive?.stop();
    await letGo();
    await site?.close();
    release();
  };
  try {
    site = await openSite(folder, { database: wish.database, verbose: wish.verbose, connections: 16 });
    const { clock, log } = site;
    if (roles.has('inbox')) letGo = await holdInbox(site);
    if (roles.has('console')) await takeOwnPackages(site);
    const tell = (line: string) => void process.stderr.write(`${line}\n`);
    unwatch = watchDisk({ folder: folder.path, clock, log, tell });
    executive = new Executive(site, { roles, ...at });
    const { points, console, ...more } = await executive.start();
    if (console) folder.writeRunning({ pid: process.pid, console, points, startedAt: site.clock.now().toISOString() });
    let end: (signal: string | undefined) => void = () => {};
    const stopped = new Promise<string | undefined>((resolve) => (end = resolve));
    let stopping: Promise<void> | undefined;
    const stop = (why?: string) =>
      (stopping ??= (async () => {
        folder.forgetRunning(process.pid);
        await close();
        end(why);
      })());
    void signal.then(stop);
    return { ready: { site: file.code, points, console, ...more, data: folder.path }, stop: () => stop(), stopped };
  } catch (error) {
    await close();
    throw folder.writing(error);
  }
}

/** firstSignal resolves with the first signal that asks this process to end; a second one means it, and its default handler ends the process. */
function firstSignal(): Promise<string> {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  return new Promise((resolve) => {
    const heard = (signal: NodeJS.Signals) => {
      for (const one of signals) process.off(one, heard);
      resolve(signal);
    };
    for (const signal of signals) process.on(signal, heard);
  });
}

/** ConsoleOnly is the API of a data folder, served for one caller. */
export interface ConsoleOnly {
  url: string;
  token: string;
  stop(): Promise<void>;
}

/** startConsoleOnly serves the API of a data folder that nobody serves, on a free loopback port, for one caller. */
export async function startConsoleOnly(data: string): Promise<ConsoleOnly> {
  const folder = new DataFolder(data);
  const site = await openSite(folder, { connections: 4 });
  const executive = new Executive(site, {
    roles: new Set(['console']),
    points: { host: '127.0.0.1', port: 0 },
    console: { host: '127.0.0.1', port: 0 },
  });
  try {
    const { console } = await executive.start();
    return {
      url: console!,
      token: readFileSync(folder.tokenFile, 'utf8').trim(),
      async stop() {
        await executive.stop();
        await site.close();
      },
    };
  } catch (error) {
    await executive.stop();
    await site.close();
    throw error;
  }
}
