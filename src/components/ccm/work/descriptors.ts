import { readFileSync } from 'node:fs';
import type { Log } from '#base/log';

/** What the process has open beside machines: database, logs, listeners and those who call there. */
const OTHERS = 300;

/** Room is how many connections to machines may be open at a time. */
export interface Room {
  /** Attempts in slots. */
  slots: number;
  /** Attempts that only ask whether a machine is back. */
  asking: number;
  /** Probes of the presence sweep. */
  sweep: number;
}

const WISH: Omit<Room, 'slots'> = { asking: 256, sweep: 256 };

/** openFiles is how many files and sockets this process may have open; undefined where the system does not say. */
export function openFiles(limits = '/proc/self/limits'): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync(limits, 'utf8'))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** roomFor bounds the wanted concurrency to what the limit of open files allows. */
export function roomFor(concurrency: number, files: number | undefined): Room {
  if (files === undefined || files >= OTHERS + concurrency + WISH.asking + WISH.sweep) return { slots: concurrency, ...WISH };
  const free = Math.max(8, files - OTHERS);
  return {
    slots: Math.min(concurrency, Math.max(1, Math.floor(free / 2))),
    asking: Math.min(WISH.asking, Math.max(1, Math.floor(free / 4))),
    sweep: Math.min(WISH.sweep, Math.max(1, Math.floor(free / 4))),
  };
}

/** tellRoom warns where the limit of open files is too small for the settings. */
export function tellRoom(log: Log, concurrency: number, room: Room, files: number | undefined): void {
  if (room.slots >= concurrency) return;
  log.warn('this process may open too few files for its concurrency: raise `ulimit -n` (LimitNOFILE= of systemd)', {
    concurrency,
    used: room.slots,
    openFiles: files,
    wanted: OTHERS + concurrency + WISH.asking + WISH.sweep,
  });
}
