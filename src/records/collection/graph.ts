import type { Definition } from './collection.ts';

type Node = Pick<Definition, 'id' | 'name' | 'include' | 'exclude' | 'limit_id' | 'parent_id'>;

/** needs gives the collections whose members decide about those of one. */
function needs({ include, exclude, limit_id }: Node): number[] {
  return [...include, ...exclude, ...(limit_id === null ? [] : [limit_id])];
}

/** inOrder gives collections so that each stands behind those that it needs. */
export function inOrder<T extends Node>(all: readonly T[]): T[] {
  const byId = new Map(all.map((one) => [one.id, one]));
  const done = new Set<T>();
  const place = (one: T): void => {
    if (done.has(one)) return;
    for (const id of needs(one)) {
      const other = byId.get(id);
      if (other) place(other);
    }
    done.add(one);
  };
  for (const one of all) place(one);
  return [...done];
}

/** pathTo gives the names on the way from one collection to another along what they need; undefined where there is no way. */
export function pathTo(all: readonly Node[], from: number, to: number): string[] | undefined {
  const byId = new Map(all.map((one) => [one.id, one]));
  const seen = new Set<number>();
  const walk = (id: number): string[] | undefined => {
    const one = byId.get(id);
    if (!one || seen.has(id)) return undefined;
    seen.add(id);
    if (id === to) return [one.name];
    for (const next of needs(one)) {
      const rest = walk(next);
      if (rest) return [one.name, ...rest];
    }
    return undefined;
  };
  return walk(from);
}

/** dependents gives one collection and all that need it, directly or not. */
export function dependents(all: readonly Node[], id: number): Set<number> {
  const found = new Set([id]);
  // In order, whatever needs a collection stands behind it.
  for (const one of inOrder(all)) if (needs(one).some((other) => found.has(other))) found.add(one.id);
  return found;
}

/** underneath gives a collection and its subcollections, and theirs. */
export function underneath(all: readonly Node[], id: number): number[] {
  const below = Map.groupBy(all, (one) => one.parent_id);
  const found: number[] = [];
  const open = [id];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    found.push(next);
    open.push(...(below.get(next) ?? []).map((one) => one.id));
  }
  return found;
}

/** pathUp gives the names on the way from a collection up to one that it stands under. */
export function pathUp(all: readonly Node[], from: number, to: number): string[] {
  const byId = new Map(all.map((one) => [one.id, one]));
  const names: string[] = [];
  for (let one = byId.get(from); one; one = one.id === to || one.parent_id === null ? undefined : byId.get(one.parent_id))
    names.push(one.name);
  return names;
}
