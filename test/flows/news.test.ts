import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { publicKeyOf, type Registration } from '#messages';
import { BranchSite, carry, carryUntil, fill, joined } from '#test/branch-sites';

/** What else travels between a primary and its secondary: boundaries, points, packages, clients and decisions about them. */

let primary: BranchSite;
let secondary: BranchSite;
const file = new TextEncoder().encode('a client that is installed by being there'.repeat(100));
const sha256 = createHash('sha256').update(file).digest('hex');
const asked: number[] = [];

before(async () => {
  primary = await BranchSite.create('P01');
  secondary = await BranchSite.create('S01', 'P01');
  await joined(primary, secondary);
  await fill(primary);
  await fill(secondary);
  await primary.tellOthers();
  await secondary.tellOthers(async function* (wanted, { size }) {
    assert.deepEqual([wanted, size], [sha256, file.length]);
    asked.push(size);
    // The first time something else comes, as from a disk that is damaged.
    yield asked.length === 1 ? file.toReversed() : file;
  });
});
after(async () => {
  await primary.close();
  await secondary.close();
});

const until = (what: string, look: () => Promise<boolean>) => carryUntil(primary, secondary, what, look);
const boundaries = async ({ parts }: BranchSite) =>
  (await parts.boundary.list()).map(({ site, value, roaming }) => `${site} ${value}${roaming ? ' roaming' : ''}`).sort();

test('a boundary that is added, changed or removed at one site is so at the other one; the later change counts', async () => {
  await primary.parts.boundary.add(['subnet:10.2.0.0/16'], { site: 'S01', by: 'test' });
  await secondary.parts.boundary.add(['subnet:10.3.0.0/16'], { by: 'test' });
  const both = ['S01 10.2.0.0/16', 'S01 10.3.0.0/16'];
  await until('both to have both', async () => {
    return [await boundaries(primary), await boundaries(secondary)].every((list) => list.join() === both.join());
  });
  await secondary.parts.boundary.remove('subnet:10.2.0.0/16', { site: 'S01' });
  await until('the removal at P01', async () => (await boundaries(primary)).length === 1);
  // Both change the same one while the line is down: removed at P01 first, made a roaming one at S01 later.
  await primary.parts.boundary.remove('subnet:10.3.0.0/16', { site: 'S01' });
  await primary.database.db.transaction((tx) => primary.parts.branch.boundaries(tx));
  await systemClock.sleep(5);
  await secondary.parts.boundary.remove('subnet:10.3.0.0/16', { site: 'S01' });
  await secondary.parts.boundary.add(['subnet:10.3.0.0/16'], { roaming: true, by: 'test' });
  await secondary.database.db.transaction((tx) => secondary.parts.branch.boundaries(tx));
  await until('the later change at both', async () => {
    return [await boundaries(primary), await boundaries(secondary)].every((list) => list.join() === 'S01 10.3.0.0/16 roaming');
  });
});

test('a site tells the version it runs, and the other one knows it, also after an upgrade', async () => {
  const seen = async ({ parts }: BranchSite, code: string) => (await parts.site.list()).find((one) => one.code === code)?.version;
  await primary.parts.site.runs('1.2.3');
  await secondary.parts.site.runs('1.2.0');
  await until(
    'both versions at both',
    async () => (await seen(secondary, 'P01')) === '1.2.3' && (await seen(primary, 'S01')) === '1.2.0',
  );
  await primary.parts.site.runs('1.3.0');
  await until('the later version', async () => (await seen(secondary, 'P01')) === '1.3.0');
  assert.equal(await seen(primary, 'P01'), '1.3.0');
});

test('a child changes no boundary of its parent', async () => {
  const sent = { boundary: 'subnet:10.7.0.0/16', site: 'P01', roaming: false, gone: false, changedAt: new Date().toISOString() };
  await secondary.database.db.transaction((tx) =>
    secondary.parts.link.enqueue(tx, { to: 'parent', kind: 'boundary', key: 'P01 subnet:10.7.0.0/16', body: sent }),
  );
  await assert.rejects(carry(secondary, primary), /PP_LINK_NO_WAY/);
  assert.ok(!(await boundaries(primary)).some((text) => text.includes('10.7.0.0')));
  await primary.database.db.query('delete from link_reject');
  await fill(secondary);
  // The receipt of what was put aside is told by the next exchange.
  const { batch } = await secondary.parts.link.line.next('P01', { items: true });
  if (batch)
    await secondary.parts.link.line.next('P01', {
      acked: { stream: batch.stream, seq: batch.first + batch.count - 1 },
      items: false,
    });
});

test('points go both ways, each with the site that has them', async () => {
  await primary.parts.site.setPoint('mp', { address: 'http://p01.corp.example' }, 'test');
  await secondary.parts.site.setPoint('mp', { address: 'http://s01.corp.example' }, 'test');
  const points = async ({ parts }: BranchSite) => (await parts.site.points()).map((p) => `${p.site} ${p.address} ${p.on}`).join();
  const both = 'P01 http://p01.corp.example true,S01 http://s01.corp.example true';
  await until('both points at both', async () => (await points(primary)) === both && (await points(secondary)) === both);
  await secondary.parts.site.setPoint('mp', { on: false }, 'test');
  await until('the proxy MP to be off at P01', async () => (await points(primary)).endsWith('S01 http://s01.corp.example false'));
});

test('a package comes down with its file, by its hash; damaged octets do not count; removed above, it is gone below', async () => {
  await primary.parts.content.put(file);
  const definition = {
    name: 'agent',
    version: '1.0.0',
    platform: 'windows',
    bootstrap: { file: 'setup.exe', service: 'setup' },
    verify: { service: 'agent' },
  };
  await primary.parts.package.add(definition, [{ name: 'setup.exe', sha256, size: file.length }], 'test');
  await until('the first try', async () => (await secondary.parts.branch.wanted())[0]?.error !== undefined);
  assert.equal(await secondary.parts.package.get('agent'), undefined);
  // It is tried again at the next round; what changes at the site brings one about.
  await secondary.parts.site.setPoint('fsp', { address: 'http://s01.corp.example' }, 'test');
  await until('the package at S01', async () => (await secondary.parts.package.get('agent'))?.addedBy === 'site P01');
  assert.deepEqual(new Uint8Array(await secondary.parts.content.read(sha256)), file);
  assert.equal((await secondary.parts.package.defaultFor('windows'))!.name, 'agent');
  await primary.parts.package.remove('agent');
  await until('the package to be gone', async () => (await secondary.parts.package.get('agent')) === undefined);
});

test("a client of the proxy MP is the primary's; its token is used once in the branch, and what the primary decides counts", async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const registration = (key = privateKey): Registration => ({
    requestId: randomUUID(),
    publicKey: publicKeyOf(key),
    name: 'PC9',
    domain: 'CORP',
    fqdn: '',
    addresses: ['10.3.0.9'],
    os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
    hardwareId: 'hw-9',
    clientVersion: '1.0.0',
    site: 'P01',
    time: new Date().toISOString(),
  });
  const expiresAt = new Date(Date.now() + 3_600_000);
  const token = await primary.parts.client.issueToken({ name: 'PC9', domain: 'CORP', ccrId: 3, expiresAt, peer: 'S01' });
  assert.match(token.id, /^P01-S01-/, 'the two sites share a key');
  const { client } = await secondary.parts.client.register(registration(), { tokenId: token.id });
  assert.equal(client.approval, 'approved');
  const above = () => primary.parts.client.byGuid(client.guid);
  await until('the client at P01', async () => (await above())?.approval === 'approved');
  assert.ok((await primary.parts.client.tokenKey(token.id))!.usedAt);
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  await assert.rejects(primary.parts.client.register(registration(other), { tokenId: token.id }), /PP_CLIENT_TOKEN_USED|token/);
  await primary.parts.client.trust.block(client.guid, 'test');
  await until('the block at S01', async () => (await secondary.parts.client.byGuid(client.guid))!.blocked);
  await primary.parts.client.trust.unblock(client.guid, 'admin');
  await until('its end', async () => !(await secondary.parts.client.byGuid(client.guid))!.blocked);
  // A block at the secondary is none: clients belong to the primary.
  await secondary.parts.client.trust.block(client.guid, 'test');
  await systemClock.sleep(200);
  await carry(secondary, primary);
  assert.equal((await above())!.blocked, false);
});
