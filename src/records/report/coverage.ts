import { boundaryText, type BoundaryRecord } from '#records/boundary';
import { FLAGGED, WITH_CLIENT } from '#records/resource';
import type { Sql } from '#store/database';
import { columns, type Asked, type Report } from './report.ts';

interface Machine {
  id: number;
  addresses: string[];
  ad_site: string | null;
  assigned_site: string | null;
  installed: boolean;
}

interface Count {
  machines: number;
  installed: number;
  elsewhere: number;
}

const PAGE = 5000;

/** machines reads all of them in parts, by id. */
async function* machines(sql: Sql, { collection }: Asked): AsyncGenerator<Machine> {
  for (let after = 0; ;) {
    const page = await sql.query<Machine>(
      `select r.id, r.addresses, r.ad_site, r.assigned_site, ${FLAGGED} is true as installed from resource r ${WITH_CLIENT}
       where not r.obsolete and r.id > $1 and ($2::integer is null or exists (
         select from collection_member m where m.collection_id = $2::integer and m.resource_id = r.id)) order by r.id limit $3`,
      [after, collection, PAGE],
    );
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.id;
  }
}

/** coverageReport counts the machines of each boundary by the rule that assigns them (records/boundary), which SQL does not know. */
export function coverageReport(boundary: BoundaryRecord): Report {
  return {
    name: 'boundary-coverage',
    title: 'Coverage per boundary',
    family: 'Boundaries',
    says: 'Of each site boundary, the machines that it decides about and how many of them have a client; at the end those in no boundary.',
    parameters: ['site', 'collection'],
    columns: columns({
      boundary: 'the boundary; empty: none holds the machine',
      site: 'its site',
      machines: 'machines that it decides about',
      installed: 'those of them that are flagged as installed',
      percent: 'installed, of its machines, in percent',
      elsewhere:
        'those of them that are assigned to another site or none, because machines keep their first one (device reassign)',
    }),
    async find(sql, asked) {
      const index = await boundary.index(sql);
      const none = 0;
      const counts = new Map<number, Count>();
      const of = (id: number) => counts.get(id) ?? { machines: 0, installed: 0, elsewhere: 0 };
      for await (const machine of machines(sql, asked)) {
        const judged = index.judge({ addresses: machine.addresses, adSite: machine.ad_site ?? undefined });
        const count = of(judged?.boundary.id ?? none);
        count.machines++;
        if (machine.installed) count.installed++;
        if ((judged?.site ?? null) !== machine.assigned_site) count.elsewhere++;
        counts.set(judged?.boundary.id ?? none, count);
      }
      const row = (id: number, text: string, site: string) => {
        const count = of(id);
        const percent = count.machines === 0 ? 0 : Math.round((1000 * count.installed) / count.machines) / 10;
        return { keys: [], row: { boundary: text, site, ...count, percent } };
      };
      const known = index.all.filter((one) => !one.roaming && (asked.site === null || one.site === asked.site));
      const rows = known.map((one) => row(one.id, boundaryText(one), one.site));
      return asked.site === null ? [...rows, row(none, '', '')] : rows;
    },
  };
}
