import type { Command } from 'commander';
import { usage } from '../failure.ts';
import { readText, wrongFile } from '../input.ts';
import { namesFrom } from '../names.ts';
import { EXIT, fields, note, noteMore, printDone, printJson, table } from '../output.ts';
import type { Api } from '../api.ts';
import { DRY_RUN, FILTER, numberOption, type Context, type Verbs } from '../verb.ts';

interface DeviceJson {
  name: string;
  domain?: string;
  fqdn?: string;
  addresses: string[];
  os?: string;
  osVersion?: string;
  architecture?: string;
  type: string;
  adSite?: string;
  assignedSite?: string;
  collections?: string[];
  siteWidePush?: { push: boolean; reason: string };
  trusted: boolean;
  smbPort?: number;
  sources: { method: string; site: string; at: string }[];
  client: { installed: boolean; version?: string; guid?: string; approval?: string; blocked?: boolean; lastSeenAt?: string };
}

interface ImportJson {
  added: number;
  changed: number;
  unchanged?: number;
  assigned?: number;
  requested?: number;
  ignored?: string[];
  rejected: { line: number; reason: string }[];
  /** Rows that told of a machine that an earlier row had told of. */
  repeated?: { line: number; name: string; first: number }[];
}

interface FieldJson {
  name: string;
  type: string;
  says: string;
  wants: string;
}

interface ListOptions {
  filter?: string;
  fields?: boolean;
  limit?: number;
  cursor?: string;
}

/** deviceVerbs: device import, list, reassign, show. */
export function deviceVerbs(verbs: Verbs): void {
  const device = verbs.group('device', 'machines as discovery knows them');
  verbs
    .add<{ dryRun?: boolean; map?: string }>(device, {
      name: 'import <file>',
      does: 'take in machines from CSV (name,domain,fqdn,ip,os,type), JSON, a .ddr file, or a list of names; - reads standard input. An import is a trusted source',
      examples: [
        'pushpoint device import machines.csv --data ./p01',
        'pushpoint device import rechner.csv --map "Rechner=name,IP-Adresse=ip" --dry-run --data ./p01',
        'pushpoint device import pc042.ddr --data ./p01',
        'pushpoint device list --json | jq .items | pushpoint device import - --data ./p02',
      ],
      run: (context, { dryRun, map }, file) =>
        context.withApi(async (api) => {
          const text = await readText(file);
          const type = typeOf(file, text);
          const result = await api.text<ImportJson>('/devices/import', new TextEncoder().encode(text), type, { dryRun, map });
          if (context.json) printJson(result);
          else {
            const same = result.unchanged === undefined ? '' : `${result.unchanged} unchanged, `;
            printDone(`${result.added} added, ${result.changed} changed, ${same}${result.rejected.length} rejected.`, dryRun);
            if (result.assigned) note(`${result.assigned} were assigned to a site by their boundaries`);
            if (result.requested) note(`${result.requested} get the client by site-wide push`);
            if (result.ignored?.length) note(`not understood and left out: ${result.ignored.join(', ')}`);
            const at = type === 'application/json' ? 'item' : 'line';
            for (const row of result.rejected) note(`${at} ${row.line}: ${row.reason}`);
            for (const { line, name, first } of result.repeated ?? [])
              note(`${at} ${line}: ${name} is the machine of ${at} ${first} again; the two were merged`);
          }
          return result.rejected.length ? EXIT.failed : EXIT.ok;
        }),
    })
    .option('--map <columns>', 'what columns are, where the header has words of its own: Rechner=name,IP-Adresse=ip')
    .option(...DRY_RUN);
  verbs
    .add<ListOptions>(device, {
      name: 'list',
      does: 'the machines',
      examples: [
        'pushpoint device list --data ./p01',
        'pushpoint device list --filter LAB --json',
        `pushpoint device list --filter 'os like "Windows 11*" and not client.installed and address in 10.1.0.0/16'`,
        `pushpoint device list --filter 'type in (server, dc) and lastSeen > 30d'`,
        'pushpoint device list --fields',
      ],
      run: (context, { filter, fields: wantsFields, ...page }) =>
        context.withApi(async (api) => {
          if (wantsFields) return listFields(context, api);
          const list = await api.list<DeviceJson>('/devices', { filter }, page);
          if (context.json) printJson(list);
          else
            table(
              ['NAME', 'DOMAIN', 'ADDRESS', 'SITE', 'TYPE', 'OS', 'CLIENT', 'LAST SEEN'],
              list.items.map((d) => [
                d.name,
                d.domain,
                d.addresses[0],
                d.assignedSite,
                d.type,
                d.os,
                clientText(d),
                d.client.lastSeenAt,
              ]),
              filter === undefined ? 'no machines yet: pushpoint device import FILE' : 'no machine fits',
            );
          if (!context.json) noteMore(list.next);
          return EXIT.ok;
        }),
    })
    .option('--filter <text>', FILTER)
    .option('--fields', 'show what a filter can ask for, instead of machines')
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
  reassignVerb(verbs, device);
  verbs.add(device, {
    name: 'show <name>',
    does: 'one machine',
    examples: ['pushpoint device show LAB-W11-01 --data ./p01'],
    run: (context, _options, name) =>
      context.withApi(async (api) => {
        const item = await api.get<DeviceJson>(`/devices/${encodeURIComponent(name)}`);
        if (context.json) printJson(item);
        else showDevice(item);
        return EXIT.ok;
      }),
  });
}

async function listFields(context: Context, api: Api): Promise<number> {
  const { items } = await api.get<{ items: FieldJson[] }>('/device-fields');
  if (context.json) printJson({ items, next: null });
  else
    table(
      ['FIELD', 'TYPE', 'IS', 'VALUE'],
      items.map(({ name, type, says, wants }) => [name, type, says, wants]),
    );
  return EXIT.ok;
}

interface ReassignJson {
  items: { name: string; from: string | null; to: string | null; boundary: string | null; address: string | null }[];
  changed: number;
  unchanged: number;
}

function reassignVerb(verbs: Verbs, device: Command): void {
  verbs
    .add<{ all?: boolean; filter?: string; file?: string; dryRun?: boolean }>(device, {
      name: 'reassign [names...]',
      does: 'assign machines anew by the boundaries as they are now; a change of boundaries alone moves no machine that has a site',
      examples: [
        'pushpoint device reassign LAB-W11-01 LAB-W11-02 --data ./p01',
        'pushpoint device reassign --all --dry-run --data ./p01',
        'pushpoint device reassign --filter BERLIN- --data ./p01',
      ],
      async run(context, { all, filter, file, dryRun }, ...given) {
        const names = await namesFrom(given, file);
        const ways = [names.length > 0, all === true, filter !== undefined].filter(Boolean).length;
        if (ways !== 1) throw usage('device reassign wants names (or -f FILE), --filter TEXT or --all: one of them');
        const body = names.length > 0 ? { names } : all ? { all } : { filter };
        return context.withApi(async (api) => {
          const done = await api.send<ReassignJson>('POST', '/devices/reassign', body, { dryRun });
          if (context.json) printJson(done);
          else {
            if (done.items.length > 0)
              table(
                ['NAME', 'FROM', 'TO', 'BY', 'ADDRESS'],
                done.items.map((i) => [i.name, i.from ?? 'none', i.to ?? 'none', i.boundary, i.address]),
              );
            printDone(`${done.changed} machines change their site, ${done.unchanged} stay.`, dryRun);
            if (done.changed > done.items.length) note(`the table shows the first ${done.items.length}`);
          }
          return EXIT.ok;
        });
      },
    })
    .option('--all', 'every machine')
    .option('--filter <text>', FILTER)
    .option('-f, --file <file>', 'names, one a line; - reads standard input')
    .option(...DRY_RUN);
}

/** An import is told by how it begins; a file that is broken is told by its name, before anything is sent. */
function typeOf(file: string, text: string): string {
  if (/^\s*[[{]/.test(text)) {
    try {
      JSON.parse(text);
    } catch (cause) {
      throw wrongFile(file, `it is not JSON: ${(cause as Error).message}`, cause);
    }
    return /\.ddr$/i.test(file) ? 'text/plain' : 'application/json';
  }
  const [first = ''] = text
    .replace(/^\uFEFF/, '')
    .trimStart()
    .split(/[\r\n]/, 1);
  // A list of names has neither columns nor a header.
  const isList = /^[<#]/.test(first) || /\.(ddr|txt)$/i.test(file) || /^[A-Za-z0-9.-]+\s*$/.test(first);
  return isList && !/^(name|computername|hostname|netbiosname)\s*$/i.test(first) ? 'text/plain' : 'text/csv';
}

function clientText({ client }: DeviceJson): string {
  return client.installed ? (client.version ?? 'yes') : '';
}

function showDevice(item: DeviceJson): void {
  const { client } = item;
  fields([
    ['name', item.name],
    ['domain', item.domain],
    ['fqdn', item.fqdn],
    ['addresses', item.addresses.join(', ')],
    ['type', item.type],
    ['os', [item.os, item.osVersion, item.architecture].filter(Boolean).join(' ')],
    ['SMB port', item.smbPort],
    ['AD site', item.adSite],
    ['assigned site', item.assignedSite],
    ['collections', item.collections?.join(', ')],
    ['site-wide push', item.siteWidePush?.reason],
    ['trusted', item.trusted],
    ['sources', item.sources.map((s) => `${s.method} (site ${s.site}, ${s.at})`).join(', ')],
    ['client', client.installed ? `${client.version ?? 'yes'} ${client.guid ?? ''}`.trim() : 'none known'],
    ['approval', client.approval],
    ['blocked', client.blocked === true ? true : undefined],
    ['last seen', client.lastSeenAt],
  ]);
}
