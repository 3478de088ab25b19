import type { Clock } from '#base/clock';
import { catalogue, type Code } from '#base/errors';
import type { LinkRecord, LinkState } from '#records/link';
import type { Finding, Findings } from './findings.ts';

/** A line that works is heard of within half a minute, and tried again within a minute after a failure. */
const SILENT_MS = 2 * 60_000;
/** What waits so long is not just on its way. */
const WAITS_MS = 10 * 60_000;
const SKEW_MS = 60_000;

/** examineLines looks at the lines of this site: to its parent, and to each of its children. A site that has none has no such check. */
export async function examineLines(findings: Findings, link: Pick<LinkRecord, 'list'>, clock: Clock): Promise<void> {
  for (const line of await link.list()) {
    if (line.role === 'child' && line.state === 'removed') continue;
    const tried = `the line to the ${line.role} ${line.site}`;
    await findings.look({ group: 'site', name: `line-${line.site}`, tried }, async () => findingOfLine(line, clock.now()));
  }
}

/** findingOfLine judges one line: what keeps it down comes before what waits for it. */
export function findingOfLine(line: LinkState, now: Date): Finding {
  const { site, role, exchangedAt, error, backlog, oldestAt, rejected, skewMs } = line;
  const ago = (at: Date) => `${Math.max(0, Math.round((now.getTime() - at.getTime()) / 1000))} s ago`;
  const contact = exchangedAt ? `last contact ${ago(exchangedAt)}` : 'no contact since it joined';
  const waits =
    backlog === 0
      ? 'nothing waits to be sent'
      : `${backlog === 1 ? 'one item waits' : `${backlog} items wait`} to be sent${oldestAt ? `, the oldest since ${oldestAt.toISOString()}` : ''}`;
  const found = `${contact}; ${waits}${rejected > 0 ? `; ${rejected} of what came were put aside` : ''}`;
  const silent = now.getTime() - (exchangedAt ?? line.joinedAt).getTime() > SILENT_MS;
  if (line.state === 'removed')
    return {
      verdict: 'problem',
      found: `${site} removed this site at ${line.removedAt?.toISOString() ?? 'some time'}; ${waits}`,
      cause: 'Somebody removed this site at its parent. It works on by itself, and nothing travels between the two.',
      remedy: `Join it again with a new token of ${site}: pushpoint site token there, pushpoint site join here.`,
    };
  if (error) {
    const row = Object.hasOwn(catalogue, error.code) ? catalogue[error.code as Code] : undefined;
    return {
      verdict: 'problem',
      found: `${error.message}, since ${error.at.toISOString()}; ${found}`,
      code: row && error.code,
      cause: row?.cause ?? 'The last exchange failed.',
      remedy: row?.remedy ?? 'Look into logs/pushpoint.log of both sites.',
    };
  }
  if (silent)
    return {
      verdict: 'problem',
      found,
      cause:
        role === 'parent'
          ? 'No process of this site has the role hierarchy, or its connection hangs.'
          : `The child dials: ${site} does not run, or it cannot reach the points of this site (a firewall, a new address).`,
      remedy:
        role === 'parent'
          ? 'pushpoint up on the data folder; with --roles, hierarchy must be among them.'
          : `Run pushpoint doctor on the server of ${site}: it names what keeps its line down. What waits here is kept until then.`,
    };
  if (Math.abs(skewMs) > SKEW_MS)
    return {
      verdict: 'warning',
      found: `its clock is ${Math.abs(Math.round(skewMs / 1000))} s ${skewMs > 0 ? 'before' : 'behind'} ours; ${found}`,
      cause: 'One of the two servers has no source of time.',
      remedy: 'Let both take their time from the same server (chrony, systemd-timesyncd, the domain).',
    };
  if (oldestAt && now.getTime() - oldestAt.getTime() > WAITS_MS)
    return {
      verdict: 'warning',
      found,
      cause: 'The line works, but more is made than it carries, or the other site takes what comes only slowly.',
      remedy:
        'Look at pushpoint site list in a while: the number must fall. If it does not, look into logs/pushpoint.log of both sites.',
    };
  if (rejected > 0)
    return {
      verdict: 'warning',
      found,
      cause: 'What was put aside could not be taken in here, as when the two sites run versions that differ.',
      remedy: `pushpoint site list tells of it; bring both sites to the same version. What is put aside holds nothing else up.`,
    };
  return { found };
}
