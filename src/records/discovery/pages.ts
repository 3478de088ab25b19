import { compileSearch, WITH_CLIENT } from '#records/resource';
import type { Sql } from '#store/database';

/** Machines that are assigned anew are read so many at a time. */
const PAGE = 2000;

/** WhomToReassign picks machines: by their ids, by a filter as device list takes it, or all of them. */
export type WhomToReassign = { ids: readonly number[] } | { filter: string } | 'all';

/** Machine is what an assignment needs to know of a machine. */
export interface Machine {
  id: number;
  name: string;
  addresses: string[];
  ad_site: string | null;
  assigned_site: string | null;
}

/** pages reads the machines that are meant; what is known only by its own claim belongs to no site and is left out. */
export async function* pages(tx: Sql, whom: WhomToReassign, now: Date): AsyncGenerator<Machine[]> {
  const values: unknown[] = [PAGE];
  let where = 'true';
  let join = '';
  if (whom !== 'all' && 'ids' in whom) where = `r.id = any($${values.push(whom.ids)})`;
  else if (whom !== 'all') {
    const found = compileSearch(whom.filter, now, (value, type) => `$${values.push(value)}::${type}`);
    where = found.where;
    if (found.client) join = WITH_CLIENT;
  }
  for (let after = 0; ;) {
    const page = await tx.query<Machine>(
      `select r.id, r.name, r.addresses, r.ad_site, r.assigned_site from resource r ${join}
       where r.id > ${after} and not r.obsolete and r.trusted and ${where} order by r.id limit $1`,
      values,
    );
    if (page.length > 0) yield page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.id;
  }
}
