interface Asking<K, V> {
  key: K;
  resolve: (value: V) => void;
  reject: (error: unknown) => void;
}

/**
 * Gatherer lets many callers share statements: those that come while one is under way go together in the next, so that a single caller waits
 * for nobody and many at once cost few statements. What a caller gets was read after it asked.
 */
export class Gatherer<K, V> {
  readonly #send: (keys: K[]) => Promise<readonly V[]>;
  readonly #most: number;
  #asking: Asking<K, V>[] = [];
  #busy = false;

  /** `send` answers the keys, at most `most`, in their order. */
  constructor(send: (keys: K[]) => Promise<readonly V[]>, most = 256) {
    this.#send = send;
    this.#most = most;
  }

  /** ask gives the answer for one key. */
  ask(key: K): Promise<V> {
    return new Promise((resolve, reject) => {
      this.#asking.push({ key, resolve, reject });
      if (this.#busy) return;
      this.#busy = true;
      // Those of the same turn of the event loop find each other.
      setImmediate(() => void this.#work());
    });
  }

  async #work(): Promise<void> {
    while (this.#asking.length > 0) await this.#answer(this.#asking.splice(0, this.#most));
    this.#busy = false;
  }

  async #answer(asking: Asking<K, V>[]): Promise<void> {
    try {
      const values = await this.#send(asking.map(({ key }) => key));
      for (const [index, { resolve }] of asking.entries()) resolve(values[index]!);
    } catch (error) {
      if (asking.length === 1) asking[0]!.reject(error);
      // One that the database refuses does not take the others down with it.
      else for (const one of asking) await this.#answer([one]);
    }
  }
}
