import { raise } from '#base/errors';
import { checked, Pdr, SentDdr, type Ddr } from '#messages';
import type { Aside } from '#records/branch';
import type { OnStored } from '#records/discovery';
import type { LinkHandler, LinkItem, LinkRecord, Outgoing } from '#records/link';
import type { Device, ResourceRecord } from '#records/resource';
import type { Branch, SiteRecord } from '#records/site';
import type { Sql } from '#store/database';
import { isAtOrBelow, type FlowParts } from './branch.ts';

/** PDR is the method by which a site knows what its parent told it. */
const PDR = 'pdr';
/** So many DDRs that were put aside are judged in one transaction. */
const PAGE = 1000;

/** ddrOf is all that discovery knows of a machine, as one DDR. */
function ddrOf(device: Device): Ddr {
  const { name, domain, fqdn, guid, addresses, macs, os, osVersion, osBuild, architecture, type, adSite, smbPort, sshPort } =
    device;
  const all = { fqdn, guid, os, osVersion, osBuild, architecture, adSite, smbPort, sshPort };
  const told = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return { name, ...(domain && { domain }), addresses, macs, type, ...told };
}

/** pdrItem tells a site that a machine is its own, or of a site below it; or, to the one that it was moved from, that it is not. */
function pdrItem(device: Device): LinkItem {
  const { assignedSite: site } = device;
  const body: Pdr = { ddr: ddrOf(device), trusted: device.trusted, ...(site !== undefined && { site }) };
  return { kind: PDR, key: String(device.id), body };
}

/** What forwarding needs; it stands between discovery and the line, so it has fewer parts than the flows. */
interface ForwardParts {
  site: SiteRecord;
  resource: ResourceRecord;
  link: LinkRecord;
}

/**
 * forwardDdrs passes stored DDRs on: up to the parent as they came, and, where this is a primary, down to the site in whose boundaries the
 * machine is, as a PDR with all that is known of it (D1). It goes with the transaction that stores them.
 */
export function forwardDdrs({ site, resource, link }: ForwardParts): OnStored {
  return async (tx, ids, { method, site: from, trusted, ddrs, moved = [] }) => {
    const known = await site.branch(tx);
    if (known.sites.length < 2) return;
    if (method !== PDR) {
      const items = ddrs.map(({ id, ddr }): Outgoing => {
        const body: SentDdr = { ddr, method, site: from, trusted };
        return { to: 'parent', kind: 'ddr', key: `${method} ${from} ${id}`, body };
      });
      if (items.length > 0) await link.enqueue(tx, items);
    }
    if (known.here.kind !== 'primary') return;
    const same = new Set(ddrs.flatMap(({ id, outcome }) => (outcome === 'unchanged' ? [id] : [])));
    const was = new Map(moved.map(({ id, from: old }) => [id, old]));
    // Most machines of a site are its own, and nobody below has to hear of them.
    const away = await resource.elsewhere(
      ids.filter((id) => !same.has(id)),
      known.here.code,
      tx,
    );
    const devices = await resource.byIds([...new Set([...away, ...was.keys()])], tx);
    const items = devices.flatMap((device): Outgoing[] => {
      const sites = new Set([device.assignedSite, was.get(device.id)].flatMap((one) => childToward(known, one) ?? []));
      return [...sites].map((to) => ({ to, ...pdrItem(device) }));
    });
    for (const [to, some] of Map.groupBy(items, (item) => item.to))
      // Boundaries may name a site that has not joined, or was removed: then nothing leads there.
      if (await link.leadsTo(to, tx)) await link.enqueue(tx, some);
  };
}

/** childToward gives the site just below this one that is a site, or above it. A secondary's own primary stores the PDR too, and passes it on. */
function childToward({ here, sites }: Branch, site: string | undefined): string | undefined {
  if (site === undefined || site === here.code) return undefined;
  return sites.find(({ code, parent }) => parent === here.code && isAtOrBelow(sites, site, code))?.code;
}

interface Told extends Aside {
  sent: SentDdr;
}

/**
 * takeDdrs stores DDRs of sites below as if they had been discovered here. A site may tell of machines of its branch only, so that a site
 * that fell into wrong hands has nobody pushed to, and nothing changed, elsewhere: a DDR counts as much as its source does there where the
 * boundaries give its addresses to a site of the branch, and as a mere claim elsewhere (design section 5). Such claims are kept, and judged
 * again when the boundaries change.
 */
async function takeDdrs({ site, boundary, branch, discovery }: FlowParts, tx: Sql, told: readonly Told[]): Promise<number> {
  const { sites } = await site.branch(tx);
  const index = await boundary.index(tx);
  const judged = told.map((one) => {
    const { ddr, method, site: origin, trusted } = one.sent;
    // A machine's own claim stays one, whatever the site below says of it.
    const believed = trusted && method !== 'heartbeat' && method !== PDR;
    const place = believed ? index.judge({ addresses: ddr.addresses ?? [], adSite: ddr.adSite })?.site : undefined;
    const inside = place !== undefined && isAtOrBelow(sites, place, origin);
    return { ...one, believed, trusted: believed && inside };
  });
  for (const run of runsOf(
    judged,
    (a, b) => a.sent.method === b.sent.method && a.sent.site === b.sent.site && a.trusted === b.trusted,
  )) {
    const { trusted, sent } = run[0]!;
    const speaksFor = (assigned: string | undefined) => assigned === undefined || isAtOrBelow(sites, assigned, sent.site);
    await discovery.ingest(
      run.map((one) => one.sent.ddr),
      { method: sent.method, site: sent.site, trusted, speaksFor, via: tx },
    );
  }
  await branch.putAside(
    tx,
    judged.filter(({ believed, trusted }) => believed && !trusted).map(({ peer, key, body }) => ({ peer, key, body })),
  );
  const counting = judged.filter(({ trusted }) => trusted);
  await branch.dropAside(tx, counting);
  return counting.length;
}

/** judgeAside judges the DDRs again that were put aside, by the boundaries as they are now; it gives how many count now. */
export async function judgeAside(parts: FlowParts): Promise<number> {
  let counting = 0;
  let after: Aside | undefined;
  for (let more = true; more;)
    await parts.database.transaction(async (tx) => {
      const { sites } = await parts.site.branch(tx);
      const index = await parts.boundary.index(tx);
      const page = await parts.branch.asideAfter(tx, after, PAGE);
      const told = page.map((one): Told => ({ ...one, sent: checked(SentDdr, one.body, 'DDR') }));
      const inside = told.filter(({ sent: { ddr, site } }) => {
        const place = index.judge({ addresses: ddr.addresses ?? [], adSite: ddr.adSite })?.site;
        return place !== undefined && isAtOrBelow(sites, place, site);
      });
      if (inside.length > 0) counting += await takeDdrs(parts, tx, inside);
      after = page.at(-1);
      more = page.length === PAGE;
    });
  return counting;
}

/** ddrHandler takes DDRs of the sites below (takeDdrs). */
export function ddrHandler(parts: FlowParts): LinkHandler {
  const { site, resource } = parts;
  return {
    takesFrom: ['child'],
    async apply(tx, { from, items }) {
      const { sites } = await site.branch(tx);
      const told = items.map(({ key, body }) => ({ peer: from, key, body, sent: checked(SentDdr, body, 'DDR') }));
      const stranger = told.find(({ sent }) => !isAtOrBelow(sites, sent.site, from));
      if (stranger) throw raise('PP_LINK_NO_WAY', { site: stranger.sent.site });
      await takeDdrs(parts, tx, told);
    },
    async *snapshot(to) {
      if (to.role !== 'parent') return;
      const { here } = await site.branch();
      for await (const device of resource.each()) {
        const source = device.sources.find(({ method }) => method !== PDR);
        if (!source) continue;
        const { method, site: from, at } = source;
        const ddr = { ...ddrOf(device), at: at.toISOString() };
        const body: SentDdr = { ddr, method, site: from ?? here.code, trusted: device.trusted };
        yield { kind: 'ddr', key: `${method} ${from} ${device.id}`, body };
      }
    },
  };
}

/** pdrHandler takes PDRs of the parent: stored always; whether a CCR comes of one is for the own site-wide push (D1). */
export function pdrHandler({ site, discovery, resource }: FlowParts): LinkHandler {
  /** What was moved to another site is no business of this one any more; it stays known. */
  async function moveAway(tx: Sql, pdrs: readonly Pdr[]): Promise<void> {
    const found = await resource.findMany(
      pdrs.map(({ ddr }) => ({ name: ddr.name, domain: ddr.domain })),
      tx,
    );
    const sites = pdrs.flatMap((pdr, i) => (found[i]!.length === 1 ? [{ id: found[i]![0]!.id, site: pdr.site }] : []));
    await discovery.move(sites, tx);
  }
  return {
    takesFrom: ['parent'],
    async apply(tx, { from, items }) {
      const { here, sites } = await site.branch(tx);
      const isOurs = ({ site: its }: Pdr) => its !== undefined && isAtOrBelow(sites, its, here.code);
      const pdrs = items.map(({ body }) => checked(Pdr, body, 'PDR'));
      for (const run of runsOf(pdrs, (a, b) => a.trusted === b.trusted && isOurs(a) === isOurs(b)))
        if (!isOurs(run[0]!)) await moveAway(tx, run);
        else
          await discovery.ingest(
            run.map(({ ddr }) => ddr),
            { method: PDR, site: from, trusted: run[0]!.trusted, via: tx },
          );
    },
    async *snapshot(to) {
      if (to.role !== 'child') return;
      const { sites } = await site.branch();
      for await (const device of resource.each()) {
        const { assignedSite } = device;
        if (assignedSite !== undefined && isAtOrBelow(sites, assignedSite, to.site)) yield pdrItem(device);
      }
    },
  };
}

/** runsOf cuts a list where two neighbours differ; the order stays. */
function runsOf<T>(all: readonly T[], same: (a: T, b: T) => boolean): T[][] {
  const runs: T[][] = [];
  for (const one of all) {
    const last = runs.at(-1);
    if (last && same(last[0]!, one)) last.push(one);
    else runs.push([one]);
  }
  return runs;
}
