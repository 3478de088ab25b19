import { createSite } from '#executive';
import { EXIT, print, printJson, table, usage } from '../output.ts';
import type { Verbs } from '../program.ts';

interface SiteJson {
  code: string;
  kind: string;
  parent?: string;
  own: boolean;
  createdAt: string;
}

/** siteVerbs: site create, site list, site settings, point set. */
export function siteVerbs(verbs: Verbs): void {
  const site = verbs.group('site', 'sites and their settings');
  verbs
    .add<{ listen?: string; console?: string; database?: string }>(
      site,
      'create <code>',
      'make a primary site in a new data folder',
      [
        'pushpoint site create P01 --data /srv/pushpoint',
        'pushpoint site create P01 --data ./p01 --listen 0.0.0.0:8480 --console 127.0.0.1:8481',
      ],
      async (context, options, code) => {
        if (!context.data) throw usage('site create needs --data DIR');
        const made = await createSite({
          code: code!,
          data: context.data,
          listen: options.listen,
          console: options.console,
          database: options.database,
        });
        if (context.json) printJson(made);
        else {
          print(`Site ${made.code} made in ${made.data}.`);
          print(
            `Next: pushpoint point set mp --address http://THIS-SERVER:${made.points.port} --data ${made.data}, then pushpoint up --data ${made.data}`,
          );
        }
        return EXIT.ok;
      },
    )
    .option('--listen <host:port>', 'where clients reach the points', '0.0.0.0:8480')
    .option('--console <host:port>', 'where the API listens', '127.0.0.1:8481')
    .option(
      '--database <url>',
      'an external PostgreSQL 15 or newer instead of the embedded one (no password in it: PGPASSWORD or ~/.pgpass)',
    );
  verbs.add(site, 'list', 'the sites this one knows', ['pushpoint site list --data ./p01'], (context) =>
    context.withApi(async (api) => {
      const { items } = await api.get<{ items: SiteJson[] }>('/sites');
      if (context.json) printJson({ items });
      else
        table(
          ['CODE', 'KIND', 'PARENT', 'HERE', 'MADE'],
          items.map((s) => [s.code, s.kind, s.parent, s.own ? 'yes' : '', s.createdAt]),
        );
      return EXIT.ok;
    }),
  );
  verbs.add(
    site,
    'settings [assignments...]',
    'show the settings of the site, or change them: ccr.retryMinutes=30',
    ['pushpoint site settings --data ./p01', 'pushpoint site settings ccr.smsPost=off ccr.concurrency=64 --data ./p01'],
    (context, _options, ...assignments) =>
      context.withApi(async (api) => {
        const settings = assignments.length
          ? await api.send('PATCH', '/settings', changesOf(assignments))
          : await api.get('/settings');
        if (context.json) printJson(settings);
        else for (const line of flatten(settings)) print(line);
        return EXIT.ok;
      }),
  );
  pointVerbs(verbs);
}

function pointVerbs(verbs: Verbs): void {
  const point = verbs.group('point', 'the points of this site');
  verbs
    .add<{ address?: string; off?: boolean }>(
      point,
      'set <kind>',
      'say where clients reach a point (mp), or switch it off',
      ['pushpoint point set mp --address http://mp.corp.example:8480 --data ./p01', 'pushpoint point set mp --off --data ./p01'],
      (context, options, kind) =>
        context.withApi(async (api) => {
          if (!options.address && !options.off) throw usage('point set needs --address URL or --off');
          const made = await api.send(`PUT`, `/points/${encodeURIComponent(kind!)}`, {
            address: options.address,
            on: options.off !== true,
          });
          if (context.json) printJson(made);
          else print(options.off ? `The ${kind} is off.` : `Clients reach the ${kind} at ${options.address}.`);
          return EXIT.ok;
        }),
    )
    .option('--address <url>', 'URL that clients can reach, with the intranet name of the server')
    .option('--off', 'switch the point off');
  verbs.add(point, 'list', 'the points of this site', ['pushpoint point list --data ./p01'], (context) =>
    context.withApi(async (api) => {
      const { items } = await api.get<{ items: { kind: string; address: string; on: boolean }[] }>('/points');
      if (context.json) printJson({ items });
      else
        table(
          ['POINT', 'ON', 'ADDRESS'],
          items.map((p) => [p.kind, p.on ? 'yes' : 'no', p.address]),
        );
      return EXIT.ok;
    }),
  );
}

function changesOf(assignments: string[]): Record<string, unknown> {
  const changes: Record<string, Record<string, unknown>> = {};
  for (const assignment of assignments) {
    const match = /^([a-z]+)\.([A-Za-z]+)=(.*)$/.exec(assignment);
    if (!match) throw usage(`${assignment}: a setting is changed by group.name=value, for example ccr.retryMinutes=30`);
    const [, group, name, text] = match as unknown as [string, string, string, string];
    (changes[group] ??= {})[name] = valueOf(text);
  }
  return changes;
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function flatten(value: unknown, path = ''): string[] {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [`${path}=${JSON.stringify(value)}`];
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, path ? `${path}.${key}` : key));
}
