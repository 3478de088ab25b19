import { decodeBody, SHARE_FLAG, SHARE_TYPE, TreeConnectRequest, TreeConnectResponse, TreeDisconnect } from '#wire/smb';
import { STATUS } from '#wire/status';
import { answer, Refusal, type Answer } from './answer.ts';
import type { Request } from './session.ts';

const FILE_ALL_ACCESS = 0x001f_01ff;
const LONGEST_SHARE = 80;

/** The share of a path `\\host\share`, [MS-SMB2] 2.2.9. */
function shareOf(path: string): string {
  const [empty, none, host, share, ...more] = path.split('\\');
  if (empty !== '' || none !== '' || !host || !share || more.length > 0) throw new Refusal(STATUS.BAD_NETWORK_NAME);
  if (share.length > LONGEST_SHARE) throw new Refusal(STATUS.BAD_NETWORK_NAME);
  return share;
}

/** connectTree is TREE_CONNECT, [MS-SMB2] 3.3.5.7. */
export async function connectTree(request: Request): Promise<Answer> {
  const { session, backend } = request;
  const name = shareOf(decodeBody(request.message, TreeConnectRequest).path);
  const share = await backend.share(name, session.identity!);
  if (typeof share === 'number') throw new Refusal(share);
  if (share.encrypt && !session.canEncrypt) throw new Refusal(STATUS.ACCESS_DENIED);
  const shareType = share.kind === 'pipe' ? SHARE_TYPE.PIPE : SHARE_TYPE.DISK;
  request.tree = session.addTree({ name: name.toUpperCase(), share, shareType });
  if (request.tree.name === 'ADMIN$') backend.reached('admin-share');
  return answer(TreeConnectResponse, {
    shareType,
    shareFlags: share.encrypt ? SHARE_FLAG.ENCRYPT_DATA : 0,
    capabilities: 0,
    maximalAccess: FILE_ALL_ACCESS,
  });
}

/** disconnectTree is TREE_DISCONNECT, [MS-SMB2] 3.3.5.8; what is open on the share is closed. */
export async function disconnectTree(request: Request): Promise<Answer> {
  decodeBody(request.message, TreeDisconnect);
  await request.session.dropTree(request.tree!);
  return answer(TreeDisconnect, {});
}
