import { createHash } from 'node:crypto';
import { lstat, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { ClientConfig } from 'pg';
import { raise } from '#base/errors';
import { databaseFolder } from '../backend.ts';

/** A Unix socket's address holds 107 octets and an end mark; the server adds the name of the socket to the folder. */
const SOCKET_OCTETS = 107;
/** The port is a part of the socket's name only: no TCP port is opened. */
export const PORT = 5432;

/** Layout names everything that the managed server has on disk, below `<data>/database`. */
export interface Layout {
  /** folder is `<data>/database` without links in its path; root's when we are root. */
  folder: string;
  cluster: string;
  /** fresh is where initdb works until the cluster is complete. */
  fresh: string;
  log: string;
  accessRules: string;
  libraries: string;
}

/** layout makes `<data>/database` if needed and names what is in it. */
export async function layout(dataDir: string): Promise<Layout> {
  const folder = await databaseFolder(dataDir);
  const at = (name: string) => path.join(folder, name);
  return {
    folder,
    cluster: at('cluster'),
    fresh: at('cluster.new'),
    log: at('postgres.log'),
    accessRules: at('access-rules.conf'),
    libraries: at('libraries'),
  };
}

/**
 * socketFolder is where the server of a cluster listens: beside the cluster, or in a short folder of its own when that path is too long
 * for a socket. It depends on the cluster alone, so that every process finds it, whichever path it came by.
 */
export async function socketFolder({ folder, cluster }: Layout): Promise<string> {
  const near = path.join(folder, 'run');
  if (Buffer.byteLength(`${near}/.s.PGSQL.${PORT}.lock`) <= SOCKET_OCTETS) return near;
  const { uid, dev, ino } = await stat(cluster, { bigint: true });
  const key = createHash('sha256').update(`${dev} ${ino}`).digest('hex').slice(0, 16);
  return uid === 0n ? `/run/pushpoint-${key}` : `/tmp/pushpoint-${uid}-${key}`;
}

/** onSocket is how to connect to a server of ours, whatever PGSSLMODE and its like in the environment say. */
export function onSocket(sockets: string, user: string, database: string): ClientConfig {
  return { host: sockets, port: PORT, user, database, ssl: false, connectionTimeoutMillis: 5_000 };
}

/** privateFolder makes a folder that its owner alone may enter, and refuses one that somebody else has put there. */
export async function privateFolder(folder: string, uid: number, chown: (folder: string) => Promise<void>): Promise<void> {
  const made = await mkdir(folder, { mode: 0o700 }).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
  if (made) await chown(folder);
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) throw raise('PP_STORE_SOCKET_FOLDER', { folder });
}
