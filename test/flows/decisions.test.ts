import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { publicKeyOf, type Heartbeat, type Registration } from '#messages';
import { createConsole } from '#points/console';
import { AccountRecord } from '#records/account';
import { AuditRecord } from '#records/audit';
import { CollectionRecord } from '#records/collection';
import { DoctorRecord } from '#records/doctor';
import { FallbackStatusRecord } from '#records/fallback-status';
import { MethodRecord } from '#records/method';
import { PolicyRecord } from '#records/policy';
import { ReportRecord } from '#records/report';
import { createVaultKeys, openSealer } from '#store/vault';
import { BranchSite, carry, carryUntil, fill, joined } from '#test/branch-sites';
import { scratch } from '#test/scratch';

/** Conflicting records of a primary below, decided at the top of the branch. */

let top: BranchSite;
let below: BranchSite;
let folder: string;
let url: string;
let token: string;
let stop: () => Promise<void>;

before(async () => {
  top = await BranchSite.create('P00');
  below = await BranchSite.create('P01');
  await joined(top, below, 'primary');
  await below.database.db.transaction((tx) => below.parts.site.belongTo('P00', tx));
  for (const site of [top, below]) {
    await fill(site);
    await site.tellOthers();
  }
  folder = await mkdtemp(path.join(scratch, 'pushpoint-decisions-'));
  const { db } = top.database;
  const app = await createConsole({
    ...top.parts,
    account: new AccountRecord(db, systemClock),
    audit: new AuditRecord(db, systemClock),
    collection: new CollectionRecord(db, systemClock),
    doctor: new DoctorRecord(db, systemClock),
    fallbackStatus: new FallbackStatusRecord(db, systemClock),
    method: new MethodRecord(db, systemClock),
    report: new ReportRecord(db, systemClock, top.parts.boundary),
    policy: new PolicyRecord(db, systemClock, top.parts.client),
    sealer: openSealer(await createVaultKeys(folder, {})),
    log: silentLog,
    version: '1.0.0',
  });
  token = await top.parts.site.tokens.add({ label: 'top', scopes: ['admin'] });
  app.server.listen(0, '127.0.0.1');
  await once(app.server, 'listening');
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/api/v1`;
  stop = () => app.close();
});
after(async () => {
  await stop();
  await top.close();
  await below.close();
  await rm(folder, { recursive: true, force: true });
});

const call = async (method: string, route: string, body?: unknown) => {
  const headers = { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) };
  const answer = await fetch(url + route, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
  return { status: answer.status, json: (await answer.json()) as Record<string, unknown> & { items: Record<string, unknown>[] } };
};
const until = (what: string, look: () => Promise<boolean>) => carryUntil(top, below, what, look);

const registration = (name: string, hardwareId: string): Registration => ({
  requestId: randomUUID(),
  publicKey: publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
  name,
  domain: 'CORP',
  fqdn: '',
  addresses: ['10.4.0.9'],
  os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
  hardwareId,
  clientVersion: '1.0.0',
  site: 'P01',
  time: new Date().toISOString(),
});
const rules = async () => (await below.parts.site.here()).settings.client;
const come = async (name: string, hardwareId: string) =>
  (await below.parts.client.register(registration(name, hardwareId), { rules: await rules() })).client;
const beat = (guid: string, sequence: number): Heartbeat => ({
  guid,
  sequence,
  name: 'PC10',
  domain: 'CORP',
  fqdn: '',
  addresses: [],
  os: { name: 'Windows 11', version: '10.0.26100', type: 'workstation' },
  hardwareId: 'HW-0010',
  clientVersion: '1.0.0',
  startedAt: new Date().toISOString(),
  sentAt: new Date().toISOString(),
});
const at = (site: BranchSite, guid: string) => site.parts.client.byGuid(guid);

test('where one of the two sites asks nobody, the top decides nothing', async () => {
  const old = await come('PC1', 'HW-0001');
  const copy = await come('PC2', 'HW-0001');
  await until('both at the top', async () => (await at(top, copy.guid)) !== undefined && (await at(top, old.guid)) !== undefined);
  const answer = await call('POST', `/clients/${copy.guid}/new`);
  assert.deepEqual([answer.status, answer.json['code']], [409, 'PP_CLIENT_ELSEWHERE']);
  assert.equal((await call('POST', `/clients/${copy.guid}/approve`)).json['code'], 'PP_CLIENT_ELSEWHERE');
  // The top asks, the site below does not: what comes is not taken.
  await top.parts.site.updateSettings({ client: { conflicts: 'manual' } }, 'test');
  assert.equal((await call('POST', `/clients/${copy.guid}/block`)).status, 200);
  await carry(top, below);
  assert.equal((await at(below, copy.guid))!.blocked, false);
});

test('merge, new and block of clients below are decided at the top, and come back as they are there', async () => {
  await below.parts.site.updateSettings({ client: { conflicts: 'manual' } }, 'test');
  const old = await come('PC3', 'HW-0003');
  await below.parts.client.trust.approve(old.guid, 'test');
  const same = await come('PC3', 'HW-0003');
  const other = await come('PC4', 'HW-0003');
  const thief = await come('PC5', 'HW-0003');
  const conflicts = async () => {
    const { items } = (await call('GET', '/clients/conflicts')).json;
    return items.map(({ guid }) => guid).filter((guid) => [same.guid, other.guid, thief.guid].includes(String(guid)));
  };
  await until('the conflicts at the top', async () => (await conflicts()).length === 3);
  const merged = await call('POST', `/clients/${same.guid}/merge`, { into: old.guid });
  assert.deepEqual([merged.status, merged.json['guid'], merged.json['site']], [200, old.guid, 'P01']);
  for (const [guid, action] of [
    [other.guid, 'new'],
    [thief.guid, 'block'],
  ])
    assert.equal((await call('POST', `/clients/${guid}/${action}`)).status, 200);
  assert.deepEqual(await conflicts(), []);
  await until('the merge below', async () => (await at(below, old.guid))!.publicKey === same.publicKey);
  await until('the block below', async () => (await at(below, thief.guid))!.blocked);
  assert.deepEqual(
    (await below.parts.client.trust.conflicts()).filter(({ client }) =>
      [same.guid, other.guid, thief.guid].includes(client.guid),
    ),
    [],
  );
  const history = await below.parts.client.trust.history((await at(below, other.guid))!.id);
  assert.deepEqual([history[0]!.what, history[0]!.by], ['new', 'top at P00']);
  // The top hears of the merge: one record, with the new key.
  await until('the merged record at the top', async () => (await at(top, old.guid))!.publicKey === same.publicKey);
  assert.equal(await at(top, same.guid), undefined);
});

test('a parent in wrong hands neither approves a client of a primary below nor takes one over', async () => {
  const { link, client } = top.parts;
  const own = await come('PC9', 'HW-0009');
  await until('it at the top', async () => (await at(top, own.guid)) !== undefined);
  const sent: unknown[] = [];
  for await (const { client: one } of client.allFor()) if (one.guid === own.guid) sent.push(one);
  const said = { ...(sent[0] as object), approval: 'approved', approvedBy: 'token', provenBy: 'token' };
  const { publicKey } = registration('PC9', 'HW-0009');
  const stranger = `GUID:${randomUUID().toUpperCase()}`;
  for (const body of [said, { ...said, publicKey }, { ...said, publicKey, guid: stranger, name: 'NEW' }])
    await top.database.db.transaction((tx) => link.enqueue(tx, { to: 'P01', kind: 'client', key: randomUUID(), body }));
  await carry(top, below);
  const kept = (await at(below, own.guid))!;
  assert.deepEqual([kept.approval, kept.publicKey], ['pending', own.publicKey]);
  assert.equal(await at(below, stranger), undefined);
});

test('what a primary below decided about its clients is shown at the top, with who decided it and the command to give there', async () => {
  const { trust } = below.parts.client;
  const pc = await come('PC10', 'HW-0010');
  const shown = async () => {
    const { approval, approvedBy, blocked } = (await at(top, pc.guid))!;
    return [approval, approvedBy, blocked].join(' ');
  };
  await until('it at the top', async () => (await at(top, pc.guid)) !== undefined);
  assert.equal(await shown(), 'pending  false');
  await trust.approve(pc.guid, 'anna');
  await until('the approval at the top', async () => (await shown()) === 'approved anna at P01 false');
  await trust.block(pc.guid, 'anna');
  await until('the block at the top', async () => (await shown()) === 'approved anna at P01 true');
  // Its key opens nothing at the top either.
  await assert.rejects(top.parts.client.heartbeat(pc.guid, beat(pc.guid, 1)), /blocked/);
  await trust.unblock(pc.guid, 'anna');
  await until('the block to be over', async () => (await shown()) === 'approved anna at P01 false');
  await trust.reject(pc.guid, 'bert');
  await until('the rejection', async () => (await shown()) === 'rejected bert at P01 false');
  for (const action of ['approve', 'reject', 'unblock']) {
    const { status, json } = await call('POST', `/clients/${pc.guid}/${action}`);
    assert.deepEqual([status, json['code'], String(json['detail']).includes('site P01')], [409, 'PP_CLIENT_ELSEWHERE', true]);
  }
  const history = await top.parts.client.trust.history((await at(top, pc.guid))!.id);
  assert.deepEqual(
    history.map(({ what, by }) => `${what} by ${by}`),
    ['rejected', 'unblocked', 'blocked', 'approved'].map((what) => `${what} by site P01`),
  );
  await below.parts.client.farewell(pc.guid, 'uninstall');
  await until('the farewell', async () => (await at(top, pc.guid))!.obsolete);
});

test('secrets of the top are sealed for no client of a primary below; one that moves to the top is decided about there', async () => {
  const pc = await come('PC11', 'HW-0011');
  await below.parts.client.trust.approve(pc.guid, 'anna');
  await until('it at the top', async () => (await at(top, pc.guid))?.approval === 'approved');
  const due = () => top.database.db.transaction((tx) => top.parts.client.unsealed(tx, 1, 100));
  assert.deepEqual(await due(), []);
  await below.parts.client.farewell(pc.guid, 'migrate');
  await top.parts.client.register({ ...registration('PC11', 'HW-0011'), publicKey: pc.publicKey });
  assert.deepEqual(
    (await due()).map(({ guid }) => guid),
    [pc.guid],
  );
  // Its farewell at the old site comes late, and takes nothing away here.
  await carry(below, top);
  assert.equal((await at(top, pc.guid))!.obsolete, false);
  assert.equal((await call('POST', `/clients/${pc.guid}/reject`)).status, 200);
});

test('how CCRs of a site below a primary stand is told on to the top; of a site that is not below the teller nothing is taken', async () => {
  await below.parts.site.learn({ code: 'S01', kind: 'secondary', parent: 'P01' });
  await until('the top to know S01', async () => (await top.parts.site.list()).some(({ code }) => code === 'S01'));
  const ccr = (id: number, state: string, site?: string) => ({
    id,
    name: 'PC20',
    domain: 'CORP',
    state,
    source: 'push',
    attempts: 2,
    lastErrorCode: 53,
    lastError: 'PP_NET_REFUSED',
    firstRequestedAt: new Date().toISOString(),
    ...(site !== undefined && { site }),
  });
  const tell = (state: string) =>
    below.database.db.transaction((tx) =>
      below.handlers.ccr!.apply(tx, {
        from: 'S01',
        role: 'child',
        skewMs: 0,
        items: [{ kind: 'ccr', key: '7', origin: 'S01', body: ccr(7, state) }],
      }),
    );
  const seen = async () => (await top.parts.branch.ccrs({ name: 'PC20' })).map(({ site, id, state }) => `${site} ${id} ${state}`);
  await tell('retry');
  await until('it at the top', async () => (await seen()).join() === 'S01 7 retry');
  await tell('complete');
  await until('its end', async () => (await seen()).join() === 'S01 7 complete');
  // A top that lost what it knew is told all of it again.
  const again: unknown[] = [];
  for await (const one of below.handlers.ccr!.snapshot!({ site: 'P00', role: 'parent' })) again.push(one.body);
  assert.deepEqual(
    again.map((one) => (one as { site?: string }).site),
    ['S01'],
  );
  for (const site of ['P00', 'S77'])
    await assert.rejects(
      top.database.db.transaction((tx) =>
        top.handlers.ccr!.apply(tx, {
          from: 'P01',
          role: 'child',
          skewMs: 0,
          items: [{ kind: 'ccr', key: 'x', origin: 'P01', body: ccr(1, 'failed', site) }],
        }),
      ),
      /no line leads/,
    );
});
