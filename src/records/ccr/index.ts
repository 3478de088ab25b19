export { CCR_STATES, exhausted, isLive, weekEnd, type Ccr, type CcrSource, type CcrState, type Week } from './ccr.ts';
export type { Attempt, Claimed, Connection, Step, StepOutcome } from './attempt.ts';
export type { CcrRequest, Requested } from './request.ts';
export type { Woken } from './people.ts';
export type { AttemptShown, CcrPage, CcrQuery, CcrShown, Changed, Pruned } from './list.ts';
export { previewPush, type Preview, type PushFacts, type PushWish } from './preview.ts';
export { ABSENT, type AbsentCcr } from './absent.ts';
export type { StopAfter, Wave, WaveShown } from './waves.ts';
export { Claims, type Caps, type Ended } from './claims.ts';
export { CcrRecord } from './record.ts';
export type { Worker } from './worker.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'ccr', folder: new URL('./migrations/', import.meta.url) };
