import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** ROOT is the folder of the C sources. */
export const ROOT = fileURLToPath(new URL('../../native/', import.meta.url));
/** EPOCH is the time that stands in what is built: 2020-01-01. */
export const EPOCH = 1_577_836_800;

/** run runs a tool of the build and gives nothing but failures. */
export function run(program: string, args: readonly string[], cwd = ROOT): void {
  // One language and one time zone for every tool, so that the same sources give the same bytes.
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC', SOURCE_DATE_EPOCH: String(EPOCH) };
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', env });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ended with ${status}:\n${stdout}${stderr}`);
}

/** numbersOf is a version as Windows wants it in resources and installers: four numbers. */
export function numbersOf(version: string): [number, number, number, number] {
  const [a = 0, b = 0, c = 0, d = 0] = version
    .split(/[.+-]/)
    .map((part) => (/^\d{1,5}$/.test(part) ? Math.min(Number(part), 65_535) : 0));
  return [a, b, c, d];
}
