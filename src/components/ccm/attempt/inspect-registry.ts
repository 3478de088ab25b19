import type { RegKey, RemoteRegistry } from '#wire/rpc';

import type { Target } from './target.ts';

/** RegistryFacts is what only the registry tells. */
export interface RegistryFacts {
  productName: string | undefined;
  build: number | undefined;
  productType: string | undefined;
  clientVersion: string | undefined;
  clientSite: string | undefined;
}

const VERSION = 'SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion';
const PRODUCT = 'SYSTEM\\CurrentControlSet\\Control\\ProductOptions';
/** Where a client of SMS and its followers leaves its version and site (facts B2: "existing client, install flags"). */
const CLIENT = 'SOFTWARE\\Microsoft\\SMS\\Mobile Client';

/** One call at a time goes over a pipe, so each value costs a turn-around: only what decides is read. */
async function values(registry: RemoteRegistry, path: string, names: string[]): Promise<(string | undefined)[]> {
  const key: RegKey | undefined = await registry.key('HKLM', path);
  if (!key) return names.map(() => undefined);
  try {
    const found: (string | undefined)[] = [];
    for (const name of names) found.push(await key.string(name));
    return found;
  } finally {
    await key.close();
  }
}

/** registryFacts reads the few values that decide, or undefined where the remote registry is not running. */
export async function registryFacts(target: Target): Promise<RegistryFacts | undefined> {
  const registry = await target.registry();
  if (!registry) return undefined;
  const [clientVersion, clientSite] = await values(registry, CLIENT, ['ProductVersion', 'AssignedSiteCode']);
  const [productName, build] = await values(registry, VERSION, ['ProductName', 'CurrentBuildNumber']);
  const [productType] = await values(registry, PRODUCT, ['ProductType']);
  return {
    productName,
    build: build !== undefined && /^\d{1,7}$/.test(build) ? Number(build) : undefined,
    productType,
    clientVersion,
    clientSite,
  };
}
