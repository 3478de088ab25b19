import type { Clock } from '#base/clock';
import { raise } from '#base/errors';

/** STEP_LIMIT_MS is how long each step may take in all, whatever its single operations may take. */
export const STEP_LIMIT_MS = {
  resolve: 5_000,
  logon: 20_000,
  'admin-share': 15_000,
  inspect: 45_000,
  lock: 30_000,
  copy: 180_000,
  start: 90_000,
  release: 15_000,
  verify: 45_000,
} as const;

export interface Bounds {
  clock: Clock;
  host: string;
  doing: string;
  ms: number;
  /** Ends the wait at once with its reason. */
  signal: AbortSignal;
  /** Called when the time is over or the signal fires, so that what is under way comes to an end as well. */
  cut?: () => void;
}

/** bounded waits for `work` no longer than its limit; then it cuts it off and raises PP_NET_TIMEOUT. */
export function bounded<T>(work: Promise<T>, { clock, host, doing, ms, signal, cut }: Bounds): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let open = true;
    const end = (settle: () => void) => {
      if (!open) return;
      open = false;
      cancel();
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = () =>
      end(() => {
        cut?.();
        reject(signal.reason as Error);
      });
    const cancel = clock.after(ms, () =>
      end(() => {
        cut?.();
        reject(raise('PP_NET_TIMEOUT', { host, doing, ms }));
      }),
    );
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    work.then(
      (value) => end(() => resolve(value)),
      (error: Error) => end(() => reject(error)),
    );
  });
}
