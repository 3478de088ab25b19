import type { Command } from 'commander';
import type { Api } from '../api.ts';
import { usage } from '../failure.ts';
import { namesFrom } from '../names.ts';
import { EXIT, fields, note, noteMore, print, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, FILTER, numberOption, type Context, type Verbs } from '../verb.ts';

interface CollectionJson {
  name: string;
  comment: string;
  builtin: boolean;
  query?: string;
  under?: string;
  limitedTo?: string;
  include: string[];
  exclude: string[];
  direct: number;
  members: number;
  everyMinutes: number;
  createdAt?: string;
  createdBy: string;
  evaluatedAt?: string;
  evaluationMs?: number;
  error?: string;
}

interface MemberJson {
  name: string;
  domain?: string;
  addresses: string[];
  assignedSite?: string;
  type: string;
  os?: string;
  client: { installed: boolean; version?: string };
}

interface CreateOptions {
  query?: string;
  comment?: string;
  under?: string;
  limitTo?: string;
  include?: string[];
  exclude?: string[];
  file?: string;
  every?: number;
  dryRun?: boolean;
}

interface ChangeOptions {
  include?: string[];
  exclude?: string[];
  file?: string;
  dryRun?: boolean;
}

const pathOf = (name: string, more = '') => `/collections/${encodeURIComponent(name)}${more}`;
const collect = (value: string, before: string[] = []) => [...before, value];
const INCLUDE = ['--include <collection>', 'its members are members too; may be given several times', collect] as const;
const EXCLUDE = [
  '--exclude <collection>',
  'its members are no members, whatever else says so; may be given several times',
  collect,
] as const;
const FILE = ['-f, --file <file>', 'names of machines, one a line; - reads standard input'] as const;
const machines = (n: number) => (n === 1 ? '1 machine' : `${n} machines`);

/** collectionVerbs: collection create, list, show, members, add, remove, evaluate, delete. */
export function collectionVerbs(verbs: Verbs): void {
  const group = verbs.group('collection', 'groups of machines: by a query, one by one, or of other collections');
  createVerb(verbs, group);
  showVerbs(verbs, group);
  setVerb(verbs, group);
  changeVerb(verbs, group, 'add', 'put machines, or the members of other collections, into a collection');
  changeVerb(verbs, group, 'remove', 'take machines that were put in one by one, or rules about other collections, out again');
  verbs.add(group, {
    name: 'evaluate [collection]',
    does: 'judge all machines anew, for one collection and those made of it, or for all; it happens by itself too',
    examples: ['pushpoint collection evaluate --data ./p01', 'pushpoint collection evaluate "Berlin" --json'],
    run: (context, _options, name) =>
      context.withApi(async (api) => {
        const done = await api.send<{
          items: { name: string; come: number; gone: number; members: number; ms: number; error?: string }[];
        }>('POST', '/collections/evaluate', { name });
        if (context.json) printJson({ ...done, next: null });
        else
          table(
            ['NAME', 'MEMBERS', 'NEW', 'GONE', 'TOOK', 'ERROR'],
            done.items.map((i) => [i.name, i.members, i.come, i.gone, `${i.ms} ms`, i.error]),
          );
        return done.items.some((i) => i.error !== undefined) ? EXIT.failed : EXIT.ok;
      }),
  });
  verbs
    .add<{ dryRun?: boolean }>(group, {
      name: 'delete <collection>',
      does: 'forget a collection; its machines stay',
      examples: ['pushpoint collection delete "Berlin" --data ./p01'],
      run: (context, { dryRun }, name) =>
        context.withApi(async (api) => {
          const gone = await api.send<CollectionJson>('DELETE', pathOf(name), {}, { dryRun });
          if (context.json) printJson(gone);
          else printDone(`collection ${gone.name} with ${machines(gone.members)} deleted.`, dryRun);
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}

function createVerb(verbs: Verbs, group: Command): void {
  verbs
    .add<CreateOptions>(group, {
      name: 'create <collection> [machines...]',
      does: 'make a collection and say how many machines are in it',
      examples: [
        `pushpoint collection create "Berlin" --query 'address in 10.1.0.0/16 and type = workstation' --data ./p01`,
        `pushpoint collection create "Silent" --query 'client.installed and lastSeen > 30d' --every 30 --dry-run --data ./p01`,
        'pushpoint collection create "Pilot" LAB-W11-01 LAB-W11-02 --under "Berlin" --data ./p01',
        'pushpoint collection create "Rest" --include "All Windows Workstations" --exclude "Pilot" --data ./p01',
      ],
      run: async (context, { dryRun, file, every, query, comment, under, limitTo, include, exclude }, name, ...rest) => {
        const names = await namesFrom(rest, file);
        const given = { query, comment, under, limitTo, include, exclude, everyMinutes: every };
        const body = { ...given, name, names: names.length > 0 ? names : undefined };
        return context.withApi(async (api) => {
          const made = await api.send<CollectionJson>('POST', '/collections', body, { dryRun });
          if (context.json) printJson(made);
          else printDone(`collection ${made.name} made; ${machines(made.members)} in it.`, dryRun);
          return EXIT.ok;
        });
      },
    })
    .option('--query <filter>', 'machines that fit this filter are members (docs/collections.md)')
    .option(...INCLUDE)
    .option(...EXCLUDE)
    .option('--limit-to <collection>', 'only members of that one can be members')
    .option('--under <collection>', 'make it a subcollection of that one; a push to that one means both')
    .option(...FILE)
    .option('--comment <text>', 'what it is for')
    .addOption(
      numberOption(
        '--every <minutes>',
        'judge all machines anew so often (default: a day; an hour where time decides)',
        1,
        525_600,
      ),
    )
    .option(...DRY_RUN);
}

interface SetOptions {
  query?: string | false;
  comment?: string;
  under?: string | false;
  limitTo?: string | false;
  rename?: string;
  every?: number;
  dryRun?: boolean;
}

function setVerb(verbs: Verbs, group: Command): void {
  verbs
    .add<SetOptions>(group, {
      name: 'set <collection>',
      does: 'change the query of a collection, its name, what it is limited to, where it stands; what is not named stays',
      examples: [
        `pushpoint collection set "Berlin" --query 'address in (10.1.0.0/16, 10.7.0.0/16)' --dry-run --data ./p01`,
        'pushpoint collection set "Pilot" --rename "First" --under "Berlin" --data ./p01',
        'pushpoint collection set "Pilot" --no-query --no-limit-to --data ./p01',
      ],
      run: (context, { dryRun, query, under, limitTo, rename, comment, every }, name) => {
        const orNone = (value: string | false | undefined) => (value === false ? null : value);
        const given = { name: rename, comment, everyMinutes: every };
        const body = { ...given, query: orNone(query), under: orNone(under), limitTo: orNone(limitTo) };
        if (Object.values(body).every((value) => value === undefined))
          throw usage('collection set wants --query, --limit-to, --under, --rename, --every or --comment');
        return context.withApi(async (api) => {
          const set = await api.send<CollectionJson>('PATCH', pathOf(name), body, { dryRun });
          if (context.json) printJson(set);
          else printDone(`collection ${set.name} changed; ${machines(set.members)} in it.`, dryRun);
          return EXIT.ok;
        });
      },
    })
    .option('--query <filter>', 'machines that fit this filter are members (docs/collections.md)')
    .option('--no-query', 'no machine is a member by a query any more')
    .option('--limit-to <collection>', 'only members of that one can be members')
    .option('--no-limit-to', 'every machine can be a member')
    .option('--under <collection>', 'make it a subcollection of that one')
    .option('--no-under', 'let it stand by itself')
    .option('--rename <name>', 'another name')
    .option('--comment <text>', 'what it is for')
    .addOption(numberOption('--every <minutes>', 'judge all machines anew so often', 1, 525_600))
    .option(...DRY_RUN);
}

function showVerbs(verbs: Verbs, group: Command): void {
  verbs.add(group, {
    name: 'list',
    does: 'the collections and how many machines are in each',
    examples: ['pushpoint collection list --data ./p01', 'pushpoint collection list --json'],
    run: (context) =>
      context.withApi(async (api) => {
        const { items } = await api.get<{ items: CollectionJson[] }>('/collections');
        if (context.json) printJson({ items, next: null });
        else
          table(
            ['NAME', 'MEMBERS', 'UNDER', 'EVALUATED', 'QUERY'],
            items.map((c) => [
              c.name,
              c.members,
              c.under,
              c.evaluatedAt ?? 'never',
              c.error ? `cannot be evaluated: ${c.error}` : c.query,
            ]),
          );
        return EXIT.ok;
      }),
  });
  verbs.add(group, {
    name: 'show <collection>',
    does: 'one collection: what makes it, and when it was evaluated',
    examples: ['pushpoint collection show "Systems without a client" --data ./p01'],
    run: (context, _options, name) =>
      context.withApi(async (api) => {
        const item = await api.get<CollectionJson>(pathOf(name));
        if (context.json) printJson(item);
        else show(item);
        return EXIT.ok;
      }),
  });
  verbs
    .add<{ subcollections?: boolean; filter?: string; limit?: number; cursor?: string }>(group, {
      name: 'members <collection>',
      does: 'the machines of a collection',
      examples: [
        'pushpoint collection members "Berlin" --data ./p01',
        `pushpoint collection members "Berlin" --subcollections --filter 'os like "*11*"' --json`,
      ],
      run: (context, { subcollections, filter, ...page }, name) =>
        context.withApi(async (api) => {
          const list = await api.list<MemberJson>(pathOf(name, '/members'), { subcollections, filter }, page);
          if (context.json) printJson(list);
          else
            table(
              ['NAME', 'DOMAIN', 'ADDRESS', 'SITE', 'TYPE', 'OS', 'CLIENT'],
              list.items.map((d) => [
                d.name,
                d.domain,
                d.addresses[0],
                d.assignedSite,
                d.type,
                d.os,
                d.client.installed ? (d.client.version ?? 'yes') : '',
              ]),
              'no machine is in it',
            );
          if (!context.json) noteMore(list.next);
          return EXIT.ok;
        }),
    })
    .option('--subcollections', 'also the machines of the collections under it')
    .option('--filter <text>', `of them only ${FILTER}`)
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
}

function changeVerb(verbs: Verbs, group: Command, verb: 'add' | 'remove', does: string): void {
  const command = verbs
    .add<ChangeOptions>(group, {
      name: `${verb} <collection> [machines...]`,
      does,
      examples: [
        `pushpoint collection ${verb} "Pilot" LAB-W11-03 --data ./p01`,
        `pushpoint collection ${verb} "Pilot" --exclude "All Windows Servers" --data ./p01`,
      ],
      run: async (context, { file, dryRun, include, exclude }, name, ...given) => {
        const names = await namesFrom(given, file);
        if (names.length === 0 && !include && !exclude)
          throw usage(`collection ${verb} wants names of machines (or -f FILE), --include or --exclude`);
        return context.withApi(async (api) =>
          changeOf(context, api, verb, name, { include, exclude, names: names.length > 0 ? names : undefined }, dryRun),
        );
      },
    })
    .option(...FILE);
  command
    .option(...INCLUDE)
    .option(...EXCLUDE)
    .option(...DRY_RUN);
}

async function changeOf(
  context: Context,
  api: Api,
  verb: string,
  name: string,
  body: Record<string, unknown>,
  dryRun: boolean | undefined,
): Promise<number> {
  const changed = await api.send<CollectionJson>('POST', pathOf(name, `/${verb}`), body, { dryRun });
  if (context.json) printJson(changed);
  else printDone(`${machines(changed.members)} in collection ${changed.name}.`, dryRun);
  return EXIT.ok;
}

function show(item: CollectionJson): void {
  fields([
    ['name', item.name],
    ['comment', item.comment],
    ['members', item.members],
    ['query', item.query],
    ['machines one by one', item.direct || undefined],
    ['includes', item.include.join(', ')],
    ['excludes', item.exclude.join(', ')],
    ['limited to', item.limitedTo],
    ['under', item.under],
    ['evaluated', item.evaluatedAt ? `${item.evaluatedAt}, in ${item.evaluationMs} ms` : 'never'],
    ['every', `${item.everyMinutes} minutes, and each machine when it changes`],
    ['made by', item.createdBy],
    ['made', item.createdAt],
  ]);
  if (item.error !== undefined) note(`it cannot be evaluated, and its members are those of before: ${item.error}`);
  if (item.evaluatedAt === undefined)
    print('Its members are known after pushpoint collection evaluate, or a moment after pushpoint up.');
}
