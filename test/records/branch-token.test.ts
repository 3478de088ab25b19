import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock';
import { isCode } from '#base/errors';
import { systemRandom } from '#base/random';
import { publicKeyOf, tokenKeyOf, type Registration } from '#messages';
import { ClientRecord } from '#records/client';
import { LinkRecord } from '#records/link';
import { ResourceRecord } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

/** Tokens that one site of a branch makes and the other one takes without having seen them. */

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keys = { P01: pair(), S01: pair() };
type Code = keyof typeof keys;

/** lineOf gives a site its line to the other one, as a join does, and, where it can open its vault, its key. */
async function lineOf({ db }: TestDatabase, own: Code, site: Code, opens: boolean): Promise<LinkRecord> {
  const link = new LinkRecord(db, clock, systemRandom);
  const kindOf = (code: Code) => (code === 'S01' ? 'secondary' : 'primary');
  for (const code of [own, site])
    await db.query(`insert into site (code, kind, parent, own, created_at, changed_at) values ($1, $2, $3, $4, $5, $5)`, [
      code,
      kindOf(code),
      code === 'S01' ? 'P01' : undefined,
      code === own,
      clock.now(),
    ]);
  const publicKey = publicKeyOf(keys[site].publicKey);
  const role = site === 'S01' ? 'child' : 'parent';
  await db.transaction((tx) => link.join(tx, { site, role, publicKey, sealKey: '', version: '0', url: 'http://127.0.0.1:1' }));
  if (opens) link.shared.use({ publicKey: publicKeyOf(keys[own].publicKey), privateKey: keys[own].privateKey });
  return link;
}

let here: TestDatabase;
let there: TestDatabase;
let clock: ManualClock;
let above: LinkRecord;
let primary: ClientRecord;
let secondary: ClientRecord;

before(async () => {
  [here, there] = await Promise.all([testDatabase(), testDatabase()]);
});
after(() => Promise.all([here.close(), there.close()]));
beforeEach(async () => {
  clock = new ManualClock();
  for (const { db } of [here, there])
    await db.query('truncate client, client_token, client_state, resource, resource_source, link, link_token_ask, site cascade');
  above = await lineOf(here, 'P01', 'S01', true);
  primary = new ClientRecord(here.db, clock, systemRandom, above.shared);
  secondary = new ClientRecord(there.db, clock, systemRandom, (await lineOf(there, 'S01', 'P01', true)).shared);
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
  await here.db.transaction((tx) => above.remove(tx, 'S01'));
  assert.equal(await primary.tokenKey(id), undefined);
  assert.match((await issue(primary, 'S01')).id, /^[A-Za-z0-9_-]{16}$/, 'without a shared key it is an ordinary one');
});

test('what two sites share stands nowhere in their databases', async () => {
  const { id } = await issue(secondary, 'P01');
  const made = Buffer.from((await above.shared.with('S01'))!.key).toString('hex');
  await primary.register(registration(), { tokenId: id });
  for (const { db } of [here, there]) {
    const tables = await db.query<{ name: string }>(
      "select table_schema || '.' || table_name as name from information_schema.tables where table_schema = current_schema() and table_type = 'BASE TABLE'",
    );
    assert.ok(tables.length > 20);
    for (const { name } of tables) {
      const [found] = await db.query<{ n: number }>(
        `select count(*)::int as n from ${name} t where t::text like '%' || $1 || '%'`,
        [made],
      );
      assert.equal(found!.n, 0, name);
    }
  }
});

test('a point that cannot open the vault asks the process that keeps the lines, about one token at a time', async () => {
  const { id, secret } = await issue(secondary, 'P01');
  const link = new LinkRecord(here.db, systemClock, systemRandom);
  const point = new ClientRecord(here.db, clock, systemRandom, link.shared);
  assert.equal(await link.shared.with('S01'), undefined);
  const answering = new LinkRecord(here.db, systemClock, systemRandom);
  answering.shared.use({ publicKey: publicKeyOf(keys.P01.publicKey), privateKey: keys.P01.privateKey });
  const end = await here.db.listen('link_ask', () => void answering.shared.answer());
  try {
    assert.deepEqual((await point.tokenKey(id))!.key, tokenKeyOf(secret));
    assert.equal((await point.register(registration(), { tokenId: id })).client.approval, 'approved');
    assert.equal(await point.tokenKey(id.replace('S01-P01', 'S02-P01')), undefined);
    assert.equal(await point.tokenKey('no-branch-token'), undefined);
  } finally {
    await end();
  }
});
