import { raise } from '#base/errors';
import type { SmbTree } from '#wire/smb';

import type { AttemptContext } from './context.ts';
import type { Target } from './target.ts';
import type { Note } from './timeline.ts';

const PREFIX = 'SMSClientInstall.';
const NAME = /^SMSClientInstall\.([A-Za-z0-9]{1,16})$/i;

/** lockName is the lock file of a site below ADMIN$ (facts B2). */
export function lockName(site: string): string {
  return `${PREFIX}${site}`;
}

/** Lock is a lock file as it stands on the machine. */
export interface Lock {
  site: string;
  name: string;
  modifiedAt: Date;
}

/** locksIn takes the lock files out of a listing. */
export function locksIn(list: { name: string; modifiedAt: Date; isDirectory: boolean }[]): Lock[] {
  return list.flatMap(({ name, modifiedAt, isDirectory }) => {
    const site = NAME.exec(name)?.[1];
    return site === undefined || isDirectory ? [] : [{ site: site.toUpperCase(), name, modifiedAt }];
  });
}

/** LockTable sorts the locks found on a machine, by the machine's own clock. */
export interface LockTable {
  /** Fresh locks of others: the machine is being worked on. */
  busy: Lock[];
  /** Locks that were left behind. */
  stale: Lock[];
}

/** sortLocks tells fresh locks of other sites from ones left behind. Of two sites that lock at the same moment the earlier lock counts, then the lower site code. */
export function sortLocks(locks: Lock[], own: Lock, now: Date, lockMs: number): LockTable {
  const table: LockTable = { busy: [], stale: [] };
  for (const lock of locks) {
    if (lock.site === own.site) continue;
    const age = now.getTime() - lock.modifiedAt.getTime();
    if (age > lockMs) table.stale.push(lock);
    else if (lock.modifiedAt < own.modifiedAt || (lock.modifiedAt.getTime() === own.modifiedAt.getTime() && lock.site < own.site))
      table.busy.push(lock);
  }
  return table;
}

function lockText({ site, ccr, fence, clock }: AttemptContext): Uint8Array {
  const lines = [
    '[SMSClientInstall]',
    `Site=${site}`,
    `CCR=${ccr.id}`,
    `Attempt=${fence}`,
    `Taken=${clock.now().toISOString()}`,
    '',
  ];
  return new TextEncoder().encode(lines.join('\r\n'));
}

/** Own locks: only the holder of the CCR's lease gets here, so one that names this CCR was left by an attempt that crashed. */
async function takeOwn(admin: SmbTree, context: AttemptContext, note: Note): Promise<{ before: Lock | undefined }> {
  const name = lockName(context.site);
  if (await admin.createNew(name, lockText(context))) return { before: undefined };
  const [held] = locksIn(await admin.list('', name));
  const text = new TextDecoder().decode(await admin.readFile(name, { maxBytes: 4096 }).catch(() => new Uint8Array()));
  const ours = new RegExp(`^CCR=${context.ccr.id}\\s*$`, 'm').test(text);
  await admin.writeFile(name, lockText(context));
  if (ours) {
    note('took back the lock that an earlier attempt for this CCR left');
    return { before: undefined };
  }
  return { before: held };
}

/** Held is a lock that must be removed again. */
export interface Held {
  name: string;
}

/**
 * lock takes this site's lock on the machine, then looks for those of any site. Another site's fresh lock means wait; one older than
 * `lockMinutes` by the machine's own clock is removed.
 */
export async function lock(target: Target, context: AttemptContext, note: Note, held: (lock: Held) => void): Promise<void> {
  const { admin } = target;
  const { ccr, site, settings, journal } = context;
  const name = lockName(site);
  const lockMs = settings.lockMinutes * 60_000;
  journal.searchingLocks();
  const { before } = await takeOwn(admin, context, note);
  held({ name });
  const found = locksIn(await admin.list('', `${PREFIX}*`));
  const own = found.find((l) => l.site === site) ?? { site, name, modifiedAt: target.session.serverTime ?? context.clock.now() };
  const now = own.modifiedAt;
  if (before && now.getTime() - before.modifiedAt.getTime() <= lockMs)
    note('replaced a lock that another CCR of this site left a short time ago');
  else if (before) note('took over a stale lock of this site');
  const { busy, stale } = sortLocks(found, own, now, lockMs);
  if (busy[0])
    throw raise('PP_TARGET_LOCKED', { machine: ccr.name, site: busy[0].site, since: busy[0].modifiedAt.toISOString() });
  for (const left of stale) {
    await admin.remove(left.name);
    note(`removed the lock that site ${left.site} left at ${left.modifiedAt.toISOString()}`);
  }
  note(`took ${name}`);
}
