import type { Command } from 'commander';
import { EXIT, fields, print, printJson, table } from '../output.ts';
import { numberOption, type Verbs } from '../verb.ts';

interface ClientJson {
  guid: string;
  name: string;
  domain?: string;
  fqdn?: string;
  addresses?: string[];
  os?: string;
  osVersion?: string;
  version: string;
  site?: string;
  approval: string;
  blocked: boolean;
  registeredAt: string;
  lastSeenAt?: string;
  lastAddress?: string;
}

interface StateJson {
  at: string;
  topicId: string;
  stateId: number;
  exitCode?: number;
  detail?: string;
  proven: boolean;
}

type Action = 'approve' | 'block' | 'unblock';

const actions: Record<Action, { does: string; done: string; already: string; isDone: (client: ClientJson) => boolean }> = {
  approve: {
    does: 'believe a pending client what it says of itself',
    done: 'approved',
    already: 'was approved already',
    isDone: (client) => client.approval === 'approved',
  },
  block: {
    does: 'refuse a client from now on: its registration, its heartbeat, its state messages',
    done: 'blocked',
    already: 'was blocked already',
    isDone: (client) => client.blocked,
  },
  unblock: {
    does: 'take a block back',
    done: 'unblocked',
    already: 'was not blocked',
    isDone: (client) => !client.blocked,
  },
};

/** clientVerbs: client list, show, approve, block, unblock, conflicts. */
export function clientVerbs(verbs: Verbs): void {
  const client = verbs.group('client', 'installed clients that registered');
  verbs
    .add<{ filter?: string; limit?: number; cursor?: string }>(client, {
      name: 'list',
      does: 'the clients, the newest registration first',
      examples: ['pushpoint client list --data ./p01'],
      run: (context, { filter, ...page }) =>
        context.withApi(async (api) => {
          const list = await api.list<ClientJson>('/clients', { filter }, page);
          if (context.json) printJson(list);
          else printClients(list.items, filter === undefined ? 'no client registered yet' : 'no client fits');
          return EXIT.ok;
        }),
    })
    .option('--filter <text>', 'only names that contain this')
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
  verbs.add(client, {
    name: 'show <name>',
    does: 'one client, by name or GUID, with what it said of its installation',
    examples: ['pushpoint client show LAB-W11-01 --data ./p01'],
    run: (context, _options, name) =>
      context.withApi(async (api) => {
        const item = await api.get<ClientJson & { states: StateJson[] }>(`/clients/${encodeURIComponent(name)}`);
        if (context.json) printJson(item);
        else showClient(item, item.states);
        return EXIT.ok;
      }),
  });
  verbs.add(client, {
    name: 'conflicts',
    does: 'pending clients that claim the name or the hardware of an approved one: decide with approve or block',
    examples: ['pushpoint client conflicts --data ./p01'],
    run: (context) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: ClientJson[] }>('/clients/conflicts');
        if (context.json) printJson({ items });
        else printClients(items, 'no conflicts');
        return EXIT.ok;
      }),
  });
  for (const action of Object.keys(actions) as Action[]) actionVerb(verbs, client, action);
}

function actionVerb(verbs: Verbs, client: Command, action: Action): void {
  const { does, done, already, isDone } = actions[action];
  verbs
    .add<{ dryRun?: boolean }>(client, {
      name: `${action} <name>`,
      does,
      examples: [
        `pushpoint client ${action} LAB-W11-01 --data ./p01`,
        `pushpoint client ${action} GUID:6F9619FF-8B86-D011-B42D-00C04FC964FF --data ./p01`,
      ],
      run: (context, options, name) =>
        context.withApi(async (api) => {
          const path = `/clients/${encodeURIComponent(name)}`;
          const dryRun = options.dryRun === true;
          const result = dryRun
            ? wouldBe(await api.get<ClientJson>(path), isDone)
            : await api.send<Result>('POST', `${path}/${action}`);
          if (context.json) printJson(result);
          else print(`${result.name} (${result.guid}) ${result.done ? `${dryRun ? 'would be ' : ''}${done}` : already}.`);
          return EXIT.ok;
        }),
    })
    .option('--dry-run', 'say what would be done');
}

function wouldBe({ guid, name, ...found }: ClientJson, isDone: (client: ClientJson) => boolean): Result {
  return { guid, name, done: !isDone({ guid, name, ...found }) };
}

/** What became of one client; `done` is false when it was so already. */
interface Result {
  guid: string;
  name: string;
  done: boolean;
}

function printClients(clients: ClientJson[], empty: string): void {
  const rows = clients.map((c) => [
    c.name,
    c.domain,
    c.version,
    c.blocked ? `${c.approval}, blocked` : c.approval,
    c.lastSeenAt,
    c.guid,
  ]);
  table(['NAME', 'DOMAIN', 'VERSION', 'APPROVAL', 'LAST SEEN', 'GUID'], rows, empty);
}

function showClient(item: ClientJson, states: StateJson[]): void {
  fields([
    ['name', item.name],
    ['guid', item.guid],
    ['domain', item.domain],
    ['fqdn', item.fqdn],
    ['addresses', item.addresses?.join(', ')],
    ['os', [item.os, item.osVersion].filter(Boolean).join(' ')],
    ['version', item.version],
    ['site', item.site],
    ['approval', item.approval],
    ['blocked', item.blocked],
    ['registered', item.registeredAt],
    ['last seen', item.lastSeenAt],
    ['last address', item.lastAddress],
  ]);
  if (states.length === 0) return;
  print('\nwhat it said of its installation:');
  for (const { at, stateId, exitCode, detail, proven } of states) {
    const code = exitCode === undefined || exitCode === null ? '' : `exit code ${exitCode}`;
    print(['  ' + at, `state ${stateId}`, code, detail, proven ? '' : '(not signed)'].filter(Boolean).join('  '));
  }
}
