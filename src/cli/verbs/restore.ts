import { restoreSite } from '#executive';
import { EXIT, print, printDone, printJson, shellWord } from '../output.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';
import { readPassphrase } from './backup.ts';

interface RestoreOptions {
  passphraseFile?: string;
  vaultKey?: string;
  database?: string;
  dryRun?: boolean;
}

type Restored = Awaited<ReturnType<typeof restoreSite>>;

/** restoreVerb: restore. */
export function restoreVerb(verbs: Verbs): void {
  verbs
    .add<RestoreOptions>(undefined, {
      name: 'restore <file>',
      does: 'make the data folder of a site from its backup; the folder must be new or empty (docs/backup.md)',
      examples: [
        'pushpoint restore /backup/P01-20261121T050000Z.tar --data /srv/pushpoint --vault-key /root/vault.key',
        'pushpoint restore p01.sealed --data /srv/pushpoint --passphrase-file /root/backup.pass',
        'pushpoint restore p01.tar --data ./p01 --database postgresql://pushpoint@db/pushpoint',
      ],
      takes: 'folder',
      async run(context, { passphraseFile, vaultKey, database, dryRun }, file) {
        const source = { file: file, passphrase: await readPassphrase(passphraseFile) };
        const made = await restoreSite({ source, data: context.folder(), vaultKey, database, dryRun });
        if (context.json) printJson(made);
        else tell(made, dryRun === true);
        return made.content.missing.length > 0 ? EXIT.failed : EXIT.ok;
      },
    })
    .option('--passphrase-file <file>', 'the passphrase of an encrypted backup; - reads standard input')
    .option('--vault-key <file>', "the vault's private key, where the backup does not hold it; it is copied to vault/vault.key")
    .option('--database <url>', 'restore into this empty external PostgreSQL instead of an embedded one (no password in it)')
    .option(...DRY_RUN);
}

function tell(made: Restored, dryRun: boolean): void {
  printDone(
    `site ${made.site} of ${made.madeAt} restored in ${made.data}: ${made.rows} rows of ${made.tables} tables, ${made.content.files} files of packages, ${made.inbox.files} request files.`,
    dryRun,
  );
  for (const name of made.content.missing) print(`  ${name}: this package file is not in the backup; add its package again.`);
  if (dryRun) return;
  if (made.migrated.length > 0)
    print(`  The backup is of an older Pushpoint; ${made.migrated.length} changes of the tables were made.`);
  if (made.released > 0)
    print(`  CCRs that were being worked on: ${made.released}. Each machine is looked at again before anything is done to it.`);
  if (made.paused.length > 0) {
    const some = made.paused.slice(0, 5).join(' ');
    print(
      `  forced CCRs that are paused, because they may have been done since (${made.paused.length}): ${some}${made.paused.length > 5 ? ' …' : ''}`,
    );
    print(`    pushpoint ccr resume NAME --data ${shellWord(made.data)}   # or ccr cancel NAME`);
  }
  if (!made.token) print('  run/console.token is a new API token; those made before go on working.');
  if (!made.key)
    print(`  The vault's private key is missing: put it into ${made.data}/vault/vault.key (0600), or nothing can be pushed.`);
  print(`  What happened after ${made.madeAt} is not in it: machines imported, accounts changed and CCRs made since then.`);
  print('Next: make sure that the old site server is off, then');
  print(`  pushpoint up --data ${shellWord(made.data)}`);
}
