import type { IncomingHttpHeaders } from 'node:http';
import type { HonestMp } from '#test/honest-mp';

/** HASH stands for the SHA-256 in the address of a file. */
export const HASH = '#';

/** SetupOutcome is what a run of ccmsetup showed to the outside. */
export interface SetupOutcome {
  code: number | undefined;
  states: string[];
  asked: string[];
  elsewhere?: string[];
}

/** asks is the push that a download names. */
const asks = (headers: IncomingHttpHeaders) => headers['x-pushpoint-token'] && `as ${String(headers['x-pushpoint-token'])}`;

/** requests tells what a point was asked. */
const requests = ({ asked }: HonestMp) =>
  asked.map(({ method, path, headers }) =>
    [method, path.replace(/[0-9a-f]{64}/, HASH), headers.range, method === 'GET' && asks(headers)]
      .filter((part) => part)
      .join(' '),
  );

/** outcomeOf gathers it from the management point, and the files asked for from another one where that counts. */
export function outcomeOf(mp: HonestMp, code: number | undefined, other?: HonestMp): SetupOutcome {
  return {
    code,
    states: mp.states.map(({ stateId, signed, exitCode }) =>
      [stateId, signed ? 'signed' : 'unsigned', exitCode].filter((part) => part !== undefined).join(' '),
    ),
    asked: requests(mp),
    ...(other && { elsewhere: requests(other).filter((one) => one.startsWith('GET')) }),
  };
}
