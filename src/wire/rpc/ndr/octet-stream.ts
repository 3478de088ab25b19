import { Reader, Writer } from '#wire/bytes';

/** The first referent identifier a writer gives out, and the step to the next; the values mean nothing, only zero does ([C706] 14.3.10). */
const FIRST_REFERENT = 0x00020000;
const REFERENT_STEP = 4;

/** Deferred holds the referents of embedded pointers until the construct around them is finished ([C706] 14.3.12.3). */
class Deferred {
  #waiting: (() => void)[] = [];

  push(action: () => void): void {
    this.#waiting.push(action);
  }

  /** settle works the waiting referents off, depth first: what a referent itself defers follows directly after that referent. */
  settle(): void {
    const due = this.#waiting;
    this.#waiting = [];
    for (const action of due) {
      action();
      this.settle();
    }
  }
}

/** NdrReader reads one stub; every shortage or nonsense raises PP_WIRE_MALFORMED. */
export class NdrReader extends Reader {
  readonly #deferred = new Deferred();

  /** defer reads `referent` when the construct that embeds its pointer is finished, under the name of the present field. */
  defer(referent: () => void): void {
    const field = this.field;
    this.#deferred.push(() => {
      const outer = this.field;
      this.field = field;
      referent();
      this.field = outer;
    });
  }

  settle(): void {
    this.#deferred.settle();
  }

  /** count reads a number of elements, refusing what cannot possibly follow in the octets that are left. */
  count(elementSize: number, most: number): number {
    this.align(4);
    const at = this.at;
    const count = this.u32();
    if (count > most) throw this.fail(`${count} elements, at most ${most} are taken`, at);
    if (count * elementSize > this.left) throw this.fail(`${count} elements announced, ${this.left} octets left`, at);
    return count;
  }
}

/** NdrWriter writes one stub. */
export class NdrWriter extends Writer {
  readonly #deferred = new Deferred();
  #referent = FIRST_REFERENT;

  /** pointer writes a referent identifier and defers the referent; without a referent it writes the null pointer. */
  pointer(referent: (() => void) | undefined): void {
    this.align(4);
    if (!referent) {
      this.u32(0);
      return;
    }
    this.u32(this.#referent);
    this.#referent += REFERENT_STEP;
    this.#deferred.push(referent);
  }

  settle(): void {
    this.#deferred.settle();
  }
}
