import type { Command } from 'commander';
import { createSite } from '#executive';
import { EXIT, print, printDone, printJson, shellWord } from '../output.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';
import { changesOf, linesOf } from '../settings.ts';
import { approvalVerb } from './approval.ts';
import { hierarchyVerbs } from './hierarchy.ts';

type Settings = Record<string, Record<string, unknown>>;

/** siteVerbs: site create, token, join, list, remove, approval, settings. */
export function siteVerbs(verbs: Verbs): void {
  const site = verbs.group('site', 'sites and their settings');
  createVerb(verbs, site);
  hierarchyVerbs(verbs, site);
  approvalVerb(verbs, site);
  verbs
    .add<{ dryRun?: boolean }>(site, {
      name: 'settings [assignments...]',
      does: 'show the settings of the site, or change them: group.name=value',
      examples: [
        'pushpoint site settings --data ./p01',
        'pushpoint site settings ccr.smsPost=off ccr.concurrency=64 --data ./p01',
        'pushpoint site settings push.systems=workstations,servers --data ./p01',
      ],
      run: (context, { dryRun }, ...assignments) =>
        context.withApi(async (api) => {
          const now = await api.get<Settings>('/settings');
          const changes = changesOf(assignments, now);
          const settings = assignments.length ? await api.send<Settings>('PATCH', '/settings', changes, { dryRun }) : now;
          if (context.json) printJson(settings);
          else {
            const changed = new Set(assignments.map((one) => one.slice(0, one.indexOf('='))));
            for (const line of linesOf(settings))
              if (!changed.size || changed.has(line.slice(0, line.indexOf('=')))) printDone(line, dryRun);
          }
          return EXIT.ok;
        }),
    })
    .option(...DRY_RUN);
}

function createVerb(verbs: Verbs, site: Command): void {
  verbs
    .add<{ listen?: string; console?: string; database?: string; dryRun?: boolean }>(site, {
      name: 'create <code>',
      does: 'make a primary site in a new data folder',
      examples: [
        'pushpoint site create P01 --data /srv/pushpoint',
        'pushpoint site create P01 --data ./p01 --listen 0.0.0.0:8480 --console 127.0.0.1:8481',
      ],
      takes: 'folder',
      async run(context, options, code) {
        const made = await createSite({
          code: code,
          data: context.folder(),
          listen: options.listen,
          console: options.console,
          database: options.database,
          dryRun: options.dryRun,
        });
        if (context.json) printJson(made);
        else if (options.dryRun) printDone(`site ${made.code} made in ${made.data}.`, true);
        else {
          print(`Site ${made.code} made in ${made.data}.`);
          print('Next, say where clients reach it, and run it:');
          print(`  pushpoint point set mp --address http://THIS-SERVER:${made.points.port} --data ${shellWord(made.data)}`);
          print(`  pushpoint up --data ${shellWord(made.data)}`);
        }
        return EXIT.ok;
      },
    })
    .option('--listen <host:port>', 'where clients reach the points (default 0.0.0.0:8480)')
    .option('--console <host:port>', 'where the API listens (default 127.0.0.1:8481)')
    .option(
      '--database <url>',
      'an external PostgreSQL 15 or newer instead of the embedded one (no password in it: PGPASSWORD or ~/.pgpass)',
    )
    .option(...DRY_RUN);
}
