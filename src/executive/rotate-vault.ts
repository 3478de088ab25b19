import { checkRotation, rotateVault as rotate, type Rotation } from '#store/vault';
import { DataFolder } from './data-folder.ts';
import { holdRoles } from './role-lock.ts';
import { openSite } from './site-folder.ts';

/** RotatedVault is what `vault rotate` has done, or would do. */
export interface RotatedVault extends Partial<Rotation> {
  data: string;
  /** How many passwords are sealed for the new key. */
  accounts: number;
  /** How many secrets of the policy are. */
  secrets: number;
}

/** rotateVault gives a site that is stopped a new vault key and seals its passwords anew. */
export async function rotateVault(data: string, o: { dryRun?: boolean | undefined } = {}): Promise<RotatedVault> {
  const folder = new DataFolder(data);
  const file = folder.readSite();
  // Whoever runs has the old key in memory, and seals with it.
  const release = await holdRoles(folder, new Set(['console', 'inbox']));
  try {
    await checkRotation(folder.vault);
    const site = await openSite(folder, { file, connections: 2 });
    try {
      const { account, audit, link, policy } = site.records;
      if (o.dryRun)
        return { data: folder.path, accounts: (await account.list()).length, secrets: (await policy.secrets()).length };
      let accounts = 0;
      let secrets = 0;
      const rotation = await rotate(folder.vault, (reseal) =>
        site.database.transaction(async (tx) => {
          accounts = await account.reseal(reseal, tx);
          await link.reseal(reseal, tx);
          secrets = await policy.reseal(reseal, tx);
          await audit.write({ who: 'vault rotate', what: 'vault.rotate', object: file.code, detail: { accounts, secrets } }, tx);
        }),
      );
      return { data: folder.path, accounts, secrets, ...rotation };
    } finally {
      await site.close();
    }
  } finally {
    release();
  }
}
