import { raise } from '#base/errors';
import type { SmbTree } from '#wire/smb';

import type { AttemptContext } from './context.ts';
import type { Target } from './target.ts';
import type { Note } from './timeline.ts';

const PREFIX = 'SMSClientInstall.';
const LATEST = new Date(8_640_000_000_000_000);
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
async function takeOwn(admin: SmbTree, context: AttemptContext, note: Note, held: () => void): Promise<Lock | undefined> {
  const name = lockName(context.site);
  // Told before: when the answer is lost on the way, the lock may be there all the same.
  held();
  if (await admin.createNew(name, lockText(context))) return undefined;
  const [there] = locksIn(await admin.list('', name));
  const text = new TextDecoder().decode(await admin.readFile(name, { maxBytes: 4096 }).catch(() => new Uint8Array()));
  await admin.writeFile(name, lockText(context));
  if (!new RegExp(`^CCR=${context.ccr.id}\\s*$`, 'm').test(text)) return there;
  note('took back the lock that an earlier attempt for this CCR left');
  return undefined;
}

/** Held is a lock that must be removed again. */
export interface Held {
  name: string;
}

/** clear refuses when another site is at work there, and removes what sites left behind. */
async function clear(target: Target, context: AttemptContext, found: Lock[], own: Lock, note: Note): Promise<void> {
  const { ccr, settings } = context;
  const { busy, stale } = sortLocks(found, own, own.modifiedAt, settings.lockMinutes * 60_000);
  if (busy[0])
    throw raise('PP_TARGET_LOCKED', { machine: ccr.name, site: busy[0].site, since: busy[0].modifiedAt.toISOString() });
  for (const left of stale) {
    await target.admin.remove(left.name);
    note(`removed the lock that site ${left.site} left at ${left.modifiedAt.toISOString()}`);
  }
}

/**
 * lock takes this site's lock on the machine and looks for those of any site. Another site's fresh lock means wait; one older than
 * `lockMinutes` by the machine's own clock is removed.
 */
export async function lock(target: Target, context: AttemptContext, note: Note, held: (lock: Held) => void): Promise<void> {
  const { site, journal } = context;
  const name = lockName(site);
  journal.searchingLocks();
  const [before, top] = await Promise.all([
    takeOwn(target.admin, context, note, () => held({ name })),
    target.top().then(locksIn),
  ]);
  const own: Lock = { site, name, modifiedAt: target.now };
  if (before) {
    const age = Math.round((own.modifiedAt.getTime() - before.modifiedAt.getTime()) / 60_000);
    note(`took over the lock that an earlier attempt of this site left ${age} minutes ago`);
  }
  await clear(target, context, top, own, note);
  // One that came in the same moment: whose lock is earlier, only the machine's own times tell.
  const close = sortLocks(top, { ...own, modifiedAt: LATEST }, own.modifiedAt, context.settings.lockMinutes * 60_000).busy;
  if (close.length > 0) await stillAlone(target, context, note);
  note(`took ${name}`);
}

/**
 * stillAlone looks a second time, when every site that was about to lock has done so: of two sites that came in the same moment one sees
 * the other's lock here at the latest, and both agree whose counts.
 */
export async function stillAlone(target: Target, context: AttemptContext, note: Note): Promise<void> {
  const name = lockName(context.site);
  const found = locksIn(await target.admin.list('', `${PREFIX}*`));
  const own = found.find((l) => l.site === context.site);
  // Gone: somebody thought it stale, or cleaned up by hand. The lease of the CCR still holds; what counts is that no other is there.
  await clear(target, context, found, own ?? { site: context.site, name, modifiedAt: target.now }, note);
}
