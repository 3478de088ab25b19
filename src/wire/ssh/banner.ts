import type { Socket } from 'node:net';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { Reader } from '#wire/bytes';

/** RFC 4253 section 4.2: a server may send other lines before its identification, which itself has at most 255 octets. */
const MOST_LINES = 32;
const MOST_OCTETS = 4096;
const MOST_BANNER = 255;

export interface BannerOptions {
  /** A connection to the machine, which is closed in the end. */
  socket: Socket;
  address: string;
  port: number;
  clock: Clock;
  /** How long the whole of it may take, however slowly it drips. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

function malformed(octets: Uint8Array, why: string): Error {
  const r = new Reader(octets, 'SSH identification');
  r.field = 'line';
  return r.fail(why, 0);
}

/** found looks for the identification among the whole lines that have come; undefined while it may still come. */
function found(octets: Buffer): string | undefined {
  const lines = octets.toString('latin1').split('\n');
  const whole = lines.slice(0, -1);
  const line = whole.find((one) => one.startsWith('SSH-'));
  if (line !== undefined) {
    const banner = line.replace(/\r$/, '');
    if (banner.length > MOST_BANNER) throw malformed(octets, `${banner.length} characters are too many`);
    if (!/^SSH-[\x21-\x7e]+-[\x20-\x7e]+$/.test(banner)) throw malformed(octets, 'it is not of the form SSH-version-software');
    return banner;
  }
  if (whole.length >= MOST_LINES) throw malformed(octets, `none in ${MOST_LINES} lines`);
  if (octets.length >= MOST_OCTETS) throw malformed(octets, `none in ${MOST_OCTETS} octets`);
  return undefined;
}

/**
 * readSshBanner waits for the identification of an SSH server (RFC 4253 section 4.2), which it sends before it hears anything, and hangs
 * up. It raises PP_NET_TIMEOUT, PP_NET_CLOSED or PP_WIRE_MALFORMED.
 */
export function readSshBanner({ socket, address, port, clock, timeoutMs, signal }: BannerOptions): Promise<string> {
  const doing = 'waiting for the SSH identification';
  let heard = Buffer.alloc(0);
  let isOver = false;
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      isOver = true;
      cancel();
      signal?.removeEventListener('abort', onAbort);
      socket.removeAllListeners('data');
      socket.destroy();
      settle();
    };
    const onAbort = () => end(() => reject(signal?.reason as Error));
    const late = raise('PP_NET_TIMEOUT', { host: address, doing, ms: timeoutMs });
    // A process that was kept waiting finds its timers due first; what has come in the meantime is heard before it is taken for silence.
    const cancel = clock.after(timeoutMs, () => setImmediate(() => isOver || end(() => reject(late))));
    signal?.addEventListener('abort', onAbort, { once: true });
    const gone = (cause?: Error) => end(() => reject(raise('PP_NET_CLOSED', { address, port, doing }, { cause })));
    socket.on('error', gone).on('end', () => gone());
    socket.on('data', (chunk: Buffer) => {
      try {
        heard = Buffer.concat([heard, chunk.subarray(0, MOST_OCTETS)]);
        const banner = found(heard);
        if (banner !== undefined) end(() => resolve(banner));
      } catch (error) {
        end(() => reject(error));
      }
    });
    socket.resume();
  });
}
