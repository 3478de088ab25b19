import { createHash } from 'node:crypto';
import { Agent as PlainAgent, request as plainRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { Clock } from '#base/clock';
import { PushpointError, raise } from '#base/errors';

/** Call is one request to a peer. */
export interface Call {
  method: 'GET' | 'POST';
  target: string;
  headers?: Record<string, string> | undefined;
  body?: Uint8Array | undefined;
  /** From the beginning to the last octet of the answer: a line that has gone silent is given up. */
  withinMs: number;
  /** More octets of an answer are not read. */
  largest: number;
  signal?: AbortSignal | undefined;
}

/** Reply is what the peer answered. */
export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** A server that takes a connection and says nothing is left after this: Node's own agent knows no such line until it is ready. */
const HANDSHAKE_MS = 30_000;

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'nobody listens there',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'the name servers do not answer',
  ECONNRESET: 'it hung up',
  EPIPE: 'it hung up',
  ETIMEDOUT: 'it does not answer',
  EHOSTUNREACH: 'no way leads there',
  ENETUNREACH: 'no way leads there',
  EPROTO: 'it does not speak TLS there',
};

/** keyPin is the SHA-256 of the key in a certificate (SPKI), so that a certificate renewed with its key keeps its pin. */
function keyPin(socket: TLSSocket): string {
  const spki = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' });
  return spki ? createHash('sha256').update(spki).digest('hex') : '';
}

/**
 * HttpPeer speaks with one server over kept connections, plainly or over TLS. The pin is the whole trust of a TLS connection, whatever name
 * or issuer stands in the certificate; it is compared before one octet is sent. Without a pin the key is taken note of (`shown`). No redirect
 * is followed.
 */
export class HttpPeer {
  readonly #url: URL;
  readonly #pin: string | undefined;
  readonly #clock: Clock;
  readonly #agent: PlainAgent;
  /** shown is the pin of the key that the server last showed; empty over plain HTTP. */
  shown = '';

  constructor(o: { url: string; pin?: string | undefined; clock: Clock }) {
    this.#url = new URL(o.url);
    this.#pin = o.pin;
    this.#clock = o.clock;
    const kept = { keepAlive: true, maxSockets: 8, maxFreeSockets: 2, scheduling: 'lifo' as const };
    if (this.#url.protocol === 'https:') {
      const agent = new SecureAgent(kept);
      agent.createConnection = (options, done) => this.#secure(options, done!);
      this.#agent = agent;
    } else this.#agent = new PlainAgent(kept);
  }

  #secure(_options: unknown, done: (error: Error | null, stream: Duplex) => void): undefined {
    const host = this.#url.hostname.replace(/^\[|\]$/g, '');
    const socket = connect({
      host,
      port: Number(this.#url.port || 443),
      ...(/[a-z]/i.test(host) && !host.includes(':') && { servername: host }),
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
    });
    const silent = this.#clock.after(HANDSHAKE_MS, () =>
      socket.destroy(Object.assign(new Error('no TLS'), { code: 'ETIMEDOUT' })),
    );
    const failed = (error: Error) => {
      silent();
      done(error, socket);
    };
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      silent();
      socket.off('error', failed);
      this.shown = keyPin(socket);
      if (this.#pin === undefined || this.#pin === this.shown) return done(null, socket);
      socket.destroy();
      done(raise('PP_LINK_PIN', { url: this.#url.origin }), socket);
    });
    return undefined;
  }

  /** call sends one request and reads the whole answer; whatever goes wrong is PP_LINK_UNREACHABLE with why, or the reason of the signal. */
  async call(call: Call): Promise<Reply> {
    const ended = new AbortController();
    const silent = this.#clock.after(call.withinMs, () =>
      ended.abort(this.#unreachable(`no answer within ${Math.round(call.withinMs / 1000)} s`)),
    );
    const signal = call.signal ? AbortSignal.any([call.signal, ended.signal]) : ended.signal;
    try {
      return await this.#send(call, signal);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof PushpointError) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      throw this.#unreachable(REASONS[code ?? ''] ?? message, error);
    } finally {
      silent();
    }
  }

  #unreachable(why: string, cause?: unknown): PushpointError {
    return raise('PP_LINK_UNREACHABLE', { url: this.#url.origin, why }, { cause });
  }

  #send(call: Call, signal: AbortSignal): Promise<Reply> {
    const base = this.#url.pathname.replace(/\/+$/, '');
    const options: RequestOptions = {
      agent: this.#agent,
      host: this.#url.hostname.replace(/^\[|\]$/g, ''),
      port: this.#url.port || (this.#url.protocol === 'https:' ? 443 : 80),
      method: call.method,
      path: `${base}${call.target}`,
      headers: { ...call.headers, ...(call.body && { 'content-length': String(call.body.length) }) },
      signal,
    };
    return new Promise((resolve, reject) => {
      const make = this.#url.protocol === 'https:' ? secureRequest : plainRequest;
      const sent = make(options, (answer) => {
        const parts: Buffer[] = [];
        let length = 0;
        answer.on('data', (part: Buffer) => {
          length += part.length;
          if (length > call.largest) return void sent.destroy(raise('PP_LINK_MALFORMED', { why: 'the answer is too long' }));
          parts.push(part);
        });
        answer.once('error', reject);
        answer.once('aborted', () => reject(Object.assign(new Error('it hung up'), { code: 'ECONNRESET' })));
        answer.once('end', () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(parts) }),
        );
      });
      sent.once('error', reject);
      // A request that has no line yet keeps its error to itself until it has one.
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      sent.end(call.body);
    });
  }

  /** close gives the kept connections up. */
  close(): void {
    this.#agent.destroy();
  }
}
