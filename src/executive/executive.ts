import { lookup } from 'node:dns/promises';
import type { FastifyInstance } from 'fastify';
import { systemClock } from '#base/clock';
import { raise } from '#base/errors';
import { ServerLog } from '#base/log';
import { Meter } from '#base/meter';
import { Ccm, CcmInbox, Doctor, openFiles, Surroundings, type Network } from '#components/ccm';
import { Ddm, DdrBox } from '#components/ddm';
import { Discovery } from '#components/discovery';
import { CollectionUpkeep, PolicySecrets, PolicyUpkeep, Upkeep } from '#components/upkeep';
import { createConsole } from '#points/console';
import { Paces } from '#points/management';
import { openVault } from '#store/vault';
import { renew } from '#wire/http';
import { connectSmb } from '#wire/smb';
import { probeTcp } from '#wire/tcp';
import type { Listen } from './data-folder.ts';
import { dnsNames } from './dns-names.ts';
import { openLines, type Lines } from './lines.ts';
import { hangUp, listen } from './listeners.ts';
import { openPoints } from './points.ts';
import { TlsFiles, type Tls, type TlsWish } from './tls-files.ts';
import type { Role } from './roles.ts';
import { doctorNetwork, lookAtFolder } from './doctor.ts';
import { logLines, version, type OpenSite } from './site-folder.ts';

/** What is to run beside the roles' own wiring. */
export interface ExecutiveOptions {
  roles: ReadonlySet<Role>;
  points: Listen;
  console: Listen;
  https?: { listen: Listen; files: TlsWish; tls: Tls } | undefined;
}

/** Served is where this process answers. */
export interface Served {
  points?: string;
  pointsHttps?: string;
  console?: string;
}

type Stop = () => Promise<void>;

/** network is the real one: TCP, SMB, and the names as the system resolves them. */
const network: Network = {
  probe: probeTcp,
  connect: connectSmb,
  async resolve(name) {
    try {
      return (await lookup(name, { all: true })).map((found) => found.address);
    } catch (cause) {
      throw raise('PP_NET_NAME_UNKNOWN', { host: name }, { cause });
    }
  },
};

async function closePoint(app: FastifyInstance): Promise<void> {
  await hangUp(app.server);
  await app.close();
}

/** MPLIST shows a build number; ours is the version without dots, as 2003's was. */
const BUILD = version.replace(/\D/g, '').padStart(4, '0');

/**
 * Executive starts the roles of one process over an open site, in the order that lets the first request find everything in place, and stops
 * them in the opposite one. A role that does not start stops those before it.
 */
export class Executive {
  readonly #site: OpenSite;
  readonly #options: ExecutiveOptions;
  readonly #meter = new Meter();
  #serverLog: ServerLog | undefined;
  readonly #stops: { what: string; stop: Stop }[] = [];
  #lines: Lines | undefined;
  readonly served: Served = {};

  constructor(site: OpenSite, options: ExecutiveOptions) {
    this.#site = site;
    this.#options = options;
  }

  async start(): Promise<Served> {
    const { roles } = this.#options;
    try {
      if (roles.has('mp') || roles.has('hierarchy')) await this.#site.records.site.runs(version);
      if (roles.has('hierarchy')) await this.#openLines();
      if (roles.has('mp') || roles.has('slp') || roles.has('fsp')) await this.#startPoints();
      if (roles.has('console')) await this.#startConsole();
      if (roles.has('inbox')) await this.#startInbox();
      if (roles.has('ccm')) await this.#startCcm();
      if (roles.has('ddm')) await this.#startDdm();
      if (roles.has('discovery')) await this.#startDiscovery();
      if (this.#lines) await this.#startLines(this.#lines);
      // One process has the inbox, and so this too; a command that serves the API for itself has neither.
      if (roles.has('inbox')) await this.#startUpkeep();
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

  async #startInbox(): Promise<void> {
    const { folder, records, database, clock, log } = this.#site;
    const inbox = new CcmInbox({
      database,
      ...records,
      surroundings: new Surroundings({ ...records, content: this.#site.content, clock }),
      clock,
      log: log.with({ component: 'inbox' }),
      serverLog: this.#ccmLog(),
      inboxes: folder.inboxes,
      bin: folder.bin,
    });
    this.#stops.push({ what: 'inbox', stop: () => inbox.stop() });
    await inbox.start();
    const serverLog = new ServerLog(clock, 'SMS_DISCOVERY_DATA_MANAGER', logLines(folder, 'ddm.log'));
    const box = new DdrBox({ ...records, clock, log: log.with({ component: 'ddm' }), serverLog, inboxes: folder.inboxes });
    this.#stops.push({ what: 'ddm.box', stop: () => box.stop() });
    box.start();
  }

  async #startCcm(): Promise<void> {
    const { folder, records, database, content, clock, random, log } = this.#site;
    const vault = await openVault({ dir: folder.vault });
    // Tokens that the other site of the branch takes too are made with it.
    await records.link.key(vault);
    const common = { database, ...records, content, vault, clock, random, serverLog: this.#ccmLog() };
    const ccm = new Ccm({ ...common, network, log: log.with({ component: 'ccm' }) });
    this.#stops.push({ what: 'ccm', stop: () => ccm.stop() });
    await ccm.start();
    const secrets = new PolicySecrets({ ...common, log: log.with({ component: 'policies' }) });
    this.#stops.push({ what: 'secrets', stop: () => secrets.stop() });
    await secrets.start();
    const doctor = new Doctor({
      ...common,
      network: doctorNetwork(network),
      log: log.with({ component: 'doctor' }),
      local: () => lookAtFolder(folder, clock),
    });
    this.#stops.push({ what: 'doctor', stop: () => doctor.stop() });
    await doctor.start();
  }

  async #startDiscovery(): Promise<void> {
    const { records, database, clock, random, log } = this.#site;
    const parts = {
      ...records,
      database,
      names: dnsNames(),
      files: openFiles(),
      clock,
      random,
      log: log.with({ component: 'discovery' }),
    };
    const discovery = new Discovery(parts);
    this.#stops.push({ what: 'discovery', stop: () => discovery.stop() });
    await discovery.start();
  }

  async #startDdm(): Promise<void> {
    const { records, database, clock, log } = this.#site;
    const ddm = new Ddm({ ...records, database, clock, log: log.with({ component: 'ddm' }) });
    this.#stops.push({ what: 'ddm', stop: () => ddm.stop() });
    await ddm.start();
  }

  async #startUpkeep(): Promise<void> {
    const { records, database, clock, log } = this.#site;
    const upkeep = new Upkeep({ ...records, database, clock, log: log.with({ component: 'upkeep' }) });
    this.#stops.push({ what: 'upkeep', stop: () => upkeep.stop() });
    await upkeep.start();
    const collections = new CollectionUpkeep({ ...records, database, clock, log: log.with({ component: 'collections' }) });
    this.#stops.push({ what: 'collections', stop: () => collections.stop() });
    await collections.start();
    const policies = new PolicyUpkeep({ ...records, database, clock, log: log.with({ component: 'policies' }) });
    this.#stops.push({ what: 'policies', stop: () => policies.stop() });
    await policies.start();
  }

  #ccmLog(): ServerLog {
    this.#serverLog ??= new ServerLog(this.#site.clock, 'SMS_CLIENT_CONFIG_MANAGER', logLines(this.#site.folder, 'ccm.log'));
    return this.#serverLog;
  }

  /** What children ask is answered on the points listener, so only by a process that has it. */
  async #openLines(): Promise<void> {
    this.#lines = await openLines(this.#site, { point: this.#options.roles.has('mp') });
    const { point } = this.#lines;
    if (point) this.#stops.push({ what: 'hierarchy point', stop: () => point.stop() });
  }

  async #startLines({ hierarchy, flows }: Lines): Promise<void> {
    this.#stops.push({ what: 'hierarchy', stop: () => hierarchy.stop() });
    await hierarchy.start();
    this.#stops.push({ what: 'flows', stop: () => flows.stop() });
    await flows.start();
  }

  async #startPoints(): Promise<void> {
    const { points, https, roles } = this.#options;
    const { log } = this.#site;
    const common = {
      certificate: https?.tls,
      roles,
      build: BUILD,
      paces: new Paces(this.#site.clock),
      meter: this.#meter,
      lines: this.#lines?.point,
    };
    const plain = await openPoints(this.#site, common);
    this.#stops.push({ what: 'points', stop: () => closePoint(plain) });
    this.served.points = await listen(plain.server, points, 'http', log);
    if (!https) return;
    const { tls } = https;
    const secure = await openPoints(this.#site, { ...common, tls });
    this.#stops.push({ what: 'points over HTTPS', stop: () => closePoint(secure) });
    this.served.pointsHttps = await listen(secure.server, https.listen, 'https', log);
    const files = new TlsFiles(https.files, { tls, clock: this.#site.clock, log, renewed: () => renew(secure, tls) });
    this.#stops.push({ what: 'certificate files', stop: async () => files.stop() });
  }

  async #startConsole(): Promise<void> {
    const { records, database, content, clock, log, sealer } = this.#site;
    const app = await createConsole({
      ...records,
      database,
      content,
      clock,
      log: log.with({ point: 'console' }),
      sealer,
      version,
      meter: this.#meter,
    });
    this.#stops.push({ what: 'console', stop: () => closePoint(app) });
    this.served.console = await listen(app.server, this.#options.console, 'http', log);
  }
}
