import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';

/** A file travels in pieces of so many octets; each is signed. */
const PIECE = 1024 * 1024;
/** A cut line is waited for so often in a row; then the whole file is for another time. */
const TRIES = 8;
const FIRST_WAIT_MS = 500;

/** Piece gives octets of a file of the parent. */
export type Piece = (from: number, length: number) => Promise<Uint8Array>;

/** contentOf reads a file in pieces; where the line is cut in between, it goes on from there. */
export async function* contentOf(
  o: { sha256: string; from: number; size: number; clock: Clock; signal: AbortSignal },
  piece: Piece,
): AsyncGenerator<Uint8Array> {
  for (let { from } = o, failures = 0; from < o.size;) {
    let octets: Uint8Array;
    try {
      octets = await piece(from, Math.min(PIECE, o.size - from));
    } catch (error) {
      if (o.signal.aborted || !(error instanceof PushpointError) || error.again !== 'retry' || ++failures >= TRIES) throw error;
      await o.clock.sleep(FIRST_WAIT_MS * 2 ** (failures - 1), o.signal);
      continue;
    }
    if (octets.length === 0) throw raise('PP_LINK_MALFORMED', { why: `file ${o.sha256} is shorter there than it was told` });
    yield octets;
    from += octets.length;
    failures = 0;
  }
}
