import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { systemRandom } from '#base/random';
import { tokenKeyOf, type Heartbeat, type Registration, type StateMessage } from '#messages';
import { ClientRecord } from '#records/client';
import { ResourceRecord } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let clock: ManualClock;
let clients: ClientRecord;
let resources: ResourceRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query(
    'truncate client, client_token, client_state, client_event, client_conflict, client_key, client_bad_hardware, resource, resource_source',
  );
  clock = new ManualClock();
  clients = new ClientRecord(base.db, clock, systemRandom);
  resources = new ResourceRecord(base.db, clock);
});

const newKey = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' }).toString('base64');

const registration = (publicKey: string, more: Partial<Registration> = {}): Registration => ({
  requestId: randomUUID(),
  publicKey,
  name: 'PC1',
  domain: 'CORP',
  fqdn: 'pc1.corp.example',
  addresses: ['10.0.0.1'],
  os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
  hardwareId: 'hw-1',
  clientVersion: '1.0.0',
  time: clock.now().toISOString(),
  ...more,
});

const heartbeat = (guid: string, sequence: number, more: Partial<Heartbeat> = {}): Heartbeat => ({
  guid,
  name: 'PC1',
  domain: 'CORP',
  fqdn: 'pc1.corp.example',
  addresses: ['10.0.0.9'],
  os: { name: 'Windows 11', version: '10.0.26200', type: 'workstation' },
  hardwareId: 'hw-1',
  clientVersion: '1.0.1',
  sequence,
  startedAt: clock.now().toISOString(),
  sentAt: clock.now().toISOString(),
  ...more,
});

const state = (stateId: number, more: Partial<StateMessage> = {}): StateMessage => ({
  topicType: 800,
  topicId: '11111111-2222-3333-4444-555555555555',
  stateId,
  at: clock.now().toISOString(),
  name: 'PC1',
  domain: 'CORP',
  ...more,
});

async function resource(name = 'PC1'): Promise<number> {
  const { ids } = await resources.importDevices([{ name, domain: 'CORP' }], { source: 'import', site: 'P01' });
  return ids[0]!;
}

const token = (resourceId?: number, hours = 1) =>
  clients.issueToken({
    resourceId,
    name: 'PC1',
    domain: 'CORP',
    ccrId: 5,
    expiresAt: new Date(clock.now().getTime() + hours * 3_600_000),
  });

test('of a token only the hash of its secret is kept, which is the key of its proofs', async () => {
  const { id, secret } = await token(7);
  const kept = (await clients.tokenKey(id))!;
  assert.deepEqual(kept.key, tokenKeyOf(secret));
  assert.deepEqual([kept.resourceId, kept.name, kept.ccrId, kept.usedAt], [7, 'PC1', 5, undefined]);
  const [row] = await base.db.query('select * from client_token');
  assert.equal(JSON.stringify(row).includes(secret), false);
  assert.equal(await clients.tokenKey('nosuchtoken'), undefined);
});

test('the same key is the same client, however often and however parallel it registers', async () => {
  const resourceId = await resource();
  const { id: tokenId } = await token(resourceId);
  const key = newKey();
  const done = await Promise.all(
    Array.from({ length: 8 }, () => clients.register(registration(key), { tokenId, address: '10.0.0.1' })),
  );
  assert.equal(done.filter((d) => d.created).length, 1);
  assert.equal(new Set(done.map((d) => d.client.guid)).size, 1);
  const { client } = done[0]!;
  assert.match(client.guid, /^GUID:[0-9A-F-]{36}$/);
  assert.deepEqual([client.approval, client.approvedBy, client.resourceId], ['approved', 'token', resourceId]);
  assert.ok((await clients.tokenKey(tokenId))!.usedAt);
});

test('a token serves one key: not another one, not after its time, and not when nobody made it', async () => {
  const resourceId = await resource();
  const used = await token(resourceId);
  await clients.register(registration(newKey()), { tokenId: used.id });
  await assert.rejects(clients.register(registration(newKey()), { tokenId: used.id }), (e) => isCode(e, 'PP_CLIENT_TOKEN_USED'));
  const old = await token(resourceId, 1);
  await clock.advance(3_600_000);
  await assert.rejects(clients.register(registration(newKey()), { tokenId: old.id }), (e) =>
    isCode(e, 'PP_CLIENT_TOKEN_EXPIRED'),
  );
  await assert.rejects(clients.register(registration(newKey()), { tokenId: 'nosuchtoken' }), (e) =>
    isCode(e, 'PP_CLIENT_TOKEN_UNKNOWN'),
  );
  assert.equal((await clients.list()).items.length, 1);
});

test('two keys with one token at the same moment: one is registered, the other refused', async () => {
  const { id: tokenId } = await token();
  const done = await Promise.allSettled([newKey(), newKey()].map((key) => clients.register(registration(key), { tokenId })));
  assert.deepEqual(done.map((d) => d.status).toSorted(), ['fulfilled', 'rejected']);
});

test('a machine that was installed anew replaces its old client with a token, and waits without one', async () => {
  const resourceId = await resource();
  const first = (await clients.register(registration(newKey()), { tokenId: (await token(resourceId)).id })).client;
  const unproven = (await clients.register(registration(newKey()))).client;
  assert.deepEqual([unproven.approval, unproven.resourceId], ['pending', resourceId]);
  assert.equal((await clients.byResource(resourceId))!.guid, first.guid);
  assert.equal((await resources.byId(resourceId))!.client.guid, first.guid);
  assert.equal((await clients.byGuid(first.guid))!.obsolete, false);
  assert.deepEqual(
    (await clients.trust.conflicts()).map((c) => [c.client.guid, c.kind, c.other?.guid, c.holds]),
    [[unproven.guid, 'hardware', first.guid, false]],
  );
  // What only waits is no proof that the machine has its client.
  const start = clock.now();
  await clock.advance(1000);
  await clients.heartbeat(unproven.guid, heartbeat(unproven.guid, 1));
  assert.equal(await clients.since(resourceId, new Date(start.getTime() + 1)), undefined);
  await clock.advance(1000);
  const second = (await clients.register(registration(newKey()), { tokenId: (await token(resourceId)).id })).client;
  // It is the same machine, proven by a push: its record goes on with the new key.
  assert.equal(second.guid, first.guid);
  assert.notEqual(second.publicKey, first.publicKey);
  assert.equal((await clients.byGuid(first.guid))!.publicKey, second.publicKey);
  assert.equal((await clients.byResource(resourceId))!.guid, second.guid);
  assert.equal((await clients.since(resourceId, clock.now()))!.guid, second.guid);
  assert.equal((await clients.since({ name: 'pc1', domain: 'CORP' }, clock.now()))!.guid, second.guid);
  assert.equal((await resources.byId(resourceId))!.client.guid, second.guid);
});

test('a heartbeat is news once; an old one, an unknown and a blocked client change nothing', async () => {
  const { client } = await clients.register(registration(newKey()));
  await clock.advance(60_000);
  const row = async () => (await clients.byGuid(client.guid))!;
  assert.equal(
    (await clients.heartbeat(client.guid, heartbeat(client.guid, 2), { address: '10.0.0.9' })).lastSequence,
    undefined,
  );
  const heard = await row();
  assert.deepEqual(
    [heard.lastSeenAt, heard.version, heard.addresses, heard.lastAddress],
    [clock.now(), '1.0.1', ['10.0.0.9'], '10.0.0.9'],
  );
  const at = clock.now();
  await clock.advance(60_000);
  assert.equal((await clients.heartbeat(client.guid, heartbeat(client.guid, 2, { name: 'EVIL' }))).lastSequence, 2);
  assert.deepEqual(await row(), { ...heard, lastSeenAt: at });
  const other = 'GUID:00000000-0000-4000-8000-000000000000';
  await assert.rejects(clients.heartbeat(other, heartbeat(other, 1)), (e) => isCode(e, 'PP_CLIENT_UNKNOWN'));
  assert.ok(await clients.trust.block(client.guid, 'admin'));
  assert.equal(await clients.trust.block(client.guid, 'admin'), undefined);
  await assert.rejects(clients.heartbeat(client.guid, heartbeat(client.guid, 3)), (e) => isCode(e, 'PP_CLIENT_BLOCKED'));
  const blocked = (await clients.byGuid(client.guid))!;
  await assert.rejects(clients.register(registration(blocked.publicKey)), (e) => isCode(e, 'PP_CLIENT_BLOCKED'));
  assert.ok(await clients.trust.unblock(client.guid, 'admin'));
  await clients.heartbeat(client.guid, heartbeat(client.guid, 3));
  assert.equal((await row()).lastSeenAt.getTime(), clock.now().getTime());
});

test('a client that only claims to be one does not make its machine look installed', async () => {
  const resourceId = await resource();
  const { client } = await clients.register(registration(newKey()));
  const seen = (await resources.byId(resourceId))!.client;
  assert.deepEqual([seen.installed, seen.approval, seen.guid], [false, 'pending', client.guid]);
  assert.deepEqual((await resources.list({ client: true })).items, []);
  await clients.trust.approve(client.guid, 'CORP\\admin');
  assert.equal((await resources.byId(resourceId))!.client.installed, true);
});

test('a client that gives itself another name does not prove a push to that', async () => {
  const resourceId = await resource();
  const { client } = await clients.register(registration(newKey()));
  await clients.trust.approve(client.guid, 'CORP\\admin');
  await clients.heartbeat(client.guid, heartbeat(client.guid, 1, { name: 'DC01' }));
  assert.equal(await clients.since({ name: 'DC01', domain: 'CORP' }, new Date(0)), undefined);
  assert.equal((await clients.since(resourceId, new Date(0)))!.guid, client.guid);
});

test('a person approves a pending client once', async () => {
  const { client } = await clients.register(registration(newKey()));
  assert.ok(await clients.trust.approve(client.guid, 'CORP\\admin'));
  assert.equal(await clients.trust.approve(client.guid, 'CORP\\admin'), undefined);
  assert.deepEqual(
    [(await clients.byGuid(client.guid))!.approval, (await clients.byGuid(client.guid))!.approvedBy],
    ['approved', 'CORP\\admin'],
  );
  assert.deepEqual((await clients.list({ approval: 'pending' })).items, []);
});

test('state messages are kept once, and what was signed is told from a hint', async () => {
  const resourceId = await resource();
  assert.equal(await clients.state(state(100), { proven: true, resourceId }), true);
  assert.equal(await clients.state(state(100), { proven: true, resourceId }), false);
  assert.equal(await clients.state(state(400, { logTail: 'a\u0000b', exitCode: 0 }), { proven: false }), true);
  assert.deepEqual(
    (await clients.statesOf({ name: 'pc1' })).map((s) => [s.stateId, s.proven, s.resourceId]),
    [
      [400, false, undefined],
      [100, true, resourceId],
    ],
  );
  assert.equal((await clients.statesOf({ name: 'PC1' }))[0]!.logTail, 'ab');
});

test('many state messages at once are kept like one, and one that the database refuses takes no other with it', async () => {
  const resourceId = await resource();
  const topicId = randomUUID();
  const wanted = Array.from({ length: 200 }, (_, n) => state(100 + (n % 100), { topicId, name: `PC${n % 100}` }));
  const kept = await Promise.all([
    ...wanted.map((message, n) => clients.state(message, { proven: true, ...(n % 100 === 7 && { resourceId }) })),
    clients.state(state(1, { topicId, domain: 'nul\u0000' }), { proven: true }).catch(() => 'refused'),
  ]);
  assert.equal(kept.filter((one) => one === true).length, 100);
  assert.equal(kept.at(-1), 'refused');
  const rows = await base.db.query<{ state_id: number; name: string; resource_id: number | null }>(
    'select state_id, name, resource_id from client_state where topic_id = $1 order by state_id',
    [topicId],
  );
  const expected = Array.from({ length: 100 }, (_, n) => ({
    state_id: 100 + n,
    name: `PC${n}`,
    resource_id: n === 7 ? resourceId : null,
  }));
  assert.deepEqual(rows, expected);
});

test('a registration, a heartbeat and a proven state announce the machine, a hint does not', async () => {
  const heard: unknown[] = [];
  let wake: () => void = () => {};
  const stop = await base.db.listen('client', (payload) => {
    heard.push(JSON.parse(payload));
    wake();
  });
  const resourceId = await resource();
  const { client } = await clients.register(registration(newKey()), { tokenId: (await token(resourceId)).id });
  await clients.state(state(400), { proven: false });
  await clients.heartbeat(client.guid, heartbeat(client.guid, 1));
  await clients.state(state(400), { proven: true, resourceId });
  while (heard.length < 3) await new Promise<void>((resolve) => (wake = resolve));
  await stop();
  assert.deepEqual(
    heard,
    [1, 2, 3].map(() => ({ resourceId, name: 'PC1', domain: 'CORP' })),
  );
});

test('a proof of a trusted domain counts as the token of a push does: approved by the rules, and the same machine keeps its record', async () => {
  const resourceId = await resource();
  const { client } = await clients.register(registration(newKey()), { provenBy: 'domain' });
  assert.deepEqual(
    [client.approval, client.approvedBy, client.provenBy, client.resourceId],
    ['approved', 'domain', 'domain', resourceId],
  );
  const again = await clients.register(registration(newKey()), { provenBy: 'domain' });
  assert.deepEqual([again.client.guid, again.reimaged], [client.guid, true]);
  const manual = await clients.register(registration(newKey(), { name: 'PC2', hardwareId: 'hw-2' }), {
    provenBy: 'domain',
    rules: { approval: 'manual' },
  });
  assert.deepEqual([manual.client.approval, manual.client.provenBy, manual.client.believed], ['pending', 'domain', true]);
});

test('clients are listed in pages', async () => {
  for (let i = 0; i < 5; i++) await clients.register(registration(newKey(), { name: `PC${i}` }));
  const first = await clients.list({ filter: 'pc', limit: 3 });
  const second = await clients.list({ filter: 'pc', limit: 3, cursor: first.next });
  assert.deepEqual(
    [...first.items, ...second.items].map((c) => c.name),
    ['PC4', 'PC3', 'PC2', 'PC1', 'PC0'],
  );
  assert.equal(second.next, undefined);
  assert.deepEqual(
    (await clients.byName('pc3')).map((c) => c.name),
    ['PC3'],
  );
});

test('what gets old: strangers and obsolete clients are forgotten, and never who was blocked or rejected, nor what was decided', async () => {
  const { trust } = clients;
  const come = async (name: string) =>
    (await clients.register(registration(newKey(), { name, hardwareId: `hw-${name}` }))).client;
  const stranger = await come('STRANGER');
  const late = await come('LATE');
  const rejected = await come('REJECTED');
  const blocked = await come('BLOCKED');
  const left = await come('LEFT');
  const old = await come('OLD');
  const token = await clients.issueToken({ name: 'PROVEN', expiresAt: new Date(clock.now().getTime() + 1000) });
  const proven = registration(newKey(), { name: 'PROVEN', hardwareId: 'hw-proven' });
  await clients.register(proven, { tokenId: token.id, rules: { approval: 'manual' } });
  await trust.reject(rejected.guid, 'anna');
  await trust.block(blocked.guid, 'anna');
  for (const { guid } of [rejected, blocked, left]) await clients.farewell(guid, 'uninstall');
  await trust.approve(old.guid, 'anna');
  await clock.advance(50 * 86_400_000);
  await clients.register(registration(newKey(), { name: 'COPY', hardwareId: 'hw-LATE' }));
  await clients.heartbeat(late.guid, heartbeat(late.guid, 1, { name: 'LATE', hardwareId: 'hw-LATE' }));
  const before = new Date(clock.now().getTime() - 86_400_000);
  const names = (gone: { name: string }[]) => gone.map(({ name }) => name).sort();
  assert.deepEqual(names(await clients.removeUnapproved(before, 1)), ['STRANGER'], 'as many as were asked for');
  assert.deepEqual(names(await clients.removeUnapproved(before, 10)), ['LEFT']);
  assert.equal(await clients.byGuid(stranger.guid), undefined);
  await clients.farewell(old.guid, 'uninstall');
  assert.deepEqual(names(await clients.removeObsolete(before, 10)), ['OLD']);
  assert.deepEqual(names(await base.db.query<{ name: string }>('select name from client')), [
    'BLOCKED',
    'COPY',
    'LATE',
    'PROVEN',
    'REJECTED',
  ]);
  // The history of those that are gone went with them; of the others the decisions stay.
  await clock.advance(86_400_000);
  for (let i = 0; i < 2; i++)
    await clients.farewell(late.guid, 'uninstall').then(() => base.db.query('update client set obsolete = false'));
  await clients.pruneHistory(clock.now(), 100);
  await clock.advance(1000);
  await clients.pruneHistory(clock.now(), 100);
  const { id } = (await clients.byGuid(rejected.guid))!;
  assert.deepEqual(
    (await trust.history(id)).map(({ what, by }) => `${what} by ${by}`),
    ['left by client', 'rejected by anna', 'registered by site'],
  );
  const ofLate = await trust.history((await clients.byGuid(late.guid))!.id);
  assert.deepEqual(
    ofLate.map(({ what }) => what),
    ['left', 'registered'],
    'of what happened twice the last',
  );
  assert.equal((await trust.conflicts()).length, 1, 'what nobody decided stays');
  assert.equal(await clients.pruneTokens(clock.now(), 10), 1);
});

test('state messages get old, and those of a machine that is gone go at once', async () => {
  const id = await resource();
  const say = (name: string, resourceId?: number) =>
    clients.state(
      { topicType: 800, topicId: randomUUID(), stateId: 400, at: clock.now().toISOString(), name, domain: 'CORP' },
      { proven: true, resourceId },
    );
  await say('OLD');
  await clock.advance(1000);
  const since = clock.now();
  await clock.advance(1000);
  await say('PC1', id);
  await say('PC9', 999_999);
  assert.equal(await clients.pruneStates(since, 10), 2);
  assert.deepEqual(await base.db.query('select name from client_state'), [{ name: 'PC1' }]);
});
