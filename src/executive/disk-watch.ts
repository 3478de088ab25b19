import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import { lowDisk, roomAt } from '#store/content';

const EVERY_MS = 30_000;

/** DiskWatchOptions is what a disk watch needs; `tell` is where people look while the site runs. */
export interface DiskWatchOptions {
  folder: string;
  clock: Clock;
  log: Log;
  tell: (line: string) => void;
}

/** watchDisk says once that the disk of the data folder is nearly full, before it is, and once that there is room again. */
export function watchDisk({ folder, clock, log, tell }: DiskWatchOptions): () => void {
  let isLow = false;
  let cancel = (): void => {};
  let isOver = false;
  const look = async (): Promise<void> => {
    const low = await roomAt(folder).then(
      (room) => lowDisk(folder, room),
      () => undefined, // a folder that cannot be looked at is told of by whoever works in it
    );
    if (isOver) return;
    if (low && !isLow) {
      log.error('disk nearly full', { error: low });
      tell(`pushpoint: ${low.message}`);
    }
    if (!low && isLow) {
      log.info('the disk has room again', { folder });
      tell(`pushpoint: the disk of ${folder} has room again`);
    }
    isLow = low !== undefined;
    cancel = clock.after(EVERY_MS, () => void look());
  };
  void look();
  return () => {
    isOver = true;
    cancel();
  };
}
