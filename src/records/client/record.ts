import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import type { Approval, Heartbeat, Registration, SentClient, SentState, StateMessage } from '#messages';
import { nameKey, shortKey } from '#records/resource';
import { Gatherer, type Database, type Sql } from '#store/database';
import * as aging from './aging.ts';
import { pageOfClients, takeUnsent, takeUnsentStates, type UnsentClient } from './branch.ts';
import {
  clientOf,
  KNOWN,
  knownOf,
  trustRules,
  type Client,
  type ClientRow,
  type KnownClient,
  type KnownRow,
  type Wanted,
} from './client.ts';
import { openCloneAlarm, wentBack, whyAlarm } from './clone.ts';
import { leave } from './decide.ts';
import { takeHeartbeats, type Beat, type HeardRow } from './heartbeats.ts';
import { keyHashOf, register, type Registered, type RegisterOptions } from './register.ts';
import { registerPlain, type TokenRegistration } from './register-many.ts';
import { attach, standings, type Standing } from './standing.ts';
import { addStates, states, type Said, type State } from './state.ts';
import * as tokens from './token.ts';
import { machineOf, takeClient, tellsOf } from './taken.ts';
import { ClientTrust } from './trust.ts';
import type { Teller } from './verdict.ts';

/** ClientQuery narrows a list of clients; `filter` is a part of the name. */
export interface ClientQuery {
  filter?: string | undefined;
  site?: string | undefined;
  approval?: Approval | undefined;
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

/** Heard is a client after a heartbeat; `alarm` is said once, when its key seems to be on two machines. */
export interface Heard {
  client: KnownClient;
  alarm?: string | undefined;
  /** The message was not news: the last sequence number that was. */
  lastSequence?: number | undefined;
}

/** So many heartbeats go into one statement. */
const MOST_BEATS = 128;
/** State messages may have 16 KiB of a log each. */
const MOST_STATES = 64;
/** Registrations hold three locks each until their transaction ends. */
const MOST_REGISTRATIONS = 64;

async function knownByGuid(sql: Sql, guids: readonly string[]): Promise<(KnownClient | undefined)[]> {
  const rows = await sql.exec<KnownRow>({ name: 'client_known', text: `select ${KNOWN} from client where guid = any($1)` }, [
    guids,
  ]);
  const found = new Map(rows.map((row) => [row.guid, knownOf(row)]));
  return guids.map((guid) => found.get(guid));
}

/** ClientRecord knows the clients, their tokens and what they said, and is the only writer of those tables. */
export class ClientRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #shared: tokens.BranchKeys | undefined;
  readonly #tokens: Gatherer<tokens.TokenWish, { id: string; secret: string }>;
  readonly #registering: Gatherer<TokenRegistration, Registered | undefined>;
  readonly #tokenKeys: Gatherer<string, tokens.TokenKey | undefined>;
  readonly #beats: Gatherer<Beat, HeardRow | undefined>;
  readonly #known: Gatherer<string, KnownClient | undefined>;
  readonly #states: Gatherer<Said, number | null | undefined>;
  /** Whom the site believes, and what people decide about it. */
  readonly trust: ClientTrust;

  /** Without `shared` the site makes and takes tokens of its own only. */
  constructor(db: Database, clock: Clock, random: Random, shared?: tokens.BranchKeys) {
    this.#db = db;
    this.#shared = shared;
    this.#clock = clock;
    this.#random = random;
    this.trust = new ClientTrust(db, clock);
    this.#tokenKeys = new Gatherer((ids) => tokens.tokenKeys(db, ids, shared));
    this.#beats = new Gatherer((beats) => takeHeartbeats(db, beats, clock.now()), MOST_BEATS);
    this.#registering = new Gatherer(
      (wishes) => db.transaction((tx) => registerPlain(tx, wishes, clock.now())),
      MOST_REGISTRATIONS,
    );
    this.#known = new Gatherer((guids) => knownByGuid(db, guids), MOST_BEATS);
    this.#states = new Gatherer((said) => addStates(db, said, clock.now()), MOST_STATES);
    this.#tokens = new Gatherer((wishes) => tokens.issueTokens(db, { random, clock, shared }, wishes));
  }

  /** issueToken makes a one-time registration token for one machine; the secret is not kept. */
  async issueToken(wish: tokens.TokenWish, via?: Sql): Promise<{ id: string; secret: string }> {
    const parts = { random: this.#random, clock: this.#clock, shared: this.#shared };
    return via ? (await tokens.issueTokens(via, parts, [wish]))[0]! : this.#tokens.ask(wish);
  }

  /** tokenKey gives what is needed to check a proof made with a token. */
  tokenKey(id: string): Promise<tokens.TokenKey | undefined> {
    return this.#tokenKeys.ask(id);
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
    if (o.tokenId !== undefined && token && !unseen) {
      const rules = { ...trustRules, ...o.rules };
      const plain = await this.#registering.ask({ registration, tokenId: o.tokenId, address: o.address, rules, uuid });
      if (plain) return plain;
    }
    return this.#db.transaction(async (tx) => {
      const registered = await register(
        tx,
        registration,
        { ...o, uuid, unseen, rules: { ...trustRules, ...o.rules } },
        this.#clock.now(),
      );
      await this.#tell(registered.client, tx);
      return registered;
    });
  }

  /** heartbeat keeps a sign of life; a blocked client and one that is not known are refused, an old message changes nothing. */
  async heartbeat(guid: string, heartbeat: Heartbeat, o: { address?: string | undefined } = {}): Promise<Heard> {
    const row = await this.#beats.ask({ heartbeat: { ...heartbeat, guid }, address: o.address });
    if (!row) return this.#oldNews(guid, heartbeat, o.address);
    const client = knownOf(row);
    const whole = row.alarm ? await this.#row(guid) : undefined;
    return { client, alarm: whole && (await this.#alarm(whole, heartbeat, whyAlarm(whole, heartbeat), o.address)) };
  }

  async #row(guid: string): Promise<ClientRow | undefined> {
    const [row] = await this.#db.exec<ClientRow>({ name: 'client_by_guid', text: 'select * from client where guid = $1' }, [
      guid,
    ]);
    return row;
  }

  /** oldNews answers a heartbeat that changed nothing: repeated, late, refused, or of another machine with the same key. */
  async #oldNews(guid: string, heartbeat: Heartbeat, address: string | undefined): Promise<Heard> {
    const row = await this.#row(guid);
    if (!row) throw raise('PP_CLIENT_UNKNOWN', { guid });
    if (row.blocked) throw raise('PP_CLIENT_BLOCKED', { guid, name: row.name });
    const back = wentBack(row, heartbeat);
    const alarm = back ? await this.#alarm(row, heartbeat, 'its sequence number went back', address) : undefined;
    return { client: knownOf(row), alarm, lastSequence: row.sequence };
  }

  async #alarm(row: ClientRow, heartbeat: Heartbeat, why: string, address: string | undefined): Promise<string | undefined> {
    const detail = {
      why,
      hardwareIds: [row.hardware_id, heartbeat.hardwareId],
      names: [row.name, heartbeat.name],
      addresses: [row.last_address, address],
    };
    const isNew = await this.#db.transaction((tx) => openCloneAlarm(tx, row.id, detail, this.#clock.now()));
    return isNew ? why : undefined;
  }

  /** farewell takes note that a client leaves, because it is removed or moves to another site. */
  async farewell(guid: string, reason: string): Promise<void> {
    await this.#db.transaction(async (tx) => {
      const row = await leave(tx, guid, reason, this.#clock.now());
      if (row) await this.#tell(clientOf(row), tx);
    });
  }

  /** want puts what the site asks into the policies of clients, or takes it out again (records/policy decides). */
  async want(tx: Sql, ids: readonly number[], kind: keyof Wanted, wish: Wanted[keyof Wanted]): Promise<void> {
    await tx.query(
      `update client set policy_serial = policy_serial + 1,
         wanted = nullif(case when $3::jsonb is null then wanted - $2 else coalesce(wanted, '{}') || jsonb_build_object($2::text, $3::jsonb) end, '{}')
       where id = any($1)`,
      [ids, kind, wish === undefined ? null : JSON.stringify(wish)],
    );
  }

  /** unsealed gives approved clients that have an older edition of the secrets than this one, and locks them. */
  async unsealed(tx: Sql, edition: number, limit: number): Promise<Client[]> {
    const rows = await tx.query<ClientRow>(
      // Clients of a primary below have their policy, and its secrets, from there.
      `select * from client where sealed_edition < $1 and approval = 'approved' and not obsolete and not blocked
         and (via_site is null or via_site not in (select code from site where kind = 'primary' and not own))
       order by sealed_edition limit $2 for update skip locked`,
      [edition, limit],
    );
    return rows.map(clientOf);
  }

  /** keepSealed keeps secrets that were sealed for the keys of clients. */
  async keepSealed(tx: Sql, some: readonly { id: number; sealed: Record<string, string> }[], edition: number): Promise<void> {
    await tx.query(
      `update client c set sealed = nullif(s.sealed, '{}'), sealed_edition = $3,
         policy_serial = policy_serial + (c.sealed is distinct from nullif(s.sealed, '{}'))::integer
       from unnest($1::integer[], $2::jsonb[]) as s(id, sealed) where c.id = s.id`,
      [some.map(({ id }) => id), some.map(({ sealed }) => JSON.stringify(sealed)), edition],
    );
  }

  /** blockedAt gives the blocked client that was heard last at an address, unless one that is not blocked was heard there since. */
  async blockedAt(address: string): Promise<Client | undefined> {
    const [row] = await this.#db.exec<ClientRow>(
      {
        name: 'client_blocked_at',
        text: `select c.* from client c where c.last_address = $1 and c.blocked and not exists (
          select from client o where o.last_address = $1 and not o.blocked and not o.obsolete and o.last_seen_at > c.last_seen_at)
          order by c.last_seen_at desc limit 1`,
      },
      [address],
    );
    return row && clientOf(row);
  }

  /** state keeps a state message; true when it is new. `proven` tells a signed one from a hint, which announces nothing. */
  async state(message: StateMessage, o: { proven: boolean; resourceId?: number | undefined }): Promise<boolean> {
    return (await this.#states.ask({ message, ...o })) !== undefined;
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
    const row = await this.#row(guid);
    return row && clientOf(row);
  }

  /** known is what a point asks of a client with each request, many at once: whose key it is, whether it is blocked, what the site wants of it. */
  known(guid: string): Promise<KnownClient | undefined> {
    return this.#known.ask(guid);
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
          order by believed desc, last_seen_at desc limit 1`,
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
    const common = 'not obsolete and not blocked and believed and last_seen_at >= $2 order by last_seen_at desc limit 1';
    const rows =
      typeof machine === 'number'
        ? await this.#db.exec<ClientRow>(
            { name: 'client_since', text: `select * from client where resource_id = $1 and ${common}` },
            [machine, at],
          )
        : await this.#db.exec<ClientRow>(
            {
              name: 'client_since_name',
              // A client names itself; one that belongs to a machine of another name is not what was pushed to.
              text: `select * from client c where name_key = $1 and ($3 = '' or domain_key = $3 or domain_key = ''
                or ccr_same_domain(domain_key, $3))
                and (resource_id is null or exists (select from resource r where r.id = c.resource_id and r.name_key = $1)) and ${common}`,
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
    const client = await takeClient(tx, sent, from, this.#clock.now());
    if (client) await this.#tell(client, tx);
  }

  /** takeStateFrom keeps a state message that a client sent to another site of the branch. */
  async takeStateFrom(tx: Sql, { message, proven: said }: SentState, from: Teller): Promise<void> {
    // What a child tells of machines of others is a hint, whoever signed it.
    const proven = said && (from.role === 'parent' || (await tellsOf(tx, message, from)));
    // Before it has registered a client has no SMSID; the site that it told knows its machine by the push.
    const of = proven && message.guid === undefined ? await machineOf(tx, message) : undefined;
    await addStates(tx, [{ message, proven, resourceId: of }], this.#clock.now());
  }

  /** removeObsolete forgets clients whose place another one took and that were not heard since; blocked and rejected ones stay. */
  removeObsolete(before: Date, limit: number): Promise<aging.Gone[]> {
    return aging.removeObsolete(this.#db, before, limit);
  }

  /** removeUnapproved forgets clients that nobody approved, that showed nothing of who they are, and that were not heard since. */
  removeUnapproved(before: Date, limit: number): Promise<aging.Gone[]> {
    return aging.removeUnapproved(this.#db, before, limit);
  }

  /** pruneHistory forgets what was noted of clients before; decisions stay. It gives how many rows, `limit` of a kind at most. */
  pruneHistory(before: Date, limit: number): Promise<number> {
    return aging.pruneHistory(this.#db, before, limit);
  }

  /** pruneStates forgets state messages that came before, and those of machines that are gone. */
  pruneStates(before: Date, limit: number): Promise<number> {
    return aging.pruneStates(this.#db, before, limit);
  }

  /** pruneTokens forgets tokens that expired before. */
  pruneTokens(before: Date, limit: number): Promise<number> {
    return aging.pruneTokens(this.#db, before, limit);
  }
}
