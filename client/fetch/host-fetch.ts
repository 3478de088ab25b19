import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { Readable } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { FetchInit } from '#client/host';
import { raise } from '#base/errors';

/**
 * hostFetch is TargetHost.fetch for hosts that live in Node (lab hosts, the agent on Linux). It follows no redirect: a management point has
 * none, and a client must not be led to somebody else. Pins are compared when the TLS handshake is done and before one octet is sent.
 */
export function hostFetch(url: string, init: FetchInit = {}): Promise<Response> {
  // Node's fetch shows no certificate.
  if (init.certificate && init.pins === undefined) return clientFetch(url, init);
  const { pins, ...plain } = init;
  if (pins === undefined || !url.startsWith('https:')) return fetch(url, { ...plain, redirect: 'error' });
  return pinned(url, plain, pins);
}

/**
 * clientFetch is hostFetch without Node's fetch, which asks for more of a socket than Wine has (TCP_KEEPIDLE), and holds connections open that a
 * client needs again after hours.
 */
export function clientFetch(url: string, init: FetchInit = {}): Promise<Response> {
  const { pins, ...plain } = init;
  if (pins !== undefined && url.startsWith('https:')) return pinned(url, plain, pins);
  return new Promise((resolve, reject) => send(url, plain, { agent: false }, resolve, reject));
}

function send(
  url: string,
  init: FetchInit,
  how: RequestOptions,
  resolve: (response: Response) => void,
  reject: (error: Error) => void,
): void {
  const options: RequestOptions = {
    method: init.method ?? 'GET',
    headers: init.headers ?? {},
    ...(init.signal && { signal: init.signal }),
    ...init.certificate,
    ...how,
  };
  const request = url.startsWith('https:') ? httpsRequest : httpRequest;
  const sent = request(url, options, (answer) => resolve(responseOf(answer)));
  sent.once('error', reject);
  sent.end(init.body);
}

/** isPinned tells whether a server showed one of the certificates that are expected, by their hex SHA-256. */
export function isPinned(socket: TLSSocket, pins: readonly string[]): boolean {
  const shown = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase();
  return pins.some((pin) => pin.toLowerCase() === shown);
}

function pinned(url: string, init: FetchInit, pins: readonly string[]): Promise<Response> {
  return new Promise((resolve, reject) => {
    const createConnection: RequestOptions['createConnection'] = (_options, done) => {
      const { hostname, port } = new URL(url);
      const host = hostname.replace(/^\[|\]$/g, '');
      // The pins are the whole trust: who has the key of such a certificate is the one, whatever name or issuer stands in it.
      const socket = connect({
        host,
        port: Number(port || 443),
        ...init.certificate,
        ...(/[a-z]/i.test(host) && !host.includes(':') && { servername: host }),
        rejectUnauthorized: false,
      });
      const failed = (error: Error) => done(error, socket);
      // A request that has no connection yet does not end by itself when it is told to.
      const told = () => failed(new Error('the request was told to end'));
      init.signal?.addEventListener('abort', told, { once: true });
      socket.once('error', failed);
      socket.once('secureConnect', () => {
        socket.off('error', failed);
        init.signal?.removeEventListener('abort', told);
        if (isPinned(socket, pins)) return done(null, socket);
        socket.destroy();
        done(raise('PP_CLIENT_PIN', { url }), socket);
      });
      init.signal?.addEventListener('abort', () => socket.destroy(), { once: true });
      return undefined;
    };
    send(url, init, { createConnection }, resolve, reject);
  });
}

function responseOf(answer: IncomingMessage): Response {
  const headers = new Headers();
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) headers.append(answer.rawHeaders[i]!, answer.rawHeaders[i + 1]!);
  const status = answer.statusCode ?? 502;
  const empty = status === 204 || status === 304;
  if (empty) answer.resume();
  return new Response(empty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>), { status, headers });
}
