import type { BackedUp, BackupWish } from './backup.ts';
import type { CreatedSite, NewSite } from './create-site.ts';
import type { OfflineExamination } from './doctor.ts';
import type { Generated, GenerateWish } from './generate-ccrs.ts';
import type { JoinedSite, JoinWish } from './join-site.ts';
import type { RotatedVault } from './rotate-vault.ts';
import type { Checked } from './manifest.ts';
import type { Exported, ExportWish, Imported, ImportWish } from './move-database.ts';
import type { Restored, RestoreWish } from './restore.ts';
import type { ConsoleOnly, RunningSite, RunWish } from './run-site.ts';

export { makeFolder } from './data-folder.ts';
export type { OfflineExamination } from './doctor.ts';
export type { RunningSite } from './run-site.ts';
export { isServing, readRunning } from './running.ts';

// The door loads what stands behind it only when it is asked for: most commands talk to a server that runs, and need none of this.

/** createSite makes a primary site in a new data folder. */
export async function createSite(wish: NewSite): Promise<CreatedSite> {
  return (await import('./create-site.ts')).createSite(wish);
}

/** joinSite puts a site below a parent: a new one in a new data folder, or the one that is in the folder. */
export async function joinSite(wish: JoinWish): Promise<JoinedSite> {
  return (await import('./join-site.ts')).joinSite(wish);
}

/** runSite runs the roles of a data folder in this process. */
export async function runSite(wish: RunWish): Promise<RunningSite> {
  return (await import('./run-site.ts')).runSite(wish);
}

/** holdFolder takes a folder for one process and one purpose until that process ends; undefined where another one has it. */
export async function holdFolder(path: string, purpose: string): Promise<(() => void) | undefined> {
  return (await import('./role-lock.ts')).holdFolder(path, purpose);
}

/** startConsoleOnly serves the API of a data folder that nobody serves, on a free loopback port, for one caller. */
export async function startConsoleOnly(data: string): Promise<ConsoleOnly> {
  return (await import('./run-site.ts')).startConsoleOnly(data);
}

/** generateCcrFiles writes one CCR file for each name into a folder. */
export async function generateCcrFiles(wish: GenerateWish): Promise<Generated> {
  return (await import('./generate-ccrs.ts')).generateCcrFiles(wish);
}

/** rotateVault gives a stopped site a new vault key and seals its passwords anew. */
export async function rotateVault(data: string, o: { dryRun?: boolean | undefined } = {}): Promise<RotatedVault> {
  return (await import('./rotate-vault.ts')).rotateVault(data, o);
}

/** makeBackup writes a backup of a site, running or not. */
export async function makeBackup(wish: BackupWish): Promise<BackedUp> {
  return (await import('./backup.ts')).makeBackup(wish);
}

/** checkBackup reads a backup to its end and proves every part of it. */
export async function checkBackup(source: { file: string; passphrase?: string | undefined }): Promise<Checked> {
  return (await import('./manifest.ts')).checkBackup(source);
}

/** restoreSite makes the data folder of a backup's site. */
export async function restoreSite(wish: RestoreWish): Promise<Restored> {
  return (await import('./restore.ts')).restoreSite(wish);
}

/** exportSite writes all rows of a site's database into a new folder. */
export async function exportSite(wish: ExportWish): Promise<Exported> {
  return (await import('./move-database.ts')).exportSite(wish);
}

/** examineOffline looks at a data folder that no site server serves, as far as that can be done from outside. */
export async function examineOffline(data: string): Promise<OfflineExamination> {
  return (await import('./doctor.ts')).examineOffline(data);
}

/** importSite brings an export into the empty database that a site shall work with. */
export async function importSite(wish: ImportWish): Promise<Imported> {
  return (await import('./move-database.ts')).importSite(wish);
}
