import { exportSite, importSite } from '#executive';
import { usage } from '../failure.ts';
import { EXIT, print, printDone, printJson, shellWord } from '../output.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';

/** dbVerbs: db export, import. */
export function dbVerbs(verbs: Verbs): void {
  const db = verbs.group('db', 'move the database of a site: to another PostgreSQL, or to another version of it');
  verbs
    .add<{ output: string; database?: string; dryRun?: boolean }>(db, {
      name: 'export',
      does: 'write all rows into a new folder, as they are at one instant, while the site runs or not',
      examples: [
        'pushpoint db export --data /srv/pushpoint -o /backup/p01-rows',
        'zcat /backup/p01-rows/tables/*-resource/*.jsonl.gz | head -1',
      ],
      takes: 'folder',
      async run(context, { output, database, dryRun }) {
        const made = await exportSite({ data: context.folder(), output, database, dryRun });
        if (context.json) printJson(made);
        else printDone(`${made.rows} rows of ${made.tables} tables of the site ${made.site} exported to ${made.folder}.`, dryRun);
        return EXIT.ok;
      },
    })
    .requiredOption('-o, --output <dir>', 'a folder that is new or empty')
    .option('--database <url>', 'where the database is, if up is told so too')
    .option(...DRY_RUN);
  verbs
    .add<{ database?: string; embedded?: boolean; dryRun?: boolean }>(db, {
      name: 'import <dir>',
      does: 'bring an export into an empty database and have the site work with that one from then on; the site must be stopped',
      examples: [
        'pushpoint db import /backup/p01-rows --data /srv/pushpoint --database postgresql://pushpoint@db/pushpoint',
        'pushpoint db import /backup/p01-rows --data /srv/pushpoint --embedded',
      ],
      takes: 'folder',
      async run(context, { database, embedded, dryRun }, dir) {
        if (database !== undefined && embedded)
          throw usage('the site moves to --database URL or to the --embedded one, not to both');
        const made = await importSite({ data: context.folder(), source: { file: dir }, database, embedded, dryRun });
        if (context.json) printJson(made);
        else {
          printDone(
            `${made.rows} rows of ${made.tables} tables of the site ${made.site} imported into ${made.database}; each table was read again and is the same.`,
            dryRun,
          );
          if (made.moved) printDone('site.json names this database from now on; the one of before is left as it was.', dryRun);
          if (!dryRun) print(`Next: pushpoint up --data ${shellWord(context.folder())}`);
        }
        return EXIT.ok;
      },
    })
    .option('--database <url>', 'the empty external PostgreSQL 15 or newer that the site moves to (no password in it)')
    .option('--embedded', 'the site moves to the embedded PostgreSQL in its data folder')
    .option(...DRY_RUN);
}
