import type { Random } from '#base/random';
import { toHex } from '#wire/bytes';
import { FAULT, WIN32 } from '#wire/status';
import { Faulted } from './interference.ts';
import { Win32Refusal } from './refusal.ts';

/** Opened is what a context handle stands for; `close` is called when the client lets go of it, or when its pipe closes. */
export interface Opened<T> {
  value: T;
  close(): void;
}

/** Handles are the context handles of one pipe: another pipe's are not known here, and all are run down when it closes ([MS-RPCE] 3.1.1.5.3.2.2). */
export class Handles {
  readonly #random: Random;
  readonly #open = new Map<string, Opened<unknown>>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** open gives a handle for a value. */
  open(value: object, close: () => void = () => {}): Uint8Array {
    const handle = new Uint8Array(20);
    handle.set(this.#random.bytes(16), 4);
    this.#open.set(toHex(handle), { value, close });
    return handle;
  }

  /** get is the value of a handle of this kind; one of another kind is 6, one of another pipe a fault. */
  get<T>(handle: Uint8Array, kind: new (...args: never[]) => T): T {
    const opened = this.#open.get(toHex(handle));
    if (!opened) throw new Faulted(FAULT.fault_context_mismatch);
    if (!(opened.value instanceof kind)) throw new Win32Refusal(WIN32.INVALID_HANDLE, 'a handle of another kind');
    return opened.value;
  }

  /** close lets go of a handle. */
  close(handle: Uint8Array): void {
    const key = toHex(handle);
    const opened = this.#open.get(key);
    if (!opened) throw new Faulted(FAULT.fault_context_mismatch);
    this.#open.delete(key);
    opened.close();
  }

  /** runDown lets go of all of them. */
  runDown(): void {
    for (const opened of this.#open.values()) opened.close();
    this.#open.clear();
  }
}
