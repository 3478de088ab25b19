import type { CreatedSite, NewSite } from './create-site.ts';
import type { Generated, GenerateWish } from './generate-ccrs.ts';
import type { ConsoleOnly, RunningSite, RunWish } from './run-site.ts';

export { makeFolder } from './data-folder.ts';
export type { RunningSite } from './run-site.ts';
export { isServing, readRunning } from './running.ts';

// The door loads what stands behind it only when it is asked for: most commands talk to a server that runs, and need none of this.

/** createSite makes a primary site in a new data folder. */
export async function createSite(wish: NewSite): Promise<CreatedSite> {
  return (await import('./create-site.ts')).createSite(wish);
}

/** runSite runs the roles of a data folder in this process. */
export async function runSite(wish: RunWish): Promise<RunningSite> {
  return (await import('./run-site.ts')).runSite(wish);
}

/** startConsoleOnly serves the API of a data folder that nobody serves, on a free loopback port, for one caller. */
export async function startConsoleOnly(data: string): Promise<ConsoleOnly> {
  return (await import('./run-site.ts')).startConsoleOnly(data);
}

/** generateCcrFiles writes one CCR file for each name into a folder. */
export async function generateCcrFiles(wish: GenerateWish): Promise<Generated> {
  return (await import('./generate-ccrs.ts')).generateCcrFiles(wish);
}
