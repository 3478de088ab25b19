import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { StateMessage, checked } from '#messages';
import type { SelfMade } from '#test/certificate';

export type Misbehave = (request: IncomingMessage, answer: ServerResponse, body: Buffer) => boolean;

/**
 * TestPoint is a point that a test has in its hand: it serves one file with Range, takes state messages as a fallback status point does, and
 * does anything else that `misbehave` wants (true: it has answered).
 */
export class TestPoint {
  readonly url: string;
  readonly states: StateMessage[] = [];
  /** asked are the requests, with the range that was asked for. */
  readonly asked: string[] = [];
  readonly #server: Server;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static async start(body: Buffer, o: { tls?: SelfMade; misbehave?: Misbehave; port?: number } = {}): Promise<TestPoint> {
    const serve = (request: IncomingMessage, answer: ServerResponse) => point.#serve(request, answer, body, o.misbehave);
    const server = o.tls ? createSecureServer({ key: o.tls.key, cert: o.tls.cert }, serve) : createServer(serve);
    server.listen(o.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    const point = new TestPoint(server, `http${o.tls ? 's' : ''}://127.0.0.1:${(server.address() as AddressInfo).port}`);
    return point;
  }

  #serve(request: IncomingMessage, answer: ServerResponse, body: Buffer, misbehave: Misbehave | undefined): void {
    this.asked.push(`${request.method} ${request.url} ${request.headers.range ?? ''}`.trim());
    if (request.method === 'POST') return void this.#take(request, answer);
    if (misbehave?.(request, answer, body)) return;
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const part = body.subarray(from);
    const range = from > 0 ? { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` } : {};
    answer.writeHead(from > 0 ? 206 : 200, { 'content-length': part.length, ...range });
    answer.end(part);
  }

  async #take(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    try {
      // A message that our fallback status point would refuse must not pass here.
      this.states.push(checked(StateMessage, JSON.parse(Buffer.concat(parts).toString('utf8')), 'state'));
      answer.writeHead(200, { 'content-type': 'application/json' }).end('{"accepted":true}');
    } catch (error) {
      answer.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ code: String(error) }));
    }
  }

  get ids(): number[] {
    return this.states.map(({ stateId }) => stateId);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
