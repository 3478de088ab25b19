import type { Sql } from '#store/database';
import { ipText, isLinkLocal, numberOf, readIp } from './address.ts';
import type { BoundaryIndex } from './lookup.ts';
import { overlapsOf, type Overlap } from './overlaps.ts';

/** Gap is a network in which machines are known and that no boundary holds. */
export interface Gap {
  /** /24 of IPv4, /64 of IPv6. */
  subnet: string;
  /** Addresses of machines there that no boundary holds. */
  addresses: number;
  /** Machines with such an address. */
  machines: number;
  /** Those of them that are assigned to no site. */
  unassigned: number;
  /** Some of their names. */
  examples: string[];
}

/** Report is what an administrator looks at after a change of boundaries. */
export interface Report {
  boundaries: number;
  overlaps: Overlap[];
  moreOverlaps: boolean;
  gaps: Gap[];
  /** All networks with a gap, of which `gaps` has the largest. */
  gapCount: number;
  machines: number;
  unassigned: number;
}

const OVERLAPS = 1000;
const GAPS = 1000;
const EXAMPLES = 5;
const PAGE = 5000;

function networkOf(address: string): string | undefined {
  const ip = readIp(address);
  if (!ip || isLinkLocal(ip)) return undefined;
  const host = ip.family === 4 ? 8n : 64n;
  const base = (numberOf(ip.words) >> host) << host;
  return `${ipText(base, ip.family)}/${ip.family === 4 ? 24 : 64}`;
}

interface Machine {
  id: number;
  name: string;
  addresses: string[];
  assigned_site: string | null;
}

class Gaps {
  readonly #index: BoundaryIndex;
  readonly #bySubnet = new Map<string, Gap>();

  constructor(index: BoundaryIndex) {
    this.#index = index;
  }

  add(machine: Machine): void {
    const seen = new Set<Gap>();
    for (const address of machine.addresses) {
      const subnet = networkOf(address);
      if (subnet === undefined || this.#index.holds(address)) continue;
      let gap = this.#bySubnet.get(subnet);
      if (!gap) this.#bySubnet.set(subnet, (gap = { subnet, addresses: 0, machines: 0, unassigned: 0, examples: [] }));
      gap.addresses++;
      if (seen.has(gap)) continue;
      seen.add(gap);
      gap.machines++;
      if (machine.assigned_site === null) gap.unassigned++;
      if (gap.examples.length < EXAMPLES) gap.examples.push(machine.name);
    }
  }

  get count(): number {
    return this.#bySubnet.size;
  }

  /** largest gives those with the most machines; of equal ones the order is that of their names. */
  largest(): Gap[] {
    return [...this.#bySubnet.values()].sort((a, b) => b.machines - a.machines || (a.subnet < b.subnet ? -1 : 1)).slice(0, GAPS);
  }
}

/** report looks through all boundaries and all known machines. */
export async function report(sql: Sql, index: BoundaryIndex): Promise<Report> {
  const overlaps = overlapsOf(index.all, { limit: OVERLAPS });
  const gaps = new Gaps(index);
  let [machines, unassigned] = [0, 0];
  for (let after = 0; ;) {
    const page = await sql.query<Machine>(
      'select id, name, addresses, assigned_site from resource where id > $1 and not obsolete order by id limit $2',
      [after, PAGE],
    );
    for (const machine of page) {
      machines++;
      if (machine.assigned_site === null) unassigned++;
      gaps.add(machine);
    }
    if (page.length < PAGE) break;
    after = page.at(-1)!.id;
  }
  return {
    boundaries: index.all.length,
    overlaps: overlaps.items,
    moreOverlaps: overlaps.more,
    gaps: gaps.largest(),
    gapCount: gaps.count,
    machines,
    unassigned,
  };
}
