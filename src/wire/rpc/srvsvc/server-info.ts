import { WIN32 } from '#wire/status';
import type { RpcClient } from '../client.ts';
import { refusal } from '../outcomes.ts';
import { remoteTimeOfDay, serverGetInfo, shareGetInfo } from './definitions.ts';

/** NERR_NetNameNotFound: there is no share of that name (lmerr.h). */
const NET_NAME_NOT_FOUND = 2310;
/** The upper half of the major version is reserved ([MS-SRVS] 2.2.4.41, MAJOR_VERSION_MASK). */
const MAJOR_VERSION_MASK = 0x0f;

/** ServerInfo is what the Server service says of its machine. */
export interface ServerInfo {
  name: string;
  platformId: number;
  major: number;
  minor: number;
  /** type holds ServerType bits. */
  type: number;
  comment: string;
}

/** ShareInfo is one share of a machine; its path is the machine's own. */
export interface ShareInfo {
  name: string;
  path: string;
  type: number;
  remark: string;
}

/** serverInfo asks a machine for its name, version and kind; everybody who may log on may ask. */
export async function serverInfo(rpc: RpcClient, host: string): Promise<ServerInfo> {
  const { info, status } = await rpc.call(serverGetInfo, { serverName: `\\\\${host}`, level: 101 });
  if (status !== WIN32.SUCCESS) throw refusal('server', status, 'NetrServerGetInfo', host);
  if (info.level !== 101 || !info.info || !('versionMajor' in info.info))
    throw refusal('server', WIN32.INVALID_LEVEL, 'NetrServerGetInfo', host);
  const { platformId, name, versionMajor, versionMinor, type, comment } = info.info;
  return {
    name: name ?? '',
    platformId,
    major: versionMajor & MAJOR_VERSION_MASK,
    minor: versionMinor,
    type,
    comment: comment ?? '',
  };
}

/** shareInfo asks where a share lies, or gives undefined when there is none of that name; only administrators may ask. */
export async function shareInfo(rpc: RpcClient, host: string, share: string): Promise<ShareInfo | undefined> {
  const { info, status } = await rpc.call(shareGetInfo, { serverName: `\\\\${host}`, shareName: share, level: 2 });
  // Samba calls a name that is no share an invalid one.
  if (status === NET_NAME_NOT_FOUND || status === WIN32.INVALID_NAME) return undefined;
  if (status !== WIN32.SUCCESS) throw refusal('server', status, 'NetrShareGetInfo', share);
  if (info.level !== 2 || !info.info || !('path' in info.info))
    throw refusal('server', WIN32.INVALID_LEVEL, 'NetrShareGetInfo', share);
  const { name, path, type, remark } = info.info;
  return { name: name ?? '', path: path ?? '', type, remark: remark ?? '' };
}

/** serverTime asks for the machine's clock, in UTC. */
export async function serverTime(rpc: RpcClient, host: string): Promise<Date> {
  const { time, status } = await rpc.call(remoteTimeOfDay, { serverName: `\\\\${host}` });
  if (status !== WIN32.SUCCESS || !time) throw refusal('server', status || WIN32.INVALID_DATA, 'NetrRemoteTOD', host);
  return new Date(time.elapsedSeconds * 1000 + time.hundredths * 10);
}
