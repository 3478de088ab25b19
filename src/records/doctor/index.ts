export { headline, type Check, type Group, type Verdict } from './check.ts';
export { DoctorRecord, type Examination, type ExaminationWish } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'doctor', folder: new URL('./migrations/', import.meta.url) };
