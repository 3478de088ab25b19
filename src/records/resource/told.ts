/** Property is one thing that a source can tell of a machine; `name` is the name with its domain. */
export type Property =
  | 'name'
  | 'fqdn'
  | 'guid'
  | 'hardwareId'
  | 'addresses'
  | 'macs'
  | 'os'
  | 'osVersion'
  | 'osBuild'
  | 'architecture'
  | 'type'
  | 'adSite'
  | 'ou'
  | 'smbPort'
  | 'sshPort'
  | 'keys';

/**
 * RANK is how much a source is worth for one property: what a machine only claims of itself, what was concluded from something else, and what
 * was read where it stands. A lower rank never overwrites a higher one; among equals the newer one counts.
 */
export const RANK = { claim: 0, guess: 1, known: 2 } as const;
export type Rank = (typeof RANK)[keyof typeof RANK];

/** Teller is who told some properties, and when. */
export interface Teller {
  method: string;
  site: string;
  at: number;
  rank: Rank;
}

/** TOLD as it is stored: [[method, site, milliseconds, rank, [property, …]], …]. */
export type StoredTold = [string, string, number, Rank, Property[]][];

/** Told is who told each property of one machine. */
export class Told {
  readonly #by = new Map<Property, Teller>();
  dirty = false;

  constructor(stored: StoredTold) {
    for (const [method, site, at, rank, properties] of stored) {
      const teller = { method, site, at, rank };
      for (const property of properties) this.#by.set(property, teller);
    }
  }

  of(property: Property): Teller | undefined {
    return this.#by.get(property);
  }

  /** yields tells whether what stands there gives way to what this teller says. */
  yields(property: Property, teller: Teller): boolean {
    const old = this.#by.get(property);
    if (!old) return true;
    return old.rank === teller.rank ? old.at <= teller.at : old.rank < teller.rank;
  }

  set(property: Property, teller: Teller): void {
    this.#by.set(property, teller);
    this.dirty = true;
  }

  /** claims are the properties that only the machine itself has told. */
  claims(): Property[] {
    return [...this.#by].filter(([, { rank }]) => rank === RANK.claim).map(([property]) => property);
  }

  forget(property: Property): void {
    this.dirty = this.#by.delete(property) || this.dirty;
  }

  /** confirm brings the times up to what the sources said last, for those who come late and would overwrite what is newer. */
  confirm(lastOf: (method: string, site: string) => number | undefined): void {
    for (const [property, teller] of this.#by) {
      const last = lastOf(teller.method, teller.site);
      if (last !== undefined && last > teller.at) this.#by.set(property, { ...teller, at: last });
    }
  }

  stored(): StoredTold {
    const groups = new Map<string, StoredTold[number]>();
    for (const [property, { method, site, at, rank }] of this.#by) {
      const key = `${method}|${site}|${at}|${rank}`;
      const group = groups.get(key);
      if (group) group[4].push(property);
      else groups.set(key, [method, site, at, rank, [property]]);
    }
    return [...groups.values()];
  }
}

/** ToldProperty is one property of a machine with who told it, when it was told so first, and what that is worth. */
export interface ToldProperty {
  value: unknown;
  method: string;
  site?: string;
  at: string;
  worth: keyof typeof RANK;
}

const WORTH = Object.fromEntries(Object.entries(RANK).map(([name, rank]) => [rank, name])) as Record<Rank, keyof typeof RANK>;

/** propertiesOf shows the properties of a machine, each with its source and time; `values` are those of the machine. */
export function propertiesOf(
  values: Readonly<Partial<Record<Property, unknown>>>,
  told: StoredTold,
): Record<string, ToldProperty> {
  const all = told.flatMap(([method, site, at, rank, properties]) =>
    properties.map((property): [string, ToldProperty] => [
      property,
      { value: values[property], method, ...(site === '' ? {} : { site }), at: new Date(at).toISOString(), worth: WORTH[rank] },
    ]),
  );
  return Object.fromEntries(all.filter(([, { value }]) => value !== undefined).sort(([a], [b]) => (a < b ? -1 : 1)));
}
