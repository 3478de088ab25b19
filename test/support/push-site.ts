import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buildBundle } from '#client/bundle';
import { systemClock, type Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';
import { JsonLog, ServerLog, type Log } from '#base/log';
import { systemRandom } from '#base/random';
import { Ccm, CcmInbox, Surroundings, type CcmParts, type Network } from '#components/ccm';
import { locatorRoutes } from '#points/locator';
import { createManagementPoint } from '#points/management';
import { AccountRecord, passwordPurpose } from '#records/account';
import { AuditRecord } from '#records/audit';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord, type CcrShown, type CcrState } from '#records/ccr';
import { ClientRecord } from '#records/client';
import { DiscoveryRecord } from '#records/discovery';
import { PackageRecord } from '#records/package';
import { parseDevices, ResourceRecord } from '#records/resource';
import { SiteRecord, type SettingsPatch } from '#records/site';
import { ContentStore } from '#store/content';
import { createVaultKeys, openVault, type Vault } from '#store/vault';
import { openDatabase, type Database } from '#store/database';
import { testDatabase } from '#test/database';
import { scratch } from '#test/scratch';
import { SeededRandom } from '#test/seeded';
import { connectSmb, type SmbSession } from '#wire/smb';
import { probeTcp } from '#wire/tcp';

/** VERSION is that of the client that the test site pushes. */
export const VERSION = '0.1.0';
/** PASSWORD is the canary of the push accounts; it may stand nowhere in what the product writes. */
export const PASSWORD = 'Push-Only-1!';

/** AheadClock runs as the system's clock does, ahead of it by what a test has skipped; timers keep real time. */
export class AheadClock implements Clock {
  #ahead = 0;

  now(): Date {
    return new Date(systemClock.now().getTime() + this.#ahead);
  }
  monotonic(): number {
    return systemClock.monotonic();
  }
  after(ms: number, fn: () => void): () => void {
    return systemClock.after(ms, fn);
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
  skip(ms: number): void {
    this.#ahead += ms;
  }
}

/** Records are all of them over one database, with one clock. */
interface Records {
  site: SiteRecord;
  account: AccountRecord;
  package: PackageRecord;
  resource: ResourceRecord;
  client: ClientRecord;
  ccr: CcrRecord;
  boundary: BoundaryRecord;
  discovery: DiscoveryRecord;
  audit: AuditRecord;
}

function recordsOf(db: Database, clock: Clock): Records {
  const some = {
    site: new SiteRecord(db, clock, systemRandom),
    boundary: new BoundaryRecord(db, clock),
    resource: new ResourceRecord(db, clock),
    ccr: new CcrRecord(db, clock),
  };
  return {
    ...some,
    account: new AccountRecord(db, clock),
    package: new PackageRecord(db, clock),
    client: new ClientRecord(db, clock, systemRandom),
    discovery: new DiscoveryRecord(db, clock, some),
    audit: new AuditRecord(db, clock),
  };
}

/** PushSite is a site to push from: a real database, vault, content folder and management point, and as many CCMs as a test starts. */
export class PushSite {
  readonly folder: string;
  readonly url: string;
  readonly database: Database;
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Log;
  /** Lines of pushpoint.log and of ccm.log. */
  readonly lines: string[] = [];
  readonly journal: string[] = [];
  /** Sessions that were opened, and probes that were made. */
  readonly sessions: SmbSession[] = [];
  probes = 0;
  readonly content: ContentStore;
  readonly vault: Vault;
  readonly #ends: (() => Promise<void>)[] = [];

  private constructor(o: { folder: string; url: string; database: Database; clock: Clock; vault: Vault }) {
    this.folder = o.folder;
    this.url = o.url;
    this.database = o.database;
    this.clock = o.clock;
    this.vault = o.vault;
    this.records = recordsOf(o.database, o.clock);
    this.log = new JsonLog(o.clock, (line) => this.lines.push(line), 'debug');
    this.content = new ContentStore({ dir: join(o.folder, 'content'), random: systemRandom });
  }

  /** create makes site P01 with its package; a management point only where one is wanted. */
  static async create(o: { clock?: Clock; settings?: SettingsPatch; mp?: boolean } = {}): Promise<PushSite> {
    const clock = o.clock ?? systemClock;
    const folder = await mkdtemp(join(scratch, 'pushpoint-ccm-'));
    const test = await testDatabase();
    await createVaultKeys(join(folder, 'vault'), {});
    const vault = await openVault({ dir: join(folder, 'vault'), env: {} });
    const site = new PushSite({ folder, url: test.url, database: test.db, clock, vault });
    site.#ends.push(
      () => rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }),
      () => test.close(),
    );
    await site.records.site.create({ code: 'P01', kind: 'primary' });
    await site.records.site.runs('0.1.0');
    if (o.settings) await site.records.site.updateSettings(o.settings, 'test');
    await site.#addPackage();
    if (o.mp === false) return site;
    await site.#startManagementPoint();
    return site;
  }

  async #addPackage(): Promise<void> {
    const files = await Promise.all(
      (['ccmsetup', 'agent'] as const).map(async (name) => {
        const stored = await this.content.put(await buildBundle(name));
        return { name: name === 'ccmsetup' ? 'ccmsetup.exe' : 'client.mjs', ...stored };
      }),
    );
    await this.records.package.add(
      {
        name: 'client',
        version: VERSION,
        platform: 'windows',
        bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
        payload: { file: 'client.mjs' },
        verify: { service: 'CcmExec' },
      },
      files,
      'test',
    );
  }

  async #startManagementPoint(): Promise<void> {
    const { database, records, content, clock, log } = this;
    const parts = { database, ...records, content, clock, random: systemRandom, log, build: '0100' };
    const app = await createManagementPoint({ ...parts, also: (more) => locatorRoutes(more, parts, '/ccm_system') });
    await new Promise<void>((resolve) => app.server.listen(0, '127.0.0.1', resolve));
    this.#ends.push(async () => {
      app.server.close();
      await app.close();
    });
    const { port } = app.server.address() as AddressInfo;
    await records.site.setPoint('mp', { address: `http://127.0.0.1:${port}` }, 'test');
  }

  /** addAccount adds a push account for the whole site, or for hosts of a pattern. */
  async addAccount(username: string, o: { name?: string; password?: string; pattern?: string } = {}): Promise<void> {
    await this.records.account.add({
      name: o.name ?? 'push',
      username,
      sealedPassword: this.vault.seal(o.password ?? PASSWORD, passwordPurpose(username)),
      scope: o.pattern === undefined ? { kind: 'site' } : { kind: 'host', pattern: o.pattern },
    });
  }

  /** importCsv lets an administrator import devices. */
  async importCsv(csv: string): Promise<void> {
    const { rows, rejected } = parseDevices(new TextEncoder().encode(csv), 'csv');
    const done = await this.records.resource.importDevices(rows, { source: 'import', site: 'P01', trusted: true });
    const wrong = [...rejected, ...done.rejected];
    if (wrong.length > 0) throw new Error(`rows were rejected: ${JSON.stringify(wrong)}`);
  }

  /** push asks for machines as the wizard does. */
  async push(names: string | string[], wish: Partial<Parameters<CcrRecord['request']>[0]> = {}): Promise<number[]> {
    const requests = await Promise.all(
      [names].flat().map(async (name) => {
        const [device] = await this.records.resource.find(name);
        return {
          name,
          domain: device?.domain,
          resourceId: device?.id,
          addresses: device?.addresses,
          smbPort: device?.smbPort,
          resourceNames: device?.fqdn ? [device.fqdn] : [],
          source: 'push' as const,
          requestedBy: 'test',
          ...wish,
        };
      }),
    );
    return (await this.records.ccr.requestMany(requests)).map(({ ccr }) => ccr.id);
  }

  /** network is the real one, counted; names have no addresses unless a test says so. */
  network(change: Partial<Network> = {}): Network {
    return {
      probe: (options) => {
        this.probes++;
        return probeTcp(options);
      },
      connect: async (options) => {
        const session = await connectSmb(options);
        this.sessions.push(session);
        return session;
      },
      resolve: (name) => Promise.reject(raise('PP_NET_NAME_UNKNOWN', { host: name })),
      ...change,
    };
  }

  /** parts are what a CCM of this process works with; `database` makes it one of another process. */
  parts(change: Partial<CcmParts> = {}): CcmParts {
    const serverLog = new ServerLog(this.clock, 'SMS_CLIENT_CONFIG_MANAGER', (line) => this.journal.push(line));
    const { database, records, content, vault, clock, log } = this;
    return {
      database,
      ...records,
      content,
      vault,
      network: this.network(),
      clock,
      random: new SeededRandom(() => 'ccm'),
      log,
      serverLog,
      ...change,
    };
  }

  /** startCcm starts a CCM; it is stopped with the site. */
  async startCcm(change: Partial<CcmParts> = {}): Promise<Ccm> {
    const ccm = new Ccm(this.parts(change));
    this.#ends.push(() => ccm.stop());
    await ccm.start();
    return ccm;
  }

  /** startOther starts a CCM over its own connections and records, as another process would. */
  async startOther(change: Partial<CcmParts> = {}, over: { url?: string } = {}): Promise<Ccm> {
    const database = await openDatabase({
      dataDir: this.folder,
      url: this.url,
      ...over,
      clock: systemClock,
      log: this.log,
      connections: 5,
    });
    this.#ends.push(() => database.close());
    return this.startCcm({ database, ...recordsOf(database, this.clock), ...change });
  }

  /** startInbox starts the role `inbox` over folders below the site's. */
  async startInbox(): Promise<CcmInbox> {
    const parts = this.parts();
    const inboxes = join(this.folder, 'inboxes');
    const inbox = new CcmInbox({ ...parts, surroundings: new Surroundings(parts), inboxes, bin: join(this.folder, 'bin') });
    this.#ends.push(() => inbox.stop());
    await inbox.start();
    return inbox;
  }

  /** skip lets time pass at once on an AheadClock, and has whoever works CCRs look at the queue. */
  async skip(ms: number): Promise<void> {
    if (!(this.clock instanceof AheadClock)) throw new Error('only an AheadClock can skip');
    this.clock.skip(ms);
    await this.database.notify('ccr', '');
  }

  /** show gives the CCR of a machine with its timeline. */
  async show(name: string): Promise<CcrShown> {
    const found = await this.records.ccr.show(name);
    if (!found) throw new Error(`there is no CCR for ${name}`);
    return found;
  }

  /** until waits until the CCR of a machine is in one of these states. */
  async until(name: string, ...states: CcrState[]): Promise<CcrShown> {
    let last: CcrShown | undefined;
    await waitFor(`${name} to be ${states.join(' or ')}`, async () => {
      last = await this.show(name);
      return states.includes(last.state);
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; it is ${last?.state}: ${JSON.stringify(last?.steps)}`, { cause: error });
    });
    return last!;
  }

  async close(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}

/** waitFor looks again and again, up to a minute, until something is so. */
export async function waitFor(what: string, look: () => Promise<boolean> | boolean, ms = 60_000): Promise<void> {
  const until = systemClock.monotonic() + ms;
  for (let pause = 2; !(await look()); pause = Math.min(pause * 1.5, 100)) {
    if (systemClock.monotonic() > until) throw new Error(`waited ${ms} ms in vain for ${what}`);
    await systemClock.sleep(pause);
  }
}

/** isRefusal tells whether an error is one of the catalogue. */
export function isRefusal(error: unknown): error is PushpointError {
  return error instanceof PushpointError;
}
