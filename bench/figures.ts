import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** quantile of unsorted values. */
export function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

/** median of unsorted values. */
export const median = (values: number[]): number => quantile(values, 0.5);

/** table lays rows out in columns, numbers to the right. */
export function table(rows: (string | number)[][]): string {
  const cells = rows.map((row) => row.map(String));
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) => row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  '))
    .join('\n');
}

/**
 * processorTime is what this process and the database server of a data folder have taken so far, in seconds: what a busy machine does not
 * change much.
 */
export function processorTime(folder: string): number {
  const { user, system } = process.cpuUsage();
  const server = Number(readFileSync(path.join(folder, 'database/cluster/postmaster.pid'), 'utf8').split('\n', 1)[0]);
  const ticks = readdirSync('/proc').map((pid) => {
    if (!/^\d+$/.test(pid)) return 0;
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
      if (Number(fields[1]) === server) return Number(fields[11]) + Number(fields[12]);
      // The server itself knows what those of its processes took that have ended.
      return Number(pid) === server ? Number(fields[13]) + Number(fields[14]) : 0;
    } catch {
      // It ended while we looked.
      return 0;
    }
  });
  return (user + system) / 1e6 + ticks.reduce((a, b) => a + b, 0) / 100;
}
