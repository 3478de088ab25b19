import { execFile, type SpawnOptions } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { raise } from '#base/errors';

const run = promisify(execFile);

/** PostgreSQL refuses to run as root; these users are asked for, in this order, when we are root. */
const SERVICE_USERS = ['pushpoint', 'nobody'];

const ENVIRONMENT = { PATH: '/usr/bin:/bin' };

/** Runner says as whom the server's programs run. */
export interface Runner {
  /** user is what people are told. */
  user: string;
  /** uid and gid own the cluster's files. */
  uid: number;
  gid: number;
  /** command is how a program is started as that user. */
  command(file: string, args: string[]): { file: string; args: string[]; options: Pick<SpawnOptions, 'uid' | 'gid'> };
}

function self(): Runner {
  const uid = process.getuid!();
  return { user: `uid ${uid}`, uid, gid: process.getgid!(), command: (file, args) => ({ file, args, options: {} }) };
}

function other(user: string, uid: number, gid: number): Runner {
  return { user, uid, gid, command: (file, args) => ({ file, args, options: { uid, gid } }) };
}

/**
 * inNamespace runs as root outside and as `nobody` inside a user namespace. It is for folders only root can enter (a checkout or data
 * below /root): the files stay root's, PostgreSQL sees an ordinary user, and no other process of `nobody` gets near.
 */
function inNamespace(): Runner {
  const flags = ['--user', '--map-user=65534', '--map-group=65534', '--'];
  const command = (file: string, args: string[]) => ({ file: 'unshare', args: [...flags, file, ...args], options: {} });
  return { user: 'nobody in a user namespace', uid: 0, gid: 0, command };
}

async function idsOf(user: string): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const [uid, gid] = await Promise.all([
      run('id', ['-u', user], { env: ENVIRONMENT }),
      run('id', ['-g', user], { env: ENVIRONMENT }),
    ]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

async function works(runner: Runner, script: string, ...args: string[]): Promise<boolean> {
  const { file, args: all, options } = runner.command('/bin/sh', ['-c', script, 'sh', ...args]);
  return await run(file, all, { ...options, cwd: '/', env: ENVIRONMENT }).then(
    () => true,
    () => false,
  );
}

/** chooseRunner decides as whom the server runs: as its cluster's owner if there is a cluster, else as ourselves or a service user. */
export async function chooseRunner(folder: string, cluster: string, bin: string): Promise<Runner> {
  const mine = process.getuid!();
  const owner = await stat(cluster).catch(() => undefined);
  if (mine !== 0) {
    if (owner && owner.uid !== mine) throw raise('PP_STORE_FOLDER_OWNER', { folder, owner: owner.uid, user: mine });
    return self();
  }
  const reaches = (runner: Runner) => works(runner, 'cd "$1" && test -x "$2/postgres"', folder, bin);
  if (owner && owner.uid !== 0) {
    const runner = other(`uid ${owner.uid}`, owner.uid, owner.gid);
    if (await reaches(runner)) return runner;
    throw raise('PP_STORE_FOLDER_CLOSED', { folder, bin, user: runner.user });
  }
  if (!owner) {
    for (const user of SERVICE_USERS) {
      const ids = await idsOf(user);
      if (!ids) continue;
      const runner = other(user, ids.uid, ids.gid);
      if (await reaches(runner)) return runner;
    }
  }
  const namespace = inNamespace();
  if (await reaches(namespace)) return namespace;
  throw raise('PP_STORE_FOLDER_CLOSED', { folder, bin, user: SERVICE_USERS.join(' or ') });
}
