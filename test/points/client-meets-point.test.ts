import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { main as agent } from '#client/agent';
import { buildBundle } from '#client/bundle';
import { main as ccmsetup } from '#client/ccmsetup';
import { layout } from '#client/host';
import { writeMobileClient } from '#messages';
import { locatorRoutes } from '#points/locator';
import { createManagementPoint, type ManagementParts } from '#points/management';
import { AuditRecord } from '#records/audit';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { ClientRecord } from '#records/client';
import { DiscoveryRecord } from '#records/discovery';
import { PackageRecord } from '#records/package';
import { PolicyRecord } from '#records/policy';
import { ResourceRecord } from '#records/resource';
import { SiteRecord } from '#records/site';
import { ContentStore } from '#store/content';
import { testDatabase, type TestDatabase } from '#test/database';
import { Machine, live } from '#test/memory-host';
import { SETUP, TCF } from '#test/target';

let base: TestDatabase;
let folder: string;
before(async () => {
  base = await testDatabase();
  folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-'));
});
after(async () => {
  await base.close();
  await rm(folder, { recursive: true });
});

test('ccmsetup and agent as they are, and the management point as it is, agree: pushed, installed, reported, registered, heard', async (t) => {
  const machine = new Machine();
  const { db } = base;
  const { clock } = machine;
  const some = {
    site: new SiteRecord(db, clock, systemRandom),
    boundary: new BoundaryRecord(db, clock),
    resource: new ResourceRecord(db, clock),
    ccr: new CcrRecord(db, clock),
  };
  const parts: ManagementParts = {
    ...some,
    database: db,
    client: new ClientRecord(db, clock, systemRandom),
    package: new PackageRecord(db, clock),
    discovery: new DiscoveryRecord(db, clock, some),
    audit: new AuditRecord(db, clock),
    content: new ContentStore({ dir: folder, random: systemRandom }),
    clock,
    random: systemRandom,
    log: silentLog,
    build: '1',
  };
  await parts.site.create({ code: 'P01', kind: 'primary' });
  await parts.site.runs('0.1.0');
  const point = await createManagementPoint({
    ...parts,
    also: (app) => locatorRoutes(app, { ...parts, boundary: some.boundary }, '/ccm_system'),
  });
  t.after(() => point.close());
  await point.listen({ port: 0, host: '127.0.0.1' });
  const url = `http://127.0.0.1:${(point.server.address() as AddressInfo).port}`;
  await parts.site.setPoint('mp', { address: url, on: true }, 'test');

  const { sha256, size } = await parts.content.put(await buildBundle('agent'));
  const file = 'client.mjs';
  const setup = await parts.content.put(await buildBundle('ccmsetup'));
  const definition = {
    name: 'client',
    version: '1.2.3',
    platform: 'windows',
    verify: { service: 'CcmExec' },
    bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
    payload: { file, sha256 },
  };
  await parts.package.add(
    definition,
    [
      { name: file, sha256, size },
      { name: 'ccmsetup.exe', ...setup },
    ],
    'test',
  );
  const token = await parts.client.issueToken({
    name: machine.name,
    domain: 'CORP',
    expiresAt: new Date('2099-01-01T00:00:00Z'),
  });
  machine.put(SETUP, await buildBundle('ccmsetup'));
  const registration = { machine: machine.name, tokenId: token.id, token: token.secret, expires: '2099-01-01T00:00:00.000Z' };
  machine.put(
    TCF,
    writeMobileClient({
      properties: '',
      site: 'P01',
      managementPoints: [url],
      payload: { file, sha256, size, version: '1.2.3' },
      registration,
    }),
  );

  const start = clock.now();
  assert.equal(await live(machine, ccmsetup(machine.program(SETUP), [])), 0);
  assert.deepEqual(
    (await parts.client.statesOf({ name: machine.name })).map((s) => [s.stateId, s.proven]),
    [
      [400, true],
      [100, true],
    ],
  );

  const stop = new AbortController();
  const running = agent(machine.program(layout.agentFile, { signal: stop.signal }), []);
  await live(machine, running, () => /lastHeartbeatAt/.test(machine.text(layout.status) ?? ''));
  stop.abort();
  assert.equal(await running, 0);
  const [known] = await parts.client.byName(machine.name);
  assert.deepEqual([known?.approval, known?.version, known?.site], ['approved', '1.2.3', 'P01']);
  assert.match(machine.text(layout.identity)!, new RegExp(known!.guid));
  assert.equal((await parts.client.since({ name: machine.name, domain: 'CORP' }, start))?.guid, known!.guid);
  assert.ok(known!.lastSeenAt.getTime() > start.getTime() + 6 * 86_400_000, 'the heartbeat of a week later was heard');

  // Another version by policy: fetched by its hash, installed by the bootstrap that came with it, and said in the next heartbeat.
  const policy = new PolicyRecord(db, clock, parts.client);
  const next = Buffer.concat([await buildBundle('agent'), Buffer.from('\n// 1.2.4\n')]);
  const upgrade = {
    version: '1.2.4',
    files: [
      { name: file, ...(await parts.content.put(next)) },
      { name: 'ccmsetup.exe', ...setup },
    ],
    bootstrap: 'ccmsetup.exe',
    payload: file,
  };
  await parts.package.add({ ...definition, version: '1.2.4', payload: { file } }, upgrade.files, 'test');
  const newer = await policy.ask({
    wish: { kind: 'upgrade', upgrade, platform: 'windows' },
    of: { clients: [known!.id] },
    by: 'test',
  });
  await policy.advance();
  const old = new AbortController();
  const replaced = agent(machine.program(layout.agentFile, { signal: old.signal }), []);
  await live(machine, replaced, () => machine.services.has('ccmsetup'));
  old.abort();
  assert.equal(await replaced, 0);
  assert.equal(await live(machine, ccmsetup(machine.program(SETUP), [])), 0);
  const beats = (await parts.client.byGuid(known!.guid))!.lastSeenAt;
  const one = new AbortController();
  const newest = agent(machine.program(layout.agentFile, { signal: one.signal }), []);
  await live(machine, newest, () => clock.now().getTime() > beats.getTime() + 8 * 86_400_000);
  one.abort();
  assert.equal(await newest, 0);
  await policy.advance();
  assert.deepEqual(await policy.get(newer.id).then((said) => [said!.state, said!.counts]), ['finished', { done: 1 }]);
  assert.equal((await parts.client.byGuid(known!.guid))!.version, '1.2.4');

  // Asked to leave: the agent can tell that the site asks, starts the bootstrap, and that says farewell when all is removed.
  const asked = await policy.ask({ wish: { kind: 'uninstall' }, of: { clients: [known!.id] }, by: 'test' });
  await policy.advance();
  const again = new AbortController();
  const leaving = agent(machine.program(layout.agentFile, { signal: again.signal }), []);
  await live(machine, leaving, () => machine.services.has('ccmsetup'));
  again.abort();
  assert.equal(await leaving, 0);
  assert.equal(machine.services.get('ccmsetup')!.wish.binaryPath, `"${SETUP}" /uninstall`);
  assert.equal(await live(machine, ccmsetup(machine.program(SETUP), ['/uninstall'])), 0);
  assert.equal((await parts.client.byGuid(known!.guid))!.obsolete, true);
  await policy.advance();
  assert.deepEqual(await policy.get(asked.id).then((one) => [one!.state, one!.counts]), ['finished', { done: 1 }]);
});
