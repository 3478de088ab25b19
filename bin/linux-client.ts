import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeLinuxPackage } from '#client/linux';

/** Builds the Linux client: `npm run linux -- [--out FOLDER] [--runtime node.tar.gz --architecture x64]`. */
const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: { out: { ...text, default: 'dist/linux' }, runtime: text, architecture: { ...text, default: process.arch } },
});
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
const runtime = values.runtime === undefined ? undefined : { path: values.runtime, architecture: values.architecture };
const definition = await writeLinuxPackage(values.out, version, runtime);
for (const name of readdirSync(values.out).toSorted()) {
  const bytes = readFileSync(join(values.out, name));
  console.log(
    `${createHash('sha256').update(bytes).digest('hex')}  ${String(bytes.length).padStart(8)}  ${join(values.out, name)}`,
  );
}
console.log(`${runtime ? 'with' : 'without'} a Node.js of its own; next: pushpoint package add ${definition}`);
