import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { ManualClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { Policy, matches, policyKey, policyProofHolds, tokenKeyOf } from '#messages';
import { ClientRecord } from '#records/client';
import { SiteRecord } from '#records/site';
import { BOOTSTRAP, manual, TestSite } from '#test/points';
import { Pc } from '#test/pc';

const HOUR = 3_600_000;

async function start(t: TestContext) {
  const site = await TestSite.make(t, manual());
  await site.know('PC042', 'PC043');
  const { url } = await site.managementPoint();
  const { call } = await site.console();
  const token = async (name: string) => {
    const [device] = await site.records.resource.find(name);
    const expiresAt = new Date(site.clock.now().getTime() + 24 * HOUR);
    return site.records.client.issueToken({ resourceId: device!.id, name, domain: 'CORP', expiresAt });
  };
  const settings = (client: Record<string, unknown>) =>
    call('PATCH', '/settings', { client }).then((answer) => assert.equal(answer.status, 200));
  const decide = async (guid: string, action: string, body?: unknown) => {
    const answer = await call('POST', `/clients/${guid}/${action}`, body);
    return { status: answer.status, ...(answer.json as { code?: string; done?: boolean; guid?: string }) };
  };
  const audited = async (what: string) =>
    ((await call('GET', '/audit')).json.items as { what: string; object: string; who: string }[]).filter((e) => e.what === what);
  const history = async (guid: string) =>
    ((await call('GET', `/clients/${guid}`)).json.history as { what: string; by: string }[]).map(
      ({ what, by }) => `${what} by ${by}`,
    );
  const conflicts = async () =>
    (await call('GET', '/clients/conflicts')).json.items as { guid: string; conflict: Record<string, unknown> }[];
  return { site, url, call, token, settings, decide, audited, history, conflicts, clock: site.clock as ManualClock };
}

test('manual: nobody is approved without a person, not even with the token of a push; the proof is seen', async (t) => {
  const { site, url, token, settings, decide, call } = await start(t);
  await settings({ approval: 'manual' });
  const pc = new Pc(site, url);
  assert.equal((await pc.register(pc.proven(await token('PC042')))).json['approval'], 'pending');
  const shown = (await call('GET', `/clients/${pc.guid}`)).json;
  assert.deepEqual([shown.approval, shown.provenBy], ['pending', 'token']);
  // That the push succeeded is known all the same.
  assert.ok(await site.records.client.since({ name: 'PC042', domain: 'CORP' }, new Date(0)));
  assert.equal((await decide(pc.guid!, 'approve')).done, true);
  assert.equal((await pc.beat()).json['approval'], 'approved');
});

test('all: everybody is approved, which is said and proves nothing about the machine', async (t) => {
  const { site, url, settings, audited, call } = await start(t);
  await settings({ approval: 'all' });
  assert.equal((await audited('site.settings')).length, 1);
  const pc = new Pc(site, url);
  assert.equal((await pc.register()).json['approval'], 'approved');
  assert.equal((await call('GET', `/clients/${pc.guid}`)).json.approvedBy, 'setting');
  const standing = (await site.records.client.standings([pc.guid!])).get(pc.guid!);
  assert.equal(standing!.approved, false);
  const [device] = await site.records.resource.find('PC042');
  assert.equal(device!.client.installed, false);
});

test('rejected stays, is seen, counts for nothing, and can be taken back; every decision stands in the history and the audit log', async (t) => {
  const { site, url, token, decide, audited, history, call } = await start(t);
  const pc = new Pc(site, url);
  await pc.register();
  assert.equal((await decide(pc.guid!, 'reject')).done, true);
  assert.equal((await decide(pc.guid!, 'reject')).done, false);
  assert.equal((await pc.beat()).json['approval'], 'rejected');
  assert.equal((await call('GET', '/clients?approval=rejected')).json.items.length, 1);
  // A proof comes too late for what a person decided.
  assert.equal((await pc.register(pc.proven(await token('PC042')))).json['approval'], 'rejected');
  assert.equal((await site.records.client.standings([pc.guid!])).get(pc.guid!)!.out, true);
  assert.equal((await decide(pc.guid!, 'approve')).done, true);
  assert.equal((await pc.beat()).json['approval'], 'approved');
  assert.deepEqual(await history(pc.guid!), ['approved by test', 'rejected by test', 'registered by site']);
  assert.deepEqual([(await audited('client.reject')).length, (await audited('client.approve')).length], [1, 1]);
});

test('a policy is signed for, has an ETag, changes with what concerns the client, and is proven to one that was pushed', async (t) => {
  const { site, url, token, settings, decide } = await start(t);
  const pc = new Pc(site, url);
  const made = await token('PC042');
  const revision = (await pc.register(pc.proven(made))).json['policyRevision'];
  const first = await pc.get('/ccm_system/policy');
  assert.equal(first.status, 200);
  assert.ok(matches(Policy, first.json));
  assert.equal(first.json['revision'], revision);
  assert.equal(first.headers.get('etag'), `"${String(revision)}"`);
  assert.deepEqual(first.json['managementPoints'], ['http://mp.corp.example:8480']);
  const key = policyKey(tokenKeyOf(made.secret), pc.guid!);
  assert.ok(policyProofHolds(key, first.nonce, first.text, first.headers.get('x-pushpoint-policy-proof')!));
  assert.equal(
    policyProofHolds(key, first.nonce, first.text.replace('P01', 'P02'), first.headers.get('x-pushpoint-policy-proof')!),
    false,
  );
  const same = await pc.get('/ccm_system/policy', { 'if-none-match': first.headers.get('etag')! });
  assert.deepEqual([same.status, same.text], [304, '']);
  assert.equal((await pc.beat()).json['policyRevision'], revision);
  await settings({ policyMinutes: 30, logLevel: 1 });
  const next = (await pc.beat()).json['policyRevision'];
  assert.notEqual(next, revision);
  const second = await pc.get('/ccm_system/policy', { 'if-none-match': first.headers.get('etag')! });
  assert.deepEqual(
    [second.status, second.json['policyMinutes'], second.json['logLevel'], second.json['revision']],
    [200, 30, 1, next],
  );
  await decide(pc.guid!, 'reject');
  assert.notEqual((await pc.beat()).json['policyRevision'], next);
});

test('a policy is given to nobody else: unsigned, another key, replayed, another client', async (t) => {
  const { site, url, token } = await start(t);
  const pc = new Pc(site, url);
  const other = new Pc(site, url, 'PC043');
  await pc.register(pc.proven(await token('PC042')));
  await other.register();
  assert.equal((await fetch(`${url}/ccm_system/policy`)).status, 401);
  assert.equal((await pc.get('/ccm_system/policy', {}, { client: pc.guid!, privateKey: other.key })).code, 'PP_MSG_SIGNATURE');
  const byToken = await token('PC043');
  assert.equal(
    (await pc.get('/ccm_system/policy', {}, { token: byToken.id, tokenKey: tokenKeyOf(byToken.secret) })).code,
    'PP_MSG_SIGNATURE',
  );
  // The very same request again.
  const answers: unknown[] = [];
  const real = globalThis.fetch;
  t.mock.method(globalThis, 'fetch', async (...args: Parameters<typeof fetch>) => {
    for (let n = 0; n < 2; n++) {
      const answer = await real(...args);
      answers.push(answer.status === 200 ? 200 : ((await answer.clone().json()) as { code: string }).code);
      if (n === 1) return answer;
    }
    throw new Error('not here');
  });
  await pc.get('/ccm_system/policy');
  assert.deepEqual(answers, [200, 'PP_MSG_REPLAYED']);
});

test('a block counts at once at every management point, for everything that is signed, and is taken back', async (t) => {
  const { site, url, token, decide, audited, history } = await start(t);
  // As another process has it: its own records, which remember nothing of the first one's.
  const { database, clock } = site.parts;
  const { url: second } = await site.managementPoint({
    client: new ClientRecord(database, clock, systemRandom),
    site: new SiteRecord(database, clock, systemRandom),
  });
  const pc = new Pc(site, url);
  const made = await token('PC042');
  await pc.register(pc.proven(made));
  pc.url = second;
  assert.equal((await pc.beat()).status, 200);
  await decide(pc.guid!, 'block');
  for (const at of [url, second]) {
    pc.url = at;
    const refused = await Promise.all([
      pc.beat(),
      pc.get('/ccm_system/policy'),
      pc.post('/ccm_system/state', pc.state(400), pc.signer),
      // The token of its push is no way around.
      pc.post('/ccm_system/state', pc.state(400), { token: made.id, tokenKey: tokenKeyOf(made.secret) }),
      pc.register(),
      pc.register(pc.proven(await token('PC042'))),
    ]);
    assert.deepEqual(
      refused.map(({ status, code }) => [status, code]),
      refused.map(() => [403, 'PP_CLIENT_BLOCKED']),
    );
  }
  assert.equal((await decide(pc.guid!, 'unblock')).done, true);
  const back = await pc.beat();
  assert.deepEqual([back.status, back.json['approval']], [200, 'approved']);
  assert.deepEqual((await history(pc.guid!)).slice(0, 2), ['unblocked by test', 'blocked by test']);
  assert.deepEqual([(await audited('client.block')).length, (await audited('client.unblock')).length], [1, 1]);
});

test('a blocked machine that comes with a new key is held for a person, in every mode, proven or not', async (t) => {
  const { site, url, token, settings, decide, conflicts, audited } = await start(t);
  await settings({ approval: 'all' });
  const pc = new Pc(site, url);
  await pc.register();
  await decide(pc.guid!, 'block');
  const blocked = pc.guid!;
  pc.reinstall();
  assert.equal((await pc.register(pc.proven(await token('PC042')))).json['approval'], 'pending');
  const [found] = await conflicts();
  assert.deepEqual([found!.guid, found!.conflict['kind'], found!.conflict['holds']], [pc.guid, 'blocked', true]);
  assert.equal((found!.conflict['other'] as { guid: string }).guid, blocked);
  assert.equal((await audited('client.conflict')).length, 1);
  assert.equal((await decide(pc.guid!, 'approve')).code, 'PP_CLIENT_CONFLICT');
  await decide(pc.guid!, 'block');
  assert.equal((await pc.beat()).code, 'PP_CLIENT_BLOCKED');
  assert.deepEqual(await conflicts(), []);
});

test('the token of another push is no way around a block, whatever name and hardware id the machine gives', async (t) => {
  const { site, url, token, decide, conflicts } = await start(t);
  const pc = new Pc(site, url);
  await pc.register(pc.proven(await token('PC042')));
  await decide(pc.guid!, 'block');
  for (const more of [
    { hardwareId: 'OTHER-BOARD-1' },
    { hardwareId: 'OTHER-BOARD-2', name: 'PC777', fqdn: 'pc777.corp.example' },
  ]) {
    pc.reinstall();
    assert.equal((await pc.register(pc.proven(await token('PC042'), more))).json['approval'], 'pending');
    assert.equal((await decide(pc.guid!, 'approve')).code, 'PP_CLIENT_CONFLICT');
  }
  // Nor is it for who came as a stranger first.
  pc.reinstall();
  const stranger = { hardwareId: 'OTHER-BOARD-3', name: 'PC778', fqdn: 'pc778.corp.example' };
  assert.equal((await pc.register(pc.registration(stranger))).json['approval'], 'pending');
  assert.equal((await pc.register(pc.proven(await token('PC042'), stranger))).json['approval'], 'pending');
  assert.equal((await pc.beat()).json['approval'], 'pending');
  assert.deepEqual(
    (await conflicts()).map(({ conflict }) => [conflict['kind'], conflict['holds']]).filter(([kind]) => kind === 'blocked'),
    Array.from({ length: 3 }, () => ['blocked', true]),
  );
});

test('what a blocked client can still do is what docs/clients.md says: ask what anybody may ask, and come back as a stranger', async (t) => {
  const { site, url, token, decide, settings, clock, conflicts } = await start(t);
  await site.records.site.setPoint('fsp', { address: 'http://fsp.corp.example' }, 'test');
  const pc = new Pc(site, url);
  await pc.register();
  await decide(pc.guid!, 'block');
  const asks = async (path: string, init?: RequestInit) => (await fetch(url + path, init)).status;
  assert.equal(await asks('/SMS_MP/.sms_aut?MPLIST'), 200);
  assert.equal(await asks('/ccm_system/location?address=10.0.0.1'), 200);
  // A hint is kept apart, and is no state message of the client.
  assert.equal(await asks('/sms_fsp/state', { method: 'POST', body: JSON.stringify(pc.state(313)) }), 200);
  assert.deepEqual(await site.records.client.statesOf({ name: 'PC042' }), []);
  assert.equal(await asks('/sms_mp/machine.ccr?mn=PC042&dn=CORP&fkey=False', { method: 'SMS_POST' }), 200);
  // With other hardware and another key it is somebody whom nobody knows, and waits.
  const stranger = new Pc(site, url, 'PC999');
  assert.equal((await stranger.register(stranger.registration({ hardwareId: 'SOMETHING-ELSE' }))).json['approval'], 'pending');
  assert.deepEqual(await conflicts(), []);
  await decide(stranger.guid!, 'block');
  // Client files are public, unless the setting refuses them by address.
  assert.equal(await asks('/CCM_Client/ccmsetup.exe'), 200);
  await settings({ blockedContent: 'refuse' });
  assert.equal(await asks('/CCM_Client/ccmsetup.exe'), 403);
  assert.equal(await asks(`/CCM_Client/${site.sha256}/ccmsetup.exe`), 403);
  assert.equal(await asks('/ccm_client/CCMSETUP.EXE'), 403);
  // Somebody else was heard from that address since, as behind a router: an address alone condemns nobody.
  await clock.advance(1000);
  const other = new Pc(site, url, 'PC043');
  await other.register();
  const files = await fetch(`${url}/CCM_Client/ccmsetup.exe`);
  assert.equal(Buffer.from(await files.arrayBuffer()).length, BOOTSTRAP.length);
  // A blocked client that names itself, or the token of its push, is refused wherever it is; a name is nobody else's harm.
  const naming = async (headers: Record<string, string>) => asks('/CCM_Client/ccmsetup.exe', { headers });
  await site.know('PC077');
  const pushed = await token('PC077');
  const late = new Pc(site, url, 'PC077');
  await late.register(late.proven(pushed, { hardwareId: '2:PC077' }));
  assert.equal(await naming({ 'x-pushpoint-token': pushed.id }), 200);
  await decide(late.guid!, 'block');
  await clock.advance(1000);
  await other.beat();
  assert.equal(await naming({}), 200);
  assert.equal(await naming({ 'x-pushpoint-client': other.guid! }), 200);
  const blocked: Record<string, string>[] = [
    { 'x-pushpoint-client': late.guid! },
    { 'x-pushpoint-token': pushed.id },
    { 'x-pushpoint-client': pc.guid!, 'x-pushpoint-token': 'none-of-ours' },
  ];
  for (const headers of blocked) assert.equal(await naming(headers), 403, JSON.stringify(headers));
  for (const word of ["'; drop table client; --", 'GUID:', 'x'.repeat(5000)])
    assert.equal(await naming({ 'x-pushpoint-client': word, 'x-pushpoint-token': word }), 200);
  await settings({ blockedContent: 'serve' });
  assert.equal(await naming({ 'x-pushpoint-client': late.guid! }), 200);
});

test('a farewell ends what the site expects of a client, and only its own', async (t) => {
  const { site, url, token, history } = await start(t);
  const pc = new Pc(site, url);
  const other = new Pc(site, url, 'PC043');
  await pc.register(pc.proven(await token('PC042')));
  await other.register();
  const farewell = { guid: pc.guid!, reason: 'uninstall', sentAt: site.clock.now().toISOString() };
  assert.equal((await other.post('/ccm_system/farewell', farewell, other.signer)).code, 'PP_MSG_SIGNATURE');
  assert.equal((await pc.post('/ccm_system/farewell', { ...farewell, reason: 'bored' }, pc.signer)).status, 400);
  assert.equal((await pc.post('/ccm_system/farewell', farewell, pc.signer)).status, 200);
  assert.equal((await pc.post('/ccm_system/farewell', farewell, pc.signer)).status, 200);
  assert.deepEqual(await history(pc.guid!), ['left by client', 'registered by site']);
  const [device] = await site.records.resource.find('PC042');
  assert.equal(device!.client.installed, false);
});

test('the token of a push whose client has another key since signs nothing once the client is blocked', async (t) => {
  const { site, url, token, decide } = await start(t);
  const pc = new Pc(site, url);
  const first = await token('PC042');
  await pc.register(pc.proven(first));
  const { guid } = pc;
  pc.reinstall();
  await pc.register(pc.proven(await token('PC042')));
  assert.equal(pc.guid, guid);
  const say = (stateId: number) =>
    pc.post('/ccm_system/state', pc.state(stateId), { token: first.id, tokenKey: tokenKeyOf(first.secret) });
  assert.equal((await say(100)).status, 200);
  await decide(guid!, 'block');
  assert.equal((await say(400)).code, 'PP_CLIENT_BLOCKED');
});

test('a rejected machine that comes with the token of another push and another hardware id is held for a person, with the history', async (t) => {
  const { site, url, token, decide, conflicts, history, settings } = await start(t);
  const pc = new Pc(site, url);
  await pc.register(pc.proven(await token('PC042')));
  const rejected = pc.guid!;
  await decide(rejected, 'reject');
  pc.reinstall();
  const other = { hardwareId: 'OTHER-BOARD-1', name: 'PC777', fqdn: 'pc777.corp.example' };
  assert.equal((await pc.register(pc.proven(await token('PC042'), other))).json['approval'], 'pending');
  const [found] = await conflicts();
  assert.deepEqual([found!.guid, found!.conflict['kind'], found!.conflict['holds']], [pc.guid, 'rejected', true]);
  assert.equal((found!.conflict['other'] as { guid: string }).guid, rejected);
  assert.deepEqual(await history(pc.guid!), ['conflict by site', 'registered by site']);
  assert.equal((await pc.register(pc.proven(await token('PC042'), other))).json['approval'], 'pending');
  assert.equal((await decide(pc.guid!, 'approve')).code, 'PP_CLIENT_CONFLICT');
  // Nor in the mode in which everybody is approved, nor for who came as a stranger first.
  await settings({ approval: 'all' });
  pc.reinstall();
  assert.equal((await pc.register(pc.registration({ hardwareId: 'OTHER-BOARD-2' }))).json['approval'], 'pending');
  await decide(pc.guid!, 'new');
  assert.equal((await decide(pc.guid!, 'approve')).done, true);
});

test('a decision is about the name and the key that were shown: a client that renames itself just before is refused', async (t) => {
  const { site, url, decide, call } = await start(t);
  const pc = new Pc(site, url, 'PC777');
  await pc.register();
  const shown = (await call('GET', `/clients/${pc.guid}`)).json as { name: string; keyId: string };
  const seen = { ifName: shown.name, ifKey: shown.keyId };
  assert.equal((await decide(pc.guid!, 'approve', { ...seen, ifKey: '0'.repeat(64) })).code, 'PP_CLIENT_CHANGED');
  await pc.beat({ name: 'PC042', fqdn: 'pc042.corp.example' });
  for (const action of ['approve', 'reject', 'unblock', 'block'])
    assert.equal((await decide(pc.guid!, action, seen)).code, 'PP_CLIENT_CHANGED');
  assert.equal((await call('GET', `/clients/${pc.guid}`)).json.approval, 'pending');
  // Between the moment in which the site found it by its name and the decision there is room for a heartbeat too.
  const { trust } = site.records.client;
  const locked = trust.locked.bind(trust);
  t.mock.method(trust, 'locked', async (...args: Parameters<typeof locked>) => {
    await pc.beat({ name: 'PC043', fqdn: 'pc043.corp.example' });
    return locked(...args);
  });
  assert.equal((await decide('PC042', 'approve')).code, 'PP_CLIENT_CHANGED');
  t.mock.restoreAll();
  assert.equal((await decide(pc.guid!, 'approve', { ifName: 'pc043', ifKey: shown.keyId })).done, true);
});
