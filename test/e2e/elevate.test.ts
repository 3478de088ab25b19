import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { publicKeyOf, signRequest, type Signer } from '#messages';
import { BoundaryRecord } from '#records/boundary';
import { CcrRecord } from '#records/ccr';
import { DiscoveryRecord } from '#records/discovery';
import { ResourceRecord } from '#records/resource';
import { SiteRecord } from '#records/site';
import { openDatabase, type Database } from '#store/database';
import { eventually, WholeSite } from '#test/whole-site';

/**
 * ELEVATE-2: whoever can make a site push to a name of his choice is logged on to by the push account. Here a whole site with site-wide push
 * for all systems is flooded with machines that only say of themselves that they are there, all at one address, and what listens at that
 * address counts connections.
 */

const BAIT = '127.66.6.6';
const CONTROL = '127.66.7.7';
const FLOOD = 10_000;
const CLIENTS = 60;
const BEATS = 5;

/** Wire listens at an address where a push would go, and counts who comes. */
class Wire {
  connections = 0;
  readonly #servers: Server[] = [];
  readonly ports: number[] = [];

  /** listen resolves to false where this user may not listen there. */
  async listen(address: string, ports: readonly number[]): Promise<boolean> {
    for (const port of ports) {
      const server = createServer((socket) => {
        this.connections++;
        socket.on('error', () => {}).destroy();
      });
      server.listen({ host: address, port });
      this.#servers.push(server);
      try {
        await once(server, 'listening');
      } catch {
        return false;
      }
      this.ports.push((server.address() as { port: number }).port);
    }
    return true;
  }

  close(): void {
    for (const server of this.#servers) server.close();
  }
}

async function watched(t: TestContext): Promise<{ bait: Wire; control: Wire } | undefined> {
  const bait = new Wire();
  const control = new Wire();
  t.after(() => {
    bait.close();
    control.close();
  });
  // Where a push knocks, where a name could lead to another protocol, and a port that only the machine itself tells.
  if ((await bait.listen(BAIT, [445, 135, 139, 80, 0])) && (await control.listen(CONTROL, [445]))) return { bait, control };
  assert.notEqual(process.env['CI'], 'true', 'this user may not listen on port 445');
  t.skip('this user may not listen on port 445, where a push would come');
  return undefined;
}

/** claims are heartbeats of clients that nobody approved, as the point leaves them for DDM. */
async function leaveClaims(db: Database, port: number): Promise<void> {
  await db.query(
    `insert into client (guid, public_key, key_hash, request_id, name, name_key, hardware_id, version, approval, registered_at, last_seen_at)
     select g, g, sha256(g::bytea), gen_random_uuid(), 'EVIL', 'EVIL', g, '1', 'pending', $2, $2
     from (select 'GUID:' || lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000' as g from generate_series(1, $1::integer) n) x`,
    [FLOOD, systemClock.now()],
  );
  await db.query(
    `insert into ddr (method, key, site, received_at, body)
     select 'heartbeat', 'GUID:' || lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000', 'P01', $2,
       jsonb_build_object('guid', 'GUID:' || lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000', 'name', 'EVIL' || n,
         'fqdn', 'evil' || n || '.corp.example', 'domain', 'corp.example', 'addresses', jsonb_build_array($3::text), 'smbPort', $4::integer,
         'type', (array['workstation', 'server', 'dc'])[1 + n % 3], 'os', 'Windows 11')
     from generate_series(1, $1::integer) n`,
    [FLOOD, systemClock.now(), BAIT, port],
  );
  await db.notify('ddr', '', db);
}

/** claimInNetwork hands in what network discovery finds where nobody confirms the names. */
async function claimInNetwork(db: Database): Promise<void> {
  const resource = new ResourceRecord(db, systemClock);
  const parts = {
    site: new SiteRecord(db, systemClock, systemRandom),
    boundary: new BoundaryRecord(db, systemClock),
    ccr: new CcrRecord(db, systemClock),
    resource,
  };
  const ddrs = Array.from({ length: FLOOD }, (_, i) => ({
    name: `NET${i}`,
    domain: 'corp.example',
    addresses: [BAIT],
    type: 'workstation' as const,
  }));
  const done = await new DiscoveryRecord(db, systemClock, parts).ingest(ddrs, { method: 'network', site: 'P01', trusted: false });
  assert.deepEqual([done.stored, done.assigned, done.requested], [FLOOD, 0, 0]);
}

/** speak registers clients without a token and lets them send heartbeats, each with another name. */
async function speak(url: string): Promise<void> {
  const post = async (path: string, body: object, signer: Signer): Promise<Record<string, unknown>> => {
    const text = JSON.stringify(body);
    const at = { time: systemClock.now(), nonce: randomBytes(16).toString('base64url') };
    const signed = signRequest({ method: 'POST', path, body: Buffer.from(text) }, signer, at);
    const answer = await fetch(url + path, {
      method: 'POST',
      headers: { ...signed, 'content-type': 'application/json' },
      body: text,
    });
    const said = await answer.text();
    assert.equal(answer.status, 200, said);
    return JSON.parse(said) as Record<string, unknown>;
  };
  const one = async (_: unknown, i: number) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const now = () => systemClock.now().toISOString();
    const machine = (name: string) => ({
      name,
      domain: 'CORP',
      fqdn: `${name.toLowerCase()}.corp.example`,
      addresses: [BAIT],
      os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
      hardwareId: `CHOSEN-${i}`,
      clientVersion: '1.0.0',
    });
    const asked = { ...machine(`CHOSEN${i}`), requestId: randomUUID(), publicKey: publicKeyOf(privateKey), time: now() };
    const { guid, approval } = await post('/ccm_system/registration', asked, { privateKey });
    assert.equal(approval, 'pending');
    const signer = { client: String(guid), privateKey };
    for (let n = 1; n <= BEATS; n++) {
      const sent = { ...machine(`CHOSEN${i}-${n}`), guid, sequence: n, startedAt: now(), sentAt: now() };
      await post('/ccm_system/heartbeat', sent, signer);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, one));
}

test('a flood of machines that only claim to be there causes no connection, with site-wide push on for all systems', async (t) => {
  const wires = await watched(t);
  if (!wires) return;
  const { bait, control } = wires;
  const site = new WholeSite();
  t.after(() => site.close());
  await (await site.create()).run();
  const account = { username: 'CORP\\push', password: 'Never-Sent-1!' };
  await site.prepare({ csv: 'name\r\nNOBODY\r\n', account });
  await site.send('POST', '/boundaries', { boundaries: ['subnet:127.66.0.0/16'] });
  const systems = ['workstations', 'servers', 'dcs'];
  await site.send('PATCH', '/settings', { push: { enabled: true, systems, siteSystems: true } });
  const db = await openDatabase({ dataDir: site.data, clock: systemClock, log: silentLog, connections: 2 });
  try {
    await leaveClaims(db, bait.ports.at(-1)!);
    await claimInNetwork(db);
    await speak(site.points);
    const count = async (table: string) => (await db.query<{ n: number }>(`select count(*) as n from ${table}`))[0]!.n;
    await eventually('all heartbeats to be taken in', async () => (await count('ddr')) === 0, 120_000);
    // All known machines are looked at again, as after every change of the setting.
    await site.send('PATCH', '/settings', { push: { systems } });
    await eventually('the walk to end', async () => (await count('discovery_sweep')) === 0, 120_000);
    assert.ok((await count('resource')) >= 2 * FLOOD + CLIENTS);
    // The same site pushes to one that somebody trusted tells of, so the claims would have been pushed to by now.
    await site.importCsv(`name,ip,type\r\nCONTROL,${CONTROL},workstation\r\n`);
    await eventually('a connection to the machine that was imported', () => control.connections > 0, 60_000);
    assert.equal(bait.connections, 0);
    const ccrs = await site.get<{ items: { name: string }[] }>('/ccrs');
    assert.deepEqual(
      ccrs.items.map(({ name }) => name),
      ['CONTROL'],
    );
  } finally {
    await db.close();
  }
});
