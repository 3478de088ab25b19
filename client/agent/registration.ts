import { raise, type Code, type PushpointError } from '#base/errors';
import { saidNo } from '#client/contact';
import { layout } from '#client/host';
import {
  HeartbeatReply,
  RegistrationReply,
  checked,
  policyKey,
  tokenKeyOf,
  tokenProof,
  type Heartbeat,
  type Registration,
} from '#messages';
import { machineFacts, readToken, type TokenFile } from './facts.ts';
import { refreshChoice, type AgentParts } from './parts.ts';

const TOKEN_REFUSALS: Code[] = ['PP_CLIENT_TOKEN_UNKNOWN', 'PP_CLIENT_TOKEN_EXPIRED', 'PP_CLIENT_TOKEN_USED'];

/** Registrar makes this client known to its site, and keeps it known: registration and heartbeat. */
export class Registrar {
  readonly #parts: AgentParts;
  #mustRegister = false;
  /** What the site was last told of the machine. */
  #told: string | undefined;

  constructor(parts: AgentParts) {
    this.#parts = parts;
  }

  /** again makes the next contact a registration: the site does not know this client any more. */
  again(): void {
    this.#mustRegister = true;
  }

  async isDue(): Promise<boolean> {
    const { memory } = this.#parts.identity;
    if (this.#mustRegister || memory.guid === undefined || memory.registeredAt === undefined) return true;
    return (await readToken(this.#parts.host, this.#parts.contact.siteNow())) !== undefined;
  }

  /** hasNews tells whether the machine is another than the site was told: name, addresses, system. */
  hasNews(): boolean {
    return this.#told !== undefined && this.#told !== this.#facts();
  }

  #facts(): string {
    return JSON.stringify(machineFacts(this.#parts.host, this.#parts.config.version));
  }

  /** register registers at the assigned site, never at a proxy. */
  async register(mayRenew = true): Promise<void> {
    const { host, logs, identity, contact, choice } = this.#parts;
    const { privateKey, memory } = identity;
    const token = await readToken(host, contact.siteNow());
    const pending = memory.requestToken === token?.tokenId ? memory.requestId : undefined;
    const requestId = pending ?? host.random.uuid();
    // Kept before it is sent: a registration that was cut off goes out again as the same one.
    if (pending === undefined) await identity.remember({ requestId, requestToken: token?.tokenId });
    const message = (now: Date) => this.#registration(requestId, token, now);
    const isFinal = (error: PushpointError) => saidNo(error, ...TOKEN_REFUSALS, 'PP_CLIENT_BLOCKED', 'PP_CLIENT_KEY_RETIRED');
    const facts = this.#facts();
    try {
      const ask = { path: '/ccm_system/registration', message, signer: { privateKey } };
      const { url, value } = await contact.ask(choice.forRegistration(), ask, isFinal);
      const reply = checked(RegistrationReply, value, 'registration reply');
      await identity.become(reply.guid, memory.site ?? reply.site);
      await this.#keep(reply, url);
      if (token) await host.writeFile(layout.siteKey, policyKey(tokenKeyOf(token.token), reply.guid), { secret: true });
      await identity.remember({ registeredAt: host.clock.now().toISOString(), requestId: undefined, requestToken: undefined });
      await host.remove(layout.token);
      this.#mustRegister = false;
      this.#told = facts;
      logs.identity.info(`Registered with site ${reply.site} as ${reply.guid} (${reply.approval})`);
      await this.#parts.state.tell({});
    } catch (error) {
      if (mayRenew && saidNo(error, 'PP_CLIENT_KEY_RETIRED')) return this.#renew();
      if (!token || !saidNo(error, ...TOKEN_REFUSALS)) throw error;
      logs.identity.warn(`The registration token ${token.tokenId} was refused; registering without it`);
      await host.remove(layout.token);
      await identity.remember({ requestId: undefined });
      await this.register();
    }
  }

  /** renew registers with a new key: two machines had the old one, and the site tells them apart from now on. */
  async #renew(): Promise<void> {
    const { identity, logs, host } = this.#parts;
    logs.identity.warn('The site says that another machine has the key of this client; it makes a new one');
    await identity.renew();
    // The other machine was the one they were meant for, as likely as this one.
    for (const path of [layout.siteKey, layout.secrets]) await host.remove(path);
    await this.register(false);
  }

  #registration(requestId: string, token: TokenFile | undefined, now: Date): Registration {
    const time = now.toISOString();
    const { identity, host, config } = this.#parts;
    const { publicKey, memory, previousGuid } = identity;
    const guid = memory.guid ?? previousGuid;
    return {
      requestId,
      publicKey,
      ...(guid !== undefined && { guid }),
      ...machineFacts(host, config.version),
      site: memory.site ?? config.tcf.site,
      ...(token && { tokenId: token.tokenId, tokenProof: tokenProof(tokenKeyOf(token.token), publicKey, time) }),
      time,
    };
  }

  /** heartbeat tells the site that this client lives, and what its machine is now. */
  async heartbeat(mayRepeat = true): Promise<HeartbeatReply> {
    const { host, identity, contact, choice, config, state } = this.#parts;
    const { privateKey, memory } = identity;
    const guid = memory.guid!;
    const sequence = memory.sequence + 1;
    await identity.note({ sequence });
    const facts = this.#facts();
    const message = (now: Date): Heartbeat => ({
      guid,
      ...machineFacts(host, config.version),
      sequence,
      startedAt: state.startedAt,
      sentAt: now.toISOString(),
    });
    const isFinal = (error: PushpointError) => saidNo(error, 'PP_CLIENT_UNKNOWN', 'PP_CLIENT_BLOCKED');
    const ask = { path: '/ccm_system/heartbeat', message, signer: { client: guid, privateKey } };
    const { url, value } = await contact.ask(choice.forMessages(), ask, isFinal);
    const reply = checked(HeartbeatReply, value, 'heartbeat reply');
    await this.#keep(reply, url);
    if (reply.lastSequence !== undefined && reply.lastSequence >= sequence) return this.#onward(reply.lastSequence, mayRepeat);
    this.#told = facts;
    await state.tell({ lastHeartbeatAt: host.clock.now().toISOString() });
    return reply;
  }

  /** onward goes on from where the site is: this machine was set back to an older copy of its disk. */
  async #onward(sequence: number, mayRepeat: boolean): Promise<HeartbeatReply> {
    const { identity, logs } = this.#parts;
    logs.identity.warn(`The site has heard heartbeat ${sequence} of this client already; its memory is an older copy`);
    await identity.remember({ sequence });
    if (!mayRepeat) throw raise('PP_MSG_MALFORMED', { message: 'heartbeat reply', why: 'asks for a newer sequence twice' });
    return this.heartbeat(false);
  }

  async #keep(reply: HeartbeatReply, url: string): Promise<void> {
    const { identity, logs, state } = this.#parts;
    const { site, approval, heartbeatMinutes, managementPoints } = reply;
    const { proxyPoints, site: own } = identity.memory;
    if (own !== undefined && site !== own)
      logs.services.warn(`${url} speaks for site ${site}; this client belongs to ${own} and stays there`);
    // The list begins with the proxies where there are some; those are kept apart, because nobody registers there.
    const assigned = managementPoints.filter((point) => !proxyPoints?.includes(point));
    const isOwn = own === undefined || site === own;
    await identity.note({
      approval,
      heartbeatMinutes,
      ...(own === undefined && { site }),
      ...(isOwn && assigned.length > 0 && { managementPoints: assigned }),
    });
    refreshChoice(this.#parts);
    await state.tell({ state: 'registered', managementPoint: url });
  }
}
