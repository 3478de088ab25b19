import { rotateVault } from '#executive';
import { EXIT, print, printDone, printJson } from '../output.ts';
import { DRY_RUN, type Verbs } from '../verb.ts';

/** vaultVerbs: vault rotate. */
export function vaultVerbs(verbs: Verbs): void {
  const vault = verbs.group('vault', 'the key that opens the stored passwords');
  verbs
    .add<{ dryRun?: boolean }>(vault, {
      name: 'rotate',
      does: 'make a new vault key and seal all passwords for it; the site and its workers must be stopped',
      examples: ['pushpoint vault rotate --data /srv/pushpoint', 'pushpoint vault rotate --data /srv/pushpoint --dry-run'],
      takes: 'folder',
      async run(context, { dryRun }) {
        const done = await rotateVault(context.folder(), { dryRun });
        const passwords = done.accounts === 1 ? '1 password' : `${done.accounts} passwords`;
        const secrets = done.secrets === 1 ? '1 secret of the policy' : `${done.secrets} secrets of the policy`;
        const sealed = done.secrets === 0 ? passwords : `${passwords} and ${secrets}`;
        if (context.json) printJson(done);
        else if (dryRun) printDone(`a new vault key is made, and ${sealed} sealed for it.`, true);
        else {
          print(`The vault has a new key (${done.to}; it was ${done.from}); ${sealed} sealed for it.`);
          print(
            'Make a backup now, and a copy of vault/vault.key apart from it: passwords in backups from before open with the old key only,',
          );
          print(
            'so keep the copy of that one as long as them. If somebody may have had the old key, change the passwords of the accounts too:',
          );
          print('  pushpoint account resume NAME --password-file FILE');
        }
        return EXIT.ok;
      },
    })
    .option(...DRY_RUN);
}
