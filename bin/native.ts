import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { missingTools, writeWindowsPackage } from '#client/native';

/** Builds the Windows client: `npm run native -- [--out FOLDER] [--sign-certificate FILE --sign-key FILE [--timestamp URL]]`. */
const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: { out: { ...text, default: 'dist/windows' }, 'sign-certificate': text, 'sign-key': text, timestamp: text },
});
const certificate = values['sign-certificate'] ?? process.env['PUSHPOINT_SIGN_CERTIFICATE'];
const key = values['sign-key'] ?? process.env['PUSHPOINT_SIGN_KEY'];
const timestamp = values.timestamp ?? process.env['PUSHPOINT_SIGN_TIMESTAMP'];
if ((certificate === undefined) !== (key === undefined)) {
  console.error('native: signing needs both --sign-certificate and --sign-key');
  process.exit(2);
}
const signing = certificate !== undefined && key !== undefined ? { certificate, key, timestamp } : undefined;

const missing = missingTools(signing);
if (missing.length > 0) {
  console.error(`native: the Windows client cannot be built on this machine, it lacks ${missing.join(', ')}`);
  process.exit(1);
}
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
const definition = writeWindowsPackage(values.out, version, signing);
for (const name of readdirSync(values.out).sort()) {
  const bytes = readFileSync(join(values.out, name));
  console.log(
    `${createHash('sha256').update(bytes).digest('hex')}  ${String(bytes.length).padStart(7)}  ${join(values.out, name)}`,
  );
}
console.log(
  `${signing ? 'signed' : 'not signed'}; a site takes it in when it starts (pushpoint up), or now: pushpoint package add ${definition}`,
);
