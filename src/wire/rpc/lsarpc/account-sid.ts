import { STATUS, WIN32, win32OfStatus } from '#wire/status';
import type { RpcClient } from '../client.ts';
import { refusal } from '../outcomes.ts';
import { LookupLevel, PolicyRight, lsarClose, lsarLookupNames3, lsarOpenPolicy2 } from './definitions.ts';

/** 24 octets of attributes, none of which a server looks at ([MS-LSAD] 2.2.9). */
const NO_ATTRIBUTES = {
  length: 24,
  rootDirectory: null,
  objectName: null,
  attributes: 0,
  securityDescriptor: null,
  qualityOfService: null,
};
/** The client knows no forests ([MS-LSAT] 3.1.4.5, ClientRevision). */
const CLIENT_REVISION = 1;

function checked(status: number, operation: string, subject: string): void {
  if (status !== STATUS.SUCCESS) throw refusal('server', win32OfStatus(status) ?? WIN32.INVALID_DATA, operation, subject);
}

/** accountSid asks a machine for the SID of an account `MACHINE\\name` or `DOMAIN\\name`; undefined where it knows none. Whoever may log on may ask. */
export async function accountSid(rpc: RpcClient, host: string, account: string): Promise<string | undefined> {
  const opening = { systemName: `\\\\${host}`, objectAttributes: NO_ATTRIBUTES, desiredAccess: PolicyRight.LOOKUP_NAMES };
  const { policy, status: opened } = await rpc.call(lsarOpenPolicy2, opening);
  checked(opened, 'LsarOpenPolicy2', host);
  try {
    const { translated, status } = await rpc.call(lsarLookupNames3, {
      policy,
      count: 1,
      names: [account],
      translated: { entries: 0, sids: null },
      level: LookupLevel.WKSTA,
      mapped: 0,
      options: 0,
      clientRevision: CLIENT_REVISION,
    });
    if (status === STATUS.NONE_MAPPED) return undefined;
    checked(status, 'LsarLookupNames3', account);
    return translated.sids?.[0]?.sid ?? undefined;
  } finally {
    await rpc.call(lsarClose, { handle: policy }).catch(() => {});
  }
}
