import { isCode, PushpointError, raise } from '#base/errors';
import { isLocal, logonName } from '#records/account';

import type { PushAccount } from './context.ts';
import { isUnix } from './inspect.ts';
import type { Target } from './target.ts';

/** A local account of the machine, however it is written, is filtered by UAC; one of a domain is not. */
function isOfMachine(username: string, machine: string): boolean {
  if (isLocal(username)) return true;
  const { domain } = logonName(username, machine);
  return domain !== '' && domain.toUpperCase() === machine.split('.', 1)[0]!.toUpperCase();
}

/** A NAS has no ADMIN$ either, but for it there is nothing to be mended: the Server service tells whether this is one (facts B7). */
async function noWindows(target: Target, machine: string): Promise<PushpointError | undefined> {
  try {
    await target.openPipes();
    const server = await target.server();
    return isUnix(server.type) ? raise('PP_PUSH_NOT_WINDOWS', { machine, os: server.comment || 'a Unix' }) : undefined;
  } catch (error) {
    if (error instanceof PushpointError) return undefined;
    throw error;
  }
}

/** openAdminShare connects ADMIN$ and IPC$, and tells apart why the first is refused or missing. */
export async function openAdminShare(target: Target, machine: string, account: PushAccount): Promise<void> {
  try {
    await target.openShares();
  } catch (error) {
    if (isCode(error, 'PP_SMB_NO_SHARE')) throw (await noWindows(target, machine)) ?? error;
    if (!isCode(error, 'PP_SMB_NOT_ADMIN') || !isOfMachine(account.username, machine)) throw error;
    const { win32, ntstatus, detail } = error;
    throw raise('PP_SMB_TOKEN_FILTERED', error.params, { cause: error, win32, ntstatus, detail });
  }
}
