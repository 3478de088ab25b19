import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cabinet } from './cabinet.ts';

/** The oldest Node that runs the agent on Windows: it takes the trust store of the machine (--use-system-ca). */
const OLDEST = { major: 22, minor: 15 };
const X64 = 0x8664;
const LONGEST_VERSION = 24;

/** WindowsRuntime is Node.js for Windows as a package of its own: content with its own hash that all versions of the agent share. */
export interface WindowsRuntime {
  version: string;
  /** Where it is unpacked, below %windir%\CCM\runtime; named by its content, so that another build of a version is another runtime. */
  folder: string;
  file: string;
  bytes: Uint8Array;
}

function refuse(path: string, why: string): Error {
  return new Error(`${path} is no Node.js for Windows that can be used: ${why}`);
}

/** versionOf reads the version in the resources of a program: the text behind the key ProductVersion, both in UTF-16. */
function versionOf(exe: Buffer): string {
  const at = exe.indexOf(Buffer.from('ProductVersion\0', 'utf16le'));
  const text = at === -1 ? '' : exe.subarray(at + 30, at + 30 + 2 * LONGEST_VERSION).toString('utf16le');
  return /^\0*(\d+\.\d+\.\d+)\0/.exec(text)?.[1] ?? '';
}

/** readRuntime makes the package of a node.exe. */
export function readRuntime(path: string): WindowsRuntime {
  const exe = readFileSync(path);
  const header = exe.length > 0x40 && exe.toString('latin1', 0, 2) === 'MZ' ? exe.readUInt32LE(0x3c) : exe.length;
  if (header + 6 > exe.length || exe.toString('latin1', header, header + 4) !== 'PE\0\0')
    throw refuse(path, 'it is no program for Windows; node.exe of the archive node-v…-win-x64 is meant');
  if (exe.readUInt16LE(header + 4) !== X64) throw refuse(path, 'it is not for x64');
  const version = versionOf(exe);
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < OLDEST.major || (major === OLDEST.major && minor < OLDEST.minor))
    throw refuse(path, `it is version ${version || 'unknown'}, ${OLDEST.major}.${OLDEST.minor} is the oldest`);
  const folder = `node-${version}-${createHash('sha256').update(exe).digest('hex').slice(0, 12)}`;
  return { version, folder, file: `${folder}.ex_`, bytes: cabinet('node.exe', exe) };
}
