import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { OperatingSystem } from '#messages';

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** What boards say whose maker wrote nothing into them. */
const NO_UUID = /^(?:0{8}-|f{8}-|03000200-0400-0500)/i;

/** addressesOf are the addresses others reach this machine by, IPv4 first. */
export function addressesOf(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  const usable = all.filter(({ internal, address }) => !internal && !/^(?:fe80:|169\.254\.)/i.test(address));
  return usable.toSorted((a, b) => a.family.localeCompare(b.family)).map(({ address }) => address.split('%')[0]!);
}

/**
 * hardwareIdOf is of the hardware and not of the disk: the UUID of the board, else its network cards. A container has neither of its own; there
 * it is the machine id, which is of the installation.
 */
export function hardwareIdOf(): string {
  const board = read('/sys/class/dmi/id/product_uuid');
  if (board && UUID.test(board) && !NO_UUID.test(board)) return `2:${board.toUpperCase()}`;
  const macs = Object.values(networkInterfaces()).flatMap((one) => (one ?? []).filter((i) => !i.internal).map((i) => i.mac));
  const of = macs.filter((mac) => mac !== '00:00:00:00:00:00').toSorted();
  const text = of.length > 0 ? of.join() : (read('/etc/machine-id') ?? 'unknown');
  return `2:${createHash('sha256').update(text).digest('hex').slice(0, 32).toUpperCase()}`;
}

/** systemOf tells the distribution and its version. */
export function systemOf(): OperatingSystem {
  const release = read('/etc/os-release') ?? '';
  const value = (key: string) => new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(release)?.[1];
  const clean = (text: string, most: number) => text.replace(/[\u0000-\u001f\u007f]/g, ' ').slice(0, most);
  return {
    name: clean(value('PRETTY_NAME') ?? 'Linux', 128),
    version: clean(value('VERSION_ID') ?? read('/proc/sys/kernel/osrelease') ?? '', 64),
    type: 'unknown',
  };
}
