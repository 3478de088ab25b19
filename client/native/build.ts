import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { INSTALLER, addAgent, pack, type OtherAgent } from './installer.ts';
import { ROOT, numbersOf, run } from './tools.ts';

const CC = 'x86_64-w64-mingw32-gcc';
const WINDRES = 'x86_64-w64-mingw32-windres';

/** What the build needs, and the Debian package of each. */
const tools = { [CC]: 'gcc-mingw-w64-x86-64', [WINDRES]: 'binutils-mingw-w64-x86-64', wixl: 'wixl' } as const;

const FLAGS = [
  '-std=gnu17 -Os -Wall -Wextra -Werror -municode -DUNICODE -D_UNICODE -D_WIN32_WINNT=0x0601',
  // The formatted output of the system's own library: the one of the compiler is larger than the rest of the program.
  '-D__USE_MINGW_ANSI_STDIO=0',
  // Nothing of the machine that built it gets in: no paths, no times, no compiler's name.
  // Optimised as a whole, which makes it a fourteenth smaller.
  '-DWIN32_LEAN_AND_MEAN -fno-ident -flto',
].flatMap((line) => line.split(' '));
const LINKING = [
  '-municode',
  '-s',
  '-Wl,--no-insert-timestamp',
  '-Wl,--build-id=none',
  '-Wl,--dynamicbase,--nxcompat,--high-entropy-va',
];
const LIBRARIES = ['winhttp', 'bcrypt', 'crypt32', 'advapi32', 'netapi32', 'iphlpapi', 'ws2_32', 'shell32', 'dnsapi'].map(
  (l) => `-l${l}`,
);
const SHARED = ['base', 'wire', 'machine'];
/** The release that the programs belong to, whatever version the package has: what the agent compares with its site. */
const RELEASE = (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
const PROGRAMS = { 'ccmsetup.exe': 'ccmsetup', 'CcmExec.exe': 'ccmexec' } as const;

type Program = keyof typeof PROGRAMS;

/** NativeFiles are the built files by name, as paths in the cache folder. */
export interface NativeFiles {
  version: string;
  folder: string;
  files: Record<Program | typeof INSTALLER, string>;
}

/** Signing is the key with which the files are signed: paths for osslsigncode, and a time stamp server if there is one. */
export interface Signing {
  certificate: string;
  key: string;
  timestamp?: string | undefined;
}

function present(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** missingTools names what this machine lacks to build the Windows programs, each with the Debian package that has it; empty when nothing. */
export function missingTools(signing?: Signing): string[] {
  const wanted: Record<string, string> = { ...tools, ...(signing && { osslsigncode: 'osslsigncode' }) };
  return Object.entries(wanted).flatMap(([program, debian]) => (present(program) ? [] : [`${program} (Debian: ${debian})`]));
}

const sources = () => globSync('**/*.{c,h,rc,manifest,wxs}', { cwd: ROOT }).sort();

/** keyOf names a build by everything that goes into it. */
function keyOf(version: string, more: object | undefined): string {
  const hash = createHash('sha256').update(JSON.stringify([version, RELEASE, FLAGS, LINKING, LIBRARIES, more]));
  for (const file of ['build.ts', 'installer.ts', 'tools.ts']) hash.update(readFileSync(new URL(file, import.meta.url)));
  for (const file of sources()) hash.update(`\0${file}\0`).update(readFileSync(join(ROOT, file)));
  hash.update(spawnSync(CC, ['--version'], { encoding: 'utf8' }).stdout ?? '');
  return hash.digest('hex').slice(0, 32);
}

/** Most of the time of a compilation goes into these; each source includes what it needs, and finds it done. */
const HEADERS = ['winsock2', 'windows', 'winhttp', 'stdio', 'stdlib', 'string'].map((name) => `#include <${name}.h>\n`).join('');

/** headersIn compiles the system's headers once for a folder, and gives what makes the compiler take them from there. */
function headersIn(folder: string): string[] {
  const header = join(folder, 'headers.h');
  if (!existsSync(`${header}.gch`)) {
    writeFileSync(header, HEADERS);
    run(CC, [...FLAGS, '-x', 'c-header', header, '-o', `${header}.gch`]);
  }
  return ['-include', header];
}

/** compile makes objects of the sources in these folders, in the order of their names. */
function compile(parts: readonly string[], version: string, folder: string, defines: readonly string[] = []): string[] {
  const files = parts.flatMap((part) => sources().filter((file) => file.startsWith(`${part}/`) && file.endsWith('.c')));
  const headers = headersIn(folder);
  return files.map((file) => {
    const object = join(folder, `${file.replaceAll('/', '-')}.o`);
    run(CC, [
      ...FLAGS,
      ...headers,
      `-DCLIENT_VERSION="${version}"`,
      `-DPRODUCT_VERSION="${RELEASE}"`,
      ...defines,
      '-c',
      file,
      '-o',
      object,
    ]);
    return object;
  });
}

function link(name: Program, shared: readonly string[], version: string, folder: string, defines: readonly string[] = []): void {
  const own = PROGRAMS[name];
  const resource = join(folder, `${own}.o`);
  const numbers = `-DCLIENT_NUMBERS=${numbersOf(version).join(',')}`;
  // windres hands its defines to a shell.
  run(WINDRES, ['-I', own, numbers, `-DCLIENT_VERSION=\\"${version}\\"`, `${own}/${own}.rc`, resource]);
  const objects = [...shared, ...compile([own], version, folder, defines), resource];
  run(CC, [...FLAGS, ...LINKING, ...objects, '-o', join(folder, name), ...LIBRARIES]);
}

/** clean leaves nothing but what was to be built. */
function clean(folder: string): void {
  for (const name of readdirSync(folder)) if (/\.(?:o|h|gch)$/.test(name)) rmSync(join(folder, name));
}

function sign(file: string, { certificate, key, timestamp }: Signing): void {
  const signed = `${file}.signed`;
  const when = timestamp === undefined ? [] : ['-ts', timestamp];
  const what = ['-n', 'Pushpoint client', '-h', 'sha256', '-in', file, '-out', signed];
  run('osslsigncode', ['sign', '-certs', certificate, '-key', key, ...when, ...what]);
  renameSync(signed, file);
}

function buildPrograms(version: string, folder: string, signing: Signing | undefined): void {
  const names = Object.keys(PROGRAMS) as Program[];
  const shared = compile(SHARED, version, folder);
  for (const name of names) link(name, shared, version, folder);
  clean(folder);
  if (signing) for (const name of names) sign(join(folder, name), signing);
}

/** cacheFolder is where builds are kept: they are made again from the sources whenever they are gone. */
function cacheFolder(): string {
  const { PUSHPOINT_CACHE, XDG_CACHE_HOME } = process.env;
  return join(PUSHPOINT_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'pushpoint'), 'native');
}

/**
 * buildNative makes the Windows programs from `native/`, or takes them from the cache when exactly these sources were built before. The
 * same sources and compiler give the same bytes. It fails with the names of what is missing where there is no compiler for Windows.
 */
export function buildNative(
  version: string,
  o: { signing?: Signing | undefined; cache?: string; agent?: OtherAgent | undefined } = {},
): NativeFiles {
  const { agent } = o;
  const script = agent && createHash('sha256').update(agent.script).digest('hex');
  const key = keyOf(version, agent ? [o.signing, agent.command, script] : o.signing);
  const folder = join(o.cache ?? cacheFolder(), key);
  const names = Object.keys(PROGRAMS) as Program[];
  const files = Object.fromEntries([...names, INSTALLER].map((name) => [name, join(folder, name)])) as NativeFiles['files'];
  if (Object.values(files).every((file) => existsSync(file))) return { version, folder, files };
  const missing = missingTools(o.signing);
  if (missing.length > 0) throw new Error(`the Windows client cannot be built on this machine, it lacks ${missing.join(', ')}`);
  mkdirSync(join(folder, '..'), { recursive: true });
  const work = mkdtempSync(`${folder}.`);
  try {
    if (agent) addAgent(work, agent, names, buildNative(version, { ...o, agent: undefined }).files);
    else buildPrograms(version, work, o.signing);
    pack(version, work, names, key, agent);
    if (o.signing) sign(join(work, INSTALLER), o.signing);
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { version, folder, files };
}

/**
 * buildTrial makes a CcmExec.exe for tests, which is never shipped: all periods of its agent are divided by `hurry`, or it believes to be of
 * another release.
 */
export function buildTrial(version: string, o: { hurry?: number; release?: string }): string {
  const defines = [
    ...(o.hurry === undefined ? [] : [`-DHURRY=${o.hurry}`]),
    ...(o.release === undefined ? [] : ['-UPRODUCT_VERSION', `-DPRODUCT_VERSION="${o.release}"`]),
  ];
  const folder = join(cacheFolder(), keyOf(version, defines));
  const file = join(folder, 'CcmExec.exe');
  if (existsSync(file)) return file;
  mkdirSync(join(folder, '..'), { recursive: true });
  const work = mkdtempSync(`${folder}.`);
  try {
    link('CcmExec.exe', compile(SHARED, version, work), version, work, defines);
    clean(work);
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return file;
}
