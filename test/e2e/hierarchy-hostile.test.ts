import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { publicKeyOf, type LinkTokenFile } from '#messages';
import { LinkSite, RawChild } from '#test/sites';
import { eventually, WholeSite } from '#test/whole-site';

/**
 * A secondary in wrong hands: it joined, it has the key, it signs rightly, and it tells its primary what is not so, to have it send a
 * credential to a machine of the attacker's choice or believe in clients that are not there. A listener that counts stands where the primary
 * would connect to.
 */

interface DeviceJson {
  name: string;
  trusted: boolean;
  assignedSite?: string;
  addresses: string[];
  client: { installed: boolean };
}

const key = () => publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);

test('a child that signs rightly and lies has its primary push to nobody, and believe nothing of machines that are not its own', async (t) => {
  let connected = 0;
  // On all addresses of 127/8, so on those of both sites.
  const trap = createServer((socket) => {
    connected++;
    socket.destroy();
  }).listen(0, '0.0.0.0');
  await once(trap, 'listening');
  t.after(() => void trap.close());
  const { port } = trap.address() as AddressInfo;

  const primary = await (await new WholeSite('P01').create()).spawn();
  t.after(() => primary.close());
  await primary.prepare({
    csv: 'name,domain,ip,os,type\nDC01,CORP,127.61.1.5,Windows Server 2025,dc\n',
    account: { username: 'CORP\\push', password: 'not-for-strangers' },
  });
  const child = await LinkSite.make(t, 'S01', 'secondary');
  const token = await primary.send<LinkTokenFile>('POST', '/sites/tokens');
  const parent = { code: 'P01', url: primary.points } as unknown as LinkSite;
  await child.join(parent, { token });
  const raw = new RawChild(child, parent);
  const session = await raw.begin();
  let seq = 0;
  const say = async (kind: string, name: string, body: unknown) => {
    const item = { kind, key: name, to: 'P01', origin: 'S01', body };
    const { answer, code } = await raw.send({ what: 'send', session, batch: { stream: 1, first: ++seq, items: [item] } });
    assert.deepEqual(answer?.ack, { stream: 1, seq }, code);
  };
  const ddr = (body: object, trusted = true) =>
    say('ddr', JSON.stringify(body), { ddr: body, method: 'import', site: 'S01', trusted });
  const device = async (name: string) => (await primary.call<DeviceJson>('GET', `/devices/${name}`)).body;
  const aside = async () => {
    const { items } = await primary.get<{ items: { kind: string; code: string }[] }>('/sites/S01/rejected');
    return items.map(({ kind, code }) => `${kind} ${code}`).sort();
  };

  await primary.send('POST', '/boundaries', { boundaries: ['range:127.61.1.1-127.61.1.254'] });
  await primary.send('POST', '/boundaries', { boundaries: ['range:127.61.2.1-127.61.2.254'], site: 'S01' });
  await primary.send('POST', '/devices/reassign', { all: true });
  assert.equal((await device('DC01')).assignedSite, 'P01');
  await primary.send('PATCH', '/settings', { push: { enabled: true, systems: ['workstations', 'servers'], siteSystems: true } });

  // 1. A machine in the boundaries of P01, so that P01 pushes to where the attacker listens.
  await ddr({ name: 'TRAP', domain: 'CORP', addresses: ['127.61.1.66'], smbPort: port, os: 'Windows 11', type: 'workstation' });
  // 2. A known machine of P01, moved to where the attacker listens.
  await ddr({ name: 'DC01', domain: 'CORP', addresses: ['127.61.2.66'], smbPort: port, type: 'workstation' });
  // 3. A machine of its own that takes the name of one of P01.
  const guid = `GUID:${randomUUID().toUpperCase()}`;
  await ddr({ name: 'MINE', domain: 'CORP', guid, addresses: ['127.61.2.7'], type: 'workstation' });
  await ddr({ name: 'DC01', domain: 'CORP', guid, addresses: ['127.61.2.7'], type: 'workstation' });
  // 4. A boundary of its own inside those of P01: the machine in it becomes its own, and P01 pushes to none that is not its own.
  const changedAt = new Date(Date.now() + 1e10).toISOString();
  await say('boundary', 'S01 inside', {
    boundary: 'range:127.61.1.67-127.61.1.67',
    site: 'S01',
    roaming: false,
    gone: false,
    changedAt,
  });
  await ddr({ name: 'TRAP2', domain: 'CORP', addresses: ['127.61.1.67'], smbPort: port, os: 'Windows 11', type: 'workstation' });
  assert.deepEqual(await aside(), []);
  const shown = async (name: string) => {
    const { trusted, assignedSite, addresses } = await device(name);
    return [trusted, assignedSite, addresses.join()];
  };
  assert.deepEqual(await shown('TRAP'), [false, undefined, '127.61.1.66']);
  assert.deepEqual(await shown('DC01'), [true, 'P01', '127.61.1.5']);
  assert.deepEqual(await shown('MINE'), [true, 'S01', '127.61.2.7'], 'what is its own it may tell');
  assert.deepEqual(await shown('TRAP2'), [true, 'S01', '127.61.1.67']);
  assert.equal((await primary.get<{ items: unknown[] }>('/ccrs')).items.length, 0);
  const { items } = await primary.send<{ items: { decision: string; reason: string }[] }>('POST', '/push', {
    names: ['TRAP'],
    includeUnassigned: true,
    dryRun: true,
  });
  assert.equal(items[0]!.decision, 'refuse', items[0]!.reason);

  // 5. Clients: an approved one on a machine of P01, and one on its own.
  const client = (name: string) => {
    const now = new Date().toISOString();
    const said = {
      guid: `GUID:${randomUUID().toUpperCase()}`,
      publicKey: key(),
      requestId: randomUUID(),
      name,
      domain: 'CORP',
      fqdn: '',
      addresses: [],
    };
    const state = { approval: 'approved', approvedBy: 'token', blocked: false, obsolete: false, sequence: 1 };
    return { ...said, hardwareId: `hw-${name}`, version: '1.0.0', site: 'P01', ...state, registeredAt: now, lastSeenAt: now };
  };
  for (const name of ['DC01', 'MINE']) await say('client', name, client(name));
  const clients = (await primary.get<{ items: { name: string; approval: string }[] }>('/clients')).items;
  assert.deepEqual(clients.map(({ name, approval }) => `${name} ${approval}`).sort(), ['DC01 pending', 'MINE approved']);
  assert.equal((await device('DC01')).client.installed, false);
  assert.equal((await device('MINE')).client.installed, true);

  // 6. Sites: its own parent below it, and another child of its parent.
  await primary.send('POST', '/sites/tokens');
  const other = await LinkSite.make(t, 'S02', 'secondary');
  await other.join(parent, { token: await primary.send<LinkTokenFile>('POST', '/sites/tokens') });
  for (const code of ['P01', 'S02']) await say('site', code, { code, kind: 'secondary', parent: 'S01', points: [] });
  await say('boundary', 'S02', { boundary: 'range:127.61.3.1-127.61.3.9', site: 'S02', roaming: false, gone: false, changedAt });
  await say('ddr', 'x', { ddr: { name: 'X', addresses: ['127.61.2.9'] }, method: 'import', site: 'S02', trusted: true });
  await say('package', 'p', { name: 'p', gone: false, isDefault: true, files: [] });
  await say('pdr', 'p', { ddr: { name: 'TRAP', addresses: ['127.61.1.66'] }, trusted: true, site: 'P01' });
  assert.deepEqual(await aside(), [
    'boundary PP_LINK_NO_WAY',
    'ddr PP_LINK_NO_WAY',
    'package PP_LINK_KIND',
    'pdr PP_LINK_KIND',
    'site PP_LINK_NO_WAY',
    'site PP_LINK_NO_WAY',
  ]);

  // An administrator's own word for the same machine does have P01 connect, so the trap works, and what was seen was not seen for want of it.
  assert.equal(connected, 0, 'P01 connected to a machine of the attacker');
  await primary.importCsv(`name,domain,ip,os,type,smbPort\nTRAP,CORP,127.61.1.66,Windows 11,workstation,${port}\n`);
  await eventually('P01 to connect', () => connected > 0);
});
