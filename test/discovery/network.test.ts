import assert from 'node:assert/strict';
import { after, before, beforeEach, test, type TestContext } from 'node:test';
import { Discovery } from '#components/discovery';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { AuditRecord } from '#records/audit';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { DiscoveryRecord } from '#records/discovery';
import { MethodRecord, type NetworkPatch, type Run } from '#records/method';
import { ResourceRecord } from '#records/resource';
import { SiteRecord } from '#records/site';
import { testDatabase, type TestDatabase } from '#test/database';
import { startHost } from '#test/lab-host';

// Runs against lab hosts on loopback addresses, which have SMB on a port of their own.

let base: TestDatabase;
before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(() => base.db.query('truncate site, resource, method_settings, method_run cascade'));

/** discovering starts the role on a site of its own; `find` waits for the end of one run. */
async function discovering(t: TestContext, addressOf: Map<string, string>) {
  const { db } = base;
  const site = new SiteRecord(db, systemClock, systemRandom);
  await site.create({ code: 'P01', kind: 'primary' });
  const resource = new ResourceRecord(db, systemClock);
  const known = { site, resource, boundary: new BoundaryRecord(db, systemClock), ccr: new CcrRecord(db, systemClock) };
  const method = new MethodRecord(db, systemClock);
  const discovery = new Discovery({
    ...known,
    database: db,
    method,
    discovery: new DiscoveryRecord(db, systemClock, known),
    audit: new AuditRecord(db, systemClock),
    names: {
      reverse: async () => [],
      forward: async (name) => (addressOf.has(name) ? [addressOf.get(name)!] : []),
    },
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  await discovery.start();
  t.after(() => discovery.stop());
  const find = async (patch: NetworkPatch): Promise<Run> => {
    const { id } = await method.request({ method: 'network', kind: 'full', patch: { ports: [445], ...patch }, by: 'test' });
    for (;;) {
      const run = await method.run(id);
      if (run.finishedAt) return run;
      await systemClock.sleep(20);
    }
  };
  return { resource, find };
}

const inNetwork = (last: number) => `127.77.5.${last}`;

test('machines with SMB on another port are found there; the port is kept only of those that are trusted', async (t) => {
  const { host } = await startHost(t, { address: inNetwork(9) });
  const dns = new Map<string, string>();
  const { resource, find } = await discovering(t, dns);
  const targets = [`${inNetwork(8)}-${inNetwork(11)}`];
  const usual = await find({ targets });
  assert.deepEqual([usual.state, usual.report.named], ['done', {}]);
  const run = await find({ targets, smbPort: host.port });
  assert.deepEqual([run.state, run.report.named, run.report.ports['445']], ['done', { smb: 1 }, { open: 1, refused: 3 }]);
  const [claimed] = await resource.find(host.name);
  assert.deepEqual([claimed!.addresses, claimed!.trusted, claimed!.smbPort], [[inNetwork(9)], false, undefined]);
  dns.set(host.fqdn.toLowerCase(), inNetwork(9));
  await find({ targets, smbPort: host.port, trusted: true });
  const [confirmed] = await resource.find(host.name);
  assert.deepEqual([confirmed!.trusted, confirmed!.smbPort], [true, host.port]);
});

test('a run that finds a machine elsewhere takes away where it was, in the networks that it asked', async (t) => {
  const first = await startHost(t, { address: inNetwork(17) });
  const { port } = first.host;
  const elsewhere = await startHost(t, { address: '127.77.9.17', port });
  const { resource, find } = await discovering(t, new Map());
  const addresses = async () => (await resource.find(first.host.name))[0]!.addresses;
  const here = [`${inNetwork(16)}-${inNetwork(19)}`];
  await find({ targets: here, smbPort: port });
  await find({ targets: ['127.77.9.17'], smbPort: port });
  assert.deepEqual(await addresses(), ['127.77.9.17', inNetwork(17)], 'one machine with both, each found by a run of its own');
  await first.host.stop();
  const moved = await startHost(t, { address: inNetwork(18), port });
  await find({ targets: here, smbPort: port });
  assert.deepEqual(await addresses(), [inNetwork(18), '127.77.9.17']);
  // Nothing is found any more: a machine that is switched off keeps its addresses.
  await moved.host.stop();
  await elsewhere.host.stop();
  await find({ targets: [...here, '127.77.9.17'], smbPort: port });
  assert.deepEqual(await addresses(), [inNetwork(18), '127.77.9.17']);
});
