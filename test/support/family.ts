import { readdirSync, readFileSync } from 'node:fs';

/**
 * family is a process, those that name a folder in their command line (a database server is the child of nobody), and everything that
 * any of them has started, by their numbers.
 */
export function family(pid: number, folder: string): number[] {
  const parents = new Map<number, number>();
  const lines = new Map<number, string>();
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      parents.set(Number(name), Number(/\) \S (\d+) /.exec(readFileSync(`/proc/${name}/stat`, 'latin1'))![1]));
      lines.set(Number(name), readFileSync(`/proc/${name}/cmdline`, 'latin1'));
    } catch {
      // It has ended since.
    }
  }
  const ours = new Set([
    pid,
    ...[...lines].filter(([one, line]) => one !== process.pid && line.includes(folder)).map(([one]) => one),
  ]);
  for (let size = -1; size !== ours.size;) {
    size = ours.size;
    for (const [one, parent] of parents) if (ours.has(parent)) ours.add(one);
  }
  return [...ours];
}
