import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesOf, packageDefinition, type Package, type PackageFile } from '#records/package';
import type { OpenSite } from './site-folder.ts';

/** Where `npm run native` and `npm run linux` leave the client packages of this installation. */
const DEFINITIONS = [join('windows', 'pushpoint-client.json'), join('linux', 'pushpoint-client-linux.json')];

function distFolder(): string {
  return process.env['PUSHPOINT_DIST'] ?? fileURLToPath(new URL('../../dist/', import.meta.url));
}

const named = (files: readonly PackageFile[]) => files.map(({ name, sha256 }) => `${name} ${sha256}`).sort();

/** inOrder writes a definition with its members by name: the database gives them back in an order of its own. */
function inOrder(definition: Package['definition']): string {
  return JSON.stringify({ ...definition, default: undefined }, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

/** isSame tells whether a site has exactly this package: definition and bytes. */
function isSame(there: Package, definition: Package['definition'], files: readonly PackageFile[]): boolean {
  return named(there.files).join() === named(files).join() && inOrder(there.definition) === inOrder(definition);
}

/** takeOne takes in the package that a definition file describes, and tells its name where that changed something. */
async function takeOne({ records, content, database, file }: OpenSite, path: string): Promise<string | undefined> {
  const definition = packageDefinition(JSON.parse(readFileSync(path, 'utf8')));
  // The name by which flows know what no administrator of this site chose: a package of the parent takes its place.
  const by = `site ${file.code}`;
  const there = await records.package.get(definition.name);
  if (there && there.addedBy !== by) return undefined;
  const files: PackageFile[] = [];
  for (const name of filesOf(definition)) files.push({ name, ...(await content.put(readFileSync(join(path, '..', name)))) });
  if (there && isSame(there, definition, files)) return undefined;
  await database.transaction(async (tx) => {
    // Whether it is the default stays as it was: somebody may have chosen another one meanwhile.
    await records.package.add({ ...definition, ...(there && { default: there.isDefault }) }, files, by, tx);
    const object = `${definition.name} ${definition.version}`;
    await records.audit.write({ who: by, what: 'package.add', object, detail: { files } }, tx);
  });
  return `${definition.name} ${definition.version}`;
}

/**
 * takeOwnPackages takes the client packages in that were built beside this program, so that a new site has one to push, and a new build takes
 * the place of the one before. A package of that name that an administrator added, or that the parent sent, stays. Nothing of this keeps a
 * site from running.
 */
export async function takeOwnPackages(site: OpenSite): Promise<void> {
  for (const name of DEFINITIONS) {
    const path = join(distFolder(), name);
    if (!existsSync(path)) continue;
    try {
      const taken = await takeOne(site, path);
      if (taken !== undefined) site.log.info('client package taken in', { package: taken, from: path });
    } catch (error) {
      site.log.warn('the client package of this installation could not be taken in', { from: path, error });
    }
  }
}
