import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { FastifyInstance } from 'fastify';
import { ManualClock, systemClock, type Clock } from '#base/clock';
import { JsonLog } from '#base/log';
import { systemRandom } from '#base/random';
import { createConsole } from '#points/console';
import { fallbackStatusRoutes } from '#points/fallback-status';
import { locatorRoutes } from '#points/locator';
import { createManagementPoint, type ManagementParts } from '#points/management';
import { AccountRecord } from '#records/account';
import { AuditRecord } from '#records/audit';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { ClientRecord } from '#records/client';
import { CollectionRecord } from '#records/collection';
import { DiscoveryRecord } from '#records/discovery';
import { DoctorRecord } from '#records/doctor';
import { FallbackStatusRecord } from '#records/fallback-status';
import { MethodRecord } from '#records/method';
import { BranchRecord } from '#records/branch';
import { LinkRecord } from '#records/link';
import { PackageRecord } from '#records/package';
import { PolicyRecord } from '#records/policy';
import { ReportRecord } from '#records/report';
import { ResourceRecord, type RawDevice } from '#records/resource';
import { SiteRecord } from '#records/site';
import { ContentStore } from '#store/content';
import { createVaultKeys, openSealer } from '#store/vault';
import { testDatabase } from '#test/database';
import { scratch } from '#test/scratch';

/** The bootstrap of the package that every test site has. */
export const BOOTSTRAP = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));

/** TestSite is a site P01 over a database of its own, with a package and an MP, whose points are started where a test wants them. */
export class TestSite {
  readonly clock: Clock;
  readonly logged: string[] = [];
  readonly folder: string;
  readonly records;
  readonly parts;
  token = '';
  readonly #closes: (() => Promise<void>)[] = [];
  #sha256 = '';

  private constructor(clock: Clock, database: Awaited<ReturnType<typeof testDatabase>>, folder: string) {
    this.clock = clock;
    this.folder = folder;
    const { db } = database;
    const known = {
      site: new SiteRecord(db, clock, systemRandom),
      boundary: new BoundaryRecord(db, clock),
      resource: new ResourceRecord(db, clock),
      ccr: new CcrRecord(db, clock),
    };
    const client = new ClientRecord(db, clock, systemRandom);
    this.records = {
      ...known,
      account: new AccountRecord(db, clock),
      package: new PackageRecord(db, clock),
      client,
      policy: new PolicyRecord(db, clock, client),
      collection: new CollectionRecord(db, clock),
      discovery: new DiscoveryRecord(db, clock, known),
      method: new MethodRecord(db, clock),
      doctor: new DoctorRecord(db, clock),
      fallbackStatus: new FallbackStatusRecord(db, clock),
      report: new ReportRecord(db, clock, known.boundary),
      audit: new AuditRecord(db, clock),
      link: new LinkRecord(db, clock, systemRandom),
      branch: new BranchRecord(db, clock),
    };
    const content = new ContentStore({ dir: path.join(folder, 'content'), random: systemRandom });
    this.parts = {
      ...this.records,
      database: db,
      content,
      clock,
      random: systemRandom,
      log: new JsonLog(clock, (line) => this.logged.push(line), 'debug'),
    };
  }

  static async make(t: TestContext, clock: Clock = systemClock): Promise<TestSite> {
    const database = await testDatabase();
    const folder = await mkdtemp(path.join(scratch, 'pushpoint-points-'));
    const site = new TestSite(clock, database, folder);
    t.after(async () => {
      for (const close of site.#closes) await close();
      await database.close();
      await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    });
    await site.records.site.create({ code: 'P01', kind: 'primary' });
    await site.records.site.setPoint('mp', { address: 'http://mp.corp.example:8480' }, 'test');
    site.token = await site.records.site.tokens.add({ label: 'test', scopes: ['admin'] });
    const stored = await site.parts.content.put(BOOTSTRAP);
    site.#sha256 = stored.sha256;
    await site.records.package.add(
      {
        name: 'client',
        version: '1.0.0',
        platform: 'windows',
        bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
        verify: { service: 'CcmExec' },
      },
      [{ name: 'ccmsetup.exe', ...stored }],
      'test',
    );
    return site;
  }

  /** sha256 is that of BOOTSTRAP. */
  get sha256(): string {
    return this.#sha256;
  }

  /** know imports machines, as an administrator does. */
  async know(...rows: (string | RawDevice)[]): Promise<void> {
    const devices = rows.map((row) => (typeof row === 'string' ? { name: row, domain: 'CORP' } : row));
    await this.records.discovery.take(devices, { site: 'P01', source: 'import' });
  }

  /** managementPoint starts one, with locator and fallback status point on the same listener, and gives its address. */
  async managementPoint(more: Partial<ManagementParts> = {}): Promise<{ url: string; port: number; close: () => Promise<void> }> {
    const parts = { ...this.parts, build: '0100', ...more };
    const also = (point: FastifyInstance): void => {
      more.also?.(point);
      locatorRoutes(point, parts, '/ccm_system');
      locatorRoutes(point, parts, '/sms_slp');
      fallbackStatusRoutes(point, parts);
    };
    return this.#serve(await createManagementPoint({ ...parts, also }), more.tls ? 'https' : 'http');
  }

  /** console starts the API; `call` sends what it is given with the token and reads the answer. */
  async console() {
    const sealer = openSealer(await createVaultKeys(path.join(this.folder, 'vault'), {}));
    const app = await createConsole({ ...this.parts, sealer, version: '1.0.0' });
    const { url } = await this.#serve(app, 'http');
    const call = async (method: string, route: string, body?: unknown, headers: Record<string, string> = {}) => {
      const raw = typeof body === 'string' || body instanceof Uint8Array;
      const answer = await fetch(`${url}${route.startsWith('/api') || route.endsWith('z') ? '' : '/api/v1'}${route}`, {
        method,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(body === undefined || raw ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
      });
      const text = await answer.text();
      const type = answer.headers.get('content-type') ?? '';
      const json = /json/.test(type) ? JSON.parse(text) : undefined;
      return { status: answer.status, headers: answer.headers, type, text, json };
    };
    return { url, call, app };
  }

  async #serve(app: Awaited<ReturnType<typeof createManagementPoint>>, scheme: string) {
    app.server.listen(0, '127.0.0.1');
    await once(app.server, 'listening');
    let closing: Promise<void> | undefined;
    const close = () => (closing ??= app.close());
    this.#closes.push(close);
    const { port } = app.server.address() as AddressInfo;
    return { url: `${scheme}://127.0.0.1:${port}`, port, close };
  }
}

/** manual gives a clock that a test moves, at the real time, because signatures and databases compare with it. */
export function manual(): ManualClock {
  return new ManualClock(systemClock.now());
}

/** sendRaw writes octets to a port, in the pieces given, and gives everything that comes back until the peer closes. */
export async function sendRaw(port: number, pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  let back = '';
  socket.on('data', (data) => (back += data.toString('latin1')));
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  for (const piece of pieces) {
    if (socket.destroyed) break;
    socket.write(piece);
    await new Promise(setImmediate);
  }
  await closed;
  return back;
}

/** openFiles counts the open descriptors of this process under a folder. */
export function openFiles(folder: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder);
    } catch {
      return false;
    }
  }).length;
}

/** until waits for something that another part of this process does, for half a minute at most. */
export async function until(holds: () => boolean): Promise<void> {
  const deadline = systemClock.monotonic() + 30_000;
  while (!holds() && systemClock.monotonic() < deadline) await systemClock.sleep(5);
  assert.ok(holds());
}
