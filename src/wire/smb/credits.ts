/** CREDIT_SIZE is the payload that one credit pays for, [MS-SMB2] 3.1.5.2. */
export const CREDIT_SIZE = 65_536;

/** What we like to have in hand: four chunks of half a mebibyte, and room for small requests beside them. */
const WANTED = 64;
const MOST_IN_A_MESSAGE = 0xffff;

/**
 * Credits is the account of what may be sent, [MS-SMB2] 3.2.4.1.2: every request pays, every response grants. Who finds too few waits
 * in order; nobody overtakes, so that a large write is not starved by small ones.
 */
export class Credits {
  #available = 1; // [MS-SMB2] 3.2.5.1.4: a new connection has one
  #paid = 0;
  readonly #queue: { charge: number; go: () => void }[] = [];

  /** take runs `go` as soon as `charge` credits are there, at once if they are; the returned function leaves the queue. */
  take(charge: number, go: () => void): () => void {
    const waiting = { charge, go };
    this.#queue.push(waiting);
    this.#serve();
    return () => {
      const at = this.#queue.indexOf(waiting);
      if (at < 0) return;
      this.#queue.splice(at, 1);
      this.#serve();
    };
  }

  /** settle is called when a request that paid `charge` has its final answer. */
  settle(charge: number): void {
    this.#paid -= charge;
  }

  /** grant takes in what a response gives. */
  grant(count: number): void {
    this.#available += count;
    this.#serve();
  }

  /** request is what the next message asks for: what it costs, and what is lacking. */
  request(charge: number): number {
    return Math.min(MOST_IN_A_MESSAGE, charge + Math.max(0, WANTED - this.total));
  }

  /** total is what is in hand and what is under way: no request can ever pay more. */
  get total(): number {
    return this.#available + this.#paid;
  }

  /** waiting is how many requests stand in the queue. */
  get waiting(): number {
    return this.#queue.length;
  }

  #serve(): void {
    for (let head = this.#queue[0]; head && head.charge <= this.#available; head = this.#queue[0]) {
      this.#queue.shift();
      this.#available -= head.charge;
      this.#paid += head.charge;
      head.go();
    }
  }
}
