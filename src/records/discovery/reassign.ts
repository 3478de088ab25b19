import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { boundaryText } from '#records/boundary';
import type { Database, Sql } from '#store/database';
import { pages, type WhomToReassign } from './pages.ts';
import { pushNew, withdraw, type SettleParts } from './settle.ts';
import { ASSIGNED, type OnStored } from './stored.ts';
import { SWEPT, type Sweep } from './sweep.ts';

/** An answer names so many machines at most. */
const NAMED = 10_000;

/** Reassigned is what a new assignment changes: machines that move, and how many stay. */
export interface Reassigned {
  items: { name: string; from: string | null; to: string | null; boundary: string | null; address: string | null }[];
  changed: number;
  unchanged: number;
}

/** Reassignment gives machines another site: by the boundaries as they are now, or as the parent says. */
export class Reassignment {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #parts: SettleParts;
  readonly #onStored: OnStored | undefined;
  readonly #sweep: Sweep;

  constructor(db: Database, clock: Clock, parts: SettleParts, sweep: Sweep, onStored: OnStored | undefined) {
    this.#db = db;
    this.#clock = clock;
    this.#parts = parts;
    this.#sweep = sweep;
    this.#onStored = onStored;
  }

  /** byBoundaries judges machines by the boundaries as they are now, those that have a site too; those in no boundary lose theirs. */
  byBoundaries(whom: WhomToReassign, by: string, via?: Sql): Promise<Reassigned> {
    const work = async (tx: Sql): Promise<Reassigned> => {
      const index = await this.#parts.boundary.index(tx);
      if (!index.assigns) throw raise('PP_BOUNDARY_NONE');
      const done: Reassigned = { items: [], changed: 0, unchanged: 0 };
      const moved: number[] = [];
      for await (const machines of pages(tx, whom, this.#clock.now())) {
        const sites: { id: number; site: string | undefined }[] = [];
        for (const { id, name, addresses, ad_site, assigned_site } of machines) {
          const judged = index.judge({ addresses, adSite: ad_site ?? undefined });
          if ((judged?.site ?? null) === assigned_site) {
            done.unchanged++;
            continue;
          }
          sites.push({ id, site: judged?.site });
          if (done.items.length >= NAMED) continue;
          const boundary = judged ? boundaryText(judged.boundary) : null;
          done.items.push({ name, from: assigned_site, to: judged?.site ?? null, boundary, address: judged?.address ?? null });
        }
        if (sites.length > 0) done.changed += await this.#parts.resource.assign(sites, tx);
        moved.push(...sites.map(({ id }) => id));
        const left = machines.flatMap(({ id, assigned_site: from }) => (from === null ? [] : [{ id, from }]));
        await this.#tellMoved(
          tx,
          sites.map(({ id }) => id),
          left,
        );
      }
      if (moved.length > SWEPT) await this.#sweep.want(by, tx);
      else {
        const site = await this.#parts.site.here(tx);
        await withdraw(this.#parts, site, moved, tx);
        await pushNew(this.#parts, site, moved, this.#clock.now(), tx);
      }
      return done;
    };
    return via ? work(via) : this.#db.transaction(work);
  }

  /** asTold assigns machines as the parent says, and takes back the CCRs that site-wide push of this site made for those that have left it. */
  async asTold(sites: readonly { id: number; site: string | undefined }[], tx: Sql): Promise<void> {
    await this.#parts.resource.assign(sites, tx);
    const ids = sites.map(({ id }) => id);
    await withdraw(this.#parts, await this.#parts.site.here(tx), ids, tx);
  }

  async #tellMoved(tx: Sql, ids: readonly number[], left: readonly { id: number; from: string }[]): Promise<void> {
    if (!this.#onStored || ids.length === 0) return;
    const moved = left.filter(({ id }) => ids.includes(id));
    await this.#onStored(tx, ids, { ...ASSIGNED, site: (await this.#parts.site.here(tx)).code, moved });
  }
}
