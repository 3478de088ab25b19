import { execFile } from 'node:child_process';
import { chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { raise } from '#base/errors';
import { syncFolder } from '#store/inbox';
import type { Binaries } from './binaries.ts';
import type { Layout } from './layout.ts';
import type { Runner } from './runner.ts';

const run = promisify(execFile);

/** The first version with a locale provider of its own, whose order and case rules do not depend on the system. */
const BUILTIN_PROVIDER_MAJOR = 17;

/** SUPERUSER owns the cluster; only maintenance uses it. */
export const SUPERUSER = 'postgres';

/**
 * Who may connect is decided by the folder of the socket (0700) and the socket itself (0700): only the cluster's owner and root get there.
 * There is no password that could leak, and no rule for TCP even if somebody opened a port. The file stands outside the cluster so
 * that the server's own user cannot change it when root started it.
 */
const ACCESS_RULES = 'local all all trust\n';

/** childEnvironment is all that PostgreSQL gets to see of the environment; nothing of ours (keys, tokens) goes in. */
export function childEnvironment(binaries: Binaries): Record<string, string> {
  const environment: Record<string, string> = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
  if (binaries.libraryPath) environment['LD_LIBRARY_PATH'] = binaries.libraryPath;
  return environment;
}

/** clusterMajor is the version that made the cluster, undefined when there is none. */
export async function clusterMajor(cluster: string): Promise<number | undefined> {
  try {
    return Number.parseInt(await readFile(path.join(cluster, 'PG_VERSION'), 'utf8'), 10);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** writeAccessRules puts the access rules in place; they are the same at each start. */
export async function writeAccessRules({ accessRules }: Layout): Promise<void> {
  await writeFile(accessRules, ACCESS_RULES, { mode: 0o644 });
}

/** createCluster runs initdb beside the final place and renames, so that a cluster is complete or not there. */
export async function createCluster({ cluster, fresh }: Layout, binaries: Binaries, runner: Runner): Promise<void> {
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  if (process.getuid!() === 0) await chown(fresh, runner.uid, runner.gid);
  const locale =
    binaries.major >= BUILTIN_PROVIDER_MAJOR
      ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
      : ['--locale=C'];
  const args = [
    '-D',
    fresh,
    '-U',
    SUPERUSER,
    '-A',
    'trust',
    '--encoding=UTF8',
    '--data-checksums',
    '--no-instructions',
    ...locale,
  ];
  const command = runner.command(path.join(binaries.bin, 'initdb'), args);
  try {
    await run(command.file, command.args, { ...command.options, cwd: '/', env: childEnvironment(binaries) });
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    const said = (error as { stderr?: string }).stderr?.trim().split('\n').slice(-3).join(' ') ?? '';
    if (/No space left on device|Disk quota exceeded/.test(said))
      throw raise('PP_STORE_DISK_FULL', { where: path.dirname(cluster) }, { cause: error });
    throw raise('PP_STORE_START_FAILED', { what: 'initdb', why: said || (error as Error).message }, { cause: error });
  }
  await rename(fresh, cluster);
  // Rows may be acknowledged from here on: the cluster must not be found under the old name after a power cut.
  await syncFolder(path.dirname(cluster));
}
