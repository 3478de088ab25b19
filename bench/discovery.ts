/**
 * Measures everything about discovery: `npm run bench:discovery`, or parts of it: `npm run bench:discovery -- --only ddrs,network`. Each part runs in a
 * process of its own.
 *
 *   ddrs         import, merge, assignment, handing on; lists and filters: --ddrs 100000 --machines 1000000 (0 leaves the large part out)
 *   boundary     the look-up of addresses among boundaries
 *   collections  filters, collections, counts of CCRs: --machines 1000000
 *   network      65,536 addresses in a network of their own: --rate 2500; needs root
 */
import { spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'ddrs,boundary,collections,network' },
    ddrs: { type: 'string', default: '100000' },
    machines: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '2500' },
  },
});

const PARTS: Record<string, string[]> = {
  ddrs: ['discovery-ddrs.ts', values.ddrs, values.machines],
  boundary: ['boundary.ts'],
  collections: ['collections.ts', values.machines],
  network: ['discover-network.ts', values.rate],
};

const only = values.only.split(',').map((name) => name.trim());
for (const name of only) {
  if (PARTS[name]) continue;
  process.stderr.write(`--only takes ${Object.keys(PARTS).join(', ')}; not ${name}\n`);
  process.exit(2);
}
for (const name of only) {
  const [file, ...args] = PARTS[name]!;
  process.stdout.write(`${name}, load ${loadavg()[0]!.toFixed(1)}\n`);
  const script = fileURLToPath(new URL(file!, import.meta.url));
  const { status } = spawnSync(process.execPath, ['--expose-gc', script, ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  process.stdout.write(`load ${loadavg()[0]!.toFixed(1)}\n\n`);
}
