import type { Code, PushpointError } from '#base/errors';
import { Contact, Unheard, saidNo } from '#client/contact';
import { layout, type TargetHost } from '#client/host';
import type { ClientLog } from '#client/log';
import {
  HeartbeatReply,
  RegistrationReply,
  checked,
  tokenKeyOf,
  tokenProof,
  type Heartbeat,
  type MobileClient,
  type Registration,
} from '#messages';
import { machineFacts, readToken, type TokenFile } from './facts.ts';
import type { Identity } from './identity.ts';
import { writeStatus, type AgentStatus } from './status.ts';

const FIRST_BACK_OFF_MS = 30_000;
const LONGEST_BACK_OFF_MS = 3_600_000;
/** After a start the first heartbeat is spread over this time, so that an estate that comes up together does not call together. */
const START_SPREAD_MS = 10_000;
const DEFAULT_HEARTBEAT_MINUTES = 10_080;
const TOKEN_REFUSALS: Code[] = ['PP_CLIENT_TOKEN_UNKNOWN', 'PP_CLIENT_TOKEN_EXPIRED', 'PP_CLIENT_TOKEN_USED'];

/**
 * Agent is the client service: it registers once, then sends a heartbeat at the interval the site gives. Between two contacts it holds one
 * timer and nothing else, so that a thousand agents fit into one process.
 */
export class Agent {
  readonly #host: TargetHost;
  readonly #log: ClientLog;
  readonly #config: MobileClient;
  readonly #identity: Identity;
  readonly #version: string;
  readonly #contact: Contact;
  readonly #startedAt: string;
  #status: AgentStatus;
  #failures = 0;
  #mustRegister = false;

  constructor(host: TargetHost, log: ClientLog, config: MobileClient, identity: Identity, version: string) {
    this.#host = host;
    this.#log = log;
    this.#config = config;
    this.#identity = identity;
    this.#version = version;
    this.#contact = new Contact(host, config.certificatePin);
    this.#startedAt = host.clock.now().toISOString();
    this.#status = { state: 'starting', version, site: config.site };
  }

  /** run goes on until the service is told to stop. */
  async run(): Promise<void> {
    const { clock, signal, random } = this.#host;
    try {
      await this.#tell({});
      if (!(await this.#registrationDue())) await clock.sleep(Math.ceil(START_SPREAD_MS * random.fraction()), signal);
      while (!signal.aborted) {
        const waitMs = Math.ceil(await this.#contactOnce());
        await this.#tell({ nextContactAt: new Date(clock.now().getTime() + waitMs).toISOString() });
        await clock.sleep(waitMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#tell({ state: 'stopped', nextContactAt: undefined });
    }
  }

  /** contactOnce does what is due, and gives how long to wait until the next time. */
  async #contactOnce(): Promise<number> {
    try {
      if (await this.#registrationDue()) await this.#register();
      else await this.#heartbeat();
      this.#failures = 0;
      await this.#tell({ lastError: undefined });
      return this.#interval();
    } catch (error) {
      this.#host.signal.throwIfAborted();
      return this.#failed(error);
    }
  }

  /** interval is the site's, up to a twentieth earlier, so that clients that were installed together drift apart. */
  #interval(): number {
    const minutes = this.#identity.memory.heartbeatMinutes ?? DEFAULT_HEARTBEAT_MINUTES;
    return minutes * 60_000 * (1 - 0.05 * this.#host.random.fraction());
  }

  async #failed(error: unknown): Promise<number> {
    const lastError = error instanceof Error ? error.message : String(error);
    this.#log.error(lastError);
    if (saidNo(error, 'PP_CLIENT_UNKNOWN')) {
      // The site lost this client: register again, after a short pause in case it lost all of them.
      this.#mustRegister = true;
      await this.#tell({ state: 'unregistered', lastError });
      return START_SPREAD_MS * this.#host.random.fraction();
    }
    if (saidNo(error, 'PP_CLIENT_BLOCKED')) {
      await this.#tell({ state: 'blocked', lastError });
      return this.#interval();
    }
    await this.#tell({ lastError });
    const asked = error instanceof Unheard ? error.waitMs : undefined;
    if (asked !== undefined) return asked * (1 + 0.2 * this.#host.random.fraction()) + 1;
    const backOff = Math.min(FIRST_BACK_OFF_MS * 2 ** Math.min(this.#failures++, 20), LONGEST_BACK_OFF_MS);
    return backOff * (0.5 + 0.5 * this.#host.random.fraction());
  }

  async #registrationDue(): Promise<boolean> {
    if (this.#mustRegister || this.#identity.memory.guid === undefined) return true;
    return (await readToken(this.#host, this.#contact.siteNow())) !== undefined;
  }

  /** points are the site's newest list, then those of mobileclient.tcf, which are the trust anchor and never forgotten. */
  #points(): string[] {
    const all = [...(this.#identity.memory.managementPoints ?? []), ...this.#config.managementPoints];
    const usable = this.#config.certificatePin === undefined ? all : all.filter((point) => point.startsWith('https:'));
    return [...new Set(usable)];
  }

  async #register(): Promise<void> {
    const { privateKey, memory } = this.#identity;
    const token = await readToken(this.#host, this.#contact.siteNow());
    const pending = memory.requestToken === token?.tokenId ? memory.requestId : undefined;
    const requestId = pending ?? this.#host.random.uuid();
    // Kept before it is sent: a registration that was cut off goes out again as the same one.
    if (pending === undefined) await this.#identity.remember({ requestId, requestToken: token?.tokenId });
    const message = (now: Date) => this.#registration(requestId, token, now);
    const isFinal = (error: PushpointError) => saidNo(error, ...TOKEN_REFUSALS, 'PP_CLIENT_BLOCKED');
    try {
      const { url, value } = await this.#contact.ask(
        this.#points(),
        { path: '/ccm_system/registration', message, signer: { privateKey } },
        isFinal,
      );
      const reply = checked(RegistrationReply, value, 'registration reply');
      await this.#identity.become(reply.guid, reply.site);
      await this.#keep(reply, url);
      const registeredAt = this.#host.clock.now().toISOString();
      await this.#identity.remember({ registeredAt, requestId: undefined });
      await this.#host.remove(layout.token);
      this.#mustRegister = false;
      this.#log.info(`Registered with site ${reply.site} as ${reply.guid} (${reply.approval})`);
      await this.#tell({ registeredAt });
    } catch (error) {
      if (!token || !saidNo(error, ...TOKEN_REFUSALS)) throw error;
      this.#log.warn(`The registration token ${token.tokenId} was refused; registering without it`);
      await this.#host.remove(layout.token);
      await this.#identity.remember({ requestId: undefined });
      await this.#register();
    }
  }

  #registration(requestId: string, token: TokenFile | undefined, now: Date): Registration {
    const time = now.toISOString();
    const { publicKey, memory, previousGuid } = this.#identity;
    const guid = memory.guid ?? previousGuid;
    return {
      requestId,
      publicKey,
      ...(guid !== undefined && { guid }),
      ...machineFacts(this.#host, this.#version),
      site: this.#config.site,
      ...(token && { tokenId: token.tokenId, tokenProof: tokenProof(tokenKeyOf(token.token), publicKey, time) }),
      time,
    };
  }

  async #heartbeat(): Promise<void> {
    const { privateKey, memory } = this.#identity;
    const guid = memory.guid!;
    const sequence = memory.sequence + 1;
    await this.#identity.remember({ sequence });
    const message = (now: Date): Heartbeat => ({
      guid,
      ...machineFacts(this.#host, this.#version),
      sequence,
      startedAt: this.#startedAt,
      sentAt: now.toISOString(),
    });
    const isFinal = (error: PushpointError) => saidNo(error, 'PP_CLIENT_UNKNOWN', 'PP_CLIENT_BLOCKED');
    const signer = { client: guid, privateKey };
    const { url, value } = await this.#contact.ask(this.#points(), { path: '/ccm_system/heartbeat', message, signer }, isFinal);
    await this.#keep(checked(HeartbeatReply, value, 'heartbeat reply'), url);
    await this.#tell({ lastHeartbeatAt: this.#host.clock.now().toISOString() });
  }

  async #keep(reply: HeartbeatReply, url: string): Promise<void> {
    const { site, approval, heartbeatMinutes, managementPoints } = reply;
    await this.#identity.remember({
      site,
      approval,
      heartbeatMinutes,
      ...(managementPoints.length > 0 && { managementPoints }),
    });
    await this.#tell({ state: 'registered', managementPoint: url });
  }

  async #tell(change: Partial<AgentStatus>): Promise<void> {
    const { guid, approval, site, registeredAt } = this.#identity.memory;
    this.#status = {
      ...this.#status,
      ...(guid !== undefined && { guid }),
      ...(approval !== undefined && { approval }),
      ...(site !== undefined && { site }),
      ...(registeredAt !== undefined && { registeredAt }),
      ...change,
    };
    await writeStatus(this.#host, this.#status);
  }
}
