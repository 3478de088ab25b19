import type { KeyObject } from 'node:crypto';
import type { ClientLog } from '#client/log';
import { layout, type TargetHost } from '#client/host';
import { openSealed, type Policy } from '#messages';

/**
 * keepSecrets lays the secrets of the policy where only the system and administrators of the machine read them: one file, a JSON object of
 * names and texts, that is replaced as a whole. What the policy has no longer is gone from it. A secret that was sealed for somebody else is left
 * out with a line in the log, which never shows a value.
 */
export async function keepSecrets(
  host: TargetHost,
  log: ClientLog,
  client: { guid: string; privateKey: KeyObject },
  { secrets = {} }: Policy,
): Promise<void> {
  const opened: Record<string, string> = {};
  for (const [name, sealed] of Object.entries(secrets).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    try {
      opened[name] = openSealed(client.privateKey, { guid: client.guid, name }, sealed);
    } catch {
      log.warn(`The secret ${name} of the policy is not sealed for this client; it is left out`);
    }
  }
  const names = Object.keys(opened);
  const before = await host.readFile(layout.secrets);
  if (names.length === 0) {
    if (before === undefined) return;
    await host.remove(layout.secrets);
    log.info('The policy has no secrets any more; they are removed');
    return;
  }
  const bytes = new TextEncoder().encode(`${JSON.stringify(opened, undefined, 2)}\n`);
  if (before !== undefined && Buffer.from(before).equals(bytes)) return;
  await host.writeFile(layout.secrets, bytes, { secret: true });
  log.info(`Secrets of the policy kept: ${names.join(', ')}`);
}
