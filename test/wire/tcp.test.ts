import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock';
import { isCode } from '#base/errors';
import { connectTcp, probeTcp } from '#wire/tcp';

const address = '127.0.0.1';

async function listening(fn: (port: number, seen: { octets: number; connections: number }) => Promise<void>): Promise<void> {
  const seen = { octets: 0, connections: 0 };
  const server = createServer((socket) => {
    seen.connections++;
    socket.on('data', (chunk) => (seen.octets += chunk.length)).on('error', () => {});
  }).listen(0, address);
  await once(server, 'listening');
  try {
    await fn((server.address() as AddressInfo).port, seen);
  } finally {
    server.close();
    await once(server, 'close');
  }
}

describe('TCP', () => {
  test('a probe tells that something listens, and says nothing to it', async () => {
    await listening(async (port, seen) => {
      const { open, ms } = await probeTcp({ address, port, timeoutMs: 5_000, clock: systemClock });
      assert.ok(open && ms >= 0);
      assert.equal(seen.octets, 0);
    });
  });

  test('a probe may keep its connection for one who goes on with it; nobody else gets it, and it does not stay for ever', async () => {
    await listening(async (port, seen) => {
      const clock = new ManualClock();
      const kept = async () => (await probeTcp({ address, port, timeoutMs: 5_000, clock, keep: true })).line!;
      const line = await kept();
      const socket = line.take()!;
      assert.equal(line.take(), undefined);
      line.drop();
      socket.end('four');
      await once(socket.resume(), 'close');
      assert.deepEqual([seen.octets, seen.connections], [4, 1]);
      const dropped = await kept();
      dropped.drop();
      assert.deepEqual([dropped.held, dropped.take()], [false, undefined]);
      const old = await kept();
      await clock.advance(2_000);
      assert.deepEqual([old.held, old.take()], [false, undefined]);
    });
  });

  test('a connection carries octets', async () => {
    await listening(async (port, seen) => {
      const socket = await connectTcp({ address, port, timeoutMs: 5_000, clock: systemClock });
      socket.end('four');
      await once(socket.resume(), 'close');
      assert.equal(seen.octets, 4);
    });
  });

  test('nobody listens: refused, at once', async () => {
    let free = 0;
    await listening(async (port) => void (free = port));
    await assert.rejects(probeTcp({ address, port: free, timeoutMs: 60_000, clock: systemClock }), (error) => {
      assert.ok(isCode(error, 'PP_NET_REFUSED'));
      assert.deepEqual([error.win32, error.params['port']], [53, free]);
      return true;
    });
  });

  test('a time that is over: silent, and the socket is gone', async () => {
    const clock = new ManualClock();
    // The time is over before the kernel can answer: the clock moves in the same turn of the event loop.
    const attempt = probeTcp({ address, port: 9, timeoutMs: 2_000, clock });
    const outcome = assert.rejects(attempt, (error) => isCode(error, 'PP_NET_SILENT') && error.params['ms'] === 2_000);
    const moved = clock.advance(2_000);
    await outcome;
    await moved;
  });

  test('no way there: unroutable, told apart from silence', async () => {
    // Nobody can connect to the broadcast address: the kernel says so before a packet leaves.
    await assert.rejects(connectTcp({ address: '255.255.255.255', port: 445, timeoutMs: 5_000, clock: systemClock }), (error) =>
      isCode(error, 'PP_NET_UNROUTABLE'),
    );
  });

  test('a signal gives up with its reason', async () => {
    const stop = new AbortController();
    stop.abort(new Error('cancelled before'));
    await assert.rejects(
      connectTcp({ address, port: 9, timeoutMs: 9, clock: systemClock, signal: stop.signal }),
      /cancelled before/,
    );
    await listening(async (port) => {
      const later = new AbortController();
      const attempt = connectTcp({ address, port, timeoutMs: 5_000, clock: systemClock, signal: later.signal });
      later.abort(new Error('cancelled meanwhile'));
      await assert.rejects(attempt, /cancelled meanwhile/);
    });
  });
});
