import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import { deploymentOutcome, TOPIC, type StateMessage } from '#messages';
import { saidOf, type SaidRow } from '#records/client';
import { nameKey, shortKey } from '#records/resource';
import { Gatherer, type Database } from '#store/database';
import { Tails } from './tails.ts';

/** FallbackState is a message as it was kept. Its sender is an address, and all else is what somebody there said. */
export interface FallbackState {
  id: number;
  sender: string;
  topicType: number;
  topicId: string;
  stateId: number;
  at: Date;
  receivedAt: Date;
  name: string;
  domain: string;
  site: string | undefined;
  guid: string | undefined;
  version: string | undefined;
  exitCode: number | undefined;
  detail: string | undefined;
  logTail: string | undefined;
}

/** FallbackStatusPage is a page of messages, newest first. */
export interface FallbackStatusPage {
  items: FallbackState[];
  next?: string;
}

/** FallbackStatusQuery narrows a list of messages. */
export interface FallbackStatusQuery {
  /** Short name of a machine. */
  name?: string | undefined;
  /** Only deployments that failed. */
  failed?: boolean | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
}

interface Row extends SaidRow {
  id: number;
  sender: string;
  site: string | null;
}

/** How many messages are kept: of one sender, and in all. The oldest go first; of all, those of the sender that has most. */
export interface Bounds {
  perSender: number;
  inAll: number;
  days: number;
  /** What the ends of logs may take in all; of one network an eighth of it. */
  octets: number;
}

const BOUNDS: Bounds = { perSender: 10_000, inAll: 1_000_000, days: 90, octets: 2 ** 30 };
/** Between two prunings this part of the octets is taken in by one process, and then messages without their logs. */
const BETWEEN = 1 / 8;
const BETWEEN_MS = 60_000;
/** State ids of topic 800 that mean a failure (facts F7). */
const FAILED = Array.from({ length: 700 }, (_, id) => id).filter((id) => deploymentOutcome(id) === 'failed');
const PART = 5000;

function stateOf(row: Row): FallbackState {
  return { ...saidOf(row), id: row.id, sender: row.sender, site: row.site ?? undefined };
}

/** FallbackStatusRecord keeps what unauthenticated senders said, apart from everything that is known, and is the only writer of it. */
export class FallbackStatusRecord {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #bounds: Bounds;
  readonly #tails: Tails;
  #fresh = { since: -Infinity, octets: 0 };
  readonly #adding: Gatherer<{ message: StateMessage; sender: string }, boolean>;

  constructor(db: Database, clock: Clock, bounds: Partial<Bounds> = {}) {
    this.#db = db;
    this.#clock = clock;
    this.#bounds = { ...BOUNDS, ...bounds };
    this.#tails = new Tails(db);
    this.#adding = new Gatherer((said) => this.#add(said));
  }

  /** add keeps a message that came from `sender`, once; false when it was here already. A sender that has said too much is refused. */
  async add(message: StateMessage, sender: string): Promise<boolean> {
    return this.#adding.ask({ message, sender });
  }

  async #add(said: readonly { message: StateMessage; sender: string }[]): Promise<boolean[]> {
    const senders = [...new Set(said.map(({ sender }) => sender))];
    const counted = await this.#db.exec<{ sender: string; n: number }>(
      {
        name: 'fallback_status_count',
        text: `select s.sender, (select count(*)::integer from (select from fallback_status f where f.sender = s.sender limit $2) x) as n
          from unnest($1::text[]) as s(sender)`,
      },
      [senders, this.#bounds.perSender],
    );
    const left = new Map(counted.map(({ sender, n }) => [sender, this.#bounds.perSender - n]));
    for (const { sender } of said) left.set(sender, left.get(sender)! - 1);
    const full = senders.find((sender) => left.get(sender)! < 0);
    if (full !== undefined) throw raise('PP_FSP_SENDER_FULL', { sender: full, limit: this.#bounds.perSender });
    const rows = said.map(({ message, sender }, place) => ({
      ...message,
      place,
      sender,
      key: shortKey(message.name),
      detail: message.detail?.toWellFormed(),
      // PostgreSQL keeps no NUL in a text; a log may have one.
      logTail: this.#isRoomFor(message.logTail) ? message.logTail?.toWellFormed().replaceAll('\0', '') : undefined,
    }));
    const made = await this.#db.exec<{ topic_id: string; topic_type: number; state_id: number; sender: string }>(
      {
        name: 'fallback_status_add',
        text: `insert into fallback_status (sender, topic_type, topic_id, state_id, at, received_at, name_key, name, domain, site, guid, version,
            exit_code, detail, log_tail)
          select sender, "topicType", "topicId", "stateId", at, $2, key, name, domain, site, guid, "clientVersion", "exitCode", detail, "logTail"
          from jsonb_to_recordset($1) as m(place integer, sender text, "topicType" integer, "topicId" uuid, "stateId" integer, at timestamptz,
            key text, name text, domain text, site text, guid text, "clientVersion" text, "exitCode" bigint, detail text, "logTail" text)
          order by place
          on conflict (topic_id, topic_type, state_id, sender) do nothing returning topic_id, topic_type, state_id, sender`,
      },
      [JSON.stringify(rows), this.#clock.now()],
    );
    const keyOf = (...parts: unknown[]) => parts.join(' ').toLowerCase();
    const fresh = new Set(made.map((m) => keyOf(m.topic_id, m.topic_type, m.state_id, m.sender)));
    // Of two that are the same in one statement, the first is the new one.
    return said.map(({ message: m, sender }) => fresh.delete(keyOf(m.topicId, m.topicType, m.stateId, sender)));
  }

  #isRoomFor(logTail = ''): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#fresh.since >= BETWEEN_MS) this.#fresh = { since: now, octets: 0 };
    this.#fresh.octets += Buffer.byteLength(logTail);
    return this.#fresh.octets <= this.#bounds.octets * BETWEEN;
  }

  /** list gives one page of messages, newest first. */
  async list(query: FallbackStatusQuery = {}): Promise<FallbackStatusPage> {
    const limit = Math.min(Math.max(Math.trunc(query.limit ?? 100), 1), 1000);
    const values: unknown[] = [];
    const where = ['true'];
    const add = (text: (place: string) => string, value: unknown) => where.push(text(`$${values.push(value)}`));
    if (query.name !== undefined) add((p) => `name_key = ${p}`, nameKey(query.name));
    if (query.failed) add((p) => `topic_type = ${TOPIC.clientDeployment} and state_id = any(${p})`, FAILED);
    if (query.cursor !== undefined) {
      if (!/^\d{1,15}$/.test(query.cursor)) throw raise('PP_REQUEST_CURSOR');
      add((p) => `id < ${p}`, Number(query.cursor));
    }
    const rows = await this.#db.query<Row>(
      `select * from fallback_status where ${where.join(' and ')} order by id desc limit ${limit + 1}`,
      values,
    );
    const items = rows.slice(0, limit).map(stateOf);
    return rows.length > limit ? { items, next: String(items.at(-1)!.id) } : { items };
  }

  /** trim drops the oldest logs where they take too many octets, in all or of one network; the messages stay. It gives how many went. */
  async trim(octets: number = this.#bounds.octets): Promise<number> {
    this.#bounds.octets = octets;
    return this.#tails.trim(octets);
  }

  /** prune removes what is too old, and of what is too much the oldest of the sender that has most; it gives how many went. */
  async prune(): Promise<number> {
    const { inAll, days } = this.#bounds;
    const before = new Date(this.#clock.now().getTime() - days * 86_400_000);
    let gone = 0;
    for (let more = PART; more === PART; gone += more)
      more = await this.#db.count(
        'delete from fallback_status where id = any(array(select id from fallback_status where received_at < $1 order by id limit $2))',
        [before, PART],
      );
    for (;;) {
      const [size] = await this.#db.query<{ n: number }>('select count(*) as n from fallback_status');
      const over = Math.min(size!.n - inAll, PART);
      if (over <= 0) return gone;
      const went = await this.#db.count(
        `delete from fallback_status where id = any(array(select id from fallback_status where sender = (
           select sender from fallback_status group by sender order by count(*) desc, sender limit 1) order by id limit $1))`,
        [over],
      );
      if (went === 0) return gone;
      gone += went;
    }
  }
}
