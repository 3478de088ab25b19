import { join } from 'node:path';
import { systemClock } from '#base/clock';
import { isCode, raise } from '#base/errors';
import { writeCcrFile } from '#components/ccm';
import { nameKey, shownName, validDomain, validName, type ValidName } from '#records/resource';
import { writeAtomic } from '#store/inbox';
import { makeFolder } from './data-folder.ts';

/** GenerateWish is what `ccr generate` is told. */
export interface GenerateWish {
  names: readonly string[];
  folder: string;
  domain?: string | undefined;
  forced: boolean;
  /** Only say which files would be written. */
  dryRun?: boolean;
}

/** Generated tells which CCR files were written, and which names were not taken and why. */
export interface Generated {
  written: string[];
  rejected: { name: string; reason: string }[];
}

/** So many files wait for the disk at a time. */
const AT_ONCE = 32;

/**
 * generateCcrFiles writes one CCR file for each name into a folder, as CCRMan did; the folder may be the ccr.box of any site. Names are
 * judged before the first file is written. Names that are the same but for upper and lower case are one machine and one file.
 */
export async function generateCcrFiles(wish: GenerateWish): Promise<Generated> {
  const domain = validDomain(wish.domain ?? '');
  const generated: Generated = { written: [], rejected: [] };
  const files = new Map<string, { path: string; text: string }>();
  for (const given of wish.names) {
    const valid = judge(given);
    if ('reason' in valid) generated.rejected.push(valid);
    else {
      const name = valid.fqdn ?? valid.name;
      if (!files.has(nameKey(name)))
        files.set(nameKey(name), { path: join(wish.folder, `${name}.ccr`), text: textOf(valid, domain, wish) });
    }
  }
  const all = [...files.values()];
  generated.written = all.map(({ path }) => path);
  if (!wish.dryRun) await write(wish.folder, all);
  return generated;
}

function judge(given: string): ValidName | { name: string; reason: string } {
  try {
    return validName(given);
  } catch (error) {
    if (isCode(error, 'PP_REQUEST_NAME')) return { name: shownName(given), reason: error.message };
    throw error;
  }
}

function textOf({ name, domain, fqdn }: ValidName, common: string, wish: GenerateWish): string {
  return writeCcrFile({
    machineName: name,
    domain: domain || common || undefined,
    ipAddresses: [],
    resourceNames: [fqdn ?? name],
    forced: wish.forced,
    pushEvenIfDc: false,
    initialRequestDate: systemClock.now(),
    processing: {},
    pushpoint: {},
  });
}

async function write(folder: string, files: readonly { path: string; text: string }[]): Promise<void> {
  try {
    makeFolder(folder, 0o755);
    for (let at = 0; at < files.length; at += AT_ONCE)
      await Promise.all(files.slice(at, at + AT_ONCE).map(({ path, text }) => writeAtomic(path, text, 0o640)));
  } catch (cause) {
    throw raise('PP_CLI_FILE', { file: folder, why: (cause as Error).message }, { cause });
  }
}
