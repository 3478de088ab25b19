import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { systemRandom } from '#base/random';
import type { Heartbeat, Registration } from '#messages';
import { ClientRecord } from '#records/client';
import { ResourceRecord } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let clock: ManualClock;
let clients: ClientRecord;

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
});

const newKey = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' }).toString('base64');

const registration = (name: string, more: Partial<Registration> = {}): Registration => ({
  requestId: randomUUID(),
  publicKey: newKey(),
  name,
  domain: 'CORP',
  fqdn: `${name.toLowerCase()}.corp.example`,
  addresses: ['10.0.0.1', '2001:db8::1'],
  os: { name: "Windows 11 'x' \\ {a,b}", version: '10.0.26100', type: 'workstation' },
  hardwareId: `2:${name}-SERIAL`,
  clientVersion: '1.0.0',
  time: clock.now().toISOString(),
  ...more,
});

const token = (name: string, hours = 1) =>
  clients.issueToken({ name, domain: 'CORP', expiresAt: new Date(clock.now().getTime() + hours * 3_600_000) });

interface Seen {
  name: string;
  approval: string;
  obsolete: boolean;
  resource: boolean;
  addresses: string[];
  os: string;
}

async function stored(): Promise<Seen[]> {
  return base.db.query<Seen>(
    `select name, approval, obsolete, resource_id is not null as resource, addresses, os from client order by name, id`,
  );
}

/** everything registers machines of all kinds: plain ones, two of one name, two of one hardware, used and expired tokens, known machines. */
async function everything(together: boolean): Promise<{ said: string[]; rows: Seen[]; events: unknown }> {
  const resources = new ResourceRecord(base.db, clock);
  await resources.importDevices(
    ['PC001', 'PC002', 'PC003'].map((name) => ({ name, domain: 'CORP' })),
    { source: 'import', site: 'P01' },
  );
  const used = await token('OLD');
  await clients.register(registration('OLD'), { tokenId: used.id });
  const wishes: { registration: Registration; tokenId: string }[] = [];
  for (let i = 1; i <= 9; i++) {
    const name = `PC00${i}`;
    wishes.push({ registration: registration(name), tokenId: (await token(name)).id });
  }
  const gone = await token('LATE', -1);
  wishes.push({ registration: registration('LATE'), tokenId: gone.id });
  wishes.push({ registration: registration('THIEF'), tokenId: used.id });
  wishes.push({ registration: registration('PC004', { hardwareId: '2:OTHER-SERIAL' }), tokenId: (await token('PC004')).id });
  wishes.push({ registration: registration('TWIN', { hardwareId: '2:PC005-SERIAL' }), tokenId: (await token('TWIN')).id });
  wishes.push({ registration: registration('FEW', { addresses: [] }), tokenId: (await token('FEW')).id });
  const one = ({ registration: r, tokenId }: (typeof wishes)[number]) =>
    clients.register(r, { tokenId, address: '10.9.9.9' }).then(
      ({ client, created }) => `${r.name} ${client.approval} ${created}`,
      (error: { code: string }) => `${r.name} ${error.code}`,
    );
  const said: string[] = [];
  if (together) said.push(...(await Promise.all(wishes.map(one))));
  else for (const wish of wishes) said.push(await one(wish));
  const events = await base.db.query('select what, count(*)::integer as n from client_event group by what order by what');
  return { said, rows: await stored(), events };
}

test('machines that register at the same moment become the clients that they become one after another', async () => {
  const apart = await everything(false);
  await base.db.query('truncate client, client_token, client_event, client_conflict, client_key, resource, resource_source');
  const together = await everything(true);
  assert.deepEqual(together, apart);
  assert.ok(apart.said.includes('THIEF PP_CLIENT_TOKEN_USED') && apart.said.includes('LATE PP_CLIENT_TOKEN_EXPIRED'));
  assert.ok(apart.rows.some(({ resource }) => resource));
});

test('two hundred machines at the same moment are two hundred clients, each with the SMSID it heard', async () => {
  const wishes = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => ({ registration: registration(`M${i}`), tokenId: (await token(`M${i}`)).id })),
  );
  const told: string[] = [];
  const end = await base.db.listen('client', (payload) => told.push(payload));
  const all = await Promise.all(wishes.map(({ registration: r, tokenId }) => clients.register(r, { tokenId })));
  assert.equal(new Set(all.map(({ client }) => client.guid)).size, 200);
  for (const [i, { client }] of all.entries()) {
    assert.equal(client.name, wishes[i]!.registration.name);
    assert.equal(client.publicKey, wishes[i]!.registration.publicKey);
    assert.deepEqual((await clients.byGuid(client.guid))?.addresses, ['10.0.0.1', '2001:db8::1']);
  }
  const beat = (guid: string, name: string, sequence: number): Heartbeat => {
    const { requestId: _r, publicKey: _k, time, ...same } = registration(name);
    return { ...same, guid, sequence, startedAt: time, sentAt: time };
  };
  // Two of each at once: the later one counts, whichever comes first.
  const heard = await Promise.all(
    all.flatMap(({ client: { guid, name } }) => [1, 2].map((sequence) => clients.heartbeat(guid, beat(guid, name, sequence)))),
  );
  assert.ok(heard.every(({ alarm }) => alarm === undefined));
  const [row] = await base.db.query<{ n: number }>('select count(*)::integer as n from client where sequence = 2');
  assert.equal(row!.n, 200);
  // The announcements come on a line of their own.
  for (let tries = 0; tries < 500 && told.length < 200; tries++) await base.db.query('select pg_sleep(0.01)');
  assert.equal(new Set(told.map((payload) => (JSON.parse(payload) as { name: string }).name)).size, 200);
  await end();
});

test('a client that is blocked while its heartbeats come is refused from the next one on', async () => {
  const { id } = await token('PC1');
  const { client } = await clients.register(registration('PC1'), { tokenId: id });
  const { requestId: _r, publicKey: _k, time, ...same } = registration('PC1');
  const beat = (sequence: number) =>
    clients.heartbeat(client.guid, { ...same, guid: client.guid, sequence, startedAt: time, sentAt: time });
  await beat(1);
  await base.db.query('update client set blocked = true');
  await assert.rejects(beat(2), { code: 'PP_CLIENT_BLOCKED' });
  assert.equal((await clients.byGuid(client.guid))?.blocked, true);
});
