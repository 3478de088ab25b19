import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { systemClock, type Clock } from '#base/clock';
import { buildNative, buildTrial } from '#client/native';
import { writeMobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { PAYLOAD, payloadOf, VERSION } from '#test/wine-setup';
import type { Wine } from '#test/wine';

const PROGRAM = String.raw`C:\windows\CCM\CcmExec.exe`;
const STATUS = 'windows/CCM/status.json';
const MEMORY = 'windows/CCM/client.json';
/** AGENT_LOG is the log of the service, and of the agent's contacts. */
export const AGENT_LOG = 'windows/CCM/logs/CcmExec.log';
const LOGS = [
  'CcmExec',
  'ClientIDManagerStartup',
  'LocationServices',
  'ClientLocation',
  'PolicyAgent',
  'FSPStateMessage',
] as const;
/** AgentLog is the name of a log of the agent. */
export type AgentLog = (typeof LOGS)[number];
/** SECRET is the token of the push that brought a client. */
export const SECRET = 'a-secret-of-this-push-0001';

const LIVES_MS = 45_000;
/** The service ends an agent after 8 s; a machine that has much to do needs its time to get there. */
const ENDS_MS = 20_000;

/** AgentSaid is what status.json says. */
export interface AgentSaid {
  state?: string;
  site?: string;
  siteVersion?: string;
  product?: string;
  guid?: string;
  version?: string;
  managementPoint?: string;
  lastHeartbeatAt?: string;
  lastError?: string;
  nextContactAt?: string;
  cacheMegabytes?: number;
  assignment?: { wanted: string; stateId: number; why?: string };
}

/** WineAgent is the agent in CcmExec.exe on a machine of Wine, run alone, as its service runs it. */
export class WineAgent {
  /** trial is another build of the agent than the one that is shipped: all its periods divided by `hurry`, or of another release. */
  trial: Parameters<typeof buildTrial>[1] | undefined;
  readonly #wine: Wine;

  constructor(wine: Wine) {
    this.#wine = wine;
  }

  /** furnish lays a fresh agent on the machine, and gives a management point that is the fallback status point too. */
  async furnish(t: TestContext, properties = '', clock: Clock = systemClock): Promise<HonestMp> {
    return this.#lay(await HonestMp.start(t, clock), properties);
  }

  /** furnishTls does the same with a management point whose certificate is pinned. */
  async furnishTls(t: TestContext, clock: Clock = systemClock): Promise<HonestMp> {
    return this.#lay(await HonestMp.start(t, clock, 'https'), '');
  }

  #lay(mp: HonestMp, properties: string): HonestMp {
    for (const gone of ['windows/CCM', 'windows/ccmsetup', 'windows/SMSCFG.INI']) this.#wine.remove(gone);
    const program = this.trial ? buildTrial(VERSION, this.trial) : buildNative(VERSION).files['CcmExec.exe'];
    this.#wine.put('windows/CCM/CcmExec.exe', readFileSync(program));
    const tcf = { site: 'P01', managementPoints: [mp.url], fallbackStatusPoint: mp.url, payload: payloadOf(PAYLOAD) };
    const pin = mp.certificate && { certificatePins: [mp.certificate.pin] };
    this.#wine.put('windows/CCM/mobileclient.tcf', writeMobileClient({ ...tcf, ...pin, properties }));
    return mp;
  }

  /** pushed is a client that a push brought, and its management point, whose policy can be proven from then on. */
  async pushed(t: TestContext): Promise<HonestMp> {
    const mp = await this.furnish(t);
    const token = { tokenId: 'token-0001', token: SECRET, expires: '2099-01-01T00:00:00.000Z' };
    this.#wine.put('windows/CCM/registration.token', JSON.stringify(token));
    mp.tokens.set('token-0001', { secret: SECRET, used: false });
    await this.lives(() => this.status().state === 'registered' && this.#wine.has('windows/CCM/site.key'));
    mp.prove = { token: SECRET, guid: this.status().guid! };
    return mp;
  }

  /** lives lets the agent run until something is so, and ends it as the service does. An agent that ends by itself fails, with its log, at once. `resolv` is its resolv.conf. */
  async lives(until: () => boolean, resolv?: string): Promise<void> {
    const agent = resolv === undefined ? this.#wine.spawn(PROGRAM, '/agent') : this.#wine.spawnNaming(resolv, PROGRAM, '/agent');
    let how: string | undefined;
    agent.once('exit', (code, signal) => (how = `with ${code ?? signal}`));
    agent.once('error', (error) => (how = String(error)));
    agent.stdin!.on('error', () => {});
    try {
      await this.#wine.eventually('the agent', () => until() || how !== undefined, LIVES_MS);
      if (how !== undefined && !until()) throw new Error(`the agent ended by itself, ${how}`);
      agent.stdin!.end();
      await this.#wine.eventually('the end of the agent', () => how !== undefined, ENDS_MS);
    } catch (cause) {
      throw new Error(`${String(cause)}\n${this.#said()}`, { cause });
    } finally {
      agent.kill('SIGKILL');
    }
  }

  status(): AgentSaid {
    return this.#json(STATUS);
  }

  memory(): Record<string, unknown> {
    return { ...this.#json(MEMORY) };
  }

  /** log is the text of one log of the agent, or of all of them. */
  log(...names: AgentLog[]): string {
    return (names.length > 0 ? names : LOGS).map((name) => this.#wine.text(`windows/CCM/logs/${name}.log`)).join('');
  }

  /** json reads a file that may be written anew at this moment. */
  #json(path: string): object {
    try {
      return JSON.parse(this.#wine.text(path)) as object;
    } catch {
      return {};
    }
  }

  #said(): string {
    return [...LOGS.map((name) => `windows/CCM/logs/${name}.log`), STATUS, MEMORY]
      .filter((path) => this.#wine.has(path))
      .map((path) => `${path}:\n${this.#wine.text(path)}`)
      .join('\n');
  }
}
