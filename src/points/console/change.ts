import { Type, type Static } from 'typebox';
import type { Database, Sql } from '#store/database';
import { strict } from './shapes.ts';

/** DryRun is the query of calls that can be tried first. */
export const DryRun = Type.Object({ dryRun: Type.Optional(Type.Boolean()) }, strict);
export type DryRun = Static<typeof DryRun>;

/** Undone carries the answer of a trial out of its transaction. */
class Undone<T> extends Error {
  readonly answer: T;
  constructor(answer: T) {
    super('undone');
    this.answer = answer;
  }
}

/** change does work in one transaction. Of a dry run all of it is undone at the end: its answer, or its refusal, is what would have become of it. */
export async function change<T>(database: Database, { dryRun }: DryRun, work: (tx: Sql) => Promise<T>): Promise<T> {
  try {
    return await database.transaction(async (tx) => {
      const answer = await work(tx);
      if (dryRun) throw new Undone(answer);
      return answer;
    });
  } catch (error) {
    if (error instanceof Undone) return error.answer as T;
    throw error;
  }
}
