import type { Log } from '#base/log';
import type { Clock } from '#base/clock';
import type { BoundaryRecord } from '#records/boundary';
import type { BranchRecord } from '#records/branch';
import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { DiscoveryRecord } from '#records/discovery';
import type { LinkRecord } from '#records/link';
import type { PackageRecord } from '#records/package';
import type { ResourceRecord } from '#records/resource';
import type { Site, SiteRecord } from '#records/site';
import type { ContentStore } from '#store/content';
import type { Database } from '#store/database';

/** FlowParts are the records between which and other sites things travel. */
export interface FlowParts {
  database: Database;
  content: ContentStore;
  site: SiteRecord;
  boundary: BoundaryRecord;
  resource: ResourceRecord;
  discovery: DiscoveryRecord;
  client: ClientRecord;
  ccr: CcrRecord;
  package: PackageRecord;
  link: LinkRecord;
  branch: BranchRecord;
  clock: Clock;
  log: Log;
}

type Placed = Pick<Site, 'code'> & { parent?: string | undefined };

/** isAtOrBelow tells whether a site is another one, or below it however deep. */
export function isAtOrBelow(sites: readonly Placed[], code: string, top: string): boolean {
  const parents = new Map(sites.map((site) => [site.code, site.parent]));
  const seen = new Set<string>();
  for (let at: string | undefined = code; at !== undefined && !seen.has(at); at = parents.get(at)) {
    if (at === top) return true;
    seen.add(at);
  }
  return false;
}
