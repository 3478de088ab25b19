import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import type { Heartbeat, Registration, StateMessage } from '#messages';
import { nameKey, shortKey } from '#records/resource';
import { Gatherer, type Database, type Sql } from '#store/database';
import type { SentClient, SentState } from '#messages';
import { pageOfClients, takeClient, takeUnsent, takeUnsentStates, tellsOf, type Teller, type UnsentClient } from './branch.ts';
import { clientOf, type Client, type ClientRow } from './client.ts';
import { keyHashOf, register, type Registered, type RegisterOptions } from './register.ts';
import { attach, standings, type Standing } from './standing.ts';
import { addState, states, type State } from './state.ts';
import * as tokens from './token.ts';

/** ClientQuery narrows a list of clients; `filter` is a part of the name. */
export interface ClientQuery {
  filter?: string | undefined;
  site?: string | undefined;
  approval?: 'approved' | 'pending' | undefined;
  blocked?: boolean | undefined;
  /** Only those not heard since. */
  silentSince?: Date | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
}

/** ClientPage is a page of clients, newest first. */
export interface ClientPage {
  items: Client[];
  next?: string;
}

/** ClientRecord knows the clients, their tokens and what they said, and is the only writer of those tables. */
export class ClientRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #shared: tokens.BranchKeys | undefined;
  readonly #tokens: Gatherer<tokens.TokenWish, { id: string; secret: string }>;

  /** Without `shared` the site makes and takes tokens of its own only. */
  constructor(db: Database, clock: Clock, random: Random, shared?: tokens.BranchKeys) {
    this.#db = db;
    this.#shared = shared;
    this.#clock = clock;
    this.#random = random;
    this.#tokens = new Gatherer((wishes) => tokens.issueTokens(db, { random, clock, shared }, wishes));
  }

  /** issueToken makes a one-time registration token for one machine; the secret is not kept. */
  async issueToken(wish: tokens.TokenWish, via?: Sql): Promise<{ id: string; secret: string }> {
    const parts = { random: this.#random, clock: this.#clock, shared: this.#shared };
    return via ? (await tokens.issueTokens(via, parts, [wish]))[0]! : this.#tokens.ask(wish);
  }

  /** tokenKey gives what is needed to check a proof made with a token. */
  tokenKey(id: string): Promise<tokens.TokenKey | undefined> {
    return tokens.tokenKey(this.#db, id, this.#shared);
  }

  /**
   * register takes a registration whose signature and token proof the point has checked. The same key is the same client, however often it
   * comes; a token serves one key only; with a token the client is approved and replaces older clients of its resource.
   */
  async register(registration: Registration, o: RegisterOptions = {}): Promise<Registered> {
    const uuid = this.#random.uuid();
    const token = o.tokenId === undefined ? undefined : await this.tokenKey(o.tokenId);
    if (token?.unseen && !token.unseen.isFor(registration.name)) throw raise('PP_CLIENT_TOKEN_UNKNOWN', { token: token.id });
    const unseen = token?.unseen ? token : undefined;
    return this.#db.transaction(async (tx) => {
      const registered = await register(tx, registration, { ...o, uuid, unseen }, this.#clock.now());
      await this.#tell(registered.client, tx);
      return registered;
    });
  }

  /** heartbeat keeps a sign of life; a blocked client and one that is not known are refused, an old message changes nothing. */
  async heartbeat(guid: string, heartbeat: Heartbeat, o: { address?: string | undefined } = {}): Promise<Client> {
    const now = this.#clock.now();
    const [row] = await this.#db.exec<ClientRow>(
      {
        name: 'client_heartbeat',
        text: `update client set name = $3, name_key = $4, domain = $5, domain_key = $6, fqdn = $7, addresses = $8, version = $9,
            hardware_id = $10, os = $11, os_version = $12, type = $13, architecture = $14, last_address = coalesce($15, last_address),
            sequence = $2, last_seen_at = greatest(last_seen_at, $16)
          where guid = $1 and not blocked and sequence < $2 returning *`,
      },
      [
        guid,
        heartbeat.sequence,
        heartbeat.name,
        nameKey(heartbeat.name),
        heartbeat.domain,
        nameKey(heartbeat.domain),
        heartbeat.fqdn,
        heartbeat.addresses,
        heartbeat.clientVersion,
        heartbeat.hardwareId,
        heartbeat.os.name,
        heartbeat.os.version,
        heartbeat.os.type,
        heartbeat.architecture,
        o.address,
        now,
      ],
    );
    if (!row) return this.#known(guid);
    const client = clientOf(row);
    await this.#tell(client);
    return client;
  }

  async #known(guid: string): Promise<Client> {
    const client = await this.byGuid(guid);
    if (!client) throw raise('PP_CLIENT_UNKNOWN', { guid });
    if (client.blocked) throw raise('PP_CLIENT_BLOCKED', { guid, name: client.name });
    return client;
  }

  /** state keeps a state message; true when it is new. `proven` tells a signed one from a hint, which announces nothing. */
  async state(message: StateMessage, o: { proven: boolean; resourceId?: number | undefined }): Promise<boolean> {
    const resourceId = await addState(this.#db, message, o, this.#clock.now());
    if (resourceId === undefined) return false;
    if (o.proven) await this.#tell({ resourceId: resourceId ?? undefined, name: message.name, domain: message.domain });
    return true;
  }

  async #tell(client: Pick<Client, 'resourceId' | 'name' | 'domain'>, via?: Sql): Promise<void> {
    const { resourceId, name, domain } = client;
    await this.#db.notify('client', JSON.stringify({ resourceId, name, domain }), via);
  }

  /** statesOf gives the last state messages about a machine, newest first. */
  statesOf(who: { resourceId: number } | { name: string }, limit = 50): Promise<State[]> {
    return states(this.#db, who, limit);
  }

  /** byGuid gives the client of an SMSID, an obsolete one too. */
  async byGuid(guid: string): Promise<Client | undefined> {
    const [row] = await this.#db.exec<ClientRow>({ name: 'client_by_guid', text: 'select * from client where guid = $1' }, [
      guid,
    ]);
    return row && clientOf(row);
  }

  /** byKey gives the client of a public key (base64 SPKI). */
  async byKey(publicKey: string): Promise<Client | undefined> {
    const [row] = await this.#db.exec<ClientRow>({ name: 'client_by_key', text: 'select * from client where key_hash = $1' }, [
      keyHashOf(publicKey),
    ]);
    return row && clientOf(row);
  }

  /** byResource gives the client of a resource: an approved one before one that only says so, and of those the one heard last. */
  async byResource(resourceId: number): Promise<Client | undefined> {
    const [row] = await this.#db.exec<ClientRow>(
      {
        name: 'client_by_resource',
        text: `select * from client where resource_id = $1 and not obsolete
          order by approval = 'approved' desc, last_seen_at desc limit 1`,
      },
      [resourceId],
    );
    return row && clientOf(row);
  }

  /** byName gives the clients of a short name. */
  async byName(name: string): Promise<Client[]> {
    const rows = await this.#db.query<ClientRow>(
      'select * from client where name_key = $1 and not obsolete order by last_seen_at desc limit 100',
      [shortKey(name)],
    );
    return rows.map(clientOf);
  }

  /** seenSince tells which of these resources have a client that was heard at or after a time; whether it counts is for since to say. */
  async seenSince(resourceIds: readonly number[], at: Date): Promise<Set<number>> {
    const rows = await this.#db.exec<{ resource_id: number }>(
      {
        name: 'client_seen_since',
        text: 'select distinct resource_id from client where resource_id = any($1) and not obsolete and last_seen_at >= $2',
      },
      [resourceIds, at],
    );
    return new Set(rows.map((row) => row.resource_id));
  }

  /**
   * since gives the approved client of a machine that registered or was heard at or after a time: the proof that it runs. The machine is a
   * resource, or a name for a CCR without one.
   */
  async since(machine: number | { name: string; domain?: string | undefined }, at: Date): Promise<Client | undefined> {
    const common =
      "not obsolete and not blocked and approval = 'approved' and last_seen_at >= $2 order by last_seen_at desc limit 1";
    const rows =
      typeof machine === 'number'
        ? await this.#db.exec<ClientRow>(
            { name: 'client_since', text: `select * from client where resource_id = $1 and ${common}` },
            [machine, at],
          )
        : await this.#db.exec<ClientRow>(
            {
              name: 'client_since_name',
              text: `select * from client where name_key = $1 and ($3 = '' or domain_key = $3 or domain_key = ''
                or ccr_same_domain(domain_key, $3)) and ${common}`,
            },
            [shortKey(machine.name), at, nameKey(machine.domain ?? '')],
          );
    return rows[0] && clientOf(rows[0]);
  }

  /** list gives one page of clients, newest registration first. */
  async list(query: ClientQuery = {}): Promise<ClientPage> {
    const limit = Math.min(Math.max(Math.trunc(query.limit ?? 100), 1), 1000);
    const values: unknown[] = [];
    const where = ['not obsolete'];
    const add = (text: (place: string) => string, value: unknown) => where.push(text(`$${values.push(value)}`));
    if (query.filter) add((p) => `strpos(name_key, ${p}) > 0`, nameKey(query.filter));
    if (query.site !== undefined) add((p) => `site = ${p}`, query.site);
    if (query.approval !== undefined) add((p) => `approval = ${p}`, query.approval);
    if (query.blocked !== undefined) add((p) => `blocked = ${p}`, query.blocked);
    if (query.silentSince !== undefined) add((p) => `last_seen_at < ${p}`, query.silentSince);
    if (query.cursor !== undefined) {
      if (!/^\d{1,9}$/.test(query.cursor)) throw raise('PP_REQUEST_CURSOR');
      add((p) => `id < ${p}`, Number(query.cursor));
    }
    const rows = await this.#db.query<ClientRow>(
      `select * from client where ${where.join(' and ')} order by id desc limit ${limit + 1}`,
      values,
    );
    const items = rows.slice(0, limit).map(clientOf);
    return rows.length > limit ? { items, next: String(items.at(-1)!.id) } : { items };
  }

  /** standings tells of clients, by their SMSIDs, how far each is believed now. */
  standings(guids: readonly string[], via: Sql = this.#db): Promise<Map<string, Standing>> {
    return standings(via, guids);
  }

  /** attach gives clients that belong to no resource yet the one that their heartbeat made. */
  attach(pairs: readonly { guid: string; resourceId: number }[], via: Sql = this.#db): Promise<number> {
    return attach(via, pairs);
  }

  /** approve lets a pending client count as what it says it is. */
  async approve(guid: string, by: string, via: Sql = this.#db): Promise<boolean> {
    const done = await via.query<ClientRow>(
      // A person approves the name that is shown now, whatever it was called when it registered: of that machine it is the client.
      `update client c set approval = 'approved', approved_by = $2, resource_id = (
         select min(r.id) from resource r where not r.obsolete and r.name_key = c.name_key
           and (r.domain_key = c.domain_key or c.domain_key = '' or ccr_same_domain(r.domain_key, c.domain_key)) having count(*) = 1)
       where guid = $1 and approval = 'pending' returning *`,
      [guid, by],
    );
    if (done[0]) await this.#tell(clientOf(done[0]), via);
    return done.length === 1;
  }

  /** block refuses a client from now on: no registration, no heartbeat, no state messages. */
  async block(guid: string, by: string, via: Sql = this.#db): Promise<boolean> {
    return (
      (await via.count('update client set blocked = true, blocked_by = $2 where guid = $1 and not blocked', [guid, by])) === 1
    );
  }

  /** unblock takes that back. */
  async unblock(guid: string, via: Sql = this.#db): Promise<boolean> {
    return (await via.count('update client set blocked = false, blocked_by = null where guid = $1 and blocked', [guid])) === 1;
  }

  /** takeUnsent gives clients that were changed since the other sites of the branch were told of them; they count as told with this transaction. */
  takeUnsent(tx: Sql, limit: number): Promise<UnsentClient[]> {
    return takeUnsent(tx, limit);
  }

  /** takeUnsentStates gives state messages that the parent was not told of yet; they count as told with this transaction. */
  takeUnsentStates(tx: Sql, limit: number): Promise<{ key: string; sent: SentState }[]> {
    return takeUnsentStates(tx, limit);
  }

  /** allFor walks through all clients, as they are told to other sites. */
  async *allFor(): AsyncGenerator<UnsentClient> {
    for (let after = 0; ;) {
      const { items, last } = await pageOfClients(this.#db, after, 500);
      yield* items;
      if (last === undefined) return;
      after = last;
    }
  }

  /** takeFrom takes what another site of the branch tells of a client, and announces it as if it had been heard here. */
  async takeFrom(tx: Sql, sent: SentClient, from: Teller): Promise<void> {
    const client = await takeClient(tx, sent, from);
    if (client) await this.#tell(client, tx);
  }

  /** takeStateFrom keeps a state message that a client sent to another site of the branch. */
  async takeStateFrom(tx: Sql, { message, proven: said }: SentState, from: Teller): Promise<void> {
    // What a child tells of machines of others is a hint, whoever signed it.
    const proven = said && (from.role === 'parent' || (await tellsOf(tx, message, from)));
    const resourceId = await addState(tx, message, { proven }, this.#clock.now());
    if (resourceId === undefined || !proven) return;
    await this.#tell({ resourceId: resourceId ?? undefined, name: message.name, domain: message.domain }, tx);
  }

  /** conflicts gives clients that claim the name of a resource, or the hardware, that an approved client has (facts F6). */
  async conflicts(limit = 100): Promise<Client[]> {
    const rows = await this.#db.query<ClientRow>(
      `select c.* from client c where not c.obsolete and c.approval = 'pending' and exists (
         select from client o where o.id <> c.id and not o.obsolete and o.approval = 'approved'
           and (o.hardware_id = c.hardware_id or (o.name_key = c.name_key and o.domain_key = c.domain_key)))
       order by c.id desc limit $1`,
      [limit],
    );
    return rows.map(clientOf);
  }

  /** prune removes tokens that nobody can use any more, and old state messages. */
  async prune(before: { tokens: Date; states: Date }, limit = 5000): Promise<number> {
    return (
      (await this.#db.count('delete from client_token where id in (select id from client_token where expires_at < $1 limit $2)', [
        before.tokens,
        limit,
      ])) +
      (await this.#db.count(
        'delete from client_state where id in (select id from client_state where received_at < $1 limit $2)',
        [before.states, limit],
      ))
    );
  }
}
