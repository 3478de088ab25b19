import { connect as connectTcp } from 'node:net';
import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Readable } from 'node:stream';
import { connect } from 'node:tls';
import { raise } from '#base/errors';
import { isPinned } from '#client/fetch';
import type { FetchInit } from '#client/host';

/** The address of this machine that a URL's host names; a lab host has no other network. */
function loopbackOf(url: URL): string {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (host === 'localhost') return '127.0.0.1';
  if (/^127(\.\d{1,3}){3}$/.test(host)) return host;
  throw Object.assign(new Error(`${host} is outside the lab, which has the loopback network only`), { code: 'ENETUNREACH' });
}

function bodyOf(answer: IncomingMessage): Response {
  const headers = new Headers();
  for (let i = 0; i + 1 < answer.rawHeaders.length; i += 2) headers.append(answer.rawHeaders[i]!, answer.rawHeaders[i + 1]!);
  const status = answer.statusCode ?? 502;
  const isEmpty = status === 204 || status === 304;
  if (isEmpty) answer.resume();
  return new Response(isEmpty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>), { status, headers });
}

/** The connection is given on only when the handshake is done and the certificate is a pinned one. */
function pinned(host: string, url: URL, from: string, init: FetchInit): RequestOptions['createConnection'] {
  return (_options, done) => {
    const line = connectTcp({ host, port: Number(url.port || 443), localAddress: from });
    const socket = connect({ socket: line, host, rejectUnauthorized: init.pins === undefined });
    line.once('error', (error) => socket.destroy(error));
    const failed = (error: Error) => done(error, socket);
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      socket.off('error', failed);
      if (init.pins === undefined || isPinned(socket, init.pins)) return done(null, socket);
      socket.destroy();
      done(raise('PP_CLIENT_PIN', { url: url.href }), socket);
    });
    init.signal?.addEventListener('abort', () => socket.destroy(), { once: true });
    return undefined;
  };
}

/**
 * loopbackFetch is TargetHost.fetch of a lab host: it leaves from the host's own address, so that a point sees who asks, reaches
 * nothing outside this machine, and ends when the run it belongs to ends.
 */
export async function loopbackFetch(from: string, run: AbortSignal, target: string, init: FetchInit = {}): Promise<Response> {
  const url = new URL(target);
  const host = loopbackOf(url);
  const signal = init.signal ? AbortSignal.any([init.signal, run]) : run;
  const isTls = url.protocol === 'https:';
  const options: RequestOptions = {
    host,
    port: Number(url.port || (isTls ? 443 : 80)),
    path: url.pathname + url.search,
    method: init.method ?? 'GET',
    headers: { host: url.host, ...init.headers, ...(init.body && { 'content-length': String(init.body.length) }) },
    localAddress: from,
    signal,
    // Where an agent is named, be it false, its own connections are used and the pinned ones are not.
    ...(isTls ? { createConnection: pinned(host, url, from, { ...init, signal }) } : { agent: false }),
  };
  return new Promise((resolve, reject) => {
    const sent = (isTls ? requestHttps : requestHttp)(options, (answer) => resolve(bodyOf(answer)));
    sent.once('error', reject);
    sent.end(init.body);
  });
}
