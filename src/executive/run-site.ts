import { readFileSync } from 'node:fs';
import { raise } from '#base/errors';
import { DataFolder, parseListen, type Running } from './data-folder.ts';
import { Executive, type Served } from './executive.ts';
import { readCertificate } from './listeners.ts';
import { readRoles } from './roles.ts';
import { openSite } from './site-folder.ts';

/** RunWish is what `up` is told. */
export interface RunWish {
  data: string;
  roles?: readonly string[] | undefined;
  database?: string | undefined;
  https?: { listen: string; certificateFile: string | undefined; keyFile: string | undefined } | undefined;
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

/** readRunning is what `run/server.json` of a data folder says, if a live process wrote it. */
export function readRunning(data: string): Running | undefined {
  const running = new DataFolder(data).readRunning();
  return running && isAlive(running.pid) ? running : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** runSite runs the roles of a data folder in this process. */
export async function runSite(wish: RunWish): Promise<RunningSite> {
  const folder = new DataFolder(wish.data);
  const file = folder.readSite();
  const roles = readRoles(wish.roles);
  const https = wish.https && {
    listen: parseListen(wish.https.listen, '--listen-https'),
    ...readCertificate(wish.https.certificateFile, wish.https.keyFile),
  };
  const other = readRunning(wish.data);
  if (other && roles.has('console') && other.pid !== process.pid)
    throw raise('PP_SITE_RUNNING', { data: folder.path, pid: other.pid });
  const site = await openSite(folder, { database: wish.database, verbose: wish.verbose, connections: 16 });
  const executive = new Executive(site, { roles, points: file.points, console: file.console, https });
  let served: Served;
  try {
    served = await executive.start();
  } catch (error) {
    await site.close();
    throw error;
  }
  if (served.console)
    folder.writeRunning({
      pid: process.pid,
      console: served.console,
      points: served.points,
      startedAt: site.clock.now().toISOString(),
    });
  let end: (signal: string | undefined) => void = () => {};
  const stopped = new Promise<string | undefined>((resolve) => (end = resolve));
  let stopping: Promise<void> | undefined;
  const stop = (signal?: string) =>
    (stopping ??= (async () => {
      folder.forgetRunning(process.pid);
      await executive.stop();
      await site.close();
      end(signal);
    })());
  if (wish.signals !== false) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        // A second signal means it: the default handler ends the process, and a restart finds what was left.
        void stop(signal);
      });
    }
  }
  return { ready: { site: file.code, data: folder.path, ...served }, stop: () => stop(), stopped };
}

/** startConsoleOnly serves the API of a data folder that nobody serves, on a free loopback port, for one caller. */
export async function startConsoleOnly(data: string): Promise<{ url: string; token: string; stop(): Promise<void> }> {
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
