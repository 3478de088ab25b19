import { checkBackup, makeBackup } from '#executive';
import { usage } from '../failure.ts';
import { readPassword, wrongFile } from '../input.ts';
import { EXIT, fields, note, print, printDone, printJson, shellWord } from '../output.ts';
import { DRY_RUN, type Context, type Verbs } from '../verb.ts';

interface BackupOptions {
  output?: string;
  check?: string;
  withKey?: boolean;
  passphraseFile?: string;
  database?: string;
  dryRun?: boolean;
}

/** A shorter passphrase is found by trying, however dear a try is made. */
const SHORTEST = 12;

/** readPassphrase reads the passphrase of a backup from a file, if one is named. */
export async function readPassphrase(file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : await readPassword(file);
}

/** sizeText is a size as people read it. */
export function sizeText(octets: number): string {
  const units = ['octets', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = octets;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** backupVerb: backup, and backup --check. */
export function backupVerb(verbs: Verbs): void {
  verbs
    .add<BackupOptions>(undefined, {
      name: 'backup',
      does: 'write a backup of a site into one file, while it runs or not; or prove one with --check (docs/backup.md)',
      examples: [
        'pushpoint backup --data /srv/pushpoint -o /backup/',
        'pushpoint backup --data /srv/pushpoint -o p01.sealed --with-key --passphrase-file /root/backup.pass',
        'pushpoint backup --check /backup/P01-20261121T050000Z.tar',
        'tar tf /backup/P01-20261121T050000Z.tar',
      ],
      takes: 'folder',
      async run(context, options) {
        if (options.check !== undefined) return check(context, options);
        if (options.output === undefined) throw usage('backup needs -o FILE or -o FOLDER, or --check FILE');
        const passphrase = await readPassphrase(options.passphraseFile);
        if (passphrase !== undefined && passphrase.length < SHORTEST)
          throw wrongFile(options.passphraseFile!, `a passphrase has at least ${SHORTEST} characters`);
        const { withKey = false, output, database, dryRun } = options;
        const made = await makeBackup({ data: context.folder(), output, withKey, passphrase, database, dryRun });
        if (context.json) printJson(made);
        else {
          const size = dryRun ? '' : `, ${sizeText(made.size)}`;
          printDone(`site ${made.site} backed up to ${made.file}${size}; it was read again and found whole.`, dryRun);
          print(
            `  ${made.rows} rows of ${made.tables} tables, ${made.content.files} files of packages (${sizeText(made.content.octets)}), ${made.inbox.files} request files`,
          );
          if (made.key)
            print('  With the private key of the vault and the API token: whoever has the passphrase has the push accounts.');
          else
            print('  Without the private key of the vault: keep a copy of vault/vault.key elsewhere, or the passwords are lost.');
          if (!made.sealed)
            print('  It is not encrypted and is for its owner alone (0600): names, settings and open registrations are in it.');
        }
        for (const sha256 of made.content.damaged)
          note(`pushpoint: the package file ${sha256} is damaged and not in the backup; add its package again`);
        return made.content.damaged.length > 0 ? EXIT.failed : EXIT.ok;
      },
    })
    .option('-o, --output <path>', 'the new file, or a folder where a file named after site and time is made')
    .option('--with-key', "with the vault's private key and the API token; needs --passphrase-file")
    .option('--passphrase-file <file>', 'encrypt the backup with the passphrase in this file; - reads standard input')
    .option('--check <file>', 'write nothing: read this backup (or folder of an export) to its end and prove every part')
    .option('--database <url>', 'where the database is, if up is told so too')
    .option(...DRY_RUN);
}

async function check(context: Context, { check: file, passphraseFile, output, withKey }: BackupOptions): Promise<number> {
  if (output !== undefined || withKey) throw usage('--check only reads; it goes with --passphrase-file and nothing else');
  const { manifest, octets, rows, sums } = await checkBackup({ file: file!, passphrase: await readPassphrase(passphraseFile) });
  const { kind, site, madeAt, program, database, content, inbox, key } = manifest;
  const found = {
    file,
    ok: true,
    kind,
    site: site.code,
    madeAt,
    program,
    postgres: database.postgres,
    tables: database.tables.length,
    rows,
    octets,
    parts: sums.size,
    key: key === true,
  };
  if (context.json) printJson({ ...found, content, inbox });
  else {
    print(`${shellWord(file!)} is a whole ${kind} of the site ${site.code}: all ${sums.size} parts have their SHA-256.`);
    fields([
      ['made', madeAt],
      ['by Pushpoint', program],
      ['database', `${database.kind}, PostgreSQL ${database.postgres}`],
      ['tables', `${database.tables.length}, ${rows} rows`],
      ['package files', content && `${content.files} (${sizeText(content.octets)})`],
      ['request files', inbox?.files],
      ['vault key inside', kind === 'backup' ? key === true : undefined],
    ]);
  }
  return EXIT.ok;
}
