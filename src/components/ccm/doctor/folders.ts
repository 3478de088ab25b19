import { raise } from '#base/errors';
import { ATTRIBUTE, type SmbTree } from '#wire/smb';
import { SETUP_FOLDER } from '../attempt/inspect.ts';
import type { Finding } from './findings.ts';

/** Where an installation works, below ADMIN$: its own folder, and the one that SYSTEM has for temporary files. */
const WORKED_IN = [SETUP_FOLDER, 'Temp'];

/** foldersFinding tells whether the folders that an installation works in are encrypted or compressed; one that is not there yet is neither. */
export async function foldersFinding(admin: SmbTree, machine: string): Promise<Finding> {
  const stats = await Promise.all(WORKED_IN.map((folder) => admin.stat(folder)));
  const those = (bit: number) => WORKED_IN.filter((_, i) => ((stats[i]?.attributes ?? 0) & bit) !== 0);
  const encrypted = those(ATTRIBUTE.ENCRYPTED);
  if (encrypted.includes(SETUP_FOLDER)) throw raise('PP_TARGET_ENCRYPTED', { machine });
  if (encrypted.length > 0)
    return {
      verdict: 'warning',
      found: 'the folder %windir%\\Temp is encrypted',
      cause: 'What one account lays there others cannot read, and services of Windows install with files from there.',
      remedy: 'Run cipher /d /s:%windir%\\Temp on the machine as the user who encrypted it.',
    };
  const compressed = those(ATTRIBUTE.COMPRESSED);
  if (compressed.length > 0)
    return {
      verdict: 'warning',
      found: `compressed: ${compressed.map((folder) => `%windir%\\${folder}`).join(', ')}`,
      cause: 'Somebody compressed the system drive, mostly because it was full; downloads into such a folder may fail.',
      remedy: 'Run compact /u /s:FOLDER for it on the machine, and see that it has room.',
    };
  return { found: 'neither' };
}
