import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock, type Clock } from '#base/clock';
import { PushpointError } from '#base/errors';
import { silentLog } from '#base/log';
import { askPoint, Findings, openFiles, Server, type DoctorNetwork, type Network } from '#components/ccm';
import { headline, type Check } from '#records/doctor';
import { lowDisk, roomAt } from '#store/content';
import { openVault } from '#store/vault';
import { greetSmb, speaksSmb1 } from '#wire/smb';
import { DataFolder } from './data-folder.ts';
import { dnsNames } from './dns-names.ts';
import { holdFolder } from './role-lock.ts';
import { isServing, readRunning } from './running.ts';
import { openSite } from './site-folder.ts';

type Finding = Omit<Check, 'group' | 'name' | 'tried' | 'durationMs' | 'verdict'> & { verdict?: Check['verdict'] };

const MIB = 1024 * 1024;
/** A file that was dropped is taken in within seconds. */
const WAITING_MS = 10 * 60_000;
/** So many files let 256 attempts, the sweep for absent machines and the points work at once (docs/performance.md). */
const ENOUGH_FILES = 1068;
const DEFAULT_FILES = 1024;

/** doctorNetwork is the real network with what only doctor asks. */
export function doctorNetwork(network: Network): DoctorNetwork {
  const names = dnsNames();
  return { ...network, greet: greetSmb, speaksSmb1, askPoint, reverse: (address) => names.reverse(address) };
}

/** lookAtFolder examines what a site has on this machine: folders, disk, key, logs, inboxes, limits, and which roles run. */
export async function lookAtFolder(folder: DataFolder, clock: Clock): Promise<Check[]> {
  const findings = new Findings(clock, silentLog);
  const look = (name: string, tried: string, work: () => Promise<Finding> | Finding) =>
    findings.look({ group: 'site', name, tried }, async () => work());
  await look('roles', 'the processes of this data folder', () => roles(folder));
  await look('folders', 'whether the folders can be written to', () => folders(folder));
  await look('disk', 'free space for the data folder', () => disk(folder));
  await look('vault', 'the key of the vault', () => vault(folder));
  await look('logs', 'whether the logs can be written', () => logs(folder));
  await look('inboxes', 'files that were dropped into the inboxes', () => inboxes(folder, clock.now()));
  await look('open-files', 'how many files and connections this process may have open', () => files());
  return [...findings.checks];
}

async function roles(folder: DataFolder): Promise<Finding> {
  const running = readRunning(folder.path);
  const console = running && (await isServing(running)) ? running : undefined;
  const free = await holdFolder(folder.path, 'inbox');
  free?.();
  const told = [
    console
      ? `the console answers at ${console.console} (process ${console.pid}, since ${console.startedAt})`
      : 'no console answers',
    free ? 'nobody has the role inbox' : 'the role inbox is taken',
    ...(console?.points ? [`points at ${console.points}`] : []),
  ].join('; ');
  if (console && !free) return { found: told };
  return {
    verdict: 'warning',
    found: told,
    cause:
      'Without the console nobody can ask the site for anything; without inbox, files in the inboxes and mobileclient.tcf are left as they are.',
    remedy: 'pushpoint up on the data folder; with --roles, one process must have console and one inbox.',
  };
}

function folders(folder: DataFolder): Finding {
  const all = [folder.path, folder.vault, folder.inboxes, folder.content, folder.bin, folder.run, folder.logs];
  for (const path of all)
    try {
      if (!statSync(path).isDirectory()) throw new Error('it is not a folder');
      accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      return {
        verdict: 'problem',
        found: `${path}: ${(error as Error).message}`,
        cause: 'The folder belongs to another user, was removed, or stands on a file system that cannot be written to.',
        remedy:
          'Give it to the user that the site server runs as (chown), or mount it writable; pushpoint up makes folders that are missing.',
      };
    }
  return { found: `all ${all.length} in ${folder.path}` };
}

async function disk(folder: DataFolder): Promise<Finding> {
  const room = await roomAt(folder.path);
  const low = lowDisk(folder.path, room);
  if (low) throw low;
  return { found: `${Math.floor(room.free / MIB)} MB of ${Math.floor(room.size / MIB)} MB` };
}

/** Opening it proves that the key is there, readable by nobody else, and the other half of the public one. */
async function vault(folder: DataFolder): Promise<Finding> {
  await openVault({ dir: folder.vault });
  return { found: 'it is there, for its owner only, and belongs to vault.pub' };
}

function logs(folder: DataFolder): Finding {
  const names = readdirSync(folder.logs).filter((name) => name.endsWith('.log'));
  for (const name of names)
    try {
      accessSync(join(folder.logs, name), constants.W_OK);
    } catch (error) {
      return {
        verdict: 'problem',
        found: (error as Error).message,
        cause: 'The log belongs to another user: the site server was started by somebody else before.',
        remedy: `Give the files in ${folder.logs} to the user that the site server runs as.`,
      };
    }
  return { found: names.join(', ') || 'there are none yet' };
}

function listed(path: string): { name: string; at: Date }[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap(({ name }) => {
      const at = statSync(join(path, name), { throwIfNoEntry: false })?.mtime;
      return at ? [{ name, at }] : [];
    });
}

function inboxes(folder: DataFolder, now: Date): Finding {
  const boxes = existsSync(folder.inboxes)
    ? readdirSync(folder.inboxes).filter((name) => name.endsWith('.box') && name !== 'ccrretry.box')
    : [];
  const old: string[] = [];
  const bad: string[] = [];
  for (const box of boxes) {
    const waiting = listed(join(folder.inboxes, box)).filter(({ at }) => now.getTime() - at.getTime() > WAITING_MS);
    if (waiting.length > 0) old.push(`${waiting.length} in ${box}, such as ${waiting[0]!.name}`);
    const refused = listed(join(folder.inboxes, box, 'bad')).filter(({ name }) => !name.endsWith('.reason'));
    if (refused.length > 0) bad.push(`${refused.length} in ${box}/bad`);
  }
  if (old.length > 0)
    return {
      verdict: 'problem',
      found: `files wait for more than ten minutes: ${old.join('; ')}`,
      cause: 'No process with the role inbox runs, it may not read the files, or the database does not answer.',
      remedy: 'Look at the rights of the files and into logs/pushpoint.log; start pushpoint up with the role inbox.',
    };
  if (bad.length > 0)
    return {
      verdict: 'warning',
      found: `files were refused: ${bad.join('; ')}`,
      cause: 'They do not have the form they must have.',
      remedy: 'Beside each stands NAME.reason, which says why; correct it and drop it again, or remove it.',
    };
  return { found: boxes.length === 0 ? 'there are no inboxes yet' : 'none waits, none was refused' };
}

function files(): Finding {
  const limit = openFiles();
  if (limit === undefined) return { verdict: 'unknown', found: 'the system does not say' };
  if (limit >= Math.min(ENOUGH_FILES, DEFAULT_FILES)) return { found: String(limit) };
  return {
    verdict: 'warning',
    found: `only ${limit}`,
    cause:
      'Each machine that is worked on takes a connection; with so few, fewer are worked on at a time than ccr.concurrency says.',
    remedy: 'Raise ulimit -n (LimitNOFILE= of systemd) for the site server.',
  };
}

/** OfflineExamination is what could be seen of a site that nobody serves. */
export interface OfflineExamination {
  state: 'done';
  headline: string;
  checks: Check[];
}

const NOT_RUNNING: Check = {
  group: 'site',
  name: 'running',
  tried: 'whether a site server runs on this folder',
  verdict: 'problem',
  found: 'no site server runs on this folder; this command looked by itself',
  cause: 'pushpoint up was not started, or has ended; its last words stand in logs/pushpoint.log.',
  remedy: 'pushpoint up --data DIR',
  durationMs: 0,
};

/**
 * examineOffline looks at a data folder that no site server serves. What stands in the database is looked at too where it can be opened; that
 * starts a managed one for the moment, as every command on such a folder does.
 */
export async function examineOffline(data: string): Promise<OfflineExamination> {
  const folder = new DataFolder(data);
  folder.readSite();
  const local = await lookAtFolder(folder, systemClock);
  // That nothing runs is said once.
  const rest = local.filter(({ name }) => name !== 'roles');
  const findings = new Findings(systemClock, silentLog);
  findings.add([NOT_RUNNING]);
  try {
    const site = await openSite(folder, { connections: 4 });
    try {
      const { database, records, content, clock, log } = site;
      const server = new Server({ ...records, database, content, clock, log, network: { askPoint }, local: async () => rest });
      await server.examine(findings, { isServed: false });
    } finally {
      await site.close();
    }
  } catch (error) {
    if (!(error instanceof PushpointError)) throw error;
    findings.add(rest);
    await findings.look({ group: 'site', name: 'database', tried: 'opening the database' }, () => Promise.reject(error));
  }
  return { state: 'done', headline: headline(undefined, findings.checks), checks: [...findings.checks] };
}
