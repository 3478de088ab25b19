import type { Command } from 'commander';
import { usage } from '../failure.ts';
import { EXIT, fields, noteMore, print, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, numberOption, type Verbs } from '../verb.ts';
import { conflictVerbs, type ClientJson } from './client-conflicts.ts';
import { askVerbs } from './policy.ts';

interface StateJson {
  at: string;
  topicId: string;
  stateId: number;
  exitCode?: number;
  detail?: string;
  proven: boolean;
}

interface EventJson {
  at: string;
  what: string;
  by: string;
  detail?: Record<string, unknown> | null;
}

interface ListOptions {
  filter?: string;
  site?: string;
  approval?: string;
  blocked?: boolean;
  limit?: number;
  cursor?: string;
}

type Action = 'approve' | 'reject' | 'block' | 'unblock';

const actions: Record<Action, { does: string; done: string; already: string }> = {
  approve: {
    does: 'believe a client what it says of itself: from then on it gets all policy, and its DDRs count',
    done: 'approved',
    already: 'was approved already',
  },
  reject: {
    does: 'say no to a client: it stays in the list, and nothing it says counts; approve takes it back',
    done: 'rejected',
    already: 'was rejected already',
  },
  block: {
    does: 'refuse a client from now on: its registration, its heartbeat, its state messages, its policy',
    done: 'blocked',
    already: 'was blocked already',
  },
  unblock: {
    does: 'take a block back; what the client was before, it is again',
    done: 'unblocked',
    already: 'was not blocked',
  },
};

/** clientVerbs: client list, show, approve, reject, block, unblock, delete, and those about conflicts. */
export function clientVerbs(verbs: Verbs): void {
  const client = verbs.group('client', 'installed clients that registered');
  listVerb(verbs, client);
  verbs.add(client, {
    name: 'show <name>',
    does: 'one client, by name or GUID: what was decided about it, and what it said of its installation',
    examples: ['pushpoint client show LAB-W11-01 --data ./p01'],
    run: (context, _options, name) =>
      context.withApi(async (api) => {
        const item = await api.get<ClientJson & { states: StateJson[]; history: EventJson[] }>(
          `/clients/${encodeURIComponent(name)}`,
        );
        if (context.json) printJson(item);
        else showClient(item, item.history, item.states);
        return EXIT.ok;
      }),
  });
  for (const action of Object.keys(actions) as Action[]) actionVerb(verbs, client, action);
  conflictVerbs(verbs, client);
  askVerbs(verbs, client);
  verbs
    .add<{ dryRun?: boolean }>(client, {
      name: 'delete <name>',
      does: 'forget a client with its history; one that is still there registers again and waits as a new one does',
      examples: ['pushpoint client delete GUID:6F9619FF-8B86-D011-B42D-00C04FC964FF --data ./p01'],
      run: (context, { dryRun }, name) =>
        context.withApi(async (api) => {
          const done = await api.send<Result>('DELETE', `/clients/${encodeURIComponent(name)}`, undefined, { dryRun });
          if (context.json) printJson(done);
          else printDone(`${done.name} (${done.guid}) deleted.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}

function listVerb(verbs: Verbs, client: Command): void {
  verbs
    .add<ListOptions>(client, {
      name: 'list',
      does: 'the clients, the newest registration first',
      examples: ['pushpoint client list --data ./p01', 'pushpoint client list --approval pending --data ./p01'],
      run: (context, { filter, site, approval, blocked, ...page }) => {
        if (approval !== undefined && !['approved', 'pending', 'rejected'].includes(approval))
          throw usage('--approval is one of approved, pending, rejected');
        return context.withApi(async (api) => {
          const wanted = { filter, site, approval, ...(blocked && { blocked: 'true' }) };
          const list = await api.list<ClientJson>('/clients', wanted, page);
          const isNarrowed = Object.values(wanted).some((value) => value !== undefined);
          if (context.json) printJson(list);
          else printClients(list.items, isNarrowed ? 'no client fits' : 'no client registered yet');
          if (!context.json) noteMore(list.next);
          return EXIT.ok;
        });
      },
    })
    .option('--filter <text>', 'only names that contain this')
    .option('--site <code>', 'only those of this site')
    .option('--approval <state>', 'only those that are approved, pending or rejected')
    .option('--blocked', 'only those that are blocked')
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
}

function actionVerb(verbs: Verbs, client: Command, action: Action): void {
  const { does, done, already } = actions[action];
  verbs
    .add<{ ifName?: string; ifKey?: string; dryRun?: boolean }>(client, {
      name: `${action} <name>`,
      does,
      examples: [
        `pushpoint client ${action} LAB-W11-01 --data ./p01`,
        `pushpoint client ${action} GUID:6F9619FF-8B86-D011-B42D-00C04FC964FF --data ./p01`,
      ],
      run: (context, { ifName, ifKey, dryRun }, name) =>
        context.withApi(async (api) => {
          const path = `/clients/${encodeURIComponent(name)}/${action}`;
          const result = await api.send<Result>('POST', path, { ifName: ifName ?? nameIn(name), ifKey }, { dryRun });
          if (context.json) printJson(result);
          else print(`${result.name} (${result.guid}) ${result.done ? `${dryRun ? 'would be ' : ''}${done}` : already}.`);
          return EXIT.ok;
        }),
    })
    .option('--if-name <name>', 'only while it calls itself so, as client list showed it')
    .option('--if-key <key>', 'only while it has this key, as client show tells it')
    .option('--dry-run', 'say what would be done');
}

/** nameIn gives the name by which a client was named: it has to have that name still when the site decides. */
const nameIn = (given: string): string | undefined => (given.startsWith('GUID:') ? undefined : given);

/** What became of one client; `done` is false when it was so already. */
interface Result {
  guid: string;
  name: string;
  done: boolean;
}

function standing({ approval, blocked, obsolete }: ClientJson): string {
  return [approval, blocked && 'blocked', obsolete && 'obsolete'].filter(Boolean).join(', ');
}

function printClients(clients: ClientJson[], empty: string): void {
  const rows = clients.map((c) => [c.name, c.domain, c.version, standing(c), c.lastSeenAt, c.guid]);
  table(['NAME', 'DOMAIN', 'VERSION', 'APPROVAL', 'LAST SEEN', 'GUID'], rows, empty);
}

function detailOf(detail: EventJson['detail']): string {
  return Object.entries(detail ?? {})
    .map(([key, value]) => `${key} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
}

const PROOFS: Record<string, string> = { token: 'the token of a push', domain: 'its domain', setting: 'the setting for all' };

function showClient(item: ClientJson, history: EventJson[], states: StateJson[]): void {
  const by = item.approvedBy === undefined ? '' : ` by ${PROOFS[item.approvedBy] ?? item.approvedBy}`;
  fields([
    ['name', item.name],
    ['guid', item.guid],
    ['domain', item.domain],
    ['fqdn', item.fqdn],
    ['addresses', item.addresses?.join(', ')],
    ['os', [item.os, item.osVersion].filter(Boolean).join(' ')],
    ['version', item.version],
    ['site', item.site],
    ['approval', `${item.approval}${by}`],
    ['proven by', item.provenBy && (PROOFS[item.provenBy] ?? item.provenBy)],
    ['blocked', item.blocked],
    ['obsolete', item.obsolete || undefined],
    ['hardware id', item.hardwareId],
    ['key', item.keyId],
    ['asked of it', Object.keys(item.wanted ?? {}).join(', ')],
    ['registered', item.registeredAt],
    ['last seen', item.lastSeenAt],
    ['last address', item.lastAddress],
  ]);
  if (history.length > 0) print('\nwhat happened to it, and who decided:');
  for (const { at, what, by: who, detail } of history)
    print(['  ' + at, what, `by ${who}`, detailOf(detail)].filter(Boolean).join('  '));
  if (states.length === 0) return;
  print('\nwhat it said of its installation:');
  for (const { at, stateId, exitCode, detail, proven } of states) {
    const code = exitCode === undefined || exitCode === null ? '' : `exit code ${exitCode}`;
    print(['  ' + at, `state ${stateId}`, code, detail, proven ? '' : '(not signed)'].filter(Boolean).join('  '));
  }
}
