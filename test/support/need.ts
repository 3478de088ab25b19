import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** peers are the programs of other people that the estate tests prove our wire code against, and the Debian package of each. */
const peers = {
  smbd: 'samba',
  smbclient: 'smbclient',
  net: 'samba-common-bin',
  impacket: 'python3-impacket',
  curl: 'curl',
  wget: 'wget',
  busybox: 'busybox',
  'systemd-nspawn': 'systemd-container',
  openssl: 'openssl',
  'openrc-run': 'openrc',
  'update-rc.d': 'init-system-helpers',
  tshark: 'tshark',
  strace: 'strace',
  'mkfs.ext4': 'e2fsprogs',
  ip: 'iproute2',
  wine64: 'wine64',
  'x86_64-w64-mingw32-gcc': 'gcc-mingw-w64-x86-64',
  wixl: 'wixl',
  osslsigncode: 'osslsigncode',
  gcc: 'gcc',
} as const;

export type Peer = keyof typeof peers | 'root';

function runs(command: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/lib/wine'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function present(peer: Peer): boolean {
  if (peer === 'root') return process.getuid?.() === 0;
  if (peer === 'impacket') return spawnSync('/usr/bin/python3', ['-c', 'import impacket']).status === 0;
  return runs(peer);
}

/**
 * need gives the options of a test that wants these peers: `test('…', need('smbd', 'root'), …)`. A missing one skips the test with one
 * loud line that says how to get it; in CI nothing may be skipped, so there the test runs and fails on what is missing.
 */
export function need(...wanted: Peer[]): { skip?: string } {
  const missing = wanted.filter((peer) => !present(peer));
  if (missing.length === 0 || process.env['CI'] === 'true') return {};
  const how = missing.map((peer) => (peer === 'root' ? 'run as root' : `apt-get install ${peers[peer]}`)).join('; ');
  const line = `SKIPPED, needs ${missing.join(', ')}: ${how}`;
  process.stderr.write(`${line}\n`);
  return { skip: line };
}
