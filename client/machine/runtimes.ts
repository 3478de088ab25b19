import { win32 } from 'node:path';
import { layout, readInstalled, type TargetHost } from '#client/host';

/**
 * clearRuntimes takes away the runtimes of earlier versions: 87 MB each. `own` is the program that runs this one. While an installation is under
 * way, which may have brought the runtime of the next version, all of them stay.
 */
export async function clearRuntimes(host: TargetHost, own: string): Promise<void> {
  const keep = win32.basename(win32.dirname(own)).toLowerCase();
  const all = await host.list(layout.runtimes);
  if (!all.some((name) => name.toLowerCase() === keep)) return;
  if (!(await readInstalled(host)) || (await host.services.status(layout.setupService)) !== undefined) return;
  for (const name of all) if (name.toLowerCase() !== keep) await host.remove(win32.join(layout.runtimes, name));
}
