import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  readdirSync,
} from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { isNativeError } from 'node:util/types';
import { raise } from '#base/errors';

/** Listen is where a listener binds. */
export interface Listen {
  host: string;
  port: number;
}

/** SiteFile is `site.json`: what must be known before the database can be opened. It holds no secret. */
export interface SiteFile {
  code: string;
  kind: 'primary' | 'secondary';
  points: Listen;
  console: Listen;
  /** URL of an external PostgreSQL; the embedded one where it is absent. */
  database?: string;
}

/** Running is `run/server.json`: where the process that serves this folder answers. */
export interface Running {
  pid: number;
  console: string;
  points?: string;
  startedAt: string;
}

/** DataFolder knows where things stand in the data folder of a site. */
export class DataFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = isAbsolute(path) ? path : resolve(path);
  }

  get siteFile(): string {
    return join(this.path, 'site.json');
  }
  get vault(): string {
    return join(this.path, 'vault');
  }
  get inboxes(): string {
    return join(this.path, 'inboxes');
  }
  get content(): string {
    return join(this.path, 'content');
  }
  get bin(): string {
    return join(this.path, 'bin');
  }
  get run(): string {
    return join(this.path, 'run');
  }
  get logs(): string {
    return join(this.path, 'logs');
  }
  get tokenFile(): string {
    return join(this.run, 'console.token');
  }
  get runningFile(): string {
    return join(this.run, 'server.json');
  }

  /** make creates the folders that are not there; only the site's own user may look into them. */
  make(): void {
    try {
      // Started by root, the database runs as another user, who has to pass through here to its own folder.
      makeFolder(this.path, process.getuid?.() === 0 ? 0o711 : 0o700);
      for (const folder of [this.vault, this.inboxes, this.content, this.bin, this.run, this.logs]) makeFolder(folder, 0o700);
      writeFileSync(join(this.run, '.writable'), '');
      rmSync(join(this.run, '.writable'));
    } catch (cause) {
      throw raise('PP_SITE_FOLDER', { data: this.path, why: whyOf(cause) }, { cause });
    }
  }

  /** writing tells a refusal by the disk, which names no file, as one of this folder; any other error stays what it is. */
  writing(error: unknown): unknown {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
    return raise('PP_SITE_FOLDER', { data: this.path, why: whyOf(error) }, { cause: error });
  }

  /** checkWritable sees whether make could make the folders, without making any. */
  checkWritable(): void {
    let there = this.path;
    while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
    try {
      if (!statSync(there).isDirectory()) throw new Error(`${there} is not a folder`);
      accessSync(there, constants.W_OK | constants.X_OK);
    } catch (cause) {
      throw raise('PP_SITE_FOLDER', { data: this.path, why: whyOf(cause) }, { cause });
    }
  }

  /** foreign names what is here and was not made for a site; a site that was begun and not finished is none of it. */
  foreign(): string[] {
    const own = ['vault', 'inboxes', 'content', 'bin', 'run', 'logs', 'database', 'lost+found'];
    return existsSync(this.path) && statSync(this.path).isDirectory()
      ? readdirSync(this.path).filter((name) => !own.includes(name))
      : [];
  }

  holdsSite(): boolean {
    return existsSync(this.siteFile);
  }

  readSite(): SiteFile {
    if (!this.holdsSite()) throw raise('PP_SITE_NOT_HERE', { data: this.path });
    try {
      const site = JSON.parse(readFileSync(this.siteFile, 'utf8')) as SiteFile;
      if (typeof site.code !== 'string' || typeof site.points?.port !== 'number' || typeof site.console?.port !== 'number')
        throw new Error('code, points or console is missing');
      return site;
    } catch (cause) {
      throw raise('PP_SITE_FOLDER', { data: this.path, why: `site.json: ${whyOf(cause)}` }, { cause });
    }
  }

  writeSite(site: SiteFile): void {
    replaceFile(this.siteFile, `${JSON.stringify(site, undefined, 2)}\n`, 0o600);
    // The folder itself may be new.
    syncSync(dirname(this.path));
  }

  readRunning(): Running | undefined {
    try {
      return JSON.parse(readFileSync(this.runningFile, 'utf8')) as Running;
    } catch {
      return undefined;
    }
  }

  writeRunning(running: Running): void {
    replaceFile(this.runningFile, `${JSON.stringify(running)}\n`, 0o600);
  }

  /** forgetRunning takes the file away if it is ours. */
  forgetRunning(pid: number): void {
    if (this.readRunning()?.pid === pid) rmSync(this.runningFile, { force: true });
  }
}

/**
 * makeFolder makes a folder and those above it. Node's own recursive way tries for ever where the system says of a new folder that its parent
 * is not there, as /proc does.
 */
export function makeFolder(path: string, mode: number): void {
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) throw new Error(`${path} is not a folder`);
    return;
  }
  if (dirname(path) !== path) makeFolder(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function whyOf(cause: unknown): string {
  return isNativeError(cause) ? cause.message : String(cause);
}

/** syncSync has a file's bytes, or a folder's entries, reach the disk. */
function syncSync(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/**
 * replaceFile writes a small file whole: under another name first, then moved over the old one. It is on the disk when this returns; without
 * that a power cut leaves an empty file of the right name, as seen on ext4.
 */
export function replaceFile(path: string, text: string, mode: number): void {
  const part = `${path}.${process.pid}.part`;
  try {
    writeFileSync(part, text, { mode });
    syncSync(part);
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
  syncSync(dirname(path));
}

/** parseListen reads HOST:PORT, [IPv6]:PORT or a bare port. */
export function parseListen(text: string, what: string): Listen {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]+):)?(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[2]);
  if (!match || port > 65535)
    throw raise('PP_CLI_USAGE', { why: `${what} wants HOST:PORT, for example 127.0.0.1:8481, not ${text}` });
  return { host: (match[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
}

/** checkDatabaseUrl keeps passwords out of the command line, where every user of the machine can read them, and out of site.json. */
export function checkDatabaseUrl(text: string | undefined): void {
  if (text === undefined) return;
  // A user without a host is right for PostgreSQL and not for the URL standard.
  const standard = text.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=\/)/, '$1localhost');
  const url = URL.canParse(standard) ? new URL(standard) : undefined;
  if (url && (url.password !== '' || url.searchParams.has('password') || url.searchParams.has('sslpassword')))
    throw raise('PP_CLI_USAGE', { why: 'the database URL must not hold a password; put it into PGPASSWORD or ~/.pgpass' });
}
