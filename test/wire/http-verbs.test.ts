import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import fastify from 'fastify';
import { acceptPostVerbs, ALIAS, Framing } from '#wire/http';

interface Seen {
  method: string;
  url: string;
  body: string;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('latin1');
}

/** serve starts a server that remembers what it saw and answers each request with its number. */
async function serve(
  t: TestContext,
  options: { headersTimeout?: number; connectionsCheckingInterval?: number; keepAliveTimeout?: number } = {},
): Promise<{ server: Server; port: number; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer(options, (request, response) => {
    const entry = { method: request.method!, url: request.url!, body: '' };
    seen.push(entry);
    const number = seen.length;
    void bodyOf(request).then(
      (body) => {
        entry.body = body;
        response.end(`answer ${number}`);
      },
      () => response.destroy(),
    );
  });
  acceptPostVerbs(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { server, port: (server.address() as AddressInfo).port, seen };
}

async function dial(t: TestContext, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true);
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

async function readAll(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  if (!socket.closed) await once(socket, 'close');
  return Buffer.concat(parts).toString('latin1');
}

/** raw sends octets and gives all that comes back until the server closes. */
async function raw(t: TestContext, port: number, ...parts: string[]): Promise<string> {
  const socket = await dial(t, port);
  const answer = readAll(socket);
  for (const part of parts) {
    socket.write(part, 'latin1');
    await new Promise(setImmediate);
  }
  return answer;
}

const last = 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

/** generator gives the same pseudo-random numbers for the same seed (mulberry32). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const verbs = [
  'SMS_POST',
  'CCM_POST',
  'BITS_POST',
  'GET',
  'POST',
  'PUT',
  'SEARCH',
  'SOURCE',
  'COPY',
  'BIND',
  'MERGE',
  'DELETE',
  'OPTIONS',
];
const traps = [
  'SMS_POST / HTTP/1.1\r\nHost: b\r\n\r\n',
  '\r\n\r\nCCM_POST /x HTTP/1.1\r\n',
  '0\r\n\r\nBITS_POST / HTTP/1.1\r\n\r\n',
  'M-SEARCH * HTTP/1.1\r\n',
  'plain',
];

function randomRequest(random: (below: number) => number, n: number): { wire: string; seen: Seen } {
  const method = verbs[random(verbs.length)]!;
  const url = `/${n}?mn=PC${random(999)}&SMS_POST=1`;
  const body = Array.from({ length: random(4) }, () => traps[random(traps.length)]!).join('');
  const lead = random(5) === 0 ? '\r\n' : '';
  const head = `${lead}${method} ${url} HTTP/1.1\r\nHost: a\r\nX-Note: SMS_POST / HTTP/1.1\r\n`;
  if (body === '' && random(2) === 0) return { wire: `${head}\r\n`, seen: { method, url, body } };
  if (random(2) === 0)
    return {
      wire: `${head}${random(2) ? 'Content-Length' : 'content-LENGTH'}:${' '.repeat(random(3))}${body.length}\r\n\r\n${body}`,
      seen: { method, url, body },
    };
  let chunks = '';
  for (let at = 0; at < body.length;) {
    const take = 1 + random(20);
    const part = body.slice(at, at + take);
    chunks += `${part.length.toString(16)}${random(3) === 0 ? ';ext=1' : ''}\r\n${part}\r\n`;
    at += take;
  }
  const trailer = random(3) === 0 ? 'X-Trailer: SMS_POST / HTTP/1.1\r\n' : '';
  return { wire: `${head}Transfer-Encoding: Chunked\r\n\r\n${chunks}0\r\n${trailer}\r\n`, seen: { method, url, body } };
}

function cuts(random: (below: number) => number, wire: string): string[] {
  const longest = [1, 3, 9, 40, 4000][random(5)]!;
  const parts: string[] = [];
  for (let at = 0; at < wire.length;) {
    const take = 1 + random(longest);
    parts.push(wire.slice(at, at + take));
    at += take;
  }
  return parts;
}

test('hundreds of pipelines in random pieces reach the handler as they were sent', async (t) => {
  const { port, seen } = await serve(t);
  for (let seed = 1; seed <= 300; seed++) {
    const random = generator(seed);
    const requests = Array.from({ length: 1 + random(5) }, (_, n) => randomRequest(random, n));
    const socket = await dial(t, port);
    const answer = readAll(socket);
    seen.length = 0;
    for (const part of cuts(random, requests.map((r) => r.wire).join('') + last)) {
      if (!socket.write(part, 'latin1')) await once(socket, 'drain');
      if (random(4) === 0) await new Promise(setImmediate);
    }
    const got = await answer;
    assert.deepEqual(
      [...seen].sort((a, b) => a.url.localeCompare(b.url)),
      [...requests.map((r) => r.seen), { method: 'GET', url: '/last', body: '' }].sort((a, b) => a.url.localeCompare(b.url)),
      `seed ${seed}`,
    );
    assert.equal(got.match(/HTTP\/1\.1 200 OK/g)?.length, requests.length + 1, `seed ${seed}`);
  }
});

test('every cut inside a verb is put together again', async (t) => {
  const { port, seen } = await serve(t);
  for (const verb of ['SMS_POST', 'CCM_POST', 'BITS_POST']) {
    for (let at = 1; at <= verb.length + 1; at++) {
      seen.length = 0;
      const wire = `${verb} /sms_mp/machine.ccr?mn=PC042&dn=CORP&fkey=True HTTP/1.1\r\nHost: a\r\n\r\n`;
      const answer = await raw(t, port, wire.slice(0, at), wire.slice(at) + last);
      assert.match(answer, /answer 2/);
      assert.deepEqual(seen[0], { method: verb, url: '/sms_mp/machine.ccr?mn=PC042&dn=CORP&fkey=True', body: '' });
    }
  }
});

test('a body that holds a request line stays a body', async (t) => {
  const { port, seen } = await serve(t);
  const body = 'SMS_POST / HTTP/1.1\r\nHost: b\r\n\r\nSMS_POST / HTTP/1.1\r\n\r\n';
  await raw(t, port, `SMS_POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`, last);
  assert.deepEqual(seen[0], { method: 'SMS_POST', url: '/one', body });
  assert.equal(seen.length, 2);
});

test('the alias verbs themselves are refused, so that an alias always means its verb', async (t) => {
  const { port, seen } = await serve(t);
  for (const alias of Object.values(ALIAS)) {
    assert.match(await raw(t, port, `${alias} / HTTP/1.1\r\nHost: a\r\n\r\n`), /^HTTP\/1\.1 400 /);
  }
  assert.equal(seen.length, 0);
});

const slips = 'SMS_POST /slipped HTTP/1.1\r\nHost: a\r\n\r\n';
const ambiguous: Record<string, string> = {
  'length and chunked': 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'chunked and length': 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  'two lengths': 'Content-Length: 0\r\nContent-Length: 44\r\n\r\n',
  'two equal lengths': 'Content-Length: 0\r\nContent-Length: 0\r\n\r\n',
  'a list of lengths': 'Content-Length: 0, 44\r\n\r\n',
  'a signed length': 'Content-Length: +0\r\n\r\n',
  'a hexadecimal length': 'Content-Length: 0x0\r\n\r\n',
  'an empty length': 'Content-Length: \r\n\r\n',
  'a length beyond reason': 'Content-Length: 99999999999999999999\r\n\r\n',
  'a length with form feed': 'Content-Length:\u000c0\r\n\r\n',
  'a length with no-break space': 'Content-Length: 0\u00a0\r\n\r\n',
  'blank before colon': 'Content-Length : 44\r\n\r\n',
  'blank before coding colon': 'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
  'folded header': 'X: a\r\n Content-Length: 44\r\n\r\n',
  'folded coding': 'Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n',
  'unknown coding': 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
  'coding list': 'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  'coding twice': 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n',
  'coding identity': 'Transfer-Encoding: identity\r\n\r\n',
  'bare LF in head': 'X: a\nContent-Length: 44\r\n\r\n',
  'bare CR in head': 'X: a\rContent-Length: 44\r\n\r\n',
  'NUL in value': 'X: a\u0000b\r\n\r\n',
  'chunk size with blank': 'Transfer-Encoding: chunked\r\n\r\n0 \r\n\r\n',
  'chunk size signed': 'Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n',
  'chunk size 0x': 'Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n',
  'chunk size too long': 'Transfer-Encoding: chunked\r\n\r\n00000000000000000\r\n\r\n',
  'chunk size bare LF': 'Transfer-Encoding: chunked\r\n\r\n0\n\r\n',
  'chunk longer than its size': 'Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n',
  'length in trailer': 'Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 44\r\n\r\n',
};

test('whatever frames in more than one way is answered with 400 and nothing after it is seen', async (t) => {
  const { port, seen } = await serve(t);
  for (const [name, head] of Object.entries(ambiguous)) {
    for (const verb of ['SMS_POST', 'POST']) {
      seen.length = 0;
      const answer = await raw(t, port, `${verb} /first HTTP/1.1\r\nHost: a\r\n${head}${slips}${slips}`);
      assert.match(answer, /HTTP\/1\.1 400 Bad Request/, `${name}: ${answer.slice(0, 60)}`);
      assert.ok(!seen.some((s) => s.url === '/slipped'), `${name}: a request slipped in`);
    }
  }
});

test('the framing refuses by itself whatever frames in more than one way, however it is cut', () => {
  // These are the parser's alone: they frame nothing.
  const parsers = new Set(['NUL in value']);
  for (const [name, head] of Object.entries(ambiguous)) {
    const octets = Buffer.from(`SMS_POST /first HTTP/1.1\r\nHost: a\r\n${head}${slips}`, 'latin1');
    for (const size of [1, 7, 4_096]) {
      const framing = new Framing();
      let [poisoned, out] = [false, 0];
      for (let at = 0; at < octets.length; at += size) {
        const framed = framing.push(new Uint8Array(octets.subarray(at, at + size)));
        if (poisoned) assert.equal(framed.octets.length, 0, `${name}: something comes through after the poison`);
        out += framed.octets.length;
        poisoned ||= framed.poisoned;
      }
      assert.equal(poisoned, !parsers.has(name), `${name}, ${size} at a time`);
      assert.ok(parsers.has(name) || out <= octets.length - slips.length + 1, `${name}: ${out} octets`);
    }
  }
});

test('what is framed within HTTP/1.0 has a length or ends with the line', () => {
  const poisoned = (head: string) => new Framing().push(new Uint8Array(Buffer.from(`POST / HTTP/1.0\r\n${head}\r\n`))).poisoned;
  assert.ok(poisoned('Transfer-Encoding: chunked\r\n'));
  assert.ok(!poisoned('Content-Length: 0\r\n'));
});

test('request lines that parsers disagree about are answered with 400', async (t) => {
  const { port, seen } = await serve(t);
  for (const line of [
    'SMS_POST /',
    'SMS_POST / HTTP/2.0',
    'SMS_POST  / HTTP/1.1',
    'SMS_POST /a b HTTP/1.1',
    'SMS_POST / HTTP/1.1 ',
    'SMS_POST\t/ HTTP/1.1',
    'sms_post / HTTP/1.1',
    ' SMS_POST / HTTP/1.1',
    'SMS_POSTX / HTTP/1.1',
  ]) {
    assert.match(await raw(t, port, `${line}\r\nHost: a\r\n\r\n${slips}`), /^HTTP\/1\.1 400 /, line);
  }
  assert.equal(seen.length, 0);
});

test('random damage to a head never changes a body', async (t) => {
  const { port, seen } = await serve(t);
  const body = 'SMS_POST /slipped HTTP/1.1\r\nHost: b\r\n\r\n';
  const pieces = ['\r', '\n', ' ', '\t', ':', '0', ',', ';', '\u0000', 'chunked', 'Content-Length: 1\r\n'];
  for (let seed = 1; seed <= 150; seed++) {
    const random = generator(seed);
    const chunked = random(2) === 0;
    const framing = chunked ? 'Transfer-Encoding: chunked\r\n\r\n' : `Content-Length: ${body.length}\r\n\r\n`;
    const good = `POST /first HTTP/1.1\r\nHost: a\r\n${framing}`;
    const at = 22 + random(good.length - 22);
    const wire =
      good.slice(0, at) +
      pieces[random(pieces.length)]! +
      good.slice(at + random(2)) +
      (chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body);
    seen.length = 0;
    const socket = await dial(t, port);
    const answer = readAll(socket);
    socket.end(wire, 'latin1');
    await answer;
    for (const s of seen) assert.ok(wire.includes(s.body), `seed ${seed}: a body was changed: ${JSON.stringify(s)}`);
  }
});

test('behind the framing a server sees what it would see without, or less', async (t) => {
  const { port, seen } = await serve(t);
  const bare: Seen[] = [];
  const plain = createServer((request, response) => {
    const entry = { method: request.method!, url: request.url!, body: '' };
    bare.push(entry);
    void bodyOf(request).then(
      (body) => {
        entry.body = body;
        response.end();
      },
      () => response.destroy(),
    );
  }).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  t.after(() => plain.close());
  const insert = [
    '\r\n',
    '\n',
    '\r',
    ' ',
    '\t',
    'x',
    '0',
    ':',
    ';',
    ',',
    '\u0000',
    '\u00ff',
    'POST / HTTP/1.1\r\n',
    'Content-Length: 3\r\n',
    'Transfer-Encoding: chunked\r\n',
  ];
  let damaged = 0;
  let compared = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const random = generator(seed);
    let wire = Array.from({ length: 3 }, (_, n) =>
      randomRequest(random, n).wire.replaceAll(/(?:SMS|CCM|BITS)_POST|M-SEARCH/g, 'POST'),
    ).join('');
    for (let cuts = 1 + random(3); cuts > 0; cuts--) {
      const at = random(wire.length);
      wire = wire.slice(0, at) + insert[random(insert.length)]! + wire.slice(at + random(3));
    }
    seen.length = bare.length = 0;
    for (const to of [port, (plain.address() as AddressInfo).port]) {
      const socket = await dial(t, to);
      const answer = readAll(socket);
      for (let at = 0; at < wire.length; at += 150) {
        socket.write(wire.slice(at, at + 150), 'latin1');
        for (let turns = 0; turns < 4; turns++) await new Promise(setImmediate);
      }
      socket.end();
      await answer;
    }
    const heads = (all: Seen[]) => all.map((one) => `${one.method} ${one.url}`);
    assert.deepEqual(heads(seen), heads(bare).slice(0, seen.length), `seed ${seed}`);
    // A handler that was cut off has no body, and which of the two is cut off first is a matter of time.
    seen.forEach(({ body }, i) =>
      assert.ok(body === '' || bare[i]!.body === '' || body === bare[i]!.body, `seed ${seed}, body ${i}`),
    );
    compared += seen.filter(({ body }, i) => body !== '' && bare[i]!.body !== '').length;
    damaged += Number(seen.length < bare.length);
  }
  assert.ok(damaged < 200, `${damaged} of 300 were refused although the parser alone takes them`);
  assert.ok(compared > 20, `${compared} bodies compared`);
});

test('half a verb does not hold a connection for ever', async (t) => {
  const { port } = await serve(t, { headersTimeout: 200, connectionsCheckingInterval: 50 });
  assert.match(await raw(t, port, 'SMS_P'), /^HTTP\/1\.1 408 /);
});

test('an idle kept-alive connection with half a verb is closed', async (t) => {
  const { port, seen } = await serve(t, { keepAliveTimeout: 100, headersTimeout: 400, connectionsCheckingInterval: 50 });
  await raw(t, port, 'GET /one HTTP/1.1\r\nHost: a\r\n\r\n', 'SMS_P');
  assert.equal(seen.length, 1);
});

test('a peer that closes after half a verb gets 400 or silence, never a hang', async (t) => {
  const { port, seen } = await serve(t);
  const socket = await dial(t, port);
  const answer = readAll(socket);
  socket.end('SMS_P');
  await answer;
  assert.equal(seen.length, 0);
});

test('Expect: 100-continue and HTTP/1.0 work with the verbs', async (t) => {
  const { port, seen } = await serve(t);
  const answer = await raw(
    t,
    port,
    'CCM_POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n',
    'ok',
    last,
  );
  assert.match(answer, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/);
  assert.deepEqual(seen[0], { method: 'CCM_POST', url: '/e', body: 'ok' });
  assert.match(await raw(t, port, 'SMS_POST /ten HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /);
  assert.equal(seen.at(-1)?.url, '/ten');
});

test('after an upgrade the connection is passed through as it is', async (t) => {
  const { server, port } = await serve(t);
  server.on('upgrade', (_request, socket, head: Buffer) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    if (head.length > 0) socket.write(head);
    socket.pipe(socket);
  });
  const socket = await dial(t, port);
  const answer = readAll(socket);
  socket.write('GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  await new Promise(setImmediate);
  socket.end('SMS_POST / HTTP/1.1\r\n\u0001\r\nSMS_POST');
  assert.match(await answer, /\r\n\r\nSMS_POST \/ HTTP\/1\.1\r\n\u0001\r\nSMS_POST$/);
});

test('a large upload arrives whole under back-pressure, and the server sees the peer', async (t) => {
  let total = 0;
  let peer: string | undefined;
  const server = acceptPostVerbs(
    createServer((request, response) => {
      peer = request.socket.remoteAddress;
      request.on('data', (part: Buffer) => (total += part.length));
      request.on('end', () => response.end('x'.repeat(3_000_000)));
    }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const size = 20_000_000;
  const socket = await dial(t, (server.address() as AddressInfo).port);
  const answer = readAll(socket);
  socket.write(`BITS_POST /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${size}\r\n\r\n`);
  socket.write(Buffer.alloc(size, 'S'));
  assert.ok((await answer).endsWith('x'.repeat(3_000_000)));
  assert.equal(total, size);
  assert.equal(peer, '127.0.0.1');
});

test('Fastify routes the verbs by their aliases', async (t) => {
  const app = fastify({ serverFactory: (handler) => acceptPostVerbs(createServer(handler), false) });
  app.addHttpMethod(ALIAS.SMS_POST, { hasBody: true });
  app.route({
    method: ALIAS.SMS_POST,
    url: '/sms_mp/machine.ccr',
    handler: (request) => ({ query: request.query, ip: request.ip }),
  });
  t.after(() => app.close());
  await app.listen({ port: 0, host: '127.0.0.1' });
  const answer = await raw(
    t,
    (app.server.address() as AddressInfo).port,
    'SMS_POST /sms_mp/machine.ccr?mn=PC042&dn=CORP&fkey=Wahr HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  );
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.ok(answer.endsWith('{"query":{"mn":"PC042","dn":"CORP","fkey":"Wahr"},"ip":"127.0.0.1"}'));
});

test('a server with the lenient parser is refused', () => {
  assert.throws(() => acceptPostVerbs(createServer({ insecureHTTPParser: true })), TypeError);
});
