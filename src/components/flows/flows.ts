import type { BoundaryIndex } from '#records/boundary';
import type { LinkHandlers, Outgoing, Peer } from '#records/link';
import type { Branch } from '#records/site';
import type { Sql } from '#store/database';
import { boundaryHandler, boundaryNews } from './boundaries.ts';
import type { FlowParts } from './branch.ts';
import { decisionHandler } from './decisions.ts';
import { ccrHandler, sendCcrs } from './ccrs.ts';
import { clientHandler, sendClients, stateHandler } from './clients.ts';
import { ddrHandler, judgeAside, pdrHandler } from './ddr.ts';
import { fetchPackages, packageHandler, packageNews, type FetchContent } from './packages.ts';
import { siteHandler, siteNews } from './sites.ts';

/** What was missed by NOTIFY is found after so long. */
const ROUND_MS = 10_000;
/** Changes that come close together travel together. */
const GATHER_MS = 50;
const PRUNE_MS = 3_600_000;
const KEPT_MS = 30 * 24 * PRUNE_MS;
const CHANNELS = ['boundary', 'site_settings', 'package', 'client', 'ccr', 'branch_package', 'link'] as const;

/** flowHandlers are the handlers of all that travels between sites, in the order in which a new neighbour is told. */
export function flowHandlers(parts: FlowParts): LinkHandlers {
  return {
    site: siteHandler(parts),
    boundary: boundaryHandler(parts),
    package: packageHandler(parts),
    client: clientHandler(parts),
    decision: decisionHandler(parts),
    ddr: ddrHandler(parts),
    pdr: pdrHandler(parts),
    state: stateHandler(parts),
    ccr: ccrHandler(parts),
  };
}

/** FlowOptions are what only the process with the lines has: a way to the parent's files. */
export interface FlowOptions {
  fetchContent: FetchContent;
}

/**
 * Flows tells the neighbours of this site what they need to know and have not been told: sites and points, boundaries, packages, clients,
 * state messages, how CCRs stand. It compares what is with what was told, so that nothing has to be announced to it to get there; DDRs
 * and PDRs go with the transaction that stores them (forwardDdrs).
 */
export class Flows {
  readonly #parts: FlowParts;
  readonly #options: FlowOptions;
  #ends: (() => Promise<void>)[] = [];
  #cancel: () => void = () => {};
  #round: Promise<void> = Promise.resolve();
  #answers: Promise<void> = Promise.resolve();
  #running = false;
  #again = false;
  #stopped = false;
  #judged: BoundaryIndex | undefined;
  #pruneAt = 0;

  constructor(parts: FlowParts, options: FlowOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  async start(): Promise<void> {
    for (const channel of CHANNELS) this.#ends.push(await this.#parts.database.listen(channel, () => this.#soon()));
    this.#ends.push(await this.#parts.database.listen('link_ask', () => this.#answer()));
    this.#look();
  }

  /** Points in processes of their own cannot open the vault, and ask about tokens of other sites. */
  #answer(): void {
    this.#answers = this.#answers
      .then(() => this.#parts.link.shared.answer())
      .catch((error: unknown) => this.#parts.log.error('a token of another site could not be looked at', { error }));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    for (const end of this.#ends.splice(0)) await end();
    await this.#answers;
    await this.#round;
  }

  #soon(): void {
    if (this.#running) this.#again = true;
    else this.#after(GATHER_MS);
  }

  #after(ms: number): void {
    this.#cancel();
    if (!this.#stopped) this.#cancel = this.#parts.clock.after(ms, () => this.#look());
  }

  #look(): void {
    if (this.#stopped || this.#running) return;
    this.#running = true;
    this.#again = false;
    this.#round = this.#work()
      .catch((error: unknown) => this.#parts.log.error('telling other sites failed; it goes on at the next round', { error }))
      .then(() => {
        this.#running = false;
        this.#after(this.#again ? GATHER_MS : ROUND_MS);
      });
  }

  async #work(): Promise<void> {
    const links = (await this.#parts.link.list()).filter(({ state }) => state === 'joined');
    if (links.length === 0) return;
    await this.#parts.database.transaction((tx) => this.#tellNews(tx, links));
    for (const send of [sendCcrsUp, sendClients])
      while (
        !this.#stopped &&
        (await this.#parts.database.transaction(async (tx) => send(this.#parts, tx, await this.#branch(tx), links)))
      );
    if (links.some(({ role }) => role === 'child')) await this.#judgeAside();
    await this.#prune();
    if (links.some(({ role }) => role === 'parent')) await fetchPackages(this.#parts, this.#options.fetchContent);
  }

  /** What a child told of machines outside its boundaries may be inside now. */
  async #judgeAside(): Promise<void> {
    const index = await this.#parts.boundary.index();
    if (index === this.#judged) return;
    const ddrs = await judgeAside(this.#parts);
    if (ddrs > 0) this.#parts.log.info('DDRs of sites below count by the boundaries as they are now', { ddrs });
    this.#judged = index;
  }

  /** CCRs of sites below are kept as long as the site's own ones; what never came into a boundary, 30 days. */
  async #prune(): Promise<void> {
    const now = this.#parts.clock.now().getTime();
    if (now < this.#pruneAt) return;
    this.#pruneAt = now + PRUNE_MS;
    const before = new Date(now - KEPT_MS);
    await this.#parts.branch.prune({ ccrs: before, aside: before });
  }

  #branch(tx: Sql): Promise<Branch> {
    return this.#parts.site.branch(tx);
  }

  async #tellNews(tx: Sql, peers: readonly Peer[]): Promise<void> {
    const { branch, link, package: packages } = this.#parts;
    const known = await this.#branch(tx);
    const boundaries = await branch.boundaries(tx);
    const all = await packages.list();
    for (const peer of peers) {
      const news = {
        site: siteNews(known, peer),
        boundary: boundaryNews(boundaries, known, peer),
        package: peer.role === 'child' ? packageNews(all, await branch.toldKeys(tx, peer.site, 'package')) : [],
      };
      for (const [kind, some] of Object.entries(news)) {
        const untold = await branch.untold(tx, peer.site, kind, some);
        const to = peer.role === 'parent' ? 'parent' : peer.site;
        if (untold.length > 0)
          await link.enqueue(
            tx,
            untold.map((one): Outgoing => ({ to, kind, ...one })),
          );
      }
    }
  }
}

async function sendCcrsUp(parts: FlowParts, tx: Sql, _known: Branch, peers: readonly Peer[]): Promise<boolean> {
  return peers.some(({ role }) => role === 'parent') ? sendCcrs(parts, tx) : false;
}
