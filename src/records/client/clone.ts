import type { Heartbeat } from '#messages';
import type { Sql } from '#store/database';
import type { ClientRow } from './client.ts';
import { openConflict } from './identity.ts';

/**
 * One key on two machines: a disk was copied with the client on it, or a key was stolen. Three things show it: two hardware ids; an earlier
 * run of the agent that speaks again after a later one; a sequence number that goes back in a message that was made later. The last is also
 * what a machine looks like that was set back to a snapshot; a person decides.
 */

/** openCloneAlarm keeps the alarm, once while nobody decided about it; true when it is new. */
export function openCloneAlarm(tx: Sql, clientId: number, detail: Record<string, unknown>, now: Date): Promise<boolean> {
  return openConflict(tx, { clientId, kind: 'clone', score: 100, holds: false, detail }, now);
}

/** whyAlarm says what was odd about a heartbeat that was taken; the statement that took it has set `alarm`. */
export function whyAlarm(row: ClientRow, heartbeat: Heartbeat): string {
  return row.hardware_id === heartbeat.hardwareId ? 'an earlier run of its agent speaks again' : 'two hardware ids';
}

/** wentBack tells whether a heartbeat that was not news is more than a late or a repeated one. */
export function wentBack(row: ClientRow, heartbeat: Heartbeat): boolean {
  const sentAt = new Date(heartbeat.sentAt);
  const startedAt = new Date(heartbeat.startedAt);
  if (row.sent_at === null || sentAt <= row.sent_at) return false;
  const otherRun = row.started_at?.getTime() !== startedAt.getTime();
  return heartbeat.sequence < row.sequence || (heartbeat.sequence === row.sequence && otherRun);
}
