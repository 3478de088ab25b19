import { createHash } from 'node:crypto';
import type { TargetHost } from '#client/host';
import { WIN32 } from '#wire/status';

/** MARK is the first line of a file that the lab can run: a bundle of the client. */
const MARK = '//pushpoint-bootstrap';

/** Main is what such a file exports: it runs until it is done or its signal aborts, and gives its exit code. */
export type Main = (host: TargetHost, args: string[]) => Promise<number>;

/** Win32Error says no with a Win32 code, as the service manager does. */
export class Win32Error extends Error {
  readonly win32: number;

  constructor(win32: number, message: string) {
    super(message);
    this.name = 'Win32Error';
    this.win32 = win32;
  }
}

/** modules holds each file that was ever run, by its content, for all lab hosts of this process: a module cannot be unloaded. */
const modules = new Map<string, Promise<Main>>();

function isBootstrap(octets: Uint8Array): boolean {
  const first = octets.subarray(0, MARK.length);
  return Buffer.from(first).toString('latin1') === MARK;
}

async function imported(octets: Uint8Array): Promise<Main> {
  const url = `data:text/javascript;base64,${Buffer.from(octets).toString('base64')}`;
  const module = (await import(url)) as { main?: unknown };
  if (typeof module.main !== 'function') throw new Win32Error(WIN32.BAD_EXE_FORMAT, 'the bootstrap exports no main');
  return module.main as Main;
}

/** loadProgram gives the main of a pushed file; anything that is no bootstrap is no program to the lab (193). */
export async function loadProgram(octets: Uint8Array): Promise<Main> {
  if (!isBootstrap(octets)) throw new Win32Error(WIN32.BAD_EXE_FORMAT, 'the file is no program that the lab can run');
  const hash = createHash('sha256').update(octets).digest('hex');
  let module = modules.get(hash);
  if (!module) {
    module = imported(octets);
    modules.set(hash, module);
  }
  try {
    return await module;
  } catch (error) {
    modules.delete(hash);
    if (error instanceof Win32Error) throw error;
    throw new Win32Error(WIN32.BAD_EXE_FORMAT, `the bootstrap cannot be loaded: ${(error as Error).message}`);
  }
}

/** splitCommandLine takes a service's binary path apart: quotes hold blanks together, the first part is the file. */
export function splitCommandLine(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]!);
}

/** diskPath turns a path of a program into one from the root of C:, as the service manager reads it; undefined if it is elsewhere. */
export function diskPath(path: string): string[] | undefined {
  const plain = path
    .replace(/^\\\?\?\\/, '')
    .replace(/^%(?:systemroot|windir)%/i, 'C:\\Windows')
    .replace(/^\\SystemRoot/i, 'C:\\Windows');
  const onDisk = /^[a-z]:/i.test(plain) ? plain : `C:\\Windows\\${plain}`;
  if (!/^c:\\/i.test(onDisk)) return undefined;
  return onDisk
    .slice(3)
    .split('\\')
    .filter((part) => part !== '');
}
