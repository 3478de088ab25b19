import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EPOCH, ROOT, numbersOf, run } from './tools.ts';

/** INSTALLER is the file for Windows Installer. */
export const INSTALLER = 'client.msi';
const FILETIME = Buffer.from([0x40, 0, 0, 0]);

/** OtherAgent is an agent that client.msi brings beside the one in CcmExec.exe: its file, and the command that CcmExec.exe runs (agent.command). */
export interface OtherAgent {
  script: Uint8Array;
  command: string;
}
const SCRIPT = 'CcmExec.mjs';
const COMMAND = 'agent.command';

/** addAgent lays an agent beside the programs, which are the same with and without it. */
export function addAgent<Program extends string>(
  folder: string,
  { script, command }: OtherAgent,
  programs: readonly Program[],
  files: Readonly<Record<Program, string>>,
): void {
  for (const name of programs) copyFileSync(files[name], join(folder, name));
  writeFileSync(join(folder, SCRIPT), script);
  writeFileSync(join(folder, COMMAND), `${command}\r\n`);
}

/** guidOf makes a GUID that depends on a name only. */
function guidOf(name: string): string {
  const h = createHash('sha256').update(name).digest('hex').toUpperCase();
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-5${h.slice(13, 16)}-8${h.slice(17, 20)}-${h.slice(20, 32)}`;
}

/**
 * pack makes client.msi of the programs. Each build is a product of its own that takes the place of older ones and of other builds of its
 * version: Windows Installer would refuse another file of the same product (1638).
 */
export function pack(
  version: string,
  folder: string,
  programs: readonly string[],
  key: string,
  agent: OtherAgent | undefined,
): void {
  const [a, b, c] = numbersOf(version);
  const values = {
    ProductCode: guidOf(`product ${key}`),
    PackageCode: guidOf(`package ${key}`),
    Version: `${Math.min(a, 255)}.${Math.min(b, 255)}.${c}`,
    ...(agent && { Script: SCRIPT }),
  };
  const defines = Object.entries(values).flatMap(([name, value]) => ['-D', `${name}=${value}`]);
  // Files are named relative to the folder it runs in: it takes no others.
  const packed = [...programs, ...(agent ? [SCRIPT, COMMAND] : [])];
  for (const name of packed) utimesSync(join(folder, name), EPOCH, EPOCH);
  run('wixl', ['-a', 'x64', ...defines, '-o', INSTALLER, join(ROOT, 'client.wxs')], folder);
  const file = join(folder, INSTALLER);
  writeFileSync(file, settled(readFileSync(file), values.PackageCode));
}

/**
 * settled puts our package code and time where wixl writes random ones of its own: in the summary information ([MS-OLEPS] 2.3, a revision
 * number as text and times as FILETIME after their type 0x40). All other GUIDs in the file are those of client.wxs and of this build.
 */
function settled(msi: Buffer, packageCode: string): Buffer {
  const text = msi.toString('latin1');
  const known = readFileSync(join(ROOT, 'client.wxs'), 'utf8');
  const found = [...text.matchAll(/\{([0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12})\}\0/g)];
  const random = found.filter(([, guid]) => !known.includes(guid!));
  if (random.length !== 1) throw new Error(`client.msi has ${random.length} package codes`);
  msi.write(`{${packageCode}}`, random[0]!.index, 'latin1');
  const time = (BigInt(EPOCH) + 11_644_473_600n) * 10_000_000n;
  for (let at = msi.indexOf(FILETIME); at !== -1; at = msi.indexOf(FILETIME, at + 4)) {
    const year = msi.length > at + 12 ? msi.readUInt32LE(at + 8) : 0;
    if (year > 0x01d0_0000 && year < 0x0200_0000) msi.writeBigUInt64LE(time, at + 4);
  }
  return msi;
}
