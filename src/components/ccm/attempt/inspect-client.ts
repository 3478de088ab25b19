import type { RemoteRegistry } from '#wire/rpc';
import type { SmbTree } from '#wire/smb';

import { absent } from './absent.ts';

/** ClientNote is what a client that is there says of itself. */
export interface ClientNote {
  version: string | undefined;
  site: string | undefined;
  /** Id of the registration token of the push that brought it. */
  tokenId?: string | undefined;
}

/** Where our bootstrap notes a complete installation, below ADMIN$. */
const INSTALLED = 'CCM\\installed.json';
const VERSION = 'SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion';
/** Where clients of SMS and its followers, ours too, leave their version and site (facts B2: "existing client, install flags"). */
const CLIENT = 'SOFTWARE\\Microsoft\\SMS\\Mobile Client';
const LONGEST = 64;

/** What a machine says of itself is shown and stored, so it is let in only as one short line. */
function shortText(value: unknown): string | undefined {
  return typeof value === 'string' && /^[\w.,+ ()-]+$/.test(value) && value.length <= LONGEST ? value : undefined;
}

/** clientNote reads the note of our own bootstrap; undefined when there is none that can be read. */
export async function clientNote(admin: SmbTree): Promise<ClientNote | undefined> {
  const bytes = await absent(admin.readFile(INSTALLED, { maxBytes: 4096 }));
  if (!bytes) return undefined;
  try {
    const note = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const [version, site, tokenId] = [note['version'], note['site'], note['tokenId']].map(shortText);
    return { version, site: site?.toUpperCase(), tokenId };
  } catch {
    return undefined;
  }
}

async function values(registry: RemoteRegistry, path: string, names: string[]): Promise<(string | undefined)[]> {
  const key = await registry.key('HKLM', path);
  const found: (string | undefined)[] = [];
  // One call at a time goes over a pipe, and closing the pipe closes its keys: only what is needed is asked for.
  for (const name of names) found.push(key && shortText(await key.string(name)));
  return found;
}

/** clientInRegistry asks the registry for a client that left no note of ours. */
export async function clientInRegistry(registry: RemoteRegistry): Promise<ClientNote> {
  const [version, site] = await values(registry, CLIENT, ['ProductVersion', 'AssignedSiteCode']);
  return { version, site: site?.toUpperCase() };
}

/** productNameIn is the name of the system as its registry has it. */
export async function productNameIn(registry: RemoteRegistry): Promise<string | undefined> {
  const [name] = await values(registry, VERSION, ['ProductName']);
  return name;
}
