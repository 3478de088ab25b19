import { EXIT, printJson, table } from '../output.ts';
import type { Verbs } from '../program.ts';

interface ClientJson {
  guid: string;
  name: string;
  domain?: string;
  version: string;
  approval: string;
  registeredAt: string;
  lastSeenAt?: string;
}

/** clientVerbs: client list, show. */
export function clientVerbs(verbs: Verbs): void {
  const client = verbs.group('client', 'installed clients that registered');
  verbs.add(client, 'list', 'the clients', ['pushpoint client list --data ./p01'], (context) =>
    context.withApi(async (api) => {
      const items: ClientJson[] = [];
      for await (const item of api.all<ClientJson>('/clients')) items.push(item);
      if (context.json) printJson({ items });
      else
        table(
          ['NAME', 'DOMAIN', 'VERSION', 'APPROVAL', 'LAST SEEN', 'GUID'],
          items.map((c) => [c.name, c.domain, c.version, c.approval, c.lastSeenAt, c.guid]),
        );
      return EXIT.ok;
    }),
  );
  verbs.add(client, 'show <name>', 'one client', ['pushpoint client show LAB-W11-01 --data ./p01'], (context, _options, name) =>
    context.withApi(async (api) => {
      printJson(await api.get(`/clients/${encodeURIComponent(name!)}`));
      return EXIT.ok;
    }),
  );
}
