import type { Sql } from '#store/database';

/**
 * Seen is what is known of a machine's addresses from outside, beside what somebody told who knows all of them. `at` says when each address
 * was seen last; `listed` are those that were told as a whole, while somebody still tells them.
 */
export interface Seen {
  at: Record<string, number>;
  listed?: readonly string[] | undefined;
}

/** An address at which nothing was seen for so long is forgotten. Whoever asks an address again and finds another machine there forgets it at once. */
const SEEN_MS = 14 * 86_400_000;
/** A machine has so many addresses at most. */
const MOST = 64;

/** seenNow adds addresses at which a machine was just seen to those that are known; `listed` is undefined where nobody tells them as a whole. */
export function seenNow(
  before: Seen | null,
  addresses: readonly string[],
  when: number,
  listed: readonly string[] | undefined,
): { seen: Seen; addresses: string[] } {
  const now = addresses.map((address) => [address, Math.max(when, before?.at[address] ?? 0)] as const);
  const old = Object.entries(before?.at ?? {})
    .filter(([address, at]) => !addresses.includes(address) && when - at < SEEN_MS)
    .sort(([, a], [, b]) => b - a);
  const all = [...now, ...old].slice(0, MOST);
  const seen = { at: Object.fromEntries(all), listed };
  const others = all.map(([address]) => address).filter((address) => !listed?.includes(address));
  return { seen, addresses: [...others, ...(listed ?? [])].slice(0, MOST) };
}

/** seenAgain says that what was seen last was seen again at a later time: the same again changes nothing else, so it is not written down each time. */
export function seenAgain({ at, listed }: Seen, when: number): Seen {
  const newest = Math.max(...Object.values(at));
  const again = Object.entries(at).map(([address, seen]) => [address, seen === newest ? Math.max(seen, when) : seen]);
  return { at: Object.fromEntries(again) as Seen['at'], listed };
}

/** Looked is at which addresses one machine was found by somebody who looked at all that `at` is true of. */
export interface Looked {
  id: number;
  addresses: readonly string[];
}

/** notThere forgets the addresses at which machines were seen before and are not any more; it gives the machines that it changed. */
export async function notThere(
  tx: Sql,
  looked: readonly Looked[],
  wasAsked: (address: string) => boolean,
  now: Date,
): Promise<number[]> {
  const rows = await tx.query<{ id: number; addresses: string[]; seen: Seen }>(
    'select id, addresses, seen from resource where id = any($1) and seen is not null order by id for update',
    [looked.map(({ id }) => id)],
  );
  const found = new Map<number, Set<string>>();
  for (const { id, addresses } of looked) found.set(id, new Set([...(found.get(id) ?? []), ...addresses]));
  const changed = rows.flatMap(({ id, addresses, seen }) => {
    const gone = new Set(Object.keys(seen.at).filter((address) => !found.get(id)!.has(address) && wasAsked(address)));
    if (gone.size === 0) return [];
    const at = Object.fromEntries(Object.entries(seen.at).filter(([address]) => !gone.has(address)));
    const left = addresses.filter((address) => !gone.has(address) || seen.listed?.includes(address));
    return [{ id, addresses: left, seen: { ...seen, at } }];
  });
  if (changed.length === 0) return [];
  await tx.query(
    `update resource r set addresses = d.addresses, seen = d.seen, changed_at = $2
     from jsonb_to_recordset($1) as d(id integer, addresses text[], seen jsonb) where r.id = d.id`,
    [JSON.stringify(changed), now],
  );
  // Where it was there last is news again, if it comes back to it.
  await tx.query('update resource_source set hash = null where resource_id = any($1)', [changed.map(({ id }) => id)]);
  return changed.map(({ id }) => id);
}
