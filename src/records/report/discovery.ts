import { FLAGGED, WITH_CLIENT } from '#records/resource';
import { asks, columns, inCollection, ofSite, type Report } from './report.ts';

const family = 'Site - Discovery';
/** So many names stand in one cell. */
const NAMES = 20;

const notDiscovered: Report = {
  name: 'not-discovered',
  title: 'Computers not discovered recently',
  family,
  says: 'Machines that no source has named in those days; a heartbeat is a source too.',
  parameters: ['site', 'collection', 'days'],
  days: 30,
  columns: columns({
    name: 'name of the machine',
    domain: 'its domain',
    site: 'site that it is assigned to',
    os: 'its system',
    discoveredAt: 'when a source named it last',
    method: 'which source that was',
    installed: 'whether it is flagged as installed',
    createdAt: 'since when it is known',
  }),
  first: ['', ''],
  find: asks(`select r.name_key as key1, r.domain_key as key2, r.name, r.domain, r.assigned_site as site, r.os, d.at as "discoveredAt", d.method,
      ${FLAGGED} is true as installed, r.created_at as "createdAt"
    from resource r ${WITH_CLIENT} left join lateral (
      select at, method from resource_source where resource_id = r.id order by at desc, method limit 1) d on true
    where not r.obsolete and (r.name_key, r.domain_key) > (:after1::text, :after2::text) and ${ofSite('r.assigned_site')}
      and ${inCollection('r.id')} and coalesce(d.at, r.created_at) < :since
    order by r.name_key, r.domain_key limit :limit`),
};

const notReporting: Report = {
  name: 'not-reporting',
  title: 'Clients not reporting',
  family,
  says: 'Clients that were not heard in those days, in the order in which they registered.',
  parameters: ['site', 'collection', 'days'],
  days: 14,
  columns: columns({
    name: 'name of the machine',
    domain: 'its domain',
    site: 'site that the client is assigned to',
    version: 'version of the client',
    lastSeenAt: 'when it was heard last',
    daysSilent: 'whole days since then',
    lastAddress: 'address that it spoke from',
    approval: 'approved, pending or rejected',
    blocked: 'whether it is blocked',
    guid: 'its SMSID',
  }),
  first: ['0'],
  find: asks(`select c.id as key1, c.name, c.domain, c.site, c.version, c.last_seen_at as "lastSeenAt",
      floor(extract(epoch from :now::timestamptz - c.last_seen_at) / 86400)::integer as "daysSilent", c.last_address as "lastAddress", c.approval,
      c.blocked, c.guid
    from client c where c.id > :after1::integer and not c.obsolete and c.last_seen_at < :since and ${ofSite('c.site')}
      and ${inCollection('c.resource_id')}
    order by c.id limit :limit`),
};

const duplicateMacs: Report = {
  name: 'duplicate-macs',
  title: 'Computers with duplicate MAC addresses',
  family,
  says: 'MAC addresses that more than one machine has: docks, cloned virtual machines, or one machine under two names.',
  parameters: ['site', 'collection'],
  columns: columns({
    mac: 'the MAC address',
    machines: 'machines that have it',
    names: `their names, the first ${NAMES}`,
  }),
  first: [''],
  find: asks(`select mac as key1, mac, count(*) as machines, array_to_string((array_agg(r.name order by r.name_key))[1:${NAMES}], ' ') as names
    from resource r cross join lateral (select distinct unnest(r.macs) as mac) x
    where not r.obsolete and mac > :after1::text and ${ofSite('r.assigned_site')} and ${inCollection('r.id')}
    group by mac having count(*) > 1 order by mac limit :limit`),
};

const sharedHardware: Report = {
  name: 'shared-hardware-ids',
  title: 'Clients that share a hardware id',
  family,
  says: 'Hardware ids that more than one client has which is not obsolete.',
  parameters: ['site', 'collection'],
  columns: columns({
    hardwareId: 'the hardware id, as it is compared',
    clients: 'clients that have it',
    names: `their names, the first ${NAMES}`,
    open: 'conflicts among them that wait for a decision (client conflicts)',
    ignored: 'whether it is listed as known to be bad, so that nothing is concluded from it',
  }),
  first: [''],
  find: asks(`select c.hardware_key as key1, c.hardware_key as "hardwareId", count(*) as clients,
      array_to_string((array_agg(c.name order by c.id))[1:${NAMES}], ' ') as names,
      (select count(*) from client_conflict k join client o on o.id = k.client_id
        where o.hardware_key = c.hardware_key and k.decided_at is null and k.holds) as open,
      exists (select from client_bad_hardware b where b.hardware_key = c.hardware_key) as ignored
    from client c where not c.obsolete and c.hardware_key > :after1::text and ${ofSite('c.site')} and ${inCollection('c.resource_id')}
    group by c.hardware_key having count(*) > 1 order by c.hardware_key limit :limit`),
};

/** discoveryReports: "Site - Discovery". */
export const discoveryReports: readonly Report[] = [notReporting, notDiscovered, duplicateMacs, sharedHardware];
