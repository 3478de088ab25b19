import { generateKeyPairSync, randomBytes, randomUUID, type KeyObject } from 'node:crypto';
import net from 'node:net';
import { publicKeyOf, signRequest, tokenKeyOf, tokenProof } from '#messages';

/** Agent is one simulated machine with a key of its own. */
export interface Agent {
  name: string;
  address: string;
  privateKey: KeyObject;
  publicKey: string;
  token: { id: string; secret: string };
  guid: string;
  sequence: number;
}

/** makeAgent makes the nth machine. */
export function makeAgent(n: number, token: { id: string; secret: string }): Agent {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const address = `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
  return { name: nameOf(n), address, privateKey, publicKey: publicKeyOf(publicKey), token, guid: '', sequence: 0 };
}

/** nameOf is the name of the nth machine. */
export const nameOf = (n: number): string => `PC${String(n).padStart(6, '0')}`;

const nonce = (): string => randomBytes(16).toString('base64url');

function common({ name, address }: Agent) {
  return {
    name,
    domain: 'CORP',
    fqdn: `${name.toLowerCase()}.corp.example`,
    addresses: [address],
    os: { name: 'Windows 11 Enterprise', version: '10.0.22631', type: 'workstation' },
    architecture: 'x64',
    hardwareId: `${name}-4C4C4544-0042-3510-8052-B4C04F4A4D31`,
    clientVersion: '0.1.0',
  };
}

function post(path: string, body: Buffer, headers: Record<string, string>): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `POST ${path} HTTP/1.1\r\nhost: mp\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n${lines.join('')}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

/** registrationOf is the whole request with which an agent registers, signed now. */
export function registrationOf(agent: Agent): Buffer {
  const time = new Date();
  const tokenKey = tokenKeyOf(agent.token.secret);
  const body = Buffer.from(
    JSON.stringify({
      requestId: randomUUID(),
      publicKey: agent.publicKey,
      ...common(agent),
      tokenId: agent.token.id,
      tokenProof: tokenProof(tokenKey, agent.publicKey, time.toISOString()),
      time: time.toISOString(),
    }),
  );
  const path = '/ccm_system/registration';
  const headers = signRequest({ method: 'POST', path, body }, { privateKey: agent.privateKey }, { time, nonce: nonce() });
  return post(path, body, headers);
}

/** heartbeatOf is the next heartbeat of an agent, signed now. */
export function heartbeatOf(agent: Agent, startedAt: string): Buffer {
  const time = new Date();
  agent.sequence++;
  const { guid, sequence } = agent;
  const body = Buffer.from(JSON.stringify({ guid, ...common(agent), sequence, startedAt, sentAt: time.toISOString() }));
  const path = '/ccm_system/heartbeat';
  const headers = signRequest(
    { method: 'POST', path, body },
    { client: guid, privateKey: agent.privateKey },
    { time, nonce: nonce() },
  );
  return post(path, body, headers);
}

/** Said is what came back. */
export interface Said {
  status: number;
  retryAfter: number;
  body: string;
}

/** Line is one kept connection, from a loopback address of its own, as clients come from addresses of their own. */
export class Line {
  readonly #socket: net.Socket;
  #closed = false;
  #in: Buffer = Buffer.alloc(0);
  #waiting: ((said: Said) => void) | undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (part: Buffer) => {
      this.#in = this.#in.length === 0 ? part : Buffer.concat([this.#in, part]);
      this.#take();
    });
    socket.on('close', () => {
      this.#closed = true;
      this.#answer({ status: 0, retryAfter: 0, body: '' });
    });
    socket.on('error', () => {});
  }

  static open(port: number, n: number): Promise<Line> {
    return new Promise((resolve, reject) => {
      const localAddress = `127.${1 + (n >> 16)}.${(n >> 8) & 255}.${1 + (n & 127)}`;
      const socket = net.connect({ port, host: '127.0.0.1', localAddress }, () => resolve(new Line(socket)));
      socket.once('error', reject);
    });
  }

  /** closed: the point gives up lines that never said anything. */
  get closed(): boolean {
    return this.#closed;
  }

  send(request: Buffer): Promise<Said> {
    if (this.#closed) return Promise.resolve({ status: 0, retryAfter: 0, body: '' });
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#socket.write(request);
    });
  }

  /** write sends octets that are no whole request. */
  write(octets: string): void {
    if (!this.#closed) this.#socket.write(octets);
  }

  #answer(said: Said): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(said);
  }

  #take(): void {
    const end = this.#in.indexOf('\r\n\r\n');
    if (end === -1) return;
    const head = this.#in.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#in.length < end + 4 + length) return;
    const body = this.#in.toString('utf8', end + 4, end + 4 + length);
    this.#in = this.#in.subarray(end + 4 + length);
    const retryAfter = Number(/\r\nretry-after: (\d+)/i.exec(head)?.[1] ?? 0);
    this.#answer({ status: Number(head.slice(9, 12)), retryAfter, body });
  }

  close(): void {
    this.#socket.destroy();
  }
}
