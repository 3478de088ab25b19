import { readFileSync } from 'node:fs';
import { raise } from '#base/errors';
import { EXIT, note, print, printJson, table } from '../output.ts';
import type { Verbs } from '../program.ts';

interface DeviceJson {
  name: string;
  domain?: string;
  fqdn?: string;
  addresses: string[];
  os?: string;
  type: string;
  assignedSite?: string;
  trusted: boolean;
  client: { installed: boolean; version?: string; lastSeenAt?: string };
}

interface ImportJson {
  added: number;
  changed: number;
  unchanged?: number;
  rejected: { line: number; reason: string }[];
}

/** deviceVerbs: device import, list, show. */
export function deviceVerbs(verbs: Verbs): void {
  const device = verbs.group('device', 'machines as discovery knows them');
  verbs.add(
    device,
    'import <file>',
    'take in machines from a CSV (name,domain,fqdn,ip,os,type) or JSON file; an import is a trusted source',
    ['pushpoint device import machines.csv --data ./p01'],
    (context, _options, file) =>
      context.withApi(async (api) => {
        let bytes: Uint8Array<ArrayBuffer>;
        try {
          bytes = new Uint8Array(readFileSync(file!));
        } catch (cause) {
          throw raise('PP_CLI_FILE', { file: file!, why: 'it cannot be read' }, { cause });
        }
        const type = /\.json$/i.test(file!) ? 'application/json' : 'text/csv';
        const result = await api.text<ImportJson>(`/devices/import`, bytes, type);
        if (context.json) printJson(result);
        else {
          print(`${result.added} added, ${result.changed} changed, ${result.rejected.length} rejected.`);
          for (const row of result.rejected) note(`line ${row.line}: ${row.reason}`);
        }
        return result.rejected.length ? EXIT.failed : EXIT.ok;
      }),
  );
  verbs
    .add<{ filter?: string; limit?: string }>(
      device,
      'list',
      'the machines',
      ['pushpoint device list --data ./p01', 'pushpoint device list --filter LAB --json'],
      (context, options) =>
        context.withApi(async (api) => {
          const items: DeviceJson[] = [];
          for await (const item of api.all<DeviceJson>('/devices', { filter: options.filter })) items.push(item);
          if (context.json) printJson({ items });
          else {
            table(
              ['NAME', 'DOMAIN', 'ADDRESS', 'TYPE', 'OS', 'CLIENT', 'LAST SEEN'],
              items.map((d) => [
                d.name,
                d.domain,
                d.addresses[0],
                d.type,
                d.os,
                d.client.installed ? (d.client.version ?? 'yes') : '',
                d.client.lastSeenAt,
              ]),
            );
          }
          return EXIT.ok;
        }),
    )
    .option('--filter <text>', 'only names that contain this');
  verbs.add(device, 'show <name>', 'one machine', ['pushpoint device show LAB-W11-01 --data ./p01'], (context, _options, name) =>
    context.withApi(async (api) => {
      printJson(await api.get(`/devices/${encodeURIComponent(name!)}`));
      return EXIT.ok;
    }),
  );
}
