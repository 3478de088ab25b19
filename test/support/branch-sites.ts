import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { flowHandlers, Flows, forwardDdrs, type FetchContent, type FlowParts } from '#components/flows';
import { publicKeyOf } from '#messages';
import { BoundaryRecord } from '#records/boundary';
import { BranchRecord } from '#records/branch';
import { CcrRecord } from '#records/ccr';
import { ClientRecord } from '#records/client';
import { DiscoveryRecord } from '#records/discovery';
import { LinkRecord, type LinkHandlers } from '#records/link';
import { PackageRecord } from '#records/package';
import { ResourceRecord } from '#records/resource';
import { SiteRecord } from '#records/site';
import { ContentStore } from '#store/content';
import { testDatabase, type TestDatabase } from '#test/database';
import { scratch } from '#test/scratch';
import { eventually } from '#test/whole-site';

/** BranchSite is a site with its own database and no network: what waits for another one is carried there by `carry`. */
export class BranchSite {
  readonly code: string;
  readonly database: TestDatabase;
  readonly parts: FlowParts;
  readonly handlers: LinkHandlers;
  readonly key: KeyObject;
  readonly #folder: string;
  #flows: Flows | undefined;

  private constructor(code: string, database: TestDatabase, folder: string) {
    this.code = code;
    this.database = database;
    this.#folder = folder;
    this.key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const { db } = database;
    const clock = systemClock;
    const publicKey = publicKeyOf(this.key);
    const site = new SiteRecord(db, clock, systemRandom);
    const boundary = new BoundaryRecord(db, clock);
    const resource = new ResourceRecord(db, clock);
    const ccr = new CcrRecord(db, clock);
    const link = new LinkRecord(db, clock, systemRandom);
    link.shared.use({ publicKey, privateKey: this.key });
    this.parts = {
      database: db,
      content: new ContentStore({ dir: join(folder, 'content'), random: systemRandom }),
      site,
      boundary,
      resource,
      ccr,
      link,
      discovery: new DiscoveryRecord(db, clock, { site, boundary, resource, ccr }, forwardDdrs({ site, resource, link })),
      client: new ClientRecord(db, clock, systemRandom, link.shared),
      package: new PackageRecord(db, clock),
      branch: new BranchRecord(db, clock),
      clock,
      log: silentLog,
    };
    this.handlers = flowHandlers(this.parts);
  }

  static async create(code: string, parent?: string): Promise<BranchSite> {
    const made = new BranchSite(code, await testDatabase(), await mkdtemp(join(scratch, 'pushpoint-branch-')));
    await made.parts.site.create({ code, kind: parent === undefined ? 'primary' : 'secondary', parent });
    return made;
  }

  /** tellOthers starts what compares and queues. */
  async tellOthers(fetchContent: FetchContent = async function* () {}): Promise<void> {
    this.#flows = new Flows(this.parts, { fetchContent });
    await this.#flows.start();
  }

  async close(): Promise<void> {
    await this.#flows?.stop();
    await this.database.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** joined makes one site the child of another, as a join does. */
export async function joined(parent: BranchSite, child: BranchSite, kind: 'primary' | 'secondary' = 'secondary'): Promise<void> {
  const link = (of: BranchSite, role: 'parent' | 'child') => ({
    site: of.code,
    role,
    publicKey: publicKeyOf(of.key),
    sealKey: '',
    version: '0',
    ...(role === 'parent' && { url: 'http://127.0.0.1:1' }),
  });
  await parent.database.db.transaction(async (tx) => {
    await parent.parts.site.learn({ code: child.code, kind, parent: parent.code }, tx);
    await parent.parts.link.join(tx, link(child, 'child'));
  });
  await child.database.db.transaction(async (tx) => {
    await child.parts.site.learn({ code: parent.code, kind: 'primary' }, tx);
    await child.parts.link.join(tx, link(parent, 'parent'));
  });
}

/** fill queues the snapshots that new neighbours get. */
export async function fill(site: BranchSite): Promise<void> {
  const { line } = site.parts.link;
  for (const peer of await line.unfilled()) await line.fill(peer, site.handlers, new AbortController().signal);
}

/** carry brings everything that waits between two sites to where it goes, and gives the kinds that travelled, in their order. */
export async function carry(from: BranchSite, to: BranchSite): Promise<string[]> {
  const kinds: string[] = [];
  for (;;) {
    const { batch } = await from.parts.link.line.next(to.code, { items: true });
    if (!batch) return kinds;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by the outbox
    const items = JSON.parse(batch.items) as Parameters<typeof to.parts.link.line.receive>[1]['items'];
    kinds.push(...items.map(({ kind }) => kind));
    const taken = await to.parts.link.line.receive(from.code, { stream: batch.stream, first: batch.first, items }, to.handlers);
    if (taken.rejected > 0) {
      const rows = await to.database.db.query('select kind, code, reason, body from link_reject');
      throw new Error(`${to.code} put aside: ${JSON.stringify(rows)}`);
    }
    await from.parts.link.line.next(to.code, { acked: taken.mark, items: false });
  }
}

/** carryUntil carries both ways until something is so. */
export async function carryUntil(a: BranchSite, b: BranchSite, what: string, look: () => Promise<boolean>): Promise<void> {
  await eventually(what, async () => {
    await carry(a, b);
    await carry(b, a);
    return look();
  });
}
