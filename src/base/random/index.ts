import { randomBytes, randomUUID } from 'node:crypto';

/** Random is handed in like the clock, so that a test can fix jitter, tokens and identifiers. */
export interface Random {
  bytes(length: number): Uint8Array;
  uuid(): string;
  /** fraction is in [0, 1); not for secrets. */
  fraction(): number;
}

/** systemRandom draws from the operating system's generator. */
export const systemRandom: Random = {
  bytes: (length) => new Uint8Array(randomBytes(length)),
  uuid: () => randomUUID(),
  fraction: () => Math.random(),
};
