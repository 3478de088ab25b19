import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';

import { isCode } from '#base/errors';
import { loopbackFetch } from '#lab/host';
import { selfMade } from '#test/certificate';

test('a lab host takes the pinned certificate though nobody vouches for it, and no other one', async (t) => {
  const { cert, key, pin } = selfMade();
  const server = createServer({ cert, key }, (_request, answer) => answer.end('seen'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const over = new AbortController().signal;
  assert.equal(await (await loopbackFetch('127.0.0.1', over, url, { pins: [pin] })).text(), 'seen');
  await assert.rejects(loopbackFetch('127.0.0.1', over, url, { pins: ['00'.repeat(32)] }), (e) => isCode(e, 'PP_CLIENT_PIN'));
  await assert.rejects(loopbackFetch('127.0.0.1', over, url), /self-signed/);
});
