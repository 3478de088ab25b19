import type { Database } from '#store/database';

/** What is weighed: the end of a log and the words beside it, which are all that a sender can make long. */
const OCTETS = 'coalesce(octet_length(log_tail), 0) + coalesce(octet_length(detail), 0)';
/** The network of a sender: the /64 that it is already, or the /24 of an IPv4 address. */
const NETWORK = String.raw`regexp_replace(sender, '\.[0-9]+$', '.0/24')`;
/** One network has so much of all. */
const SHARE = 1 / 8;
/** Networks are weighed again after so much of a share came in. */
const NEWS = 1 / 8;
const MOST_NETWORKS = 1000;
const PART = 5000;

/**
 * Tails keeps the logs that unauthenticated senders left within a number of octets. What came since the last look is weighed, not what was
 * there before; all of it only where there is too much, or where one network may have more than its share.
 */
export class Tails {
  readonly #db: Database;
  #last = 0;
  #octets = 0;
  #sinceWeighed = Infinity;

  constructor(db: Database) {
    this.#db = db;
  }

  /** trim drops the oldest logs of a network that has more than its share, and of all too much those of the one that has most; it gives how many went. */
  async trim(inAll: number): Promise<number> {
    const [news] = await this.#db.query<{ last: number; octets: number }>(
      `select coalesce(max(id), $1)::float8 as last, coalesce(sum(${OCTETS}), 0)::float8 as octets from fallback_status where id > $1`,
      [this.#last],
    );
    this.#last = news!.last;
    this.#octets += news!.octets;
    this.#sinceWeighed += news!.octets;
    const share = inAll * SHARE;
    if (this.#octets <= share || (this.#octets <= inAll && this.#sinceWeighed < share * NEWS)) return 0;
    return this.#weigh(inAll, share);
  }

  async #weigh(inAll: number, share: number): Promise<number> {
    const rows = await this.#db.query<{ network: string; octets: number; total: number }>(
      `select ${NETWORK} as network, sum(${OCTETS})::float8 as octets, (sum(sum(${OCTETS})) over ())::float8 as total
       from fallback_status group by 1 order by 2 desc limit ${MOST_NETWORKS}`,
    );
    this.#octets = rows[0]?.total ?? 0;
    this.#sinceWeighed = 0;
    let gone = 0;
    for (const row of rows) if (row.octets > share) gone += await this.#drop(row, row.octets - share);
    while (this.#octets > inAll) {
      const most = rows.reduce((a, b) => (b.octets > a.octets ? b : a));
      const went = await this.#drop(most, Math.min(this.#octets - inAll, Math.ceil(most.octets / 2)));
      if (went === 0) return gone;
      gone += went;
    }
    return gone;
  }

  /** drop takes the oldest logs of a network away until so many octets are free; the messages stay. */
  async #drop(of: { network: string; octets: number }, octets: number): Promise<number> {
    let gone = 0;
    for (let left = octets; left > 0;) {
      const [went] = await this.#db.query<{ n: number; octets: number }>(
        `with old as materialized (
           select id, octets, sum(octets) over (order by id) as freed from (
             select id, ${OCTETS} as octets from fallback_status where ${NETWORK} = $1 and (log_tail is not null or detail is not null)
             order by id limit ${PART}) oldest
         ), dropped as (
           update fallback_status set log_tail = null, detail = null
           where id = any(array(select id from old where freed - octets < $2)) returning id
         ) select (select count(*) from dropped)::integer as n, coalesce(sum(octets), 0)::float8 as octets
           from old where freed - octets < $2`,
        [of.network, left],
      );
      if (went!.n === 0) break;
      gone += went!.n;
      left -= went!.octets;
      of.octets -= went!.octets;
      this.#octets -= went!.octets;
    }
    return gone;
  }
}
