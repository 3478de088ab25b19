import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { HttpPeer } from '#wire/http';

test('a peer that takes the connection and never answers the greeting of TLS does not keep it', async (t) => {
  const taken: Socket[] = [];
  const server = createServer((socket) => taken.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  const limit = { signal: AbortSignal.timeout(60_000) };
  await once(server, 'listening', limit);
  const clock = new ManualClock();
  const peer = new HttpPeer({ url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, pin: 'f'.repeat(64), clock });
  t.after(() => {
    peer.close();
    for (const socket of taken) socket.destroy();
    server.close();
  });
  const called = peer.call({ method: 'GET', target: '/', withinMs: 1000, largest: 1000 }).catch((error: unknown) => error);
  if (taken.length === 0) await once(server, 'connection', limit);
  // The greeting is read, or its end would not be seen.
  taken[0]!.resume();
  const ended = once(taken[0]!, 'close', limit);
  await clock.advance(1000);
  assert.ok(isCode(await called, 'PP_LINK_UNREACHABLE'));
  await clock.advance(30_000);
  await ended;
});
