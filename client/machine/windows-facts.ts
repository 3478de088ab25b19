import * as Type from 'typebox';
import type { Clock } from '#base/clock';
import { OperatingSystem, matches } from '#messages';

/** Run runs a program of Windows to its end: arguments as they are, no shell. It throws when the program cannot be started. */
export type Run = (program: string, args: readonly string[], input?: Uint8Array) => { status: number; out: string };

/** WindowsFacts is what `CcmExec.exe facts` prints (native/ccmexec/handed.c). */
const WindowsFacts = Type.Object({
  /** The folder that Windows is in. */
  windows: Type.String({ pattern: '^[A-Za-z]:\\\\' }),
  name: Type.String(),
  domain: Type.String(),
  fqdn: Type.String(),
  addresses: Type.Array(Type.String()),
  os: OperatingSystem,
  hardwareId: Type.String({ minLength: 1 }),
  architecture: Type.String(),
  /** Of an installation by hand, without mobileclient.tcf: the version of the client, and what its installer was given. */
  clientVersion: Type.String(),
  properties: Type.String(),
});
type WindowsFacts = Type.Static<typeof WindowsFacts>;

/** Several parts of one message ask one after another; they hear of one machine. */
const FRESH_MS = 5_000;

/**
 * FactsReader asks CcmExec.exe what this machine is. Node has neither the registry nor the tables of the firmware, and the agent in C must tell the
 * same: a machine whose hardware id changed would be another client.
 */
export class FactsReader {
  readonly #run: Run;
  readonly #program: string;
  readonly #clock: Clock;
  #last: WindowsFacts;
  #at: number;

  constructor(run: Run, program: string, clock: Clock) {
    this.#run = run;
    this.#program = program;
    this.#clock = clock;
    this.#last = this.#read();
    this.#at = clock.monotonic();
  }

  /** now are the facts of this moment; where they cannot be had any more, the last ones. */
  now(): WindowsFacts {
    if (this.#clock.monotonic() - this.#at < FRESH_MS) return this.#last;
    this.#at = this.#clock.monotonic();
    try {
      this.#last = this.#read();
    } catch {
      // The file is being replaced, or the machine has no memory for another process: nothing of this changes within an hour.
    }
    return this.#last;
  }

  #read(): WindowsFacts {
    const { status, out } = this.#run(this.#program, ['facts']);
    const value: unknown = status === 0 ? JSON.parse(out) : undefined;
    if (matches(WindowsFacts, value)) return value;
    throw new Error(`${this.#program} facts ended with ${status} and did not tell what this machine is`);
  }
}
