import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net, { type AddressInfo, type Socket } from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock, type Clock } from '#base/clock';
import { JsonLog } from '#base/log';
import { systemRandom } from '#base/random';
import { askToJoin, Hierarchy } from '#components/hierarchy';
import { LinkAnswer, LinkHello, packLink, readLink, signLink, tokenKeyOf, unpackLink, type LinkTokenFile } from '#messages';
import { hierarchyPoint } from '#points/hierarchy';
import { createManagementPoint, type ManagementParts } from '#points/management';
import { AuditRecord } from '#records/audit';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { ClientRecord } from '#records/client';
import { DiscoveryRecord } from '#records/discovery';
import { LinkRecord, type LinkHandlers, type SiteKey } from '#records/link';
import { PackageRecord } from '#records/package';
import { ResourceRecord } from '#records/resource';
import { SiteRecord } from '#records/site';
import { ContentStore } from '#store/content';
import type { Database } from '#store/database';
import { createVaultKeys, openVault, type Vault } from '#store/vault';
import { testDatabase } from '#test/database';
import { OWN } from '#test/own-address';
import { scratch } from '#test/scratch';
import { HttpPeer } from '#wire/http';

/** Note is what travels in these tests: each is counted each time it takes effect. */
export interface Note {
  key: string;
  body: string;
  origin: string;
  times: number;
}

/** LinkSite is one site of a hierarchy in this process, with a database of its own, whose items are notes. */
export class LinkSite {
  readonly code: string;
  readonly clock: Clock;
  readonly logged: string[] = [];
  readonly site: SiteRecord;
  readonly link: LinkRecord;
  readonly audit: AuditRecord;
  readonly content: ContentStore;
  readonly database: Database;
  readonly vault: Vault;
  key!: SiteKey;
  url = '';
  /** What handlers do before they keep a note; for handlers that fail or stop half-way. */
  before: (key: string) => Promise<void> = async () => {};
  /** Keys that a snapshot has. */
  owns: string[] = [];
  #hierarchy: Hierarchy | undefined;
  #stopPoint: (() => Promise<void>) | undefined;

  private constructor(code: string, clock: Clock, database: Database, folder: string, vault: Vault) {
    this.code = code;
    this.clock = clock;
    this.database = database;
    this.vault = vault;
    this.site = new SiteRecord(database, clock, systemRandom);
    this.link = new LinkRecord(database, clock, systemRandom);
    this.audit = new AuditRecord(database, clock);
    this.content = new ContentStore({ dir: path.join(folder, 'content'), random: systemRandom });
  }

  static async make(
    t: TestContext,
    code: string,
    kind: 'primary' | 'secondary' = 'primary',
    clock: Clock = systemClock,
  ): Promise<LinkSite> {
    const { db, close } = await testDatabase();
    const folder = await mkdtemp(path.join(scratch, 'pushpoint-link-'));
    await createVaultKeys(path.join(folder, 'vault'), {});
    const made = new LinkSite(code, clock, db, folder, await openVault({ dir: path.join(folder, 'vault'), env: {} }));
    t.after(async () => {
      await made.stop();
      await close();
      await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    });
    await db.query(
      'create table note (n bigint generated always as identity, key text primary key, body text, origin text, times int not null)',
    );
    await made.site.create({ code, kind, ...(kind === 'secondary' && { parent: 'P01' }) });
    made.key = await made.link.key(made.vault);
    return made;
  }

  get handlers(): LinkHandlers {
    const before = (key: string) => this.before(key);
    const owns = () => this.owns;
    return {
      note: {
        takesFrom: ['parent', 'child'],
        async apply(tx, { items }) {
          for (const { key, body, origin } of items) {
            await before(key);
            await tx.query(
              `insert into note (key, body, origin, times) values ($1, $2, $3, 1)
               on conflict (key) do update set body = excluded.body, origin = excluded.origin, times = note.times + 1`,
              [key, JSON.stringify(body), origin],
            );
          }
        },
        async *snapshot() {
          for (const key of owns()) yield { kind: 'note', key, body: `all ${key}` };
        },
      },
      // Takes what the parent alone may say.
      order: { takesFrom: ['parent'], apply: async () => {} },
      many: {
        takesFrom: ['child'],
        async apply(tx, { items }) {
          await tx.query(
            `insert into note (key, body, origin, times) select key, body, $3, 1 from unnest($1::text[], $2::text[]) given (key, body)
             on conflict (key) do update set times = note.times + 1`,
            [items.map(({ key }) => key), items.map(({ body }) => JSON.stringify(body)), items[0]!.origin],
          );
        },
      },
    };
  }

  #parts() {
    const { database, site, link, audit, content, handlers, key, clock } = this;
    const log = new JsonLog(clock, (line) => this.logged.push(line), 'debug');
    return {
      database,
      site,
      link,
      audit,
      content,
      handlers,
      key,
      sealKey: this.vault.publicKey,
      version: '0.1.0',
      clock,
      random: systemRandom,
      log,
    };
  }

  /** serve starts the points listener, on the port it had before if it had one. */
  async serve(o: { holdMs?: number; tls?: ManagementParts['tls']; pin?: string } = {}): Promise<string> {
    const parts = this.#parts();
    const point = await hierarchyPoint({ ...parts, holdMs: o.holdMs ?? 2000 });
    const { database: db, clock, site } = this;
    const known = {
      site,
      boundary: new BoundaryRecord(db, clock),
      resource: new ResourceRecord(db, clock),
      ccr: new CcrRecord(db, clock),
    };
    const app = await createManagementPoint({
      ...parts,
      client: new ClientRecord(db, clock, systemRandom),
      ...known,
      discovery: new DiscoveryRecord(db, clock, known),
      package: new PackageRecord(db, clock),
      build: '0100',
      ...(o.tls && { tls: o.tls }),
      also: (it) => point.routes(it, { pin: o.pin }),
    });
    app.server.listen(this.url === '' ? 0 : Number(new URL(this.url).port), OWN);
    await once(app.server, 'listening');
    this.url = `${o.tls ? 'https' : 'http'}://${OWN}:${(app.server.address() as AddressInfo).port}`;
    this.#stopPoint = async () => {
      await point.stop();
      await app.close();
    };
    return this.url;
  }

  /** dial starts the component, which keeps the line to the parent. */
  async dial(o: { holdMs?: number; patienceMs?: number } = {}): Promise<void> {
    const { clock } = this;
    this.#hierarchy = new Hierarchy({
      ...this.#parts(),
      dial: ({ url, pin }) => new HttpPeer({ url, pin, clock }),
      holdMs: o.holdMs ?? 2000,
      patienceMs: o.patienceMs ?? 5000,
    });
    await this.#hierarchy.start();
  }

  /** hangUp stops the component, stopPoint the listener. */
  async hangUp(): Promise<void> {
    await this.#hierarchy?.stop();
    this.#hierarchy = undefined;
  }

  async stopPoint(): Promise<void> {
    await this.#stopPoint?.();
    this.#stopPoint = undefined;
  }

  async stop(): Promise<void> {
    await this.hangUp();
    await this.stopPoint();
  }

  async token(hours = 1): Promise<LinkTokenFile> {
    const { token, secret, expiresAt } = await this.database.transaction((tx) => this.link.makeToken(tx, hours));
    const { publicKey } = this.key;
    return { format: 'pushpoint site token 1', parent: this.code, publicKey, token, secret, expiresAt: expiresAt.toISOString() };
  }

  /** join joins below a parent that is reached at a URL, and keeps what it said. */
  async join(
    parent: LinkSite,
    o: { url?: string; kind?: 'primary' | 'secondary'; token?: LinkTokenFile; branch?: string[] } = {},
  ): Promise<void> {
    const url = o.url ?? parent.url;
    const token = o.token ?? (await parent.token());
    const peer = new HttpPeer({ url, clock: this.clock });
    try {
      const joined = await askToJoin({
        peer,
        token,
        tokenKey: tokenKeyOf(token.secret),
        code: this.code,
        kind: o.kind ?? 'secondary',
        publicKey: this.key.publicKey,
        sealKey: this.vault.publicKey,
        branch: o.branch ?? [],
        version: '0.1.0',
        random: systemRandom,
      });
      await this.database.transaction(async (tx) => {
        await this.site.learn({ code: joined.site, kind: 'primary' }, tx);
        await this.site.belongTo(joined.site, tx);
        await this.link.join(tx, { ...joined, role: 'parent', url });
      });
    } finally {
      peer.close();
    }
  }

  /** say queues notes, each in a transaction of its own. */
  async say(to: string, ...keys: string[]): Promise<void> {
    for (const key of keys)
      await this.database.transaction((tx) => this.link.enqueue(tx, { to, kind: 'note', key, body: `said ${key}` }));
  }

  notes(): Promise<Note[]> {
    return this.database.query<Note>('select key, body, origin, times from note order by n');
  }

  async keys(): Promise<string[]> {
    return (await this.notes()).map(({ key }) => key);
  }

  /** remember keeps the tables of the line and the notes, and gives what takes the database back to that time, as a backup does. */
  async remember(): Promise<() => Promise<void>> {
    const tables = ['link_reject', 'link_out', 'link', 'note'];
    for (const table of tables) await this.database.query(`drop table if exists was_${table}`);
    for (const table of tables) await this.database.query(`create table was_${table} as select * from ${table}`);
    return async () => {
      await this.database.transaction(async (tx) => {
        for (const table of tables) await tx.query(`delete from ${table}`);
        for (const table of tables.toReversed())
          await tx.query(`insert into ${table} overriding system value select * from was_${table}`);
      });
    };
  }

  async state(site: string) {
    const found = (await this.link.list()).find((one) => one.site === site);
    if (!found) throw new Error(`${this.code} knows no link to ${site}`);
    return found;
  }
}

/** RawChild sends what a child could send, and what it never would. */
export class RawChild {
  readonly #child: LinkSite;
  readonly #parent: LinkSite;

  constructor(child: LinkSite, parent: LinkSite) {
    this.#child = child;
    this.#parent = parent;
  }

  /** request makes the octets and headers of a signed request. */
  async request(said: Record<string, unknown>, o: { time?: Date; nonce?: string; packed?: Uint8Array; to?: string } = {}) {
    const time = (o.time ?? this.#child.clock.now()).toISOString();
    const head = { version: '0.1.0', sealKey: this.#child.vault.publicKey, time, session: '', turn: 0, waitMs: 0 };
    const body = o.packed ?? (await packLink(JSON.stringify({ ...head, ...said })));
    const nonce = o.nonce ?? Buffer.from(systemRandom.bytes(24)).toString('base64url');
    const envelope = {
      method: 'POST',
      target: '/hierarchy/v1/exchange',
      from: this.#child.code,
      to: o.to ?? this.#parent.code,
      time,
      nonce,
    };
    return { body: new Uint8Array(body), headers: signLink(this.#child.key.privateKey, envelope, body) };
  }

  async post(request: { body: Uint8Array; headers: Record<string, string> }) {
    const answer = await fetch(`${this.#parent.url}/hierarchy/v1/exchange`, {
      method: 'POST',
      headers: { ...request.headers, 'content-type': 'application/octet-stream' },
      body: Buffer.from(request.body),
    });
    const octets = new Uint8Array(await answer.arrayBuffer());
    if (answer.status === 200) return { status: 200, code: '', answer: await unpackLink(LinkAnswer, octets) };
    const said = JSON.parse(Buffer.from(octets).toString('utf8')) as { code: string; serverTime: string };
    return {
      status: answer.status,
      code: said.code,
      serverTime: said.serverTime,
      signed: answer.headers.has('x-pushpoint-signature'),
    };
  }

  async send(said: Record<string, unknown>) {
    return this.post(await this.request(said));
  }

  /** begin opens a session and gives it. */
  async begin(): Promise<string> {
    return (await this.send({ what: 'begin' })).answer!.session;
  }

  batch(stream: number, first: number, ...keys: string[]) {
    const { code } = this.#child;
    const items = keys.map((key) => ({ kind: 'note', key, to: this.#parent.code, origin: code, body: `said ${key}` }));
    return { stream, first, items };
  }
}

/** Cable is a TCP line between two sites that a test can spoil: cut it, keep it cut, let it go silent, slow it down, or lose an answer. */
export class Cable {
  readonly #pairs = new Set<[Socket, Socket]>();
  readonly #server: net.Server;
  readonly #to: URL;
  url = '';
  isCut = false;
  delayMs = 0;
  /** How many connections were asked for, and how many octets the parent sent. */
  asked = 0;
  answered = 0;
  #losing: (() => void) | undefined;

  private constructor(to: URL) {
    this.#to = to;
    this.#server = net.createServer((near) => this.#join(near));
  }

  static async to(t: Pick<TestContext, 'after'>, url: string): Promise<Cable> {
    const cable = new Cable(new URL(url));
    cable.#server.listen(0, '127.0.0.1');
    await once(cable.#server, 'listening');
    cable.url = `${new URL(url).protocol}//127.0.0.1:${(cable.#server.address() as AddressInfo).port}`;
    t.after(() => cable.close());
    return cable;
  }

  #join(near: Socket): void {
    this.asked++;
    if (this.isCut) return void near.resetAndDestroy();
    const far = net.connect({ host: this.#to.hostname, port: Number(this.#to.port) });
    const pair: [Socket, Socket] = [near, far];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) socket.on('error', end).on('close', end);
    const pass = (to: Socket) => (octets: Buffer) => {
      if (this.delayMs === 0) to.write(octets);
      else systemClock.after(this.delayMs, () => to.destroyed || to.write(octets));
    };
    near.on('data', pass(far));
    far.on('data', (octets: Buffer) => {
      this.answered += octets.length;
      if (!this.#losing) return pass(near)(octets);
      const lost = this.#losing;
      this.#losing = undefined;
      end();
      lost();
    });
  }

  /** cut ends all connections and lets no new one through until mended. */
  cut(): void {
    this.isCut = true;
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  mend(): void {
    this.isCut = false;
  }

  /** silence lets nothing more through on the connections there are, and says so to nobody. */
  silence(): void {
    for (const [near, far] of this.#pairs) {
      near.removeAllListeners('data').pause();
      far.removeAllListeners('data').pause();
    }
  }

  /** loseAnswer lets the parent get what comes next, and cuts before the child hears of it. */
  loseAnswer(): Promise<void> {
    return new Promise((lost) => (this.#losing = lost));
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, 'close');
  }
}

/** hello asks a site what it says of itself. */
export async function hello(url: string): Promise<LinkHello> {
  return readLink(LinkHello, new Uint8Array(await (await fetch(`${url}/hierarchy/v1/hello`)).arrayBuffer()));
}
