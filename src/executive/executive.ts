import { systemClock } from '#base/clock';
import { createConsole } from '#points/console';
import { createManagementPoint } from '#points/management';
import type { Listen } from './data-folder.ts';
import { listen } from './listeners.ts';
import type { Role } from './roles.ts';
import { version, type OpenSite } from './site-folder.ts';

/** What is to run beside the roles' own wiring. */
export interface ExecutiveOptions {
  roles: ReadonlySet<Role>;
  points: Listen;
  console: Listen;
  https?: { listen: Listen; cert: Buffer; key: Buffer } | undefined;
}

/** Served is where this process answers. */
export interface Served {
  points?: string;
  pointsHttps?: string;
  console?: string;
}

type Stop = () => Promise<void>;

/** MPLIST shows a build number; ours is the version without dots, as 2003's was. */
const BUILD = version.replace(/\D/g, '').padStart(4, '0');

/**
 * Executive starts the roles of one process over an open site, in the order that lets the first request find everything in place, and stops
 * them in the opposite one. A role that does not start stops those before it.
 */
export class Executive {
  readonly #site: OpenSite;
  readonly #options: ExecutiveOptions;
  readonly #stops: { what: string; stop: Stop }[] = [];
  readonly served: Served = {};

  constructor(site: OpenSite, options: ExecutiveOptions) {
    this.#site = site;
    this.#options = options;
  }

  async start(): Promise<Served> {
    const { roles } = this.#options;
    try {
      if (roles.has('mp')) await this.#startManagementPoint();
      if (roles.has('console')) await this.#startConsole();
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#site.log.info('roles started', { roles: [...roles], ...this.served });
    return this.served;
  }

  async stop(): Promise<void> {
    for (const { what, stop } of this.#stops.splice(0).reverse()) {
      const from = systemClock.monotonic();
      try {
        await stop();
        this.#site.log.info('stopped', { what, ms: Math.round(systemClock.monotonic() - from) });
      } catch (error) {
        this.#site.log.error('stopping failed', { what, error });
      }
    }
  }

  async #startManagementPoint(): Promise<void> {
    const { points, https } = this.#options;
    const { records, database, content, clock, log } = this.#site;
    const parts = { ...records, database, content, clock, log: log.with({ point: 'mp' }), build: BUILD };
    const plain = await createManagementPoint(parts);
    this.#stops.push({ what: 'management point', stop: () => plain.close() });
    this.served.points = await listen(plain.server, points, 'http');
    if (!https) return;
    const secure = await createManagementPoint({ ...parts, tls: { cert: https.cert, key: https.key } });
    this.#stops.push({ what: 'management point over HTTPS', stop: () => secure.close() });
    this.served.pointsHttps = await listen(secure.server, https.listen, 'https');
  }

  async #startConsole(): Promise<void> {
    const { records, database, content, clock, log, sealer } = this.#site;
    const app = await createConsole({ ...records, database, content, clock, log: log.with({ point: 'console' }), sealer, version });
    this.#stops.push({ what: 'console', stop: () => app.close() });
    this.served.console = await listen(app.server, this.#options.console, 'http');
  }
}
