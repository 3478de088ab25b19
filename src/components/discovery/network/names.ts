import { canonicalAddress, whyNotName } from '#records/resource';

/** Names asks DNS. Both reject when DNS gives no answer at all; a name or an address that it does not know gives an empty list. */
export interface Names {
  reverse(address: string): Promise<string[]>;
  forward(name: string): Promise<string[]>;
}

/** After so many questions in a row without an answer DNS is left alone for the rest of a run. */
const MOST_FAILURES = 20;
const AT_ONCE = 64;
/** An address with more names is a web host, and none of them is its machine's. */
const MOST_NAMES = 8;

/** Confirmed is what DNS says of a name and an address: it gives the address, gives others only, or does not know the name. */
export type Confirmed = 'yes' | 'contradicted' | 'unknown';

/** CheckedNames asks DNS for the names of a run, not too many at once, and gives up when it is not there. */
export class CheckedNames {
  readonly #names: Names | undefined;
  readonly #known = new Map<string, Promise<string[]>>();
  #failures = 0;
  #open = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(names: Names | undefined) {
    this.#names = names;
  }

  /** isSilent: DNS gave no answer so often that it is not asked any more. */
  get isSilent(): boolean {
    return this.#failures >= MOST_FAILURES;
  }

  async #ask(question: (names: Names) => Promise<string[]>): Promise<string[]> {
    if (!this.#names || this.isSilent) return [];
    while (this.#open >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#open++;
    try {
      const answer = await question(this.#names);
      this.#failures = 0;
      return answer;
    } catch {
      if (!this.isSilent) this.#failures++;
      return [];
    } finally {
      this.#open--;
      this.#waiting.shift()?.();
    }
  }

  #forward(name: string): Promise<string[]> {
    const key = name.toLowerCase();
    const known = this.#known.get(key);
    if (known) return known;
    const asked = this.#ask((names) => names.forward(key)).then((all) => all.map((one) => canonicalAddress(one) ?? one));
    if (this.#known.size < 100_000) this.#known.set(key, asked);
    return asked;
  }

  /** confirm tells whether a full name has this address. */
  async confirm(name: string, address: string): Promise<Confirmed> {
    const addresses = await this.#forward(name);
    if (addresses.length === 0) return 'unknown';
    return addresses.includes(address) ? 'yes' : 'contradicted';
  }

  /**
   * of gives the full names that an address has by reverse DNS and that have the address in turn. What the zone of an address says alone can
   * be old, or be written by whoever has the address, and then names a machine that is somewhere else, or nowhere.
   */
  async of(address: string): Promise<string[]> {
    const found = (await this.#ask((names) => names.reverse(address))).filter((name) => name.includes('.') && !whyNotName(name));
    if (found.length > MOST_NAMES) return [];
    const checked = await Promise.all(found.map(async (name) => ({ name, is: await this.confirm(name, address) })));
    return checked.filter(({ is }) => is === 'yes').map(({ name }) => name.replace(/\.$/, '').toLowerCase());
  }
}
