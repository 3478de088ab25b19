import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { systemRandom } from '#base/random';
import { branchKey, publicKeyOf, tokenKeyOf, type Registration } from '#messages';
import { ClientRecord } from '#records/client';
import { ResourceRecord } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

/** Tokens that one site of a branch makes and the other one takes without having seen them. */

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keys = { P01: pair(), S01: pair() };
type Code = keyof typeof keys;

const shared = (own: Code, site: Code) => ({
  own,
  site,
  key: branchKey({ code: own, privateKey: keys[own].privateKey }, { code: site, publicKey: keys[site].publicKey }),
});

let here: TestDatabase;
let there: TestDatabase;
let clock: ManualClock;
let primary: ClientRecord;
let secondary: ClientRecord;

before(async () => {
  [here, there] = await Promise.all([testDatabase(), testDatabase()]);
});
after(() => Promise.all([here.close(), there.close()]));
beforeEach(async () => {
  clock = new ManualClock();
  for (const { db } of [here, there]) await db.query('truncate client, client_token, client_state, resource, resource_source');
  primary = new ClientRecord(here.db, clock, systemRandom);
  secondary = new ClientRecord(there.db, clock, systemRandom);
  await primary.shareKey(shared('P01', 'S01'));
  await secondary.shareKey(shared('S01', 'P01'));
});

const registration = (name = 'PC1', publicKey = publicKeyOf(pair().publicKey)): Registration => ({
  requestId: randomUUID(),
  publicKey,
  name,
  domain: 'CORP',
  fqdn: '',
  addresses: ['10.2.0.1'],
  os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
  hardwareId: `hw-${name}`,
  clientVersion: '1.0.0',
  time: clock.now().toISOString(),
});

const issue = (by: ClientRecord, peer: string | undefined) =>
  by.issueToken({ name: 'PC1', domain: 'CORP', ccrId: 9, expiresAt: new Date(clock.now().getTime() + 3_600_000), peer });

test('a token of a secondary is proven at its primary, which has not seen it, and the other way round', async () => {
  const { ids } = await new ResourceRecord(here.db, clock).importDevices([{ name: 'PC1', domain: 'CORP' }], {
    source: 'import',
    site: 'P01',
  });
  const { id, secret } = await issue(secondary, 'P01');
  const known = (await primary.tokenKey(id))!;
  assert.deepEqual(known.key, tokenKeyOf(secret));
  assert.equal(known.ccrId, undefined, 'whose CCR it is, only the issuer knows');
  assert.equal((await secondary.tokenKey(id))!.ccrId, 9);
  const { client } = await primary.register(registration(), { tokenId: id });
  assert.deepEqual([client.approval, client.resourceId, client.tokenId], ['approved', ids[0], id]);

  const back = await issue(primary, 'S01');
  assert.deepEqual((await secondary.tokenKey(back.id))!.key, tokenKeyOf(back.secret));
});

test('it serves one key where it is used, one name, and its time', async () => {
  const { id } = await issue(secondary, 'P01');
  await assert.rejects(primary.register(registration('PC2'), { tokenId: id }), (e) => isCode(e, 'PP_CLIENT_TOKEN_UNKNOWN'));
  const first = registration();
  await primary.register(first, { tokenId: id });
  await primary.register(first, { tokenId: id });
  await assert.rejects(primary.register(registration(), { tokenId: id }), (e) => isCode(e, 'PP_CLIENT_TOKEN_USED'));
  const late = await issue(secondary, 'P01');
  await clock.advance(3_700_000);
  await assert.rejects(primary.register(registration(), { tokenId: late.id }), (e) => isCode(e, 'PP_CLIENT_TOKEN_EXPIRED'));
});

test('nobody else makes one: a changed id, another pair of sites, a site without a line', async () => {
  const { id, secret } = await issue(secondary, 'P01');
  const changed = `${id.slice(0, 8)}${id[8] === 'A' ? 'B' : 'A'}${id.slice(9)}`;
  assert.notDeepEqual((await primary.tokenKey(changed))!.key, tokenKeyOf(secret));
  assert.equal(await primary.tokenKey(id.replace('S01-P01', 'S02-P01')), undefined);
  assert.equal(await primary.tokenKey(id.replace('S01-P01', 'S01-P02')), undefined);
  await primary.shareKey({ ...shared('P01', 'S01'), key: undefined });
  assert.equal(await primary.tokenKey(id), undefined);
  assert.match((await issue(primary, 'S01')).id, /^[A-Za-z0-9_-]{16}$/, 'without a shared key it is an ordinary one');
});
