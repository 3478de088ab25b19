import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import type { ManualClock } from '#base/clock';
import { matches, RegistrationReply, SIGNATURE_WINDOW_MS, tokenKeyOf, type Signer } from '#messages';
import { Pc } from '#test/pc';
import { manual, TestSite } from '#test/points';

const HOUR = 3_600_000;

async function start(t: TestContext) {
  const site = await TestSite.make(t, manual());
  await site.know('PC042', 'PC043');
  const { url } = await site.managementPoint();
  const device = async (name: string) => (await site.records.resource.find(name))[0]!;
  const token = async (name: string, hours = 24) =>
    site.records.client.issueToken({
      resourceId: (await device(name)).id,
      name,
      domain: 'CORP',
      expiresAt: new Date(site.clock.now().getTime() + hours * HOUR),
    });
  return { site, url, device, token, pc: new Pc(site, url), clock: site.clock as ManualClock };
}

test('a client with the token of its push is approved, and the same registration again is the same client', async (t) => {
  const { site, pc, token, device } = await start(t);
  const registration = pc.proven(await token('PC042'));
  const first = await pc.register(registration);
  assert.equal(first.status, 200);
  assert.ok(matches(RegistrationReply, first.json));
  assert.equal(first.json['approval'], 'approved');
  assert.deepEqual(first.json['managementPoints'], ['http://mp.corp.example:8480']);
  assert.equal(first.json['serverTime'], site.clock.now().toISOString());
  const again = await pc.register(registration);
  assert.equal(again.json['guid'], first.json['guid']);
  assert.equal((await pc.register(pc.proven(await token('PC042')))).json['guid'], first.json['guid']);
  const { items } = await site.records.client.list();
  assert.equal(items.length, 1);
  assert.equal(items[0]!.resourceId, (await device('PC042')).id);
  assert.equal(items[0]!.lastAddress, '127.0.0.1');
});

test('without a token a client waits for approval', async (t) => {
  const { site, pc } = await start(t);
  assert.equal((await pc.register()).json['approval'], 'pending');
  assert.equal((await pc.post('/ccm_system/heartbeat', pc.heartbeat(), pc.signer)).json['approval'], 'pending');
  await site.records.client.trust.approve(pc.guid!, 'test');
  assert.equal((await pc.post('/ccm_system/heartbeat', pc.heartbeat(), pc.signer)).json['approval'], 'approved');
});

test('a token serves one key, one machine and its time; half a proof, a wrong one and an unknown token are refused', async (t) => {
  const { site, url, pc, token, clock } = await start(t);
  const good = await token('PC042');
  const thief = new Pc(site, url, 'EVIL');
  const half = { ...thief.registration(), tokenId: good.id };
  assert.deepEqual(await thief.register(half).then((a) => [a.status, a.code]), [400, 'PP_MSG_MALFORMED']);
  const stolen = pc.proven(good);
  // The proof covers the key, so another key cannot use it.
  const copied = { ...thief.registration(), tokenId: stolen.tokenId!, tokenProof: stolen.tokenProof!, time: stolen.time };
  assert.deepEqual(await thief.register(copied).then((a) => [a.status, a.code]), [401, 'PP_MSG_SIGNATURE']);
  const wrong = thief.proven({ id: good.id, secret: 'x'.repeat(43) });
  assert.deepEqual(await thief.register(wrong).then((a) => [a.status, a.code]), [401, 'PP_MSG_SIGNATURE']);
  const unknown = thief.proven({ id: 'nonsense12345678', secret: good.secret });
  assert.deepEqual(await thief.register(unknown).then((a) => [a.status, a.code]), [401, 'PP_CLIENT_TOKEN_UNKNOWN']);
  assert.equal((await site.records.client.list()).items.length, 0);
  assert.equal((await pc.register(stolen)).status, 200);
  assert.deepEqual(await thief.register(thief.proven(good)).then((a) => [a.status, a.code]), [409, 'PP_CLIENT_TOKEN_USED']);
  const late = await token('PC043', 1);
  await clock.advance(2 * HOUR);
  const slow = new Pc(site, url, 'PC043');
  assert.deepEqual(await slow.register(slow.proven(late)).then((a) => [a.status, a.code]), [401, 'PP_CLIENT_TOKEN_EXPIRED']);
  assert.equal((await site.records.client.list()).items.length, 1);
});

test('what was changed, repeated, badly timed, unsigned or signed by another is refused', async (t) => {
  const { site, url, pc, token, clock } = await start(t);
  const refused = async (answer: Promise<{ status: number; code: unknown }>, status: number, code: string, what: string) => {
    const { status: got, code: said } = await answer;
    assert.deepEqual([got, said], [status, code], what);
  };
  await pc.register(pc.proven(await token('PC042')));
  const other = new Pc(site, url, 'PC043');
  await other.register();
  const path = '/ccm_system/heartbeat';
  const beat = () => pc.heartbeat();
  const heard = async () => (await site.records.client.byGuid(pc.guid!))!.lastSeenAt.getTime();
  const before = await heard();
  await clock.advance(1000);
  await refused(pc.post(path, beat(), pc.signer, { sent: JSON.stringify(beat()) }), 401, 'PP_MSG_SIGNATURE', 'changed body');
  await refused(pc.post(path, beat(), { client: pc.guid!, privateKey: other.key }), 401, 'PP_MSG_SIGNATURE', 'key of another');
  await refused(pc.post(path, beat(), { privateKey: pc.key }), 401, 'PP_MSG_SIGNATURE', 'no name');
  await refused(pc.post(path, beat(), other.signer), 401, 'PP_MSG_SIGNATURE', 'speaking for another');
  await refused(pc.raw(path, JSON.stringify(beat()), {}), 401, 'PP_MSG_UNSIGNED', 'unsigned');
  await refused(pc.raw(path, '{', { 'x-pushpoint-client': 'GUID:x' }), 401, 'PP_MSG_UNSIGNED', 'a GUID that is none');
  const off = new Date(clock.now().getTime() - SIGNATURE_WINDOW_MS - 1000);
  const late = await pc.post(path, beat(), pc.signer, { at: off });
  assert.deepEqual([late.status, late.code, late.json['serverTime']], [401, 'PP_MSG_TIME_OFF', clock.now().toISOString()]);
  await refused(pc.post(path, { ...beat(), sequence: 'x' }, pc.signer), 400, 'PP_MSG_MALFORMED', 'malformed');
  await refused(pc.post(path, 'text', pc.signer), 400, 'PP_MSG_MALFORMED', 'not an object');
  const ghost = { client: 'GUID:00000000-0000-4000-8000-000000000000', privateKey: pc.key };
  await refused(pc.post(path, { ...beat(), guid: ghost.client }, ghost), 404, 'PP_CLIENT_UNKNOWN', 'forgotten client');
  assert.equal(await heard(), before, 'none of these counts as a sign of life');
  const nonce = randomBytes(16).toString('base64url');
  assert.equal((await pc.post(path, beat(), pc.signer, { nonce })).status, 200);
  await refused(pc.post(path, beat(), pc.signer, { nonce }), 409, 'PP_MSG_REPLAYED', 'replayed');
  assert.ok((await heard()) > before);
});

test('a blocked client is told so, and only when it proved to be it', async (t) => {
  const { site, url, pc, token } = await start(t);
  const issued = await token('PC042');
  await pc.register(pc.proven(issued));
  await site.records.client.trust.block(pc.guid!, 'test');
  for (const [path, body] of [
    ['/ccm_system/heartbeat', pc.heartbeat()],
    ['/ccm_system/state', pc.state(400)],
  ] as const) {
    const answer = await pc.post(path, body, pc.signer);
    assert.deepEqual([answer.status, answer.code], [403, 'PP_CLIENT_BLOCKED']);
    const stranger = new Pc(site, url);
    const guess = await stranger.post(path, body, { client: pc.guid!, privateKey: stranger.key });
    assert.deepEqual([guess.status, guess.code], [401, 'PP_MSG_SIGNATURE']);
  }
  assert.deepEqual(await pc.register(pc.proven(issued)).then((a) => [a.status, a.code]), [403, 'PP_CLIENT_BLOCKED']);
  assert.equal((await site.records.client.statesOf({ name: 'PC042' })).length, 0);
  await site.records.client.trust.unblock(pc.guid!, 'admin');
  assert.equal((await pc.post('/ccm_system/heartbeat', pc.heartbeat(), pc.signer)).status, 200);
});

test('a state message is about the machine of its signer, whatever it says', async (t) => {
  const { site, url, pc, token, device } = await start(t);
  const issued = await token('PC042');
  const byToken: Signer = { token: issued.id, tokenKey: tokenKeyOf(issued.secret) };
  const victim = new Pc(site, url, 'PC043');
  await victim.register(victim.proven(await token('PC043')));
  assert.equal((await pc.post('/ccm_system/state', pc.state(100), byToken)).status, 200);
  const lie = { name: 'PC043', domain: 'ELSEWHERE', guid: victim.guid! };
  assert.equal((await pc.post('/ccm_system/state', pc.state(400, lie), byToken)).status, 200);
  const nobody = new Pc(site, url, 'ROGUE');
  await nobody.register();
  assert.equal((await nobody.post('/ccm_system/state', nobody.state(400, lie), nobody.signer)).status, 200);
  assert.deepEqual(await site.records.client.statesOf({ resourceId: (await device('PC043')).id }), []);
  const about = await site.records.client.statesOf({ resourceId: (await device('PC042')).id });
  assert.deepEqual(
    about.map((s) => [s.stateId, s.name, s.domain, s.guid, s.proven]),
    [
      [400, 'PC042', 'CORP', undefined, true],
      [100, 'PC042', 'CORP', undefined, true],
    ],
  );
  const [rogue] = await site.records.client.statesOf({ name: 'ROGUE' });
  assert.deepEqual([rogue!.proven, rogue!.guid, rogue!.resourceId], [false, nobody.guid, undefined]);
});

test('an expired token and one that is unknown sign no state message', async (t) => {
  const { pc, token, clock } = await start(t);
  const issued = await token('PC042', 1);
  const signer: Signer = { token: issued.id, tokenKey: tokenKeyOf(issued.secret) };
  assert.deepEqual(
    await pc.post('/ccm_system/state', pc.state(100), { ...signer, token: 'nonsense12345678' }).then((a) => [a.status, a.code]),
    [401, 'PP_MSG_SIGNATURE'],
  );
  await clock.advance(2 * HOUR);
  assert.deepEqual(await pc.post('/ccm_system/state', pc.state(100), signer).then((a) => [a.status, a.code]), [
    401,
    'PP_CLIENT_TOKEN_EXPIRED',
  ]);
});

test('registrations without a token are few per sender, those with one are not', async (t) => {
  const { site, url, token, clock } = await start(t);
  const statuses: number[] = [];
  for (let i = 0; i < 205; i++) statuses.push((await new Pc(site, url, `GUEST${i}`).register()).status);
  assert.equal(statuses.filter((s) => s === 200).length, 200);
  assert.equal(statuses.at(-1), 429);
  assert.equal((await site.records.client.list({ limit: 1000 })).items.length, 200);
  const pc = new Pc(site, url, 'PC042');
  assert.equal((await pc.register(pc.proven(await token('PC042')))).status, 200);
  await clock.advance(1000);
  assert.equal((await new Pc(site, url, 'GUEST').register()).status, 200);
});

test('a registration wakes whoever waits for the client, and a heartbeat that is old changes nothing', async (t) => {
  const { site, pc, token, device } = await start(t);
  const { promise: told, resolve: tell } = Promise.withResolvers<string>();
  const end = await site.parts.database.listen('client', tell);
  await pc.register(pc.proven(await token('PC042')));
  assert.equal((await pc.post('/ccm_system/heartbeat', pc.heartbeat({ clientVersion: '2.0.0' }), pc.signer)).status, 200);
  const old = pc.heartbeat({ sequence: 1, clientVersion: '1.0.0' });
  assert.equal((await pc.post('/ccm_system/heartbeat', old, pc.signer)).status, 200);
  assert.equal((await site.records.client.byGuid(pc.guid!))!.version, '2.0.0');
  assert.deepEqual(JSON.parse(await told), { resourceId: (await device('PC042')).id, name: 'PC042', domain: 'CORP' });
  await end();
});
