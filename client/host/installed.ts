import * as Type from 'typebox';
import { matches } from '#messages';
import { layout } from './layout.ts';
import type { TargetHost } from './target-host.ts';

/** Installed is what ccmsetup notes of an installation that is complete (C:\Windows\CCM\installed.json). */
export const Installed = Type.Object({
  version: Type.String({ maxLength: 32 }),
  sha256: Type.String({ maxLength: 64 }),
  site: Type.String({ maxLength: 3 }),
  installedAt: Type.String({ maxLength: 32 }),
  /** Which push brought it: the id of its registration token, which is no secret and stays when the token is gone. */
  tokenId: Type.Optional(Type.String({ maxLength: 64 })),
  /** The bootstrap that installed it, by which it is upgraded and removed. */
  setup: Type.Optional(Type.String({ maxLength: 512 })),
});
export type Installed = Type.Static<typeof Installed>;

/** readInstalled gives that note; undefined when the client is not, or not completely, installed. */
export async function readInstalled(host: TargetHost): Promise<Installed | undefined> {
  return readJson(host, layout.installed, Installed);
}

/** readJson reads a small file of the client; one that is damaged or cannot be read counts as missing, because all of them can be made again. */
export async function readJson<S extends Type.TSchema>(
  host: TargetHost,
  path: string,
  schema: S,
): Promise<Type.Static<S> | undefined> {
  try {
    const bytes = await host.readFile(path);
    if (bytes === undefined || bytes.length > 65_536) return undefined;
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return matches(schema, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** writeJson writes one. */
export async function writeJson(host: TargetHost, path: string, value: unknown): Promise<void> {
  await host.writeFile(path, new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`));
}
