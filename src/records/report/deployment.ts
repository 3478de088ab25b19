import { deploymentOutcome, deploymentStates, deploymentStateText, TOPIC } from '#messages';
import { asks, columns, ofSite, percent, type Found, type Report, type ReportRow } from './report.ts';

interface Kind {
  /** Of the names of the reports. */
  word: 'assignment' | 'deployment';
  title: string;
  first: number;
  last: number;
}

/** State ids of topic 800 (facts F7): up to 402 of the installation, from 500 of the assignment that comes behind it. */
const KINDS: readonly Kind[] = [
  { word: 'assignment', title: 'Client assignment', first: 500, last: 700 },
  { word: 'deployment', title: 'Client deployment', first: 100, last: 402 },
];

/** stateIds gives the ids of an outcome, for a list in SQL. */
export function stateIds(wanted: ReturnType<typeof deploymentOutcome>): string {
  return Object.keys(deploymentStates)
    .filter((id) => deploymentOutcome(Number(id)) === wanted)
    .join(', ');
}

/** withMeaning adds what a state id means. */
export function withMeaning(row: ReportRow): ReportRow {
  const id = Number(row['stateId']);
  return { ...row, meaning: deploymentStateText(id), ...('outcome' in row && { outcome: deploymentOutcome(id) }) };
}

/** An exit code is kept as it was said; a signed HRESULT is shown as the positive number that it is searched by. */
export const EXIT_CODE = '(case when exit_code < 0 then exit_code + 4294967296 else exit_code end)';

/** memberByName is the condition that a machine of this name, which nobody proved, is a member of the collection that was asked for. */
export const memberByName = `(:collection::integer is null or exists (select from resource r join collection_member m on m.resource_id = r.id
    where m.collection_id = :collection::integer and r.name_key = s.name_key and not r.obsolete))`;

/**
 * One message for each machine: the last one that it proved, and only where there is none the last that somebody said at the fallback status
 * point, because anybody can say something there. What was said so after the proven word stands beside it.
 */
function lastOf({ first, last }: Kind, behind: string): string {
  const from = (
    table: string,
    proven: string,
  ) => `select name_key, upper(domain) as domain_key, name, domain, site, state_id, at, received_at,
      version, exit_code, detail, ${proven} as proven from ${table}
    where topic_type = ${TOPIC.clientDeployment} and state_id between ${first} and ${last} and received_at >= :since ${behind}`;
  return `select distinct on (name_key, domain_key) *, case when proven then said end as said_since from (
      select *, first_value(case when not proven then state_id end) over (partition by name_key, domain_key
          order by received_at desc, state_id desc) as said from (
        ${from('client_state', 'proven')} union all ${from('fallback_status', 'false')}) u
    ) v order by name_key, domain_key, proven desc, received_at desc, state_id desc`;
}

/** Behind a machine, or behind all machines of its name where no domain is said; and up to the end of the window. */
const BEHIND = `and name_key >= :after1::text and (name_key > :after1::text or upper(domain) > :after2::text)
      and (:after3::text is null or name_key <= :after3::text)`;

/** So many messages of each table are looked at in the first window; each next one is twice as large, up to the largest. */
const WINDOW = 4000;
const LARGEST = 64_000;

const DETAILS = {
  name: 'name of the machine, as it said',
  domain: 'its domain, as it said',
  site: 'site that it named',
  stateId: 'id of its last state message of topic 800',
  meaning: 'what that id means',
};
const MORE = {
  at: 'when the machine said so',
  receivedAt: 'when it was heard here',
  clientVersion: 'version of the client',
  exitCode: 'return code of the installation',
  detail: 'one sentence on what went wrong',
  proven: 'yes: from a machine that showed who it is, by its token or as an approved client; no: anybody may have said it',
  saidSince: 'state that somebody who proved nothing said of the machine after that',
};

function details(kind: Kind, which: string, also = ''): string {
  return `select s.name_key as key1, s.domain_key as key2, s.name, s.domain, s.site, s.state_id as "stateId", null as meaning, ${also} s.at,
      s.received_at as "receivedAt", s.version as "clientVersion", ${EXIT_CODE} as "exitCode", s.detail, s.proven, s.said_since as "saidSince"
    from (${lastOf(kind, BEHIND)}) s where ${which} and ${ofSite('s.site')} and ${memberByName}
    order by s.name_key, s.domain_key limit :limit`;
}

/**
 * inWindows makes `find` look at the machines window by window, in the order of their names: asked for all that follow, the server sorts all
 * messages there are for each page. A window ends with a name, so that no machine is cut in two.
 */
function inWindows(find: Report['find']): Report['find'] {
  return async (sql, asked, { after, limit }) => {
    const found: Found[] = [];
    let from: (string | undefined)[] = [...after];
    for (let size = WINDOW; ; size = Math.min(2 * size, LARGEST)) {
      const end = (table: string) => `(select name_key from ${table} where name_key > $1 order by name_key offset $2 limit 1)`;
      const [window] = await sql.query<{ name: string | null }>(
        `select least(${end('client_state')}, ${end('fallback_status')}) as name`,
        [from[0], size],
      );
      const name = window?.name ?? undefined;
      found.push(...(await find(sql, asked, { after: [from[0], from[1], name], limit: limit - found.length })));
      if (found.length >= limit || name === undefined) return found;
      from = [name];
    }
  };
}

function summary(kind: Kind): string {
  return `select site, state_id as "stateId", null as meaning, null as outcome, n as machines, ${percent('n', 'sum(n) over (partition by site)')} as percent,
      proven from (select s.site, s.state_id, count(*) as n, count(*) filter (where s.proven) as proven
      from (${lastOf(kind, '')}) s where ${ofSite('s.site')} and ${memberByName} group by 1, 2) x
    order by site nulls last, machines desc, state_id limit :limit`;
}

function reportsOf(kind: Kind): Report[] {
  const { word, title } = kind;
  const common = { family: 'Site - Client Information', parameters: ['site', 'collection', 'days'], days: 30 } as const;
  const paged = { ...common, first: ['', ''] };
  const one = (outcome: 'failed' | 'succeeded', name: string, says: string): Report => ({
    ...paged,
    name: `${word}-${name}`,
    title: `${title} ${name} details`,
    says,
    columns: columns({ ...DETAILS, ...MORE }),
    find: inWindows(asks(details(kind, `s.state_id in (${stateIds(outcome)})`), withMeaning)),
  });
  return [
    one(
      'failed',
      'failure',
      `Machines whose last word on their ${word} in those days was a failure; a proven word counts before others.`,
    ),
    {
      ...common,
      name: `${word}-status`,
      title: `${title} status summary`,
      says: `How many machines said which state of their ${word} last, for each site.`,
      columns: columns({
        site: DETAILS.site,
        stateId: DETAILS.stateId,
        meaning: DETAILS.meaning,
        outcome: 'going, succeeded or failed',
        machines: 'machines whose last word it was',
        percent: 'of all machines of the site that said something, in percent',
        proven: 'how many of them showed who they are',
      }),
      find: asks(summary(kind), withMeaning),
    },
    {
      ...paged,
      name: `${word}-status-details`,
      title: `${title} detailed status`,
      says: `The last word of each machine on its ${word} in those days.`,
      columns: columns({ ...DETAILS, outcome: 'going, succeeded or failed', ...MORE }),
      find: inWindows(asks(details(kind, 'true', 'null as outcome,'), withMeaning)),
    },
    one('succeeded', 'success', `Machines whose last word on their ${word} in those days was that it succeeded.`),
  ];
}

/** deploymentReports: assignment and deployment, of "Site - Client Information". */
export const deploymentReports: readonly Report[] = KINDS.flatMap(reportsOf);
