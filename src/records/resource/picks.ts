import type { Asked } from './asked.ts';
import { WITH_CLIENT } from './device.ts';
import { compileNode, type Place } from './filter/compile.ts';
import type { Node } from './filter/tree.ts';
import { ALIKE, fewest, type Fitting, type Way } from './kinds.ts';
import type { Alike } from './filter/fields.ts';

const ORDER = 'order by r.name_key, r.domain_key';

/**
 * Picks makes the text that finds the first machines, by name, of one way: their id and the columns of the order. The places in it are those of
 * one statement.
 */
export class Picks {
  readonly #asked: Asked;
  readonly #place: Place;
  readonly #after: string;

  constructor(asked: Asked, place: Place) {
    this.#asked = asked;
    this.#place = place;
    const { after } = asked;
    this.#after = after ? `and (r.name_key, r.domain_key) > (${place(after[0], 'text')}, ${place(after[1], 'text')})` : '';
  }

  #where(node: Node | undefined): string {
    const { other, now } = this.#asked;
    const filter = node ? [compileNode(node, now, this.#place).where] : [];
    return ['true', ...filter, ...other(this.#place)].join(' and ');
  }

  #from(rows: string, where: string): string {
    const { client, limit } = this.#asked;
    return `select r.id, r.name_key, r.domain_key from ${rows} r ${client ? WITH_CLIENT : ''} where ${where} ${ORDER} limit ${limit}`;
  }

  /** next looks only at the next machines by name; of one way only at those of the systems, or the places, that fit it. */
  next(ways: readonly Way[], node: Node): string {
    return this.#from(`(${this.#near(ways, this.#asked.bounds.next)})`, this.#where(node));
  }

  /** beyond tells whether there are more machines than next looks at. */
  beyond(ways: readonly Way[]): string {
    const { next } = this.#asked.bounds;
    return `select exists (${this.#near(ways, next + 1)} offset ${next}) as more`;
  }

  #near(ways: readonly Way[], most: number): string {
    const few = ways.length === 1 ? fewest(ways[0]!, this.#asked.bounds) : undefined;
    const of = (kind: string) => `select r.* from resource r where not r.obsolete${kind} ${this.#after} ${ORDER} limit ${most}`;
    if (!few) return of('');
    // Each kind's machines lie in the order of their names in an index; the server goes through them side by side, as far as it must.
    const parts = ways[0]!.fitting[few]!.keys.map((key) => `(${of(` and r.${few}_key = ${key}`)})`);
    return `select r.* from (${parts.join(' union all ')}) r ${ORDER} limit ${most}`;
  }

  /** all looks at all machines, as the server finds best. */
  all(): string {
    return this.#from('resource', `not r.obsolete ${this.#after} and ${this.#where(undefined)}`);
  }

  /** any finds the machines that fit in one way at least. */
  any(ways: readonly Way[]): string {
    if (ways.length === 1) return this.#of(ways[0]!);
    const parts = ways.map((way) => `(${this.#of(way)})`);
    return `select r.id, r.name_key, r.domain_key from (${parts.join(' union ')}) r ${ORDER} limit ${this.#asked.limit}`;
  }

  #of({ node, fitting, pure }: Way): string {
    if (pure) return this.#heads(pure, fitting);
    const kept = ALIKE.filter((alike) => fitting[alike]).map(
      (alike) => `and r.${alike}_key = any(${this.#place(fitting[alike]!.keys, 'integer[]')})`,
    );
    return this.#from('resource', `not r.obsolete ${this.#after} ${kept.join(' ')} and ${this.#where(node)}`);
  }

  /**
   * A page of n machines has none of a kind whose first machine comes behind the first ones of n other kinds; of the last of these n it has
   * one at most, and so on. However many machines there are, so many entries of an index are looked at: one of each kind, and n²/2.
   */
  #heads(pure: readonly Alike[], fitting: Fitting): string {
    const { limit } = this.#asked;
    const kinds = pure.map((alike) => `unnest(${this.#place(fitting[alike]!.keys, 'integer[]')}) as ${alike}`);
    const rows = (of: string, most: string) => `select r.id, r.name_key, r.domain_key from resource r
      where ${pure.map((alike) => `r.${alike}_key = ${of}${alike}`).join(' and ')} and not r.obsolete ${this.#after} ${ORDER} limit ${most}`;
    return `select r.id, r.name_key, r.domain_key from (
        select ${pure.join(', ')}, row_number() over (${ORDER}) as n from ${kinds.join(', ')}, lateral (${rows('', '1')}) r ${ORDER} limit ${limit}
      ) head, lateral (${rows('head.', `${limit + 1} - head.n`)}) r ${ORDER} limit ${limit}`;
  }
}
