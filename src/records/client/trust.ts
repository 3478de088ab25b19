import type { Clock } from '#base/clock';
import type { Database, Sql } from '#store/database';
import { clientOf, type Client, type ClientRow } from './client.ts';
import * as decide from './decide.ts';
import { eventsOf, noteEvent, type ClientEvent } from './event.ts';
import * as identity from './identity.ts';

/** ConflictShown is a conflict with the clients it is about. */
export interface ConflictShown extends identity.Conflict {
  client: Client;
  other: Client | undefined;
}

/** ClientTrust is whom the site believes: what people decide about clients, and who seems to be somebody else. */
export class ClientTrust {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(db: Database, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  async #decide<R extends ClientRow | undefined>(
    via: Sql | undefined,
    by: string,
    work: (tx: Sql, decision: decide.Decision) => Promise<R>,
  ): Promise<R extends undefined ? Client | undefined : Client> {
    const run = async (tx: Sql) => {
      const row = await work(tx, { by, now: this.#clock.now() });
      if (!row) return undefined;
      const client = clientOf(row);
      const { resourceId, name, domain } = client;
      await this.#db.notify('client', JSON.stringify({ resourceId, name, domain }), tx);
      return client;
    };
    return (await (via ? run(via) : this.#db.transaction(run))) as R extends undefined ? Client | undefined : Client;
  }

  /** locked gives a client as it is until the transaction ends: nothing that it says changes it meanwhile. */
  async locked(guid: string, tx: Sql): Promise<Client | undefined> {
    const [row] = await tx.query<ClientRow>('select * from client where guid = $1 for update', [guid]);
    return row && clientOf(row);
  }

  /** approve lets a client count as what it says it is; undefined where a person did already. */
  approve(guid: string, by: string, via?: Sql): Promise<Client | undefined> {
    return this.#decide(via, by, (tx, decision) => decide.approve(tx, guid, decision));
  }

  /** reject says no to a client: it stays and is seen, and nothing it says counts. */
  reject(guid: string, by: string, via?: Sql): Promise<Client | undefined> {
    return this.#decide(via, by, (tx, decision) => decide.reject(tx, guid, decision));
  }

  /** block refuses a client from now on: policy, heartbeat, state messages, registration. */
  block(guid: string, by: string, via?: Sql): Promise<Client | undefined> {
    return this.#decide(via, by, (tx, decision) => decide.block(tx, guid, decision));
  }

  /** unblock takes that back. */
  unblock(guid: string, by: string, via?: Sql): Promise<Client | undefined> {
    return this.#decide(via, by, (tx, decision) => decide.unblock(tx, guid, decision));
  }

  /** merge says that a client is the machine of an older record, which goes on with its key. */
  merge(guid: string, by: string, o: { into?: string | undefined } = {}, via?: Sql): Promise<Client> {
    return this.#decide(via, by, (tx, decision) => decide.merge(tx, guid, o.into, decision));
  }

  /** asNew says that a client is a machine of its own. */
  asNew(guid: string, by: string, via?: Sql): Promise<Client> {
    return this.#decide(via, by, (tx, decision) => decide.asNew(tx, guid, decision));
  }

  /** decideFrom takes what was decided at the top of the branch; false where there is nothing to decide here. */
  async decideFrom(
    tx: Sql,
    { guid, action, into, by }: { guid: string; action: 'merge' | 'new' | 'block'; into?: string | undefined; by: string },
  ): Promise<boolean> {
    if (action === 'block') return (await this.block(guid, by, tx)) !== undefined;
    const rows = await tx.query<{ id: number; guid: string }>(
      'select id, guid from client where guid = any($1) and not obsolete',
      [[guid, into]],
    );
    const one = rows.find((row) => row.guid === guid);
    const isOpen = one !== undefined && (await identity.conflictsOf(tx, one.id)).length > 0;
    const merges = action === 'merge' && (into === undefined ? isOpen : rows.length === 2);
    if (!merges && !(action === 'new' && isOpen)) return false;
    await (merges ? this.merge(guid, by, { into }, tx) : this.asNew(guid, by, tx));
    return true;
  }

  /** settleElsewhere closes the conflicts of a client whose own site has been told what to do. */
  async settleElsewhere(guid: string, decision: string, by: string, tx: Sql): Promise<void> {
    const [row] = await tx.query<{ id: number }>('select id from client where guid = $1 for update', [guid]);
    if (!row) return;
    const now = this.#clock.now();
    await identity.settle(tx, row.id, decision, by, now);
    await noteEvent(tx, row.id, { what: 'decision sent', by, detail: { decision } }, now);
  }

  /** remove forgets a client. */
  remove(guid: string, by: string, via?: Sql): Promise<Client> {
    return this.#decide(via, by, (tx) => decide.remove(tx, guid));
  }

  /** history gives what happened to a client and what was decided about it, newest first. */
  async history(id: number, limit = 100): Promise<ClientEvent[]> {
    return eventsOf(this.#db, id, limit);
  }

  /** conflicts gives clients that seem to be somebody else and that nobody decided about, newest first. */
  async conflicts(limit = 100): Promise<ConflictShown[]> {
    const open = await identity.openConflicts(this.#db, limit);
    const ids = open.flatMap(({ clientId, otherId }) => (otherId === undefined ? [clientId] : [clientId, otherId]));
    const rows = await this.#db.query<ClientRow>('select * from client where id = any($1)', [ids]);
    const clients = new Map(rows.map((row) => [row.id, clientOf(row)]));
    return open.flatMap((one) => {
      const client = clients.get(one.clientId);
      return client ? [{ ...one, client, other: one.otherId === undefined ? undefined : clients.get(one.otherId) }] : [];
    });
  }

  /** badHardware lists hardware ids that tell no machine from another. */
  badHardware(): Promise<identity.BadHardware[]> {
    return identity.badHardware(this.#db);
  }

  /** addBadHardware puts one on the list. */
  addBadHardware(
    o: { hardwareId: string; why: string; by: string },
    via: Sql = this.#db,
  ): Promise<{ hardwareId: string; closed: number }> {
    return identity.addBadHardware(via, o, this.#clock.now());
  }

  /** removeBadHardware takes one off it. */
  removeBadHardware(hardwareId: string, via: Sql = this.#db): Promise<boolean> {
    return identity.removeBadHardware(via, hardwareId);
  }

  /** counts tells how many clients there are of each approval, and how many are blocked or in conflict. */
  async counts(): Promise<{ approved: number; pending: number; rejected: number; blocked: number; conflicts: number }> {
    const [row] = await this.#db.query<{
      approved: number;
      pending: number;
      rejected: number;
      blocked: number;
      conflicts: number;
    }>(
      `select count(*) filter (where approval = 'approved')::integer as approved, count(*) filter (where approval = 'pending')::integer as pending,
         count(*) filter (where approval = 'rejected')::integer as rejected, count(*) filter (where blocked)::integer as blocked,
         (select count(*)::integer from client_conflict where decided_at is null) as conflicts from client where not obsolete`,
    );
    return row!;
  }
}
