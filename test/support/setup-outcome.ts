import type { IncomingHttpHeaders } from 'node:http';
import type { HonestMp } from '#test/honest-mp';

/** HASH stands for the SHA-256 in the address of a file. */
export const HASH = '#';

/** SetupOutcome is what a run of ccmsetup showed to the outside. */
export interface SetupOutcome {
  code: number | undefined;
  states: string[];
  asked: string[];
}

/** asks is the push that a download names. */
const asks = (headers: IncomingHttpHeaders) => headers['x-pushpoint-token'] && `as ${String(headers['x-pushpoint-token'])}`;

/** outcomeOf gathers it from the management point. */
export function outcomeOf(mp: HonestMp, code: number | undefined): SetupOutcome {
  return {
    code,
    states: mp.states.map(({ stateId, signed, exitCode }) =>
      [stateId, signed ? 'signed' : 'unsigned', exitCode].filter((part) => part !== undefined).join(' '),
    ),
    asked: mp.asked.map(({ method, path, headers }) =>
      [method, path.replace(/[0-9a-f]{64}/, HASH), headers.range, method === 'GET' && asks(headers)]
        .filter((part) => part)
        .join(' '),
    ),
  };
}
