import { FLAGGED, WITH_CLIENT } from '#records/resource';
import { asks, columns, ERROR, inCollection, ofSite, percent, type Report } from './report.ts';

const family = 'Site - Client Information';

/**
 * The last that a push came to on a machine, of this site or of the one below that has it; found by name, because a CCR that is finished has
 * no index by machine.
 */
const LAST_CCR = `left join lateral (select * from (
      (select q.state, q.attempts, q.last_attempt_at, q.last_error_code, q.last_error, q.last_error_text, q.first_requested_at as at from ccr q
        where q.name_key = r.name_key and q.resource_id = r.id order by q.id desc limit 1)
      union all (select q.state, q.attempts, q.last_attempt_at, q.last_error_code, q.last_error, null, q.first_requested_at from branch_ccr q
        where q.name_key = r.name_key and (upper(q.domain) = r.domain_key or q.domain = '' or ccr_same_domain(r.domain_key, upper(q.domain)))
        order by q.first_requested_at desc limit 1)) q order by at desc limit 1) p on true`;

const assignedNotInstalled: Report = {
  name: 'assigned-not-installed',
  title: 'Computers assigned but not installed for a site',
  family,
  says: 'Machines that boundaries assign to a site and that have no client, with what the last push came to.',
  parameters: ['site', 'collection'],
  columns: columns({
    name: 'name of the machine',
    domain: 'its domain',
    site: 'site that it is assigned to',
    os: 'its system',
    type: 'workstation, server, dc or unknown',
    addresses: 'its addresses',
    discoveredAt: 'when a source named it last',
    ccrState: 'state of its last CCR; empty: never pushed',
    attempts: 'how often that was tried',
    lastAttemptAt: 'when it was tried last',
    ...ERROR,
  }),
  first: ['', ''],
  find: asks(`select r.name_key as key1, r.domain_key as key2, r.name, r.domain, r.assigned_site as site, r.os, r.type,
      array_to_string(r.addresses, ' ') as addresses, (select max(at) from resource_source where resource_id = r.id) as "discoveredAt",
      p.state as "ccrState", p.attempts, p.last_attempt_at as "lastAttemptAt", p.last_error_code as code, p.last_error as error,
      p.last_error_text as "errorText"
    from resource r ${WITH_CLIENT} ${LAST_CCR}
    where not r.obsolete and (r.name_key, r.domain_key) > (:after1::text, :after2::text) and r.assigned_site is not null
      and ${ofSite('r.assigned_site')} and ${inCollection('r.id')} and ${FLAGGED} is not true
    order by r.name_key, r.domain_key limit :limit`),
};

const byVersion: Report = {
  name: 'clients-by-version',
  title: 'Clients by version',
  family,
  says: 'How many clients of each site have which version, and how many of them were heard in those days.',
  parameters: ['site', 'collection', 'days'],
  days: 14,
  columns: columns({
    site: 'site that the clients are assigned to',
    version: 'version of the client',
    clients: 'clients that have it',
    percent: 'of all clients of the site, in percent',
    active: 'those that were heard in those days',
  }),
  find: asks(`select site, version, n as clients, ${percent('n', 'sum(n) over (partition by site)')} as percent, active from (
      select c.site, c.version, count(*) as n, count(*) filter (where c.last_seen_at >= :since) as active from client c
      where not c.obsolete and ${ofSite('c.site')} and ${inCollection('c.resource_id')} group by 1, 2) x
    order by site nulls last, n desc, version limit :limit`),
};

const perSite: Report = {
  name: 'clients-per-site',
  title: 'Count of computers and clients for each site',
  family,
  says: 'Machines that are assigned to each site, how many of them have a client, and how its clients stand.',
  parameters: ['site', 'collection', 'days'],
  days: 14,
  columns: columns({
    site: 'the site; empty: none',
    machines: 'machines that are assigned to it',
    installed: 'those of them that are flagged as installed',
    percent: 'installed, of its machines, in percent',
    clients: 'clients that registered and name the site as theirs',
    active: 'those that were heard in those days',
    pending: 'those that wait for approval',
    rejected: 'those that were rejected',
    blocked: 'those that are blocked',
  }),
  find: asks(`with machine as (select coalesce(r.assigned_site, '') as site, count(*) as machines, count(*) filter (where ${FLAGGED}) as installed
      from resource r ${WITH_CLIENT} where not r.obsolete and ${inCollection('r.id')} group by 1),
    known as (select coalesce(c.site, '') as site, count(*) as clients, count(*) filter (where c.last_seen_at >= :since) as active,
        count(*) filter (where c.approval = 'pending') as pending, count(*) filter (where c.approval = 'rejected') as rejected,
        count(*) filter (where c.blocked) as blocked
      from client c where not c.obsolete and ${inCollection('c.resource_id')} group by 1)
    select site, coalesce(machines, 0) as machines, coalesce(installed, 0) as installed, ${percent('installed', 'machines')} as percent,
      coalesce(clients, 0) as clients, coalesce(active, 0) as active, coalesce(pending, 0) as pending, coalesce(rejected, 0) as rejected,
      coalesce(blocked, 0) as blocked
    from machine full join known using (site) where ${ofSite('site')} order by site limit :limit`),
};

/** clientReports: who has a client, and which. */
export const clientReports: readonly Report[] = [assignedNotInstalled, byVersion, perSite];
