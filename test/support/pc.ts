import { generateKeyPairSync, randomBytes, randomUUID, type KeyObject } from 'node:crypto';
import {
  publicKeyOf,
  signRequest,
  tokenKeyOf,
  tokenProof,
  type Heartbeat,
  type Registration,
  type Signer,
  type StateMessage,
} from '#messages';
import type { TestSite } from '#test/points';

/** Pc is a machine that talks to a point, honestly or not. */
export class Pc {
  key: KeyObject = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  readonly site: TestSite;
  url: string;
  readonly name: string;
  guid: string | undefined;
  sequence = 0;

  constructor(site: TestSite, url: string, name = 'PC042') {
    this.site = site;
    this.url = url;
    this.name = name;
  }

  /** get asks for something that is signed without a body. */
  async get(path: string, headers: Record<string, string> = {}, signer: Signer = this.signer) {
    const nonce = randomBytes(16).toString('base64url');
    const signed = signRequest({ method: 'GET', path, body: new Uint8Array() }, signer, { time: this.site.clock.now(), nonce });
    const answer = await fetch(this.url + path, { headers: { ...signed, ...headers } });
    const text = await answer.text();
    const json = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    return { status: answer.status, code: json['code'], json, text, headers: answer.headers, nonce };
  }

  async post(path: string, body: unknown, signer: Signer, o: { at?: Date; sent?: string; nonce?: string } = {}) {
    const text = JSON.stringify(body);
    const at = { time: o.at ?? this.site.clock.now(), nonce: o.nonce ?? randomBytes(16).toString('base64url') };
    const headers = signRequest({ method: 'POST', path, body: Buffer.from(text) }, signer, at);
    return this.raw(path, o.sent ?? text, headers);
  }

  async raw(path: string, text: string, headers: Record<string, string>) {
    const answer = await fetch(this.url + path, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: text,
    });
    const json = (await answer.json()) as Record<string, unknown>;
    return { status: answer.status, code: json['code'], json };
  }

  registration(more: Partial<Registration> = {}): Registration {
    return {
      requestId: randomUUID(),
      publicKey: publicKeyOf(this.key),
      name: this.name,
      domain: 'CORP',
      fqdn: `${this.name.toLowerCase()}.corp.example`,
      addresses: ['10.0.0.1'],
      os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
      hardwareId: `2:${this.name}`,
      clientVersion: '1.0.0',
      time: this.site.clock.now().toISOString(),
      ...more,
    };
  }

  proven(token: { id: string; secret: string }, more: Partial<Registration> = {}): Registration {
    const plain = this.registration(more);
    return { ...plain, tokenId: token.id, tokenProof: tokenProof(tokenKeyOf(token.secret), plain.publicKey, plain.time) };
  }

  /** reinstall makes it a machine that was installed anew: another key, no SMSID. */
  reinstall(): void {
    this.key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    this.guid = undefined;
    this.sequence = 0;
  }

  async beat(more: Partial<Heartbeat> = {}) {
    return this.post('/ccm_system/heartbeat', this.heartbeat(more), this.signer);
  }

  async register(registration = this.registration()) {
    const answer = await this.post('/ccm_system/registration', registration, { privateKey: this.key });
    if (answer.status === 200) this.guid = answer.json['guid'] as string;
    return answer;
  }

  get signer(): Signer {
    return { client: this.guid!, privateKey: this.key };
  }

  heartbeat(more: Partial<Heartbeat> = {}): Heartbeat {
    const now = this.site.clock.now().toISOString();
    const { requestId: _r, publicKey: _k, time: _t, ...same } = this.registration();
    return { ...same, guid: this.guid!, sequence: ++this.sequence, startedAt: now, sentAt: now, ...more };
  }

  state(stateId: number, more: Partial<StateMessage> = {}): StateMessage {
    const at = this.site.clock.now().toISOString();
    return { topicType: 800, topicId: randomUUID(), stateId, at, name: this.name, domain: 'CORP', ...more };
  }
}
