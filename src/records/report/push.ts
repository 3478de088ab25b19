import { asks, columns, ERROR, inCollection, ofSite, percent, type Report } from './report.ts';

/** What was asked for or worked on lately; live ones always. */
const LATELY = '(q.finished_at is null or q.finished_at >= :since)';
/** The machine of a CCR of a site below, which tells its name. */
const machineBelow = `(:collection::integer is null or exists (select from resource r join collection_member m on m.resource_id = r.id
    where m.collection_id = :collection::integer and r.name_key = q.name_key and not r.obsolete
      and (r.domain_key = upper(q.domain) or q.domain = '' or ccr_same_domain(r.domain_key, upper(q.domain)))))`;

/** pushReports: "Client Push". The columns are those of the site database since 2012 (facts A4). */
export const pushReports: readonly Report[] = [
  {
    name: 'push-status-summary',
    title: 'Client push installation status summary',
    family: 'Client Push',
    says: 'How many CCRs are in which state, and with which error, for each site, those below included.',
    parameters: ['site', 'collection', 'days'],
    days: 30,
    columns: columns({
      site: 'site that pushes',
      state: 'state of the CCR',
      code: ERROR.code,
      error: ERROR.error,
      ccrs: 'CCRs in that state with that error',
      percent: 'of all CCRs of the site, in percent',
    }),
    find: asks(`select site, state, code, error, n as ccrs, ${percent('n', 'sum(n) over (partition by site)')} as percent from (
        select q.site, q.state, case when q.state = 'complete' then 0 else coalesce(q.last_error_code, 0) end as code,
          case when q.state = 'complete' then null else q.last_error end as error, count(*) as n
        from (select q.site, q.state, q.last_error_code, q.last_error from ccr q
            where ${ofSite('q.site')} and ${inCollection('q.resource_id')} and ${LATELY}
          union all select q.site, q.state, q.last_error_code, q.last_error from branch_ccr q
            where ${ofSite('q.site')} and ${machineBelow} and ${LATELY}) q group by 1, 2, 3, 4) x
      order by site, ccrs desc, state, code, error limit :limit`),
  },
  {
    name: 'push-status-details',
    title: 'Client push installation status details',
    family: 'Client Push',
    says: 'Every CCR that is live or was finished in those days, of this site and of those below, in the order in which they were made.',
    parameters: ['site', 'collection', 'days'],
    days: 30,
    columns: columns({
      name: 'name of the machine',
      domain: 'its domain',
      site: 'site that pushes',
      state: 'state of the CCR',
      source: 'where the CCR came from',
      forced: 'whether it installs over a client that is there; empty: the site below does not tell',
      attempts: 'how often it was tried',
      firstRequestedAt: 'when it was asked for first',
      lastAttemptAt: 'when it was tried last',
      nextAttemptAt: 'when it is due again',
      finishedAt: 'when it ended',
      ...ERROR,
      account: 'push account that was used last',
      requestedBy: 'who asked for it',
    }),
    first: ['', '0'],
    // Those of this site, then of each site below; of those only what that site told.
    find: asks(`select * from ((select '' as key1, q.id as key2, q.name, q.domain, q.site, q.state, q.source, q.forced, q.attempts,
          q.first_requested_at as "firstRequestedAt", q.last_attempt_at as "lastAttemptAt", q.due_at as "nextAttemptAt",
          q.finished_at as "finishedAt", q.last_error_code as code, q.last_error as error, q.last_error_text as "errorText", q.account,
          q.requested_by as "requestedBy"
        from ccr q where :after1::text = '' and q.id > :after2::integer and ${ofSite('q.site')} and ${inCollection('q.resource_id')}
          and ${LATELY} order by q.id limit :limit)
      union all (select q.site, q.id, q.name, q.domain, q.site, q.state, q.source, null, q.attempts, q.first_requested_at, q.last_attempt_at,
          q.next_attempt_at, q.finished_at, q.last_error_code, q.last_error, null, null, null
        from branch_ccr q where (q.site, q.id) > (:after1::text, case when :after1::text = '' then 0 else :after2::integer end)
          and ${ofSite('q.site')} and ${machineBelow} and ${LATELY} order by q.site, q.id limit :limit)) q
      order by key1, key2 limit :limit`),
  },
];
