import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeLinuxPackage } from '#client/linux';
import { missingTools } from '#client/native';
import { readRuntime, writeAgentPackage } from '#client/windows';

/**
 * Builds the agent in TypeScript for both systems, one bundle in two packages, each with its runtime as a file of its own:
 * `npm run agent -- --windows-runtime node.exe [--linux-runtime node.tar.gz] [--out FOLDER] [--version 0.1.0.1]`.
 */
const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    out: { ...text, default: 'dist/agent' },
    version: text,
    'windows-runtime': text,
    'linux-runtime': text,
    architecture: { ...text, default: process.arch },
    'sign-certificate': text,
    'sign-key': text,
    timestamp: text,
  },
});
const release = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
const version = values.version ?? release.version;
const certificate = values['sign-certificate'] ?? process.env['PUSHPOINT_SIGN_CERTIFICATE'];
const key = values['sign-key'] ?? process.env['PUSHPOINT_SIGN_KEY'];
const timestamp = values.timestamp ?? process.env['PUSHPOINT_SIGN_TIMESTAMP'];
const signing = certificate !== undefined && key !== undefined ? { certificate, key, timestamp } : undefined;

function end(why: string): never {
  console.error(`agent: ${why}`);
  process.exit(1);
}

if ((certificate === undefined) !== (key === undefined)) end('signing needs both --sign-certificate and --sign-key');
/** build writes the packages and gives their definitions. */
async function build(): Promise<string[]> {
  const linux = values['linux-runtime'];
  const runtime = linux === undefined ? undefined : { path: linux, architecture: values.architecture };
  const definitions = [await writeLinuxPackage(join(values.out, 'linux'), version, runtime)];
  const windows = values['windows-runtime'];
  if (windows === undefined) {
    console.log('no package for Windows: --windows-runtime names the node.exe of https://nodejs.org (node-v22…-win-x64.zip)');
    return definitions;
  }
  const missing = missingTools(signing);
  if (missing.length > 0) end(`the package for Windows cannot be built on this machine, it lacks ${missing.join(', ')}`);
  return [...definitions, await writeAgentPackage(join(values.out, 'windows'), version, readRuntime(windows), signing)];
}

const definitions = await build().catch((error: unknown) => end(error instanceof Error ? error.message : String(error)));
for (const folder of readdirSync(values.out).toSorted())
  for (const name of readdirSync(join(values.out, folder)).toSorted()) {
    const bytes = readFileSync(join(values.out, folder, name));
    const path = join(values.out, folder, name);
    console.log(`${createHash('sha256').update(bytes).digest('hex')}  ${String(bytes.length).padStart(9)}  ${path}`);
  }
console.log(`next: pushpoint package add ${definitions.join(' or ')}`);
