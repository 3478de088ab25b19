import { TOPIC } from '#messages';
import { EXIT_CODE, memberByName, stateIds, withMeaning } from './deployment.ts';
import { asks, columns, ofSite, type Report } from './report.ts';

const FAILED = `s.topic_type = ${TOPIC.clientDeployment} and s.state_id in (${stateIds('failed')}) and s.received_at >= :since
  and ${ofSite('s.site')} and ${memberByName}`;
const common = { family: 'Site - Client Information', parameters: ['site', 'collection', 'days'], days: 30 } as const;

/** fallbackStatusReports: the problems that were said at the fallback status point, where nobody proves who he is. */
export const fallbackStatusReports: readonly Report[] = [
  {
    ...common,
    name: 'fsp-problems',
    title: 'Problem details reported to the fallback status point',
    says: 'Every failure that was said at the fallback status point in those days, in the order in which it came; unsigned.',
    columns: columns({
      receivedAt: 'when it came',
      sender: 'address, or IPv6 /64, that it came from',
      name: 'name of the machine, as it said',
      domain: 'its domain, as it said',
      site: 'site that it named',
      stateId: 'state id of topic 800',
      meaning: 'what that id means',
      exitCode: 'return code of the installation',
      clientVersion: 'version of the client',
      detail: 'one sentence on what went wrong',
      topicId: 'the run of ccmsetup that it belongs to',
    }),
    first: ['0'],
    find: asks(
      `select s.id as key1, s.received_at as "receivedAt", s.sender, s.name, s.domain, s.site, s.state_id as "stateId", null as meaning,
         ${EXIT_CODE} as "exitCode", s.version as "clientVersion", s.detail, s.topic_id::text as "topicId"
       from fallback_status s where s.id > :after1::bigint and ${FAILED} order by s.id limit :limit`,
      withMeaning,
    ),
  },
  {
    ...common,
    name: 'fsp-problems-summary',
    title: 'Problem summary reported to the fallback status point',
    says: 'Which failures were said at the fallback status point in those days, and by how many machines; unsigned.',
    columns: columns({
      site: 'site that the machines named',
      stateId: 'state id of topic 800',
      meaning: 'what that id means',
      machines: 'different names that said so',
      messages: 'messages',
      lastAt: 'when the last one came',
    }),
    find: asks(
      `select s.site, s.state_id as "stateId", null as meaning, count(distinct (s.name_key, upper(s.domain))) as machines, count(*) as messages,
         max(s.received_at) as "lastAt" from fallback_status s where ${FAILED}
       group by 1, 2 order by 1 nulls last, machines desc, 2 limit :limit`,
      withMeaning,
    ),
  },
];
