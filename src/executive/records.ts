import type { Clock } from '#base/clock';
import type { Random } from '#base/random';
import { forwardDdrs } from '#components/flows';
import { AccountRecord, migrations as account } from '#records/account';
import { AuditRecord, migrations as audit } from '#records/audit';
import { BoundaryRecord, migrations as boundary } from '#records/boundary';
import { BranchRecord, migrations as branch } from '#records/branch';
import { CcrRecord, migrations as ccr } from '#records/ccr';
import { ClientRecord, migrations as client } from '#records/client';
import { CollectionRecord, migrations as collection } from '#records/collection';
import { DiscoveryRecord, migrations as discovery } from '#records/discovery';
import { DoctorRecord, migrations as doctor } from '#records/doctor';
import { FallbackStatusRecord, migrations as fallbackStatus } from '#records/fallback-status';
import { LinkRecord, migrations as link } from '#records/link';
import { MethodRecord, migrations as method } from '#records/method';
import { PackageRecord, migrations as packages } from '#records/package';
import { PolicyRecord, migrations as policy } from '#records/policy';
import { ReportRecord } from '#records/report';
import { ResourceRecord, migrations as resource } from '#records/resource';
import { SiteRecord, migrations as site } from '#records/site';
import type { Database } from '#store/database';

/** allMigrations are the tables of all records. */
export const allMigrations = [
  site,
  boundary,
  audit,
  account,
  packages,
  resource,
  client,
  ccr,
  collection,
  discovery,
  link,
  method,
  branch,
  doctor,
  policy,
  fallbackStatus,
];

/** Records are all of them, over one database. */
export interface Records {
  site: SiteRecord;
  boundary: BoundaryRecord;
  account: AccountRecord;
  package: PackageRecord;
  resource: ResourceRecord;
  client: ClientRecord;
  policy: PolicyRecord;
  ccr: CcrRecord;
  collection: CollectionRecord;
  discovery: DiscoveryRecord;
  method: MethodRecord;
  doctor: DoctorRecord;
  fallbackStatus: FallbackStatusRecord;
  report: ReportRecord;
  audit: AuditRecord;
  link: LinkRecord;
  branch: BranchRecord;
}

/** openRecords makes the records of a site. */
export function openRecords(database: Database, clock: Clock, random: Random): Records {
  const known = {
    site: new SiteRecord(database, clock, random),
    boundary: new BoundaryRecord(database, clock),
    resource: new ResourceRecord(database, clock),
    ccr: new CcrRecord(database, clock),
  };
  const link = new LinkRecord(database, clock, random);
  const client = new ClientRecord(database, clock, random, link.shared);
  return {
    ...known,
    account: new AccountRecord(database, clock),
    package: new PackageRecord(database, clock),
    client,
    policy: new PolicyRecord(database, clock, client),
    discovery: new DiscoveryRecord(database, clock, known, forwardDdrs({ ...known, link })),
    method: new MethodRecord(database, clock),
    doctor: new DoctorRecord(database, clock),
    fallbackStatus: new FallbackStatusRecord(database, clock),
    report: new ReportRecord(database, clock, known.boundary),
    collection: new CollectionRecord(database, clock),
    audit: new AuditRecord(database, clock),
    link,
    branch: new BranchRecord(database, clock),
  };
}
