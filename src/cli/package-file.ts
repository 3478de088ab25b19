import { dirname, resolve } from 'node:path';
import type { Api } from './api.ts';
import { readText, sizeOf, wrongFile } from './input.ts';
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

/** addPackage sends the files that a definition names and then the definition; nothing is sent before all of them are seen to be there. */
export async function addPackage(api: Api, file: string): Promise<{ name: string; version: string; stored: Stored[] }> {
  const definition = await readDefinition(file);
  const named = [definition.bootstrap?.file, definition.payload?.file].filter((name) => typeof name === 'string' && name !== '');
  const wanted = [...new Set(named as string[])].map((name) => ({ name, path: resolve(dirname(file), name) }));
  for (const { name, path } of wanted) {
    if (!BESIDE.test(name)) throw wrongFile(file, 'the files it names stand beside it, without a path');
    sizeOf(path);
  }
  const progress = new Progress('uploading');
  const stored: Stored[] = [];
  try {
    for (const [i, { name, path }] of wanted.entries()) {
      progress.update(i, wanted.length, name);
      const { sha256, size } = await api.upload<Stored>('/content', path);
      stored.push({ name, sha256, size });
    }
  } finally {
    progress.end();
  }
  const made = await api.send<{ name: string; version: string }>('POST', '/packages', { definition, files: stored });
  return { ...made, stored };
}
