import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Api } from './api.ts';
import { readText, sizeOf, unusable, wrongFile } from './input.ts';
import { Progress } from './output.ts';

/** Stored is a file of a package as the site keeps it. */
export interface Stored {
  name: string;
  sha256: string;
  size: number;
}

interface Definition {
  name?: unknown;
  bootstrap?: { file?: unknown };
  payload?: { file?: unknown };
  uninstall?: { file?: unknown };
  prerequisites?: unknown;
}

/** Names of files as the site takes them: no path, so that a package from elsewhere cannot take up other files of this machine. */
const BESIDE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

async function readDefinition(file: string): Promise<Definition> {
  let value: unknown;
  try {
    value = JSON.parse(await readText(file));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw wrongFile(file, `it is not JSON: ${cause.message}`, cause);
  }
  const definition = value as Definition;
  if (
    typeof value !== 'object' ||
    value === null ||
    typeof definition.name !== 'string' ||
    typeof definition.bootstrap?.file !== 'string'
  )
    throw wrongFile(file, 'it describes no package: name and bootstrap.file must stand in it (docs/packages.md)');
  return definition;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const part of createReadStream(path)) hash.update(part as Buffer);
  } catch (cause) {
    throw unusable(path, cause);
  }
  return hash.digest('hex');
}

/**
 * addPackage lets the site judge the definition, then sends the files it names, then takes the package in: nothing is sent for a package that
 * would be refused. A dry run ends after the judgement.
 */
export async function addPackage(
  api: Api,
  file: string,
  dryRun?: boolean,
): Promise<{ name: string; version: string; stored: Stored[] }> {
  const definition = await readDefinition(file);
  const { bootstrap, payload, uninstall, prerequisites } = definition;
  const first = Array.isArray(prerequisites) ? (prerequisites as ({ file?: unknown } | null)[]) : [];
  const named = [bootstrap, payload, uninstall, ...first]
    .map((one) => one?.file)
    .filter((name) => typeof name === 'string' && name !== '');
  const stored: Stored[] = [];
  for (const name of new Set(named as string[])) {
    if (!BESIDE.test(name)) throw wrongFile(file, 'the files it names stand beside it, without a path');
    const path = resolve(dirname(file), name);
    stored.push({ name, size: sizeOf(path), sha256: await hashOf(path) });
  }
  const add = (query: { dryRun?: boolean }) =>
    api.send<{ name: string; version: string }>('POST', '/packages', { definition, files: stored }, query);
  const judged = await add({ dryRun: true });
  if (dryRun) return { ...judged, stored };
  const progress = new Progress('uploading');
  try {
    for (const [i, { name, sha256 }] of stored.entries()) {
      progress.update(i, stored.length, name);
      const sent = await api.upload<{ sha256: string }>('/content', resolve(dirname(file), name));
      if (sent.sha256 !== sha256) throw wrongFile(name, 'it was changed while it was sent; try again');
    }
  } finally {
    progress.end();
  }
  return { ...(await add({})), stored };
}
