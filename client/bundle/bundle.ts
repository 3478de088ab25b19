import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** MARK is the first line of every bundle; a lab host runs no file without it, as Windows runs no file that is no program (193). */
export const MARK = '//pushpoint-bootstrap';

/** BundleName: what lab hosts run, and `machine`, the agent as a program that brings its own host. */
export type BundleName = 'ccmsetup' | 'agent' | 'machine';

const made = new Map<BundleName, Promise<Uint8Array>>();

/**
 * buildBundle makes one ES module that exports `main(host, args)` and needs nothing beside it but Node. The same sources give the same
 * bytes wherever they lie (no paths, no times in it), so that its hash names it; it is built once in a process.
 */
export function buildBundle(name: BundleName): Promise<Uint8Array> {
  const known = made.get(name);
  if (known) return known;
  const making = make(name);
  made.set(name, making);
  making.catch(() => made.delete(name));
  return making;
}

async function make(name: BundleName): Promise<Uint8Array> {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const result = await build({
    absWorkingDir: root,
    entryPoints: [`client/${name}/main.ts`],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    // The oldest runtime of the client: that of its packages for Windows.
    target: 'node22',
    minify: true,
    // Names stay, because errors are told apart by them in logs.
    keepNames: true,
    legalComments: 'none',
    charset: 'utf8',
    banner: { js: MARK },
    logLevel: 'silent',
  });
  return new Uint8Array(result.outputFiles[0]!.contents);
}
