import type { Sql } from '#store/database';
import type { Asked, Bounds } from './asked.ts';
import type { Branch } from './filter/branches.ts';
import { compileAlike, someTest, type Place } from './filter/compile.ts';
import type { Alike } from './filter/fields.ts';
import type { Node } from './filter/tree.ts';

/** ALIKE are what many machines have alike. */
export const ALIKE = ['system', 'place'] as const;

/** Kinds are the keys of the systems, or of the places, that machines can have that fit. */
interface Kinds {
  keys: number[];
  /** Two that have the same key by chance are not told apart by it, and one of them does not fit. */
  mixed: boolean;
}

/** Fitting has the kinds that fit; what is not there leaves all of them possible, or very many. */
export type Fitting = Partial<Record<Alike, Kinds>>;

/** fittingOf looks which systems and places fit each of some filters. */
export async function fittingOf(sql: Sql, branches: readonly Branch[], { now, bounds }: Asked): Promise<Fitting[]> {
  const values: unknown[] = [];
  const place: Place = (value, type) => `$${values.push(value)}::${type}`;
  const asked = branches.flatMap(({ node }, at) =>
    ALIKE.flatMap((alike) => {
      const where = compileAlike(node, alike, now, place);
      return where === undefined ? [] : [{ at, alike, where }];
    }),
  );
  const found: Fitting[] = branches.map(() => ({}));
  if (asked.length === 0) return found;
  const columns = asked.map(({ alike, where }, i) => {
    const some = `select k.key from resource_${alike} k group by k.key having bool_or(${where})`;
    return `array(${some} limit ${bounds.kinds + 1}) as k${i}, exists (${some} and not bool_and((${where}) is true)) as m${i}`;
  });
  const [row] = await sql.query<Record<string, number[] | boolean>>(`select ${columns.join(', ')}`, values);
  asked.forEach(({ at, alike }, i) => {
    const keys = row![`k${i}`] as number[];
    if (keys.length <= bounds.kinds) found[at]![alike] = { keys, mixed: row![`m${i}`] as boolean };
  });
  return found;
}

/** Way is one way to find the first machines that fit. */
export interface Way {
  node: Node;
  fitting: Fitting;
  /** An index finds those that can fit, and the server knows it. */
  found: boolean;
  /** Nothing but these decides which machines fit. */
  pure: readonly Alike[] | undefined;
}

/** wayOf says how the machines of one branch can be found. */
export function wayOf({ node, narrow, known, joint }: Branch, fitting: Fitting, { isOther, bounds }: Asked): Way {
  const decide = ALIKE.filter((alike) => someTest(node, (field) => field.alike === alike));
  const isPure =
    !isOther &&
    !narrow &&
    !someTest(node, (field) => field.alike === undefined) &&
    decide.every((alike) => fitting[alike]?.mixed === false) &&
    (decide.length === 1 || (joint && lookups(fitting, decide) <= bounds.kinds));
  return { node, fitting, found: narrow || known, pure: isPure ? decide : undefined };
}

/** lookups is how many kinds, or pairs of them, there are. */
function lookups(fitting: Fitting, alike: readonly Alike[]): number {
  return alike.reduce((n, one) => n * (fitting[one]?.keys.length ?? Infinity), 1);
}

/** isSure tells whether a way finds a page without going through many machines in vain. */
export function isSure({ found, fitting, pure }: Way, bounds: Bounds): boolean {
  return found || (pure !== undefined && lookups(fitting, pure) <= bounds.few);
}

/** fewest gives what few enough kinds of it fit, so that their machines can be read side by side. */
export function fewest({ fitting }: Way, { merged }: Bounds): Alike | undefined {
  const count = (alike: Alike) => fitting[alike]?.keys.length ?? Infinity;
  return ALIKE.filter((alike) => count(alike) <= merged).toSorted((a, b) => count(a) - count(b))[0];
}
