import type { Clock } from '#base/clock';
import { srvsvc } from '#wire/rpc';
import { WIN32 } from '#wire/status';
import { offer, serve, type Offer } from './offer.ts';
import { Win32Refusal } from './refusal.ts';

/** LabShare is a share as the Server service tells of it. */
export interface LabShare {
  name: string;
  type: number;
  remark: string;
  path: string;
}

/** ServerFacts is what the Server service tells of a machine; read at each call, because switches change it. */
export interface ServerFacts {
  name: string;
  comment: string;
  major: number;
  minor: number;
  /** srvsvc.ServerType bits. */
  type: number;
  /** 500 = Windows NT and its followers. */
  platformId: number;
  shares: readonly LabShare[];
}

const full = (share: LabShare) => ({ ...share, permissions: 0, maxUses: 0xffffffff, currentUses: 1, password: null });

/** srvsvcOffer is the Server service of a machine over RPC. */
export function srvsvcOffer(facts: () => ServerFacts, clock: Clock): Offer {
  return offer(srvsvc.SRVSVC, [
    serve(srvsvc.serverGetInfo, (request) => ({ info: serverInfo(facts(), request.level), status: 0 })),
    serve(srvsvc.shareGetInfo, (request, call) => {
      const share = facts().shares.find((s) => s.name.toLowerCase() === request.shareName.toLowerCase());
      if (!share) throw new Win32Refusal(2310, `no share ${request.shareName}`);
      // Level 2 shows the path, and that is for administrators ([MS-SRVS] 3.1.4.10).
      if (request.level === 2 && !call.identity.administrator) throw new Win32Refusal(WIN32.ACCESS_DENIED);
      return { info: shareInfo(share, request.level), status: 0 };
    }),
    serve(srvsvc.shareEnumAll, (request, call) => {
      const { shares } = facts();
      const { level } = request.info;
      if (level === 2 && !call.identity.administrator) throw new Win32Refusal(WIN32.ACCESS_DENIED);
      if (level !== 0 && level !== 1 && level !== 2) throw new Win32Refusal(WIN32.INVALID_LEVEL);
      const entries = shares.map(full);
      const info = { level, shares: { level, info: { count: entries.length, entries } } } as srvsvc.ShareEnum;
      return { info, total: shares.length, resumeHandle: request.resumeHandle === null ? null : 0, status: 0 };
    }),
    serve(srvsvc.remoteTimeOfDay, () => ({ time: timeOfDay(clock.now()), status: 0 })),
  ]);
}

function serverInfo({ platformId, name, major, minor, type, comment }: ServerFacts, level: number) {
  if (level === 100) return { level: 100 as const, info: { platformId, name } };
  if (level !== 101) throw new Win32Refusal(WIN32.INVALID_LEVEL);
  return { level: 101 as const, info: { platformId, name, versionMajor: major, versionMinor: minor, type, comment } };
}

function shareInfo(share: LabShare, level: number) {
  if (level === 0) return { level: 0 as const, info: { name: share.name } };
  if (level === 1) return { level: 1 as const, info: { name: share.name, type: share.type, remark: share.remark } };
  if (level !== 2) throw new Win32Refusal(WIN32.INVALID_LEVEL);
  return { level: 2 as const, info: full(share) };
}

function timeOfDay(now: Date) {
  return {
    elapsedSeconds: Math.floor(now.getTime() / 1000),
    milliseconds: now.getTime() >>> 0,
    hours: now.getUTCHours(),
    minutes: now.getUTCMinutes(),
    seconds: now.getUTCSeconds(),
    hundredths: Math.floor(now.getUTCMilliseconds() / 10),
    timezone: 0,
    tick: 310,
    day: now.getUTCDate(),
    month: now.getUTCMonth() + 1,
    year: now.getUTCFullYear(),
    weekday: now.getUTCDay(),
  };
}
