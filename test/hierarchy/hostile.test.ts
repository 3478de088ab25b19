import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '#base/clock';
import { LinkSite, RawChild } from '#test/sites';
import { eventually } from '#test/whole-site';

async function pair(t: TestContext): Promise<{ parent: LinkSite; child: LinkSite; raw: RawChild }> {
  const [parent, child] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'S01', 'secondary')];
  await parent.serve();
  await child.join(parent);
  return { parent, child, raw: new RawChild(child, parent) };
}

test('batches that come twice, too early or late, or from a stream that is over', async (t) => {
  const { parent, raw } = await pair(t);
  const session = await raw.begin();
  const send = async (stream: number, first: number, ...keys: string[]) =>
    (await raw.send({ what: 'send', session, batch: raw.batch(stream, first, ...keys) })).answer!.ack;
  assert.deepEqual(await send(100, 1, 'a', 'b'), { stream: 100, seq: 2 });
  assert.deepEqual(await send(100, 1, 'a', 'b'), { stream: 100, seq: 2 });
  assert.deepEqual(await send(100, 2, 'b', 'c'), { stream: 100, seq: 3 });
  assert.deepEqual(await send(100, 7, 'z'), { stream: 100, seq: 3 }, 'after a gap nothing is taken');
  assert.deepEqual(await send(99, 1, 'old'), { stream: 100, seq: 3 }, 'a stream that is over');
  assert.deepEqual(await send(200, 2, 'mid'), { stream: 100, seq: 3 }, 'a new stream begins at its beginning');
  assert.deepEqual(await send(200, 1, 'new'), { stream: 200, seq: 1 });
  assert.deepEqual(await send(100, 4, 'late'), { stream: 200, seq: 1 });
  assert.deepEqual(await parent.keys(), ['a', 'b', 'c', 'new']);
  assert.ok((await parent.notes()).every(({ times }) => times === 1));
});

test('the same request twice is refused, and so is one of another session', async (t) => {
  const { raw, parent } = await pair(t);
  const session = await raw.begin();
  const request = await raw.request({ what: 'send', session, batch: raw.batch(1, 1, 'a') });
  assert.equal((await raw.post(request)).status, 200);
  assert.deepEqual((await raw.post(request)).code, 'PP_LINK_REPLAYED');
  const newer = await raw.begin();
  assert.equal((await raw.send({ what: 'send', session, batch: raw.batch(1, 2, 'b') })).code, 'PP_LINK_SESSION');
  // A poll that was overtaken says less than is known; it is no sign of a restore.
  await raw.send({ what: 'poll', session: newer, turn: 5, ack: { stream: 0, seq: 0 } });
  assert.equal((await raw.send({ what: 'poll', session: newer, turn: 4, ack: { stream: 0, seq: 0 } })).code, 'PP_LINK_SESSION');
  assert.equal((await parent.state('S01')).restarts, 0);
  assert.deepEqual(await parent.keys(), ['a']);
});

test('altered, cut off, unsigned, misdirected and oversized messages take no effect', async (t) => {
  const { parent, child, raw } = await pair(t);
  const session = await raw.begin();
  const good = () => raw.request({ what: 'send', session, batch: raw.batch(1, 1, 'a') });
  const altered = await good();
  altered.body[altered.body.length - 9]! ^= 1;
  assert.equal((await raw.post(altered)).code, 'PP_LINK_SIGNATURE');
  const cut = await good();
  assert.equal((await raw.post({ ...cut, body: cut.body.subarray(0, -5) })).code, 'PP_LINK_SIGNATURE');
  for (const header of ['x-pushpoint-time', 'x-pushpoint-nonce', 'x-pushpoint-from']) {
    const one = await good();
    one.headers[header] = header.endsWith('time') ? '2026-01-01T00:00:00.000Z' : header.endsWith('from') ? 'S02' : 'A'.repeat(32);
    const { code } = await raw.post(one);
    assert.ok(code === 'PP_LINK_SIGNATURE' || code === 'PP_LINK_NOT_JOINED', code);
  }
  const bare = await good();
  assert.equal((await raw.post({ body: bare.body, headers: {} })).code, 'PP_LINK_MALFORMED');
  assert.equal((await raw.post(await raw.request({}, { to: 'P09' }))).code, 'PP_LINK_MALFORMED');
  // Signed by a child, and still nothing that could be unpacked or read.
  const signed = async (packed: Uint8Array) => (await raw.post(await raw.request({}, { packed }))).code;
  assert.equal(await signed(gzipSync(Buffer.alloc(200 * 1024 * 1024))), 'PP_LINK_MALFORMED', 'a bomb');
  assert.equal(
    await signed(gzipSync(JSON.stringify({ what: 'send' })).subarray(0, 12)),
    'PP_LINK_MALFORMED',
    'cut off before it was signed',
  );
  assert.equal(await signed(Buffer.from('no gzip')), 'PP_LINK_MALFORMED');
  assert.equal(await signed(gzipSync(Buffer.from([0xff, 0xfe, 0x7b]))), 'PP_LINK_MALFORMED', 'no UTF-8');
  assert.equal(await signed(gzipSync(JSON.stringify({ what: 'send', turn: -1 }))), 'PP_LINK_MALFORMED');
  assert.equal(await signed(Buffer.alloc(9 * 1024 * 1024)), 'PP_LINK_MALFORMED', 'too long');
  const memory = process.memoryUsage().rss;
  assert.ok(memory < 700 * 1024 * 1024, `${memory}`);
  assert.deepEqual(await parent.keys(), []);
  assert.equal((await raw.send({ what: 'send', session, batch: raw.batch(1, 1, 'a') })).status, 200, 'the line still works');
  assert.equal((await child.link.list()).length, 1);
});

test('a child says nothing in the name of others, and sends nothing sideways', async (t) => {
  const { parent, raw } = await pair(t);
  await parent.site.learn({ code: 'S02', kind: 'secondary', parent: 'P01' });
  const session = await raw.begin();
  const item = { kind: 'note', key: 'x', to: 'P01', origin: 'S02', body: 1 };
  const items = [item, { ...item, origin: 'S01', to: 'S02' }, { ...item, key: '__proto__', kind: 'constructor', origin: 'S01' }];
  assert.equal((await raw.send({ what: 'send', session, batch: { stream: 1, first: 1, items } })).status, 200);
  assert.deepEqual(await parent.keys(), []);
  const codes = (await parent.link.rejected('S01')).map(({ code }) => code);
  assert.deepEqual(codes, ['PP_LINK_KIND', 'PP_LINK_NO_WAY', 'PP_LINK_NO_WAY']);
});

test('clocks that are apart: refused with the time there, then sent in that time, and shown', async (t) => {
  const { parent, child, raw } = await pair(t);
  const late = await raw.post(await raw.request({ what: 'begin' }, { time: new Date(Date.now() - 16 * 60_000) }));
  assert.deepEqual([late.status, late.code, late.signed], [401, 'PP_LINK_SKEW', true]);
  assert.ok(Math.abs(new Date(late.serverTime!).getTime() - Date.now()) < 5000);
  const near = await raw.post(await raw.request({ what: 'begin' }, { time: new Date(Date.now() + 14 * 60_000) }));
  assert.equal(near.status, 200);
  void child;
  const off = 3 * 3_600_000;
  const skewed = { ...systemClock, now: () => new Date(Date.now() + off) };
  const other = await LinkSite.make(t, 'S02', 'secondary', skewed);
  await other.join(parent);
  await other.say('parent', 'from the future');
  await other.dial();
  await eventually('it', async () => (await parent.keys()).includes('from the future'));
  await eventually('the skew to be shown', async () => Math.abs((await other.state('P01')).skewMs + off) < 5000);
  assert.ok(Math.abs((await parent.state('S02')).skewMs - off) < 5000);
  assert.ok(other.logged.some((line) => line.includes('clocks')));
});

test('a removed child is refused, notices, and goes on alone; with a new token it comes back', async (t) => {
  const { parent, child } = await pair(t);
  await child.dial();
  await child.say('parent', 'a');
  await eventually('it', async () => (await parent.keys()).includes('a'));
  await parent.database.transaction((tx) => parent.link.remove(tx, 'S01'));
  await eventually('the child to notice', async () => (await child.state('P01')).state === 'removed');
  const state = await child.state('P01');
  assert.equal(state.error?.code, 'PP_LINK_REMOVED');
  await child.say('parent', 'alone');
  assert.equal((await child.state('P01')).backlog, 0, 'nothing waits for a parent that will not have it');
  const refused = await new RawChild(child, parent).send({ what: 'begin' });
  assert.deepEqual([refused.status, refused.code, refused.signed], [403, 'PP_LINK_REMOVED', true]);
  await assert.rejects(parent.say('S01', 'x'), { code: 'PP_LINK_NO_WAY' });
  child.owns = ['kept'];
  await child.hangUp();
  await child.join(parent);
  await child.dial();
  await eventually('what it has', async () => (await parent.keys()).includes('kept'));
});

test('a removal that the parent did not say is not believed', async (t) => {
  const { parent, child } = await pair(t);
  // Somebody between the two answers in the parent's place, in its very words.
  const said = JSON.stringify({ code: 'PP_LINK_REMOVED', detail: 'go away', serverTime: new Date(0).toISOString() });
  const liar = createServer(
    (_request, answer) => void answer.writeHead(403, { 'content-type': 'application/problem+json' }).end(said),
  );
  liar.listen(0, '127.0.0.1');
  await once(liar, 'listening');
  t.after(() => void liar.close());
  t.after(() => liar.closeAllConnections());
  const { port } = liar.address() as { port: number };
  await child.database.query('update link set url = $1', [`http://127.0.0.1:${port}`]);
  await child.dial();
  await eventually('the lie', async () => (await child.state('P01')).error !== undefined);
  const { state, error } = await child.state('P01');
  assert.deepEqual([state, error?.code], ['joined', 'PP_LINK_UNREACHABLE']);
  assert.match(error!.message, /it was not P01/);
  void parent;
});

test('over HTTPS the key of the parent is taken note of at the join, and another one is not spoken with', async (t) => {
  const { selfMade } = await import('#test/certificate');
  const { keyPin } = await import('../../src/executive/lines.ts');
  const [first, second] = [selfMade(), selfMade()];
  const [parent, child] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'S01', 'secondary')];
  await parent.serve({ tls: first, pin: keyPin(Buffer.from(first.cert)) });
  await child.join(parent);
  assert.equal((await child.state('P01')).pin, keyPin(Buffer.from(first.cert)));
  await child.say('parent', 'a');
  await child.dial();
  await eventually('it', async () => (await parent.keys()).includes('a'));
  // Another key there, for which the parent does not vouch: as somebody between the two who passes everything on, or a TLS server before it.
  await parent.stopPoint();
  await parent.serve({ tls: second, pin: keyPin(Buffer.from(first.cert)) });
  await child.say('parent', 'b');
  await eventually('it to be noticed', async () => (await child.state('P01')).error?.code === 'PP_LINK_PIN');
  assert.deepEqual(await parent.keys(), ['a']);
  // An administrator who knows better says so.
  assert.equal(await child.link.repin('P01', keyPin(Buffer.from(second.cert))), true);
  await eventually('it to arrive', async () => (await parent.keys()).includes('b'));
});

test('a certificate with another key is taken without a join when the parent vouches for it with the key of its site', async (t) => {
  const { selfMade } = await import('#test/certificate');
  const { keyPin } = await import('../../src/executive/lines.ts');
  const [first, second] = [selfMade(), selfMade()];
  const [parent, child] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'S01', 'secondary')];
  await parent.serve({ tls: first, pin: keyPin(Buffer.from(first.cert)) });
  await child.join(parent);
  await child.say('parent', 'a');
  await child.dial();
  await eventually('it', async () => (await parent.keys()).includes('a'));
  await parent.stopPoint();
  await parent.serve({ tls: second, pin: keyPin(Buffer.from(second.cert)) });
  await child.say('parent', 'b');
  await eventually('it to arrive', async () => (await parent.keys()).includes('b'));
  assert.equal((await child.state('P01')).pin, keyPin(Buffer.from(second.cert)));
  assert.ok(child.logged.some((line) => line.includes('vouches for it')));
});

test('who joins through somebody with a certificate of his own is refused by a parent that knows its own', async (t) => {
  const { selfMade } = await import('#test/certificate');
  const made = selfMade();
  const [parent, child] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'S01', 'secondary')];
  await parent.serve({ tls: made, pin: 'ab'.repeat(32) });
  await assert.rejects(child.join(parent), { code: 'PP_LINK_PIN' });
  assert.equal((await parent.link.list()).length, 0);
});

test('a parent that does not know its child any more says so, and the child goes on asking', async (t) => {
  const { parent, child } = await pair(t);
  await parent.database.query('delete from link');
  await child.say('parent', 'waits');
  await child.dial();
  await eventually('it to be told', async () => (await child.state('P01')).error?.code === 'PP_LINK_NOT_JOINED');
  const { state, backlog } = await child.state('P01');
  assert.deepEqual([state, backlog], ['joined', 1]);
  await child.join(parent);
  await eventually('it to arrive', async () => (await parent.keys()).includes('waits'));
});

test('a secret is sealed for the site that receives it, with the key that it said last', async (t) => {
  const { parent, child } = await pair(t);
  const sealed = (await parent.link.sealerFor('S01')).seal('canary', 'test/secret');
  assert.equal(Buffer.from(child.vault.open(sealed, 'test/secret')).toString(), 'canary');
  assert.throws(() => parent.vault.open(sealed, 'test/secret'), { code: 'PP_STORE_VAULT_OTHER_KEY' });
  await assert.rejects(parent.link.sealerFor('S09'), { code: 'PP_LINK_NO_WAY' });
  const [key] = await child.database.query<{ text: string }>('select k::text as text from link_key k');
  const plain = child.key.privateKey.export({ format: 'der', type: 'pkcs8' }).toString('hex');
  assert.ok(!key!.text.includes(plain.slice(72, 136)));
});
