import type { Clock } from '#base/clock';
import { shownName } from '#records/resource';
import type { Database, Sql } from '#store/database';
import { assignNew, pushNew, withdraw, type NoLonger, type Settled, type SettleParts } from './settle.ts';
import { ASSIGNED, type OnStored } from './stored.ts';

/** SWEPT: one walk through known machines looks at so many in one transaction. */
export const SWEPT = 500;

/** Swept is one part of a walk through all known machines. */
export interface Swept extends Settled, NoLonger {
  looked: number;
  /** Set at the end of the walk: what all of it did. */
  total: (Settled & NoLonger & { by: string }) | undefined;
}

async function withoutSite(tx: Sql, ids: readonly number[]): Promise<number[]> {
  const rows = await tx.query<{ id: number }>(
    'select id from resource where id = any($1) and assigned_site is null and trusted',
    [ids],
  );
  return rows.map(({ id }) => id);
}

/** Sweep is the walk through all known machines, part by part, for whichever process has the time. */
export class Sweep {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #parts: SettleParts;
  readonly #onStored: OnStored | undefined;

  constructor(db: Database, clock: Clock, parts: SettleParts, onStored: OnStored | undefined) {
    this.#db = db;
    this.#clock = clock;
    this.#parts = parts;
    this.#onStored = onStored;
  }

  /** want asks for a walk through all known machines: after site-wide push was switched on or off, or boundaries were added. Announced on 'discovery_sweep'. */
  async want(by: string, via: Sql = this.#db): Promise<void> {
    await via.query(
      `insert into discovery_sweep (wanted_at, wanted_by) values ($1, $2)
       on conflict (one) do update set after = 0, wanted_at = excluded.wanted_at, wanted_by = excluded.wanted_by`,
      [this.#clock.now(), shownName(by)],
    );
    await this.#db.notify('discovery_sweep', '', via);
  }

  /** next does the next part of a wanted walk, in a transaction of its own; undefined when none is wanted, or another process does it just now. */
  next(): Promise<Swept | undefined> {
    return this.#db.transaction(async (tx) => {
      const [row] = await tx.query<{ after: number; wanted_by: string; assigned: number; requested: number; withdrawn: number }>(
        'select after, wanted_by, assigned, requested, withdrawn from discovery_sweep for update skip locked',
      );
      if (!row) return undefined;
      const ids = (
        await tx.query<{ id: number }>('select id from resource where id > $1 and not obsolete order by id limit $2', [
          row.after,
          SWEPT,
        ])
      ).map(({ id }) => id);
      const { assigned, requested, withdrawn } = await this.#settle(ids, tx);
      const total = {
        assigned: row.assigned + assigned,
        requested: row.requested + requested,
        withdrawn: row.withdrawn + withdrawn,
        by: row.wanted_by,
      };
      const more = ids.length === SWEPT;
      if (more)
        await tx.query('update discovery_sweep set after = $1, assigned = $2, requested = $3, withdrawn = $4', [
          ids.at(-1),
          total.assigned,
          total.requested,
          total.withdrawn,
        ]);
      else await tx.query('delete from discovery_sweep');
      return { looked: ids.length, assigned, requested, withdrawn, total: more ? undefined : total };
    });
  }

  async #settle(ids: readonly number[], tx: Sql): Promise<Settled & NoLonger> {
    const site = await this.#parts.site.here(tx);
    const without = this.#onStored ? await withoutSite(tx, ids) : [];
    const assigned = await assignNew(this.#parts, ids, tx);
    // Other sites are to hear of machines that were just found to be theirs.
    if (assigned > 0 && without.length > 0) await this.#onStored?.(tx, without, { ...ASSIGNED, site: site.code });
    const withdrawn = await withdraw(this.#parts, site, ids, tx);
    return { assigned, requested: await pushNew(this.#parts, site, ids, this.#clock.now(), tx), withdrawn };
  }
}
