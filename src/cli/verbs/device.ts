import { readText, wrongFile } from '../input.ts';
import { EXIT, fields, note, printDone, printJson, table } from '../output.ts';
import { DRY_RUN, numberOption, type Verbs } from '../verb.ts';

interface DeviceJson {
  name: string;
  domain?: string;
  fqdn?: string;
  addresses: string[];
  os?: string;
  osVersion?: string;
  architecture?: string;
  type: string;
  assignedSite?: string;
  trusted: boolean;
  smbPort?: number;
  sources: { method: string; site: string; at: string }[];
  client: { installed: boolean; version?: string; guid?: string; approval?: string; blocked?: boolean; lastSeenAt?: string };
}

interface ImportJson {
  added: number;
  changed: number;
  unchanged?: number;
  ignored?: string[];
  rejected: { line: number; reason: string }[];
}

interface ListOptions {
  filter?: string;
  limit?: number;
  cursor?: string;
}

/** deviceVerbs: device import, list, show. */
export function deviceVerbs(verbs: Verbs): void {
  const device = verbs.group('device', 'machines as discovery knows them');
  verbs
    .add<{ dryRun?: boolean }>(device, {
      name: 'import <file>',
      does: 'take in machines from a CSV file (name,domain,fqdn,ip,os,type) or a JSON array; - reads standard input. An import is a trusted source',
      examples: [
        'pushpoint device import machines.csv --data ./p01',
        'pushpoint device list --json | jq .items | pushpoint device import - --data ./p02',
      ],
      run: (context, { dryRun }, file) =>
        context.withApi(async (api) => {
          const text = await readText(file);
          const type = typeOf(file, text);
          const result = await api.text<ImportJson>('/devices/import', new TextEncoder().encode(text), type, { dryRun });
          if (context.json) printJson(result);
          else {
            const same = result.unchanged === undefined ? '' : `${result.unchanged} unchanged, `;
            printDone(`${result.added} added, ${result.changed} changed, ${same}${result.rejected.length} rejected.`, dryRun);
            if (result.ignored?.length) note(`not understood and left out: ${result.ignored.join(', ')}`);
            for (const row of result.rejected) note(`${type === 'text/csv' ? 'line' : 'item'} ${row.line}: ${row.reason}`);
          }
          return result.rejected.length ? EXIT.failed : EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
  verbs
    .add<ListOptions>(device, {
      name: 'list',
      does: 'the machines',
      examples: ['pushpoint device list --data ./p01', 'pushpoint device list --filter LAB --json'],
      run: (context, { filter, ...page }) =>
        context.withApi(async (api) => {
          const list = await api.list<DeviceJson>('/devices', { filter }, page);
          if (context.json) printJson(list);
          else
            table(
              ['NAME', 'DOMAIN', 'ADDRESS', 'TYPE', 'OS', 'CLIENT', 'LAST SEEN'],
              list.items.map((d) => [d.name, d.domain, d.addresses[0], d.type, d.os, clientText(d), d.client.lastSeenAt]),
              filter === undefined ? 'no machines yet: pushpoint device import FILE' : 'no machine fits',
            );
          return EXIT.ok;
        }),
    })
    .option('--filter <text>', 'only names that contain this')
    .addOption(numberOption('--limit <n>', 'one page of this many', 1, 1000))
    .option('--cursor <text>', 'the page after the one whose `next` this was');
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

/** An import is JSON when it begins like JSON; a file that is broken is told by its name, before anything is sent. */
function typeOf(file: string, text: string): string {
  if (!/^\s*[[{]/.test(text)) return 'text/csv';
  try {
    JSON.parse(text);
  } catch (cause) {
    throw wrongFile(file, `it is not JSON: ${(cause as Error).message}`, cause);
  }
  return 'application/json';
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
    ['assigned site', item.assignedSite],
    ['trusted', item.trusted],
    ['sources', item.sources.map((s) => `${s.method} (site ${s.site}, ${s.at})`).join(', ')],
    ['client', client.installed ? `${client.version ?? 'yes'} ${client.guid ?? ''}`.trim() : 'none known'],
    ['approval', client.approval],
    ['blocked', client.blocked === true ? true : undefined],
    ['last seen', client.lastSeenAt],
  ]);
}
