import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Profile } from './profiles.ts';

const FOLDERS = [
  'Windows/System32/drivers/etc',
  'Windows/System32/config',
  'Windows/Temp',
  'Program Files',
  'ProgramData',
  'Users/Public',
];

/** furnish makes the folders that a fresh Windows has, as far as somebody pushing to it may look at them. */
export async function furnish(folder: string, profile: Profile): Promise<void> {
  if (!profile.isWindows) return void (await mkdir(folder, { recursive: true }));
  // A 64-bit system is told by these two over SMB.
  const wide = profile.architecture === 'AMD64' ? ['Windows/SysWOW64', 'Program Files (x86)'] : [];
  for (const one of [...FOLDERS, ...wide]) await mkdir(join(folder, one), { recursive: true });
  await writeFile(join(folder, 'Windows/System32/drivers/etc/hosts'), '127.0.0.1 localhost\r\n');
  await writeFile(join(folder, 'Windows/win.ini'), '; for 16-bit app support\r\n');
}
