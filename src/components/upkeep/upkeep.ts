import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { AuditRecord } from '#records/audit';
import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { DiscoveryRecord } from '#records/discovery';
import type { FallbackStatusRecord } from '#records/fallback-status';
import type { SiteRecord } from '#records/site';
import type { Database } from '#store/database';
import { maintenanceTasks } from './maintenance.ts';

/** UpkeepParts is what the upkeep of a site needs. */
export interface UpkeepParts {
  database: Database;
  discovery: DiscoveryRecord;
  client: ClientRecord;
  ccr: CcrRecord;
  fallbackStatus: FallbackStatusRecord;
  site: SiteRecord;
  audit: AuditRecord;
  clock: Clock;
  log: Log;
}

/** What was missed by NOTIFY is found after so long, and due maintenance too. */
const ROUND_MS = 60_000;
/** An audit entry names so many machines. */
const NAMED = 500;

/**
 * Upkeep does what is due at a site without anybody asking just then: the walk through all known machines after site-wide push was switched
 * on or boundaries were added, and the maintenance tasks once a day. Several processes may have it; the database lets one do each part.
 */
export class Upkeep {
  readonly #parts: UpkeepParts;
  #cancel: () => void = () => {};
  #unlisten: () => Promise<void> = async () => {};
  #round: Promise<void> = Promise.resolve();
  #running = false;
  #again = false;
  #stopped = false;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    this.#unlisten = await this.#parts.database.listen('discovery_sweep', () => this.#look());
    this.#look();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#unlisten();
    await this.#round;
  }

  /** look does a round now, or another one after that which is under way. */
  #look(): void {
    if (this.#stopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#cancel();
    this.#round = this.#work()
      .catch((error: unknown) => this.#parts.log.error('upkeep failed; it goes on at the next round', { error }))
      .then(() => {
        this.#running = false;
        if (this.#stopped) return;
        this.#cancel = this.#parts.clock.after(ROUND_MS, () => this.#look());
        if (!this.#again) return;
        this.#again = false;
        this.#look();
      });
  }

  async #work(): Promise<void> {
    await this.#maintain();
    const gone = await this.#parts.fallbackStatus.prune();
    if (gone > 0) this.#parts.log.info('messages of the fallback status point removed', { messages: gone });
    const { fallbackMegabytes } = (await this.#parts.site.here()).settings.points;
    const logs = await this.#parts.fallbackStatus.trim(fallbackMegabytes * 2 ** 20);
    if (logs > 0) this.#parts.log.info('logs at the fallback status point dropped, they took too much room', { logs });
    while (!this.#stopped) {
      const part = await this.#parts.discovery.sweep();
      if (!part) return;
      if (!part.total) continue;
      const { withdrawn, by } = part.total;
      this.#parts.log.info('known machines looked at again', { ...part.total });
      if (withdrawn === 0) continue;
      const detail = { reason: 'site-wide push would not make them any more', changedBy: by };
      await this.#parts.audit.write({ who: 'site-wide push', what: 'ccr.withdraw', object: `${withdrawn} CCRs`, detail });
    }
  }

  async #maintain(): Promise<void> {
    const others = maintenanceTasks(this.#parts, (await this.#parts.site.here()).settings);
    for (const { task, days, of, touched, names } of await this.#parts.discovery.maintain(others)) {
      this.#parts.log.info('maintenance task done', { task, days, touched });
      if (touched === 0) continue;
      const detail = { days, ...(names.length > 0 && { names: names.slice(0, NAMED) }) };
      await this.#parts.audit.write({ who: 'maintenance', what: `maintenance.${task}`, object: `${touched} ${of}`, detail });
    }
  }
}
