import { Unheard, saidNo } from '#client/contact';
import type { HeartbeatReply } from '#messages';
import { Due } from './due.ts';
import { ASSIGN_AGAIN_MS, Membership } from './membership.ts';
import type { AgentParts } from './parts.ts';
import { PolicyWork, isNoPolicy } from './policy.ts';
import { Registrar } from './registration.ts';

const FIRST_BACK_OFF_MS = 30_000;
const LONGEST_BACK_OFF_MS = 3_600_000;
/** After a start the first heartbeat is spread over this time, so that an estate that comes up together does not call together. */
const START_SPREAD_MS = 10_000;
/** A change of addresses often meets a whole building, so the heartbeats that tell of it are spread too. */
const NEWS_SPREAD_MS = 60_000;
const DEFAULT_HEARTBEAT_MINUTES = 10_080;
/** A client that is new asks for its policy and its place a little later: those who come with it in a storm ask for their registration. */
const POLICY_SPREAD_MS = 2 * 60_000;
const LOCATE_SPREAD_MS = 3_600_000;
/** How long a list of management points is good (facts E). */
const LOCATE_MS = 25 * 3_600_000;
/** The agent looks at the machine and at both clocks at least so often. */
const LOOK_MS = 15 * 60_000;
const POLICY_AGAIN_MS = 10 * 60_000;

/**
 * Agent is the client service: it finds its site, registers there, sends a heartbeat at the interval the site gives and when the machine has
 * changed, and does what the site's policy says. Between two works it holds one timer and nothing else, so that a thousand agents fit
 * into one process.
 */
export class Agent {
  readonly #parts: AgentParts;
  readonly #membership: Membership;
  readonly #registrar: Registrar;
  readonly #policy: PolicyWork;
  readonly #heartbeat: Due;
  readonly #locate: Due;
  readonly #policyDue: Due;
  readonly #assign: Due;
  #failures = 0;
  #hasNews = false;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#membership = new Membership(parts);
    this.#registrar = new Registrar(parts);
    this.#policy = new PolicyWork(parts, this.#membership);
    const { clock } = parts.host;
    this.#heartbeat = new Due(clock);
    this.#locate = new Due(clock);
    this.#policyDue = new Due(clock);
    this.#assign = new Due(clock);
  }

  /** run goes on until the service is told to stop. */
  async run(): Promise<void> {
    const { host, state } = this.#parts;
    const { clock, signal, random } = host;
    try {
      await state.tell({});
      const isNew = this.#membership.isDue || (await this.#registrar.isDue());
      if (!isNew) await clock.sleep(Math.ceil(START_SPREAD_MS * random.fraction()), signal);
      while (!signal.aborted) {
        const waitMs = Math.ceil(await this.#turn());
        await state.tell({ nextContactAt: new Date(clock.now().getTime() + waitMs).toISOString() });
        await this.#rest(waitMs);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await state.tell({ state: 'stopped', nextContactAt: undefined });
    }
  }

  /** rest waits, and looks at the machine meanwhile: what changed on it is told soon, and a calendar that jumped is believed. */
  async #rest(waitMs: number): Promise<void> {
    const { clock, signal, random } = this.#parts.host;
    const end = new Due(clock);
    end.in(waitMs);
    while (!end.isDue) {
      await clock.sleep(Math.min(end.left(), LOOK_MS), signal);
      if (end.isDue || !this.#registrar.hasNews() || this.#hasNews) continue;
      this.#parts.logs.exec.info('The name, an address or the system of this machine has changed');
      this.#hasNews = true;
      this.#heartbeat.now();
      this.#locate.now();
      return clock.sleep(Math.ceil(NEWS_SPREAD_MS * random.fraction()), signal);
    }
  }

  /** turn does what is due, and gives how long to wait until the next time. */
  async #turn(): Promise<number> {
    try {
      const wait = await this.#work();
      this.#failures = 0;
      return wait;
    } catch (error) {
      this.#parts.host.signal.throwIfAborted();
      return this.#failed(error);
    }
  }

  async #work(): Promise<number> {
    if (this.#membership.isDue && this.#assign.isDue) {
      const failed = await this.#membership.assign();
      if (failed?.unheard && !this.#membership.isAssigned) throw failed.unheard;
      this.#assign.in(ASSIGN_AGAIN_MS);
      if (!failed) this.#registrar.again();
    }
    if (!this.#membership.isAssigned) return this.#assign.left();
    if (await this.#registrar.isDue()) await this.#register();
    else if (this.#heartbeat.isDue) await this.#sendHeartbeat();
    if (this.#locate.isDue) this.#locate.in((await this.#membership.locate()) ? LOCATE_MS : POLICY_AGAIN_MS);
    if (this.#policyDue.isDue) await this.#askPolicy();
    await this.#parts.state.tell({ lastError: undefined });
    const dues = [this.#heartbeat, this.#locate, this.#policyDue, ...(this.#membership.isDue ? [this.#assign] : [])];
    return Math.max(1, Math.min(...dues.map((due) => due.left())));
  }

  async #register(): Promise<void> {
    const { random } = this.#parts.host;
    try {
      await this.#registrar.register();
    } catch (error) {
      this.#parts.host.signal.throwIfAborted();
      // The site is the right one, but its management point does not take this client.
      const why = error instanceof Error ? error.message : String(error);
      if (this.#parts.identity.memory.registeredAt === undefined) await this.#membership.failed(603, why);
      throw error;
    }
    this.#heartbeat.in(this.#interval());
    this.#policyDue.in(Math.ceil(POLICY_SPREAD_MS * random.fraction()));
    // Where there are several management points, one may be a proxy, which is asked before the others.
    const spread = this.#parts.choice.forMessages().length > 1 ? START_SPREAD_MS : LOCATE_SPREAD_MS;
    this.#locate.in(Math.ceil(spread * random.fraction()));
    await this.#membership.succeeded();
  }

  async #sendHeartbeat(): Promise<void> {
    const reply = await this.#registrar.heartbeat();
    this.#hasNews = false;
    this.#heartbeat.in(this.#interval());
    this.#heed(reply);
  }

  #heed({ policyRevision }: HeartbeatReply): void {
    if (policyRevision !== undefined && policyRevision !== this.#parts.identity.memory.policyRevision) this.#policyDue.now();
  }

  /** interval is the site's, up to a twentieth earlier, so that clients that were installed together drift apart. */
  #interval(): number {
    const minutes = this.#parts.identity.memory.heartbeatMinutes ?? DEFAULT_HEARTBEAT_MINUTES;
    return minutes * 60_000 * (1 - 0.05 * this.#parts.host.random.fraction());
  }

  /** askPolicy never holds up the heartbeat: a site that has no policy to give is still a site. */
  async #askPolicy(): Promise<void> {
    const { host, logs } = this.#parts;
    const spread = 1 - 0.05 * host.random.fraction();
    this.#policyDue.in(POLICY_AGAIN_MS * spread);
    try {
      const outcome = await this.#policy.poll();
      this.#policyDue.in(this.#policy.intervalMs * spread);
      // A shorter interval counts from now; a longer one after the heartbeat that is due.
      const interval = this.#interval();
      if (this.#heartbeat.left() > interval) this.#heartbeat.in(interval);
      if (outcome !== 'moved') return;
      this.#registrar.again();
      await this.#register();
    } catch (error) {
      host.signal.throwIfAborted();
      if (saidNo(error, 'PP_CLIENT_UNKNOWN', 'PP_CLIENT_BLOCKED')) throw error;
      logs.policy.warn(`No policy: ${error instanceof Error ? error.message : String(error)}`);
      if (isNoPolicy(error)) this.#policyDue.in(this.#policy.intervalMs * spread);
      else if (error instanceof Unheard && error.waitMs !== undefined) this.#policyDue.in(error.waitMs * (1 + 0.2 * spread) + 1);
    }
  }

  async #failed(error: unknown): Promise<number> {
    const { host, logs, state } = this.#parts;
    const lastError = error instanceof Error ? error.message : String(error);
    logs.exec.error(lastError);
    if (saidNo(error, 'PP_CLIENT_UNKNOWN')) {
      // The site lost this client: register again, after a short pause in case it lost all of them.
      this.#registrar.again();
      this.#parts.choice.unknownThere();
      await state.tell({ state: 'unregistered', lastError });
      return START_SPREAD_MS * host.random.fraction();
    }
    if (saidNo(error, 'PP_CLIENT_BLOCKED')) {
      await state.tell({ state: 'blocked', lastError });
      this.#heartbeat.now();
      return this.#interval();
    }
    await state.tell({ lastError });
    const asked = error instanceof Unheard ? error.waitMs : undefined;
    if (asked !== undefined) return asked * (1 + 0.2 * host.random.fraction()) + 1;
    const backOff = Math.min(FIRST_BACK_OFF_MS * 2 ** Math.min(this.#failures++, 20), LONGEST_BACK_OFF_MS);
    return backOff * (0.5 + 0.5 * host.random.fraction());
  }
}
