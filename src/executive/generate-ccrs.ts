import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import { writeCcrFile } from '#components/ccm';
import { validDomain, validName } from '#records/resource';
import { writeAtomic } from '#store/inbox';

/** Generated tells which CCR files were written, and which names were not taken and why. */
export interface Generated {
  written: string[];
  rejected: { name: string; reason: string }[];
}

/** generateCcrFiles writes one CCR file for each name into a folder, as CCRMan did; the folder may be the ccr.box of any site. */
export async function generateCcrFiles(wish: {
  names: readonly string[];
  folder: string;
  domain?: string | undefined;
  forced: boolean;
}): Promise<Generated> {
  const domain = validDomain(wish.domain ?? '');
  try {
    await mkdir(wish.folder, { recursive: true });
  } catch (cause) {
    throw raise('PP_CLI_FILE', { file: wish.folder, why: 'it is no folder that can be written to' }, { cause });
  }
  const generated: Generated = { written: [], rejected: [] };
  for (const given of wish.names) {
    try {
      const { name, domain: own } = validName(given);
      const text = writeCcrFile({
        machineName: name,
        domain: own || domain || undefined,
        ipAddresses: [],
        resourceNames: [own ? `${name}.${own}` : name],
        forced: wish.forced,
        pushEvenIfDc: false,
        initialRequestDate: systemClock.now(),
        processing: {},
        pushpoint: {},
      });
      const file = join(wish.folder, `${own ? `${name}.${own}` : name}.ccr`);
      await writeAtomic(file, text, 0o640);
      generated.written.push(file);
    } catch (error) {
      if (!(error instanceof PushpointError))
        throw raise(
          'PP_CLI_FILE',
          { file: wish.folder, why: error instanceof Error ? error.message : String(error) },
          { cause: error },
        );
      generated.rejected.push({ name: given, reason: error.message });
    }
  }
  return generated;
}
