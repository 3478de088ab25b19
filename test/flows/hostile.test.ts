import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { publicKeyOf, type Registration } from '#messages';
import { BranchSite, carry, carryUntil, fill, joined } from '#test/branch-sites';

/** What a site below may say, and of which machines (docs/hierarchy.md, "What a child may say"). */

let primary: BranchSite;
let secondary: BranchSite;

before(async () => {
  primary = await BranchSite.create('P01');
  secondary = await BranchSite.create('S01', 'P01');
  await joined(primary, secondary);
  await primary.parts.boundary.add(['subnet:10.1.0.0/16'], { by: 'test' });
  await primary.parts.boundary.add(['subnet:10.2.0.0/16'], { site: 'S01', by: 'test' });
  await fill(primary);
  await fill(secondary);
  await carry(primary, secondary);
  await carry(secondary, primary);
  await primary.tellOthers();
  await secondary.tellOthers();
  const from = { method: 'import', site: 'P01', trusted: true };
  await primary.parts.discovery.ingest([{ name: 'DC01', domain: 'CORP', addresses: ['10.1.0.5'] }], from);
  await primary.parts.discovery.ingest([{ name: 'OWN', domain: 'CORP', addresses: ['10.2.0.5'] }], from);
});
after(async () => {
  await primary.close();
  await secondary.close();
});

const registration = (name: string): Registration => ({
  requestId: randomUUID(),
  publicKey: publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey),
  name,
  domain: 'CORP',
  fqdn: '',
  addresses: [],
  os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
  hardwareId: `hw-${randomUUID()}`,
  clientVersion: '1.0.0',
  site: 'P01',
  time: new Date().toISOString(),
});
const until = (what: string, look: () => Promise<boolean>) => carryUntil(primary, secondary, what, look);
const trusted = async (name: string) => (await primary.parts.resource.find(name))[0]?.trusted;

test('what a child knows of machines outside its boundaries is a claim, and counts once a boundary of its branch holds it', async () => {
  await secondary.parts.discovery.ingest([{ name: 'LATE', domain: 'CORP', addresses: ['10.9.0.5'] }], {
    method: 'import',
    site: 'S01',
    trusted: true,
  });
  await until('LATE at P01', async () => (await trusted('LATE')) !== undefined);
  assert.equal(await trusted('LATE'), false);
  // By the child itself, as when somebody notices that a network was forgotten.
  await secondary.parts.boundary.add(['subnet:10.9.0.0/16'], { by: 'test' });
  await until('it to count', async () => (await trusted('LATE')) === true);
  assert.equal((await primary.parts.resource.find('LATE'))[0]!.assignedSite, 'S01');
  assert.deepEqual(await primary.database.db.query('select key from branch_aside'), []);
});

test('a state message counts as signed for machines of the branch, and as a hint for others', async () => {
  for (const name of ['DC01', 'OWN'])
    await secondary.parts.client.state(
      { topicType: 800, topicId: randomUUID(), stateId: 400, at: new Date().toISOString(), name, domain: 'CORP' },
      { proven: true },
    );
  const of = async (name: string) => (await primary.parts.client.statesOf({ name })).map(({ proven }) => proven);
  await until('both', async () => (await of('DC01')).length > 0 && (await of('OWN')).length > 0);
  assert.deepEqual([await of('DC01'), await of('OWN')], [[false], [true]]);
});

test('a token that a child made approves a client of its own machines at the primary, and not one of others', async () => {
  await until('the key that both share', async () =>
    (await secondary.parts.client.issueToken({ name: 'X', expiresAt: new Date(), peer: 'P01' })).id.startsWith('S01-P01-'),
  );
  const expiresAt = new Date(Date.now() + 3_600_000);
  const register = async (name: string) => {
    const token = await secondary.parts.client.issueToken({ name, domain: 'CORP', expiresAt, peer: 'P01' });
    return (await primary.parts.client.register(registration(name), { tokenId: token.id })).client;
  };
  assert.equal((await register('OWN')).approval, 'approved');
  const claimed = await register('DC01');
  assert.equal(claimed.approval, 'pending');
  const [dc] = await primary.parts.resource.find('DC01');
  assert.equal(await primary.parts.client.since(dc!.id, new Date(0)), undefined, 'it proves no push');
});

test('a child does not speak for a client of another branch, whose key it may know', async () => {
  const { client } = await primary.parts.client.register(registration('DC01'));
  await primary.database.db.query("update client set approval = 'approved' where guid = $1", [client.guid]);
  const [row] = await primary.database.db.query<{ public_key: string }>('select public_key from client where guid = $1', [
    client.guid,
  ]);
  const now = new Date(Date.now() + 60_000).toISOString();
  const body = {
    guid: client.guid,
    publicKey: row!.public_key,
    requestId: randomUUID(),
    name: 'RENAMED',
    domain: 'CORP',
    fqdn: '',
    addresses: ['10.2.0.66'],
    hardwareId: 'x',
    version: '9.9.9',
    approval: 'approved',
    approvedBy: 'token',
    blocked: false,
    obsolete: false,
    sequence: 99,
    registeredAt: now,
    lastSeenAt: now,
  };
  await secondary.database.db.transaction((tx) =>
    secondary.parts.link.enqueue(tx, { to: 'parent', kind: 'client', key: client.guid, body }),
  );
  await carry(secondary, primary);
  const { name, version, lastSeenAt } = (await primary.parts.client.byGuid(client.guid))!;
  assert.deepEqual([name, version, lastSeenAt < new Date(now)], ['DC01', '1.0.0', true]);
});

test('a child that saw the id of a token of another machine gets nothing by it, and does not use it up', async () => {
  const [dc] = await primary.parts.resource.find('DC01');
  const expiresAt = new Date(Date.now() + 3_600_000);
  const { id } = await primary.parts.client.issueToken({ resourceId: dc!.id, name: 'DC01', domain: 'CORP', ccrId: 7, expiresAt });
  const { requestId, publicKey, name, domain, fqdn, addresses, hardwareId } = registration('DC01');
  const at = new Date().toISOString();
  const guid = `GUID:${randomUUID().toUpperCase()}`;
  const body = {
    guid,
    publicKey,
    requestId,
    name,
    domain,
    fqdn,
    addresses,
    hardwareId,
    tokenId: id,
    version: '1.0.0',
    approval: 'approved',
    approvedBy: 'token',
    provenBy: 'token',
    blocked: false,
    obsolete: false,
    sequence: 1,
    registeredAt: at,
    lastSeenAt: at,
  };
  await secondary.database.db.transaction((tx) =>
    secondary.parts.link.enqueue(tx, { to: 'parent', kind: 'client', key: guid, body }),
  );
  await carry(secondary, primary);
  const taken = (await primary.parts.client.byGuid(guid))!;
  assert.deepEqual([taken.approval, taken.believed, taken.resourceId], ['pending', false, undefined]);
  // The machine itself can still use it.
  const { client } = await primary.parts.client.register(registration('DC01'), { tokenId: id });
  assert.deepEqual([client.approval, client.resourceId], ['approved', dc!.id]);
});

test('a new key from below on the machine of a rejected client waits for a person, whatever token it shows, and goes on waiting', async () => {
  await primary.parts.discovery.ingest([{ name: 'NAY', domain: 'CORP', addresses: ['10.2.0.7'] }], {
    method: 'import',
    site: 'P01',
    trusted: true,
  });
  const [nay] = await primary.parts.resource.find('NAY');
  const rejected = (await primary.parts.client.register(registration('NAY'))).client;
  await primary.parts.client.trust.reject(rejected.guid, 'test');
  const { requestId, publicKey, name, domain, fqdn, addresses, hardwareId } = registration('NAY');
  const guid = `GUID:${randomUUID().toUpperCase()}`;
  const tell = async (sequence: number) => {
    const at = new Date(Date.now() + sequence).toISOString();
    const body = {
      guid,
      publicKey,
      requestId,
      name,
      domain,
      fqdn,
      addresses,
      hardwareId,
      sequence,
      registeredAt: at,
      lastSeenAt: at,
      version: '1.0.0',
      approval: 'approved',
      approvedBy: 'token',
      provenBy: 'token',
      blocked: false,
      obsolete: false,
    };
    await secondary.database.db.transaction((tx) =>
      secondary.parts.link.enqueue(tx, { to: 'parent', kind: 'client', key: guid, body }),
    );
    await carry(secondary, primary);
    return (await primary.parts.client.byGuid(guid))!;
  };
  const taken = await tell(1);
  assert.deepEqual([taken.approval, taken.resourceId], ['pending', nay!.id]);
  assert.equal((await tell(2)).approval, 'pending', 'the next sign of life approves it no more');
  const held = (await primary.parts.client.trust.conflicts()).filter(({ client }) => client.guid === guid);
  assert.deepEqual(
    held.map(({ kind, holds, other }) => [kind, holds, other?.guid]),
    [['rejected', true, rejected.guid]],
  );
  await assert.rejects(primary.parts.client.trust.approve(guid, 'test'), /nobody has decided that yet/);
  await primary.parts.client.trust.asNew(guid, 'test');
  assert.equal((await tell(3)).approval, 'pending', 'a person said that it is another machine, and has not approved it');
  await primary.parts.client.trust.approve(guid, 'test');
  assert.equal((await tell(4)).approval, 'approved');
});
