import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { startHost } from '#test/lab-host';
import { ManualClock, systemClock } from '#base/clock';
import { isCode, PushpointError } from '#base/errors';
import { systemRandom } from '#base/random';
import { toHex } from '#wire/bytes';
import { greetSmb, mayBeSmb1, speaksSmb1 } from '#wire/smb';
import { readSshBanner } from '#wire/ssh';
import { connectTcp } from '#wire/tcp';

/** Greetings: names without a credential from machines that tell them, and an end within bounds with all that tell something else. */

const clock = systemClock;
/** For those that say nothing; whoever has something to say has the time for it on a busy machine. */
const SHORT_MS = 250;
const LONG_MS = 10_000;

async function reach(address: string, port: number): Promise<Socket> {
  return connectTcp({ address, port, timeoutMs: LONG_MS, clock });
}

async function greet(port: number, timeoutMs = LONG_MS) {
  const socket = await reach('127.0.0.1', port);
  return greetSmb({ socket, address: '127.0.0.1', port, clock, random: systemRandom, timeoutMs });
}

async function banner(port: number, timeoutMs = LONG_MS) {
  const socket = await reach('127.0.0.1', port);
  return readSshBanner({ socket, address: '127.0.0.1', port, clock, timeoutMs });
}

/** machine listens and does with each connection as it is told; it ends with the test, and so does what it repeats. */
async function machine(t: TestContext, act: (socket: Socket) => void): Promise<{ port: number; heard: () => Buffer }> {
  const sockets = new Set<Socket>();
  const heard: Buffer[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('data', (chunk: Buffer) => heard.push(chunk));
    act(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return { port: (server.address() as AddressInfo).port, heard: () => Buffer.concat(heard) };
}

/** endless writes the same octets as fast as they are taken, until the line is gone. */
const endless = (text: Uint8Array | string) => (socket: Socket) => {
  const write = () => {
    while (!socket.destroyed && socket.write(text));
  };
  socket.on('drain', write);
  write();
};

/** drip writes one octet every 20 ms. */
const drip = (text: string) => (socket: Socket) => {
  let at = 0;
  const one = () => {
    if (socket.destroyed) return;
    socket.write(text[at++ % text.length]!);
    clock.after(20, one);
  };
  one();
};

describe('SMB', () => {
  test('a machine of a domain tells its names, its system and that it wants signing', async (t) => {
    const { host } = await startHost(t);
    const socket = await reach(host.address, host.port);
    const told = await greetSmb({
      socket,
      address: host.address,
      port: host.port,
      clock,
      random: systemRandom,
      timeoutMs: LONG_MS,
    });
    assert.equal(told.peer?.netbiosComputer, 'WS-1');
    assert.equal(told.peer.netbiosDomain, 'CORP');
    assert.equal(told.peer.dnsComputer?.toLowerCase(), 'ws-1.corp.example');
    assert.equal(told.dialect, 0x311);
    assert.equal(told.signingRequired, true);
    assert.match(told.serverGuid, /^[0-9a-f]{32}$/);
    assert.ok((told.peer.osVersion?.build ?? 0) > 10_000, 'a Windows-like machine tells its build');
  });

  test('the greeting holds no user, no workstation and no answer to the challenge', async (t) => {
    const { port, heard } = await machine(t, () => {});
    await assert.rejects(greet(port, SHORT_MS), (error) => isCode(error, 'PP_NET_TIMEOUT'));
    const said = toHex(heard());
    assert.ok(said.length > 0);
    assert.ok(!said.includes('4e544c4d5353500003000000'), 'an NTLM AUTHENTICATE was sent');
  });

  const liars: [what: string, act: (socket: Socket) => void][] = [
    ['says nothing', () => {}],
    ['hangs up', (socket) => socket.destroy()],
    ['hangs up in order', (socket) => socket.end()],
    ['sends text without end', endless('HTTP/1.1 400 Bad Request\r\n'.repeat(500))],
    ['sends frames without end', endless(Buffer.concat([Buffer.of(0, 0, 0, 64), Buffer.alloc(64, 0xfe)]))],
    ['announces a frame of 16 MB', (socket) => socket.write(Buffer.of(0, 0xff, 0xff, 0xff))],
    ['drips', drip('\0')],
    ['sends keep-alives without end', endless(Buffer.alloc(1 << 16, Buffer.of(0x85, 0, 0, 0)))],
  ];
  for (const [what, act] of liars)
    test(`a machine that ${what} costs no more than the time it is given`, async (t) => {
      const { port } = await machine(t, act);
      const from = clock.monotonic();
      const error: unknown = await greet(port, SHORT_MS).then(
        () => undefined,
        (e: unknown) => e,
      );
      assert.ok(error instanceof PushpointError && error.origin !== 'misconfigured', String(error));
      assert.ok(clock.monotonic() - from < LONG_MS);
    });

  test('a machine that hangs up on SMB2 and answers SMB1 is known by it', async (t) => {
    const smb1 = Buffer.from('00000023ff534d4272000000008801c80000000000000000000000000000fffe00000000000000', 'hex');
    const { port, heard } = await machine(t, (socket) =>
      socket.on('data', (chunk: Buffer) => (chunk[4] === 0xff ? socket.write(smb1) : socket.destroy())),
    );
    const error: unknown = await greet(port).catch((e: unknown) => e);
    assert.ok(mayBeSmb1(error), String(error));
    const again = async () => ({
      socket: await reach('127.0.0.1', port),
      address: '127.0.0.1',
      port,
      clock,
      timeoutMs: LONG_MS,
    });
    assert.equal(await speaksSmb1(await again()), true);
    assert.ok(toHex(heard()).includes(toHex(new TextEncoder().encode('NT LM 0.12'))));
    const other = await machine(t, (socket) => socket.end('nothing of the kind'));
    assert.equal(await speaksSmb1({ ...(await again()), socket: await reach('127.0.0.1', other.port) }), false);
  });
});

describe('SSH', () => {
  test('the identification is read, with and without lines before it', async (t) => {
    const plain = await machine(t, (socket) => socket.write('SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n'));
    assert.equal(await banner(plain.port), 'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3');
    const lines = await machine(t, (socket) => socket.write('Authorised use only\r\nbe warned\nSSH-2.0-dropbear\n'));
    assert.equal(await banner(lines.port), 'SSH-2.0-dropbear');
  });

  test('what came while this process was kept waiting is heard before it is taken for silence', async (t) => {
    const late = new ManualClock();
    const saying = async (octets: Buffer) => {
      const { promise: said, resolve } = Promise.withResolvers<void>();
      const { port } = await machine(t, (peer) => void peer.write(octets, () => resolve()));
      const socket = await reach('127.0.0.1', port);
      await said;
      // As after a hang: it is the turn of the timers, all of them are due, and the answer lies in the socket.
      await clock.sleep(1);
      return { socket, address: '127.0.0.1', port, clock: late, timeoutMs: SHORT_MS };
    };
    const ssh = readSshBanner(await saying(Buffer.from('SSH-2.0-dropbear\r\n')));
    await Promise.all([late.advance(SHORT_MS), ssh]);
    assert.equal(await ssh, 'SSH-2.0-dropbear');
    const smb1 = speaksSmb1(await saying(Buffer.from('00000023ff534d4272', 'hex')));
    await Promise.all([late.advance(SHORT_MS), smb1]);
    assert.equal(await smb1, true);
  });

  const liars: [what: string, act: (socket: Socket) => void, code: 'PP_NET_TIMEOUT' | 'PP_NET_CLOSED' | 'PP_WIRE_MALFORMED'][] = [
    ['says nothing', () => {}, 'PP_NET_TIMEOUT'],
    ['hangs up', (socket) => socket.end(), 'PP_NET_CLOSED'],
    ['hangs up in the middle', (socket) => socket.end('SSH-2.0-Open'), 'PP_NET_CLOSED'],
    ['sends lines without end', endless('welcome\r\n'.repeat(500)), 'PP_WIRE_MALFORMED'],
    ['sends one line without end', endless('SSH-2.0-AAAAAAAAAAAAAAAAAAAAAA'), 'PP_WIRE_MALFORMED'],
    ['drips', drip('x'), 'PP_NET_TIMEOUT'],
    ['has control characters in it', (socket) => socket.write('SSH-2.0-\u001b[2J\r\n'), 'PP_WIRE_MALFORMED'],
  ];
  for (const [what, act, code] of liars)
    test(`a machine that ${what} is told as ${code}`, async (t) => {
      const { port } = await machine(t, act);
      const from = clock.monotonic();
      await assert.rejects(banner(port, code === 'PP_NET_TIMEOUT' ? SHORT_MS : LONG_MS), (error) => isCode(error, code));
      assert.ok(clock.monotonic() - from < LONG_MS);
    });
});
