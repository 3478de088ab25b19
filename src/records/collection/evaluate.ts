import { compileFilter, WITH_CLIENT } from '#records/resource';
import type { Sql } from '#store/database';
import type { Definition } from './collection.ts';

/** Of all machines at once, the newest clients are found by one pass over the table of clients instead of a million look-ups. */
const ALL_CLIENTS = `left join (select distinct on (resource_id) resource_id, guid, version, site, approval, believed, blocked, last_seen_at
    from client where not obsolete and resource_id is not null order by resource_id, believed desc, last_seen_at desc
  ) c on c.resource_id = r.id`;

/** Moved is how many machines an evaluation put into a collection, and took out of it. */
export interface Moved {
  come: number;
  gone: number;
}

/** parts are the ways in which machines come into a collection. */
function parts(one: Definition, ids: string | undefined, put: (value: unknown, type: string) => string, now: Date): string[] {
  const only = (column: string) => (ids === undefined ? '' : `and ${column} = any(${ids})`);
  const found: string[] = [];
  if (one.query !== null) {
    const filter = compileFilter(one.query, now, put);
    const join = filter.client ? (ids === undefined ? ALL_CLIENTS : WITH_CLIENT) : '';
    found.push(`select r.id from resource r ${join} where not r.obsolete and ${filter.where} ${only('r.id')}`);
  }
  found.push(`select d.resource_id from collection_direct d join resource r on r.id = d.resource_id
    where d.collection_id = ${put(one.id, 'integer')} and not r.obsolete ${only('d.resource_id')}`);
  if (one.include.length > 0)
    found.push(
      `select m.resource_id from collection_member m where m.collection_id = any(${put(one.include, 'integer[]')}) ${only('m.resource_id')}`,
    );
  return found;
}

/** Of all machines, or of some, an evaluation makes the members what the definition says; what is right already is not touched. */
export async function evaluate(tx: Sql, one: Definition, which: 'all' | readonly number[], now: Date): Promise<Moved> {
  const values: unknown[] = [];
  const put = (value: unknown, type: string) => `$${values.push(value)}::${type}`;
  const ids = which === 'all' ? undefined : put(which, 'integer[]');
  const own = put(one.id, 'integer');
  const isMember = (of: string) =>
    `exists (select from collection_member x where x.collection_id = ${of} and x.resource_id = b.id)`;
  const conditions = [
    ...(one.exclude.length > 0 ? [`not ${isMember(`any(${put(one.exclude, 'integer[]')})`)}`] : []),
    ...(one.limit_id === null ? [] : [isMember(put(one.limit_id, 'integer'))]),
  ];
  // How many machines a query leaves of some, the server cannot know: it must not compare each with each for that, nor read all members.
  const [gone, come] =
    ids === undefined
      ? [
          'not exists (select from want w where w.id = m.resource_id)',
          `not exists (select from collection_member m where m.collection_id = ${own} and m.resource_id = w.id)`,
        ]
      : [
          'm.resource_id not in (select w.id from want w)',
          `w.id not in (select m.resource_id from collection_member m where m.collection_id = ${own} and m.resource_id = any(${ids}))`,
        ];
  const [moved] = await tx.query<Moved>(
    `with want as materialized (
       select b.id from (${parts(one, ids, put, now).join(' union ')}) as b(id) where ${conditions.join(' and ') || 'true'}
     ), gone as (
       delete from collection_member m where m.collection_id = ${own} ${ids === undefined ? '' : `and m.resource_id = any(${ids})`}
         and ${gone} returning 1
     ), come as (
       insert into collection_member (collection_id, resource_id)
         select ${own}, w.id from want w where ${come} order by w.id returning 1
     )
     select (select count(*) from come)::integer as come, (select count(*) from gone)::integer as gone`,
    values,
  );
  return moved!;
}
