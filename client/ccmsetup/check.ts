import { raise } from '#base/errors';
import { Download, type DownloadRules } from '#client/download';
import { joinPath, layout, type TargetHost } from '#client/host';
import type { ClientLog } from '#client/log';
import type { MobileClient } from '#messages';
import type { SetupOptions } from './options.ts';

/** The largest payload this bootstrap takes; it holds the file in memory while it checks it. */
const LARGEST_PAYLOAD = 536_870_912;
/** What must be free beside the payload itself, in part and in place. */
const SPARE_BYTES = 10_000_000;
/** A payload of Windows Installer wants 3.1 at least (facts D5). */
const MSI_NEEDS = 301;

/** What Windows installers end with when all is well but the machine must be restarted. */
export const RESTART_CODES: ReadonlySet<number> = new Set([3010, 1641]);

/** checkMachine looks whether this machine can take the package at all, before anything is brought (facts D5). */
export async function checkMachine(host: TargetHost, config: MobileClient, { skip }: SetupOptions): Promise<void> {
  const { payload, requires = {}, prerequisites = [] } = config;
  if (payload.size > LARGEST_PAYLOAD)
    throw raise('PP_SETUP_UNSUPPORTED', { why: `the payload is larger than ${LARGEST_PAYLOAD} bytes` });
  if (!skip.includes('os')) checkSystem(host, requires);
  const needsInstaller = requires.windowsInstaller ?? (/\.msi$/i.test(payload.file) ? MSI_NEEDS : undefined);
  if (needsInstaller !== undefined && !skip.includes('installer')) {
    const there = (await host.windowsInstaller?.()) ?? 0;
    if (there < needsInstaller)
      throw raise('PP_SETUP_UNSUPPORTED', {
        why: `Windows Installer is ${dotted(there)}, ${dotted(needsInstaller)} is needed`,
      });
  }
  if (requires.noRestartPending && !skip.includes('restart') && (await host.restartPending?.()))
    throw raise('PP_SETUP_RESTART', { why: 'a restart of this machine is pending, and the package wants it done first' });
  if (skip.includes('disk')) return;
  const sizes = [payload, ...prerequisites].reduce((sum, { size }) => sum + size * 2, SPARE_BYTES);
  const needed = Math.max(sizes, requires.freeBytes ?? 0);
  const free = await host.freeBytes();
  if (free < needed) throw raise('PP_SETUP_DISK_FULL', { free, needed });
}

const dotted = (version: number) => `${Math.floor(version / 100)}.${String(version % 100).padStart(2, '0')}`;

function checkSystem(host: TargetHost, { minimumBuild, architectures }: NonNullable<MobileClient['requires']>): void {
  const build = Number(/^\d+\.\d+\.(\d+)/.exec(host.os.version)?.[1] ?? Number.NaN);
  if (minimumBuild !== undefined && build < minimumBuild)
    throw raise('PP_SETUP_SYSTEM', { why: `build ${build}, the package needs ${minimumBuild}` });
  const { architecture } = host;
  if (!architectures || architecture === undefined) return;
  if (!architectures.some((one) => one.toLowerCase() === architecture.toLowerCase()))
    throw raise('PP_SETUP_SYSTEM', { why: `architecture ${architecture}, the package needs ${architectures.join(' or ')}` });
}

/** Bring is what brings a file of the client content. */
export interface Bring {
  host: TargetHost;
  log: ClientLog;
  options: SetupOptions;
  rules: DownloadRules;
}

/** fetchFile gives the verified bytes of a file, from the folders of /source first, which the hash judges as everything else. */
export async function fetchFile({ host, log, options, rules }: Bring, file: MobileClient['payload']): Promise<Uint8Array> {
  for (const source of options.sources) {
    const path = joinPath(source, file.file);
    const bytes = await host.readFile(path).catch(() => undefined);
    if (!bytes) log.warn(`${path} is not there`);
    else if (Download.isRight(bytes, file)) {
      log.info(`Took ${path}`);
      return bytes;
    } else log.warn(`${path} does not have the expected hash`);
  }
  return new Download(host, log, file, rules).run();
}

/** installPrerequisites brings what the package declares and this machine does not have yet. */
export async function installPrerequisites(bring: Bring, { prerequisites = [], payload }: MobileClient): Promise<void> {
  const { host, log, options } = bring;
  for (const one of prerequisites) {
    if (options.skip.includes(one.file.toLowerCase())) log.info(`The prerequisite ${one.file} is skipped`);
    else if (await isThere(host, one.check)) log.info(`The prerequisite ${one.file} is there already`);
    else {
      log.info(`Installing the prerequisite ${one.file}`);
      if (!host.run) throw raise('PP_SETUP_UNSUPPORTED', { why: 'commands cannot be run on this machine' });
      const bytes = await fetchFile(bring, { ...one, version: payload.version });
      await host.writeFile(joinPath(layout.setupFolder, one.file), bytes);
      const code = await host.run(one.command, { folder: layout.setupFolder, signal: host.signal });
      log.info(`Prerequisite ${one.file} ended with ${code}`);
      if (RESTART_CODES.has(code))
        throw raise('PP_SETUP_RESTART', {
          why: `the prerequisite ${one.file} needs a restart before the installation can go on`,
        });
      if (code !== 0) throw raise('PP_SETUP_PREREQUISITE', { file: one.file, code });
    }
  }
}

async function isThere(host: TargetHost, check: string | undefined): Promise<boolean> {
  if (check === undefined) return false;
  if (/^HKLM\\/i.test(check)) return (await host.registry?.has?.(check.slice(5))) ?? false;
  const path = check.replace(/%(?:systemroot|windir)%/gi, 'C:\\Windows').replace(/%programfiles%/gi, 'C:\\Program Files');
  return (await host.readFile(path).catch(() => undefined)) !== undefined || (await host.list(path)).length > 0;
}
