import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import type { ManualClock } from '#base/clock';
import { manual, TestSite } from '#test/points';
import { Pc } from '#test/pc';

const HOUR = 3_600_000;
const HARDWARE = '4C4C4544-0042-3510-8054-B7C04F564231';

interface Found {
  guid: string;
  conflict: { kind: string; holds: boolean; score: number; other?: { guid: string } };
}

async function start(t: TestContext, client: Record<string, unknown> = {}) {
  const site = await TestSite.make(t, manual());
  await site.know('PC042', 'PC043');
  const point = await site.managementPoint();
  const { call } = await site.console();
  await call('PATCH', '/settings', { client });
  const token = async (name: string) => {
    const [device] = await site.records.resource.find(name);
    const expiresAt = new Date(site.clock.now().getTime() + 24 * HOUR);
    return site.records.client.issueToken({ resourceId: device!.id, name, domain: 'CORP', expiresAt });
  };
  const decide = async (guid: string, action: string, body?: unknown) => {
    const answer = await call('POST', `/clients/${guid}/${action}`, body);
    return { status: answer.status, ...(answer.json as { code?: string; done?: boolean; guid?: string }) };
  };
  const conflicts = async () => (await call('GET', '/clients/conflicts')).json.items as Found[];
  const history = async (guid: string) =>
    ((await call('GET', `/clients/${guid}`)).json.history as { what: string }[]).map(({ what }) => what);
  return { site, url: point.url, point, call, token, decide, conflicts, history, clock: site.clock as ManualClock };
}

test('a machine that was pushed again after a new installation keeps its SMSID and its history', async (t) => {
  const { site, url, token, history } = await start(t);
  const pc = new Pc(site, url);
  await pc.register(pc.proven(await token('PC042')));
  await pc.beat();
  const before = pc.guid!;
  const old = { key: pc.key, guid: before };
  pc.reinstall();
  assert.equal((await pc.register(pc.proven(await token('PC042')))).json['approval'], 'approved');
  assert.equal(pc.guid, before);
  assert.equal((await pc.beat()).status, 200);
  assert.deepEqual(await history(before), ['reimaged', 'registered']);
  assert.equal((await site.records.client.list()).items.length, 1);
  // The key from before signs nothing any more, and whoever registers with it is looked at.
  assert.equal(
    (await pc.post('/ccm_system/heartbeat', pc.heartbeat(), { client: before, privateKey: old.key })).code,
    'PP_MSG_SIGNATURE',
  );
});

test('what was rejected stays so, also under a new key that a push proved', async (t) => {
  const { site, url, token, decide, history } = await start(t);
  const pc = new Pc(site, url);
  await pc.register(pc.proven(await token('PC042')));
  const { guid } = pc;
  await decide(guid!, 'reject');
  pc.reinstall();
  assert.equal((await pc.register(pc.proven(await token('PC042')))).json['approval'], 'rejected');
  assert.equal(pc.guid, guid);
  assert.deepEqual(await history(guid!), ['reimaged', 'rejected', 'registered']);
});

test('a key that was given up is held when it comes back', async (t) => {
  const { site, url, token, conflicts, decide } = await start(t);
  const pc = new Pc(site, url);
  await pc.register(pc.proven(await token('PC042')));
  const [key, guid] = [pc.key, pc.guid!];
  pc.reinstall();
  await pc.register(pc.proven(await token('PC042')));
  const back = new Pc(site, url);
  back.key = key;
  assert.equal((await back.register(back.proven(await token('PC042')))).json['approval'], 'pending');
  const [found] = await conflicts();
  assert.deepEqual([found!.conflict.kind, found!.conflict.holds, found!.conflict.other!.guid], ['retired', true, guid]);
  // The disk was restored from a backup: it is that machine.
  assert.equal((await decide(back.guid!, 'merge')).guid, guid);
  assert.equal((await back.beat()).code, 'PP_CLIENT_UNKNOWN');
  assert.equal((await back.register()).json['guid'], guid);
  assert.equal((await back.beat()).json['approval'], 'approved');
});

test('with the setting new, a proven machine gets a new record, and the old one is obsolete', async (t) => {
  const { site, url, token } = await start(t, { reimage: 'new' });
  const pc = new Pc(site, url);
  await pc.register(pc.proven(await token('PC042')));
  const before = pc.guid!;
  pc.reinstall();
  await pc.register(pc.proven(await token('PC042')));
  assert.notEqual(pc.guid, before);
  assert.equal((await site.records.client.byGuid(before))!.obsolete, true);
});

test('automatic: a hardware id that is there already gives a record of its own; approving it ends the old one if that was not heard since', async (t) => {
  const { site, url, decide, conflicts, clock } = await start(t);
  const old = new Pc(site, url);
  await old.register(old.registration({ hardwareId: HARDWARE }));
  await decide(old.guid!, 'approve');
  await clock.advance(60_000);
  const fresh = new Pc(site, url, 'PC043');
  // However it is written: braces, case, the version digit of the original.
  await fresh.register(fresh.registration({ hardwareId: `2:{${HARDWARE.toLowerCase()}}` }));
  const [found] = await conflicts();
  assert.deepEqual(
    [found!.guid, found!.conflict.kind, found!.conflict.holds, found!.conflict.score],
    [fresh.guid, 'hardware', false, 60],
  );
  assert.equal((await site.records.client.byGuid(old.guid!))!.obsolete, false);
  await decide(fresh.guid!, 'approve');
  assert.equal((await site.records.client.byGuid(old.guid!))!.obsolete, true);
  assert.deepEqual(await conflicts(), []);
});

test('automatic: two machines that are both alive stay two', async (t) => {
  const { site, url, decide, clock } = await start(t);
  const one = new Pc(site, url);
  const two = new Pc(site, url, 'PC043');
  await one.register(one.registration({ hardwareId: HARDWARE }));
  await decide(one.guid!, 'approve');
  await two.register(two.registration({ hardwareId: HARDWARE }));
  await clock.advance(60_000);
  await one.beat({ hardwareId: HARDWARE });
  await decide(two.guid!, 'approve');
  assert.equal((await site.records.client.byGuid(one.guid!))!.obsolete, false);
});

test('manual: a conflict waits for merge, new or block', async (t) => {
  const { site, url, decide, conflicts, history, call } = await start(t, { conflicts: 'manual', approval: 'all' });
  const old = new Pc(site, url);
  await old.register(old.registration({ hardwareId: HARDWARE }));
  const come = async (name: string) => {
    const pc = new Pc(site, url, name);
    assert.equal((await pc.register(pc.registration({ hardwareId: HARDWARE }))).json['approval'], 'pending');
    return pc;
  };
  const same = await come('PC042');
  const [found] = await conflicts();
  assert.deepEqual([found!.conflict.holds, found!.conflict.score, found!.conflict.other!.guid], [true, 75, old.guid]);
  assert.equal((await decide(same.guid!, 'approve')).code, 'PP_CLIENT_CONFLICT');
  // Merge: it is that machine. It hears that its SMSID is unknown, registers with its key, and is the old record.
  const merged = await decide(same.guid!, 'merge');
  assert.deepEqual([merged.status, merged.guid], [200, old.guid]);
  assert.equal((await same.beat({ hardwareId: HARDWARE })).code, 'PP_CLIENT_UNKNOWN');
  assert.equal((await same.register(same.registration({ hardwareId: HARDWARE }))).json['guid'], old.guid);
  assert.equal((await same.beat({ hardwareId: HARDWARE })).json['approval'], 'approved');
  assert.equal(
    (await old.post('/ccm_system/heartbeat', { ...old.heartbeat(), guid: old.guid }, old.signer)).code,
    'PP_MSG_SIGNATURE',
  );
  assert.deepEqual(await history(old.guid!), ['merged', 'conflict', 'registered', 'registered']);
  // New: a machine of its own, which can be approved then.
  const other = await come('PC043');
  assert.equal((await decide(other.guid!, 'new')).done, true);
  assert.equal((await decide(other.guid!, 'approve')).done, true);
  assert.equal((await decide(other.guid!, 'new')).code, 'PP_CLIENT_NO_CONFLICT');
  // Block: and the next one with that hardware is held for the block.
  const thief = await come('PC044');
  assert.equal((await decide(thief.guid!, 'block')).done, true);
  assert.equal((await thief.beat()).code, 'PP_CLIENT_BLOCKED');
  assert.deepEqual(await conflicts(), []);
  const audit = (await call('GET', '/audit')).json.items as { what: string }[];
  const decisions = audit.map(({ what }) => what).filter((what) => /client\.(merge|new|block|approve)$/.test(what));
  assert.deepEqual(decisions.toSorted(), ['client.approve', 'client.block', 'client.merge', 'client.new']);
});

test('a dry run of a decision changes nothing', async (t) => {
  const { site, url, conflicts, call } = await start(t, { conflicts: 'manual' });
  const old = new Pc(site, url);
  await old.register(old.registration({ hardwareId: HARDWARE }));
  const pc = new Pc(site, url, 'PC043');
  await pc.register(pc.registration({ hardwareId: HARDWARE }));
  const answer = await call('POST', `/clients/${pc.guid}/merge?dryRun=true`);
  assert.deepEqual([answer.status, answer.json.guid], [200, old.guid]);
  assert.equal((await conflicts()).length, 1);
  assert.ok(await site.records.client.byGuid(pc.guid!));
});

test('hardware ids that tell nothing are not compared: those that boards carry, and those on the list', async (t) => {
  const { site, url, conflicts, call } = await start(t, { conflicts: 'manual' });
  const two = async (hardwareId: string) => {
    for (let n = 0; n < 2; n++) {
      const pc = new Pc(site, url, `PC${randomUUID().slice(0, 8)}`);
      await pc.register(pc.registration({ hardwareId }));
    }
    return (await conflicts()).length;
  };
  assert.equal(await two('To be filled by O.E.M.'), 0);
  assert.equal(await two('00000000-0000-0000-0000-000000000000'), 0);
  assert.equal(await two(HARDWARE), 1);
  const added = await call('POST', '/clients/bad-hardware', { hardwareId: HARDWARE.toLowerCase(), why: 'dock' });
  assert.deepEqual([added.status, added.json.hardwareId, added.json.closed], [200, HARDWARE, 1]);
  assert.equal(await two(HARDWARE), 0);
  assert.equal((await call('GET', '/clients/bad-hardware')).json.items[0].why, 'dock');
  assert.equal((await call('DELETE', `/clients/bad-hardware/${HARDWARE}`)).status, 200);
  assert.equal((await call('DELETE', `/clients/bad-hardware/${HARDWARE}`)).status, 404);
  assert.equal(await two(HARDWARE), 2);
  assert.equal((await call('POST', '/clients/bad-hardware', { hardwareId: 'None' })).json.code, 'PP_CLIENT_HARDWARE');
});

test('one key on two machines raises an alarm once: two hardware ids', async (t) => {
  const { site, url, token, conflicts, call } = await start(t);
  const pc = new Pc(site, url);
  await pc.register(pc.proven(await token('PC042')));
  const startedAt = site.clock.now().toISOString();
  await pc.beat({ startedAt });
  await pc.beat({ startedAt });
  assert.deepEqual(await conflicts(), []);
  await pc.beat({ hardwareId: HARDWARE });
  await pc.beat({ startedAt });
  await pc.beat({ hardwareId: HARDWARE });
  const found = await conflicts();
  assert.deepEqual(
    found.map(({ conflict }) => conflict.kind),
    ['clone'],
  );
  const audit = (await call('GET', '/audit')).json.items as { what: string; detail: { code: string } }[];
  assert.deepEqual(
    audit.filter(({ what }) => what === 'client.conflict').map(({ detail }) => detail.code),
    ['clone'],
  );
});

test('one key on two machines: an earlier run of the agent speaks again; a restart does not look like it', async (t) => {
  const { site, url, conflicts, clock } = await start(t);
  const pc = new Pc(site, url);
  await pc.register();
  const runs: string[] = [];
  for (let n = 0; n < 3; n++) {
    runs.push(clock.now().toISOString());
    await pc.beat({ startedAt: runs[n]! });
    await pc.beat({ startedAt: runs[n]! });
    await clock.advance(60_000);
  }
  assert.deepEqual(await conflicts(), []);
  await pc.beat({ startedAt: runs[1]! });
  assert.deepEqual(
    (await conflicts()).map(({ conflict }) => conflict.kind),
    ['clone'],
  );
});

test('one key on two machines: a sequence number goes back in a message that is newer; a late or repeated one does not', async (t) => {
  const { site, url, conflicts, clock } = await start(t);
  const pc = new Pc(site, url);
  await pc.register();
  const startedAt = clock.now().toISOString();
  const early = pc.heartbeat({ startedAt });
  await clock.advance(1000);
  await pc.beat({ startedAt });
  await clock.advance(1000);
  const last = pc.heartbeat({ startedAt });
  await pc.post('/ccm_system/heartbeat', last, pc.signer);
  // Late: made before what was taken. Repeated: its reply was lost.
  assert.equal((await pc.post('/ccm_system/heartbeat', early, pc.signer)).json['lastSequence'], 3);
  await clock.advance(1000);
  await pc.post('/ccm_system/heartbeat', { ...last, sentAt: clock.now().toISOString() }, pc.signer);
  assert.deepEqual(await conflicts(), []);
  // A copy of the disk from before, started elsewhere. It is told from where to go on, and is heard with that.
  const copy = { sequence: 2, startedAt: clock.now().toISOString() };
  const answer = await pc.beat(copy);
  assert.equal(answer.json['lastSequence'], 3);
  assert.deepEqual(
    (await conflicts()).map(({ conflict }) => conflict.kind),
    ['clone'],
  );
  const after = await pc.beat({ ...copy, sequence: 4 });
  assert.equal(after.json['lastSequence'], undefined);
});

test('a clone alarm is decided: one machine after all, or two that each make a key of their own', async (t) => {
  const { site, url, conflicts, decide, token } = await start(t);
  const pc = new Pc(site, url);
  await pc.register(pc.proven(await token('PC042')));
  await pc.beat();
  await pc.beat({ hardwareId: HARDWARE });
  assert.equal((await decide(pc.guid!, 'merge')).guid, pc.guid);
  assert.deepEqual(await conflicts(), []);
  await pc.beat({ hardwareId: HARDWARE });
  assert.deepEqual(await conflicts(), []);
  await pc.beat();
  assert.equal((await conflicts()).length, 1);
  assert.equal((await decide(pc.guid!, 'new')).done, true);
  assert.equal((await pc.beat()).code, 'PP_CLIENT_UNKNOWN');
  assert.deepEqual(await pc.register().then(({ status, code }) => [status, code]), [409, 'PP_CLIENT_KEY_RETIRED']);
  pc.reinstall();
  assert.equal((await pc.register()).status, 200);
});

test('two registrations of one hardware id at the same moment: two clients, and one of them is in conflict with the other', async (t) => {
  const { site, url, conflicts } = await start(t, { conflicts: 'manual' });
  const { url: second } = await site.managementPoint();
  const pcs = Array.from({ length: 8 }, (_, n) => new Pc(site, n % 2 ? url : second, `PC${n}`));
  await Promise.all(pcs.map((pc) => pc.register(pc.registration({ hardwareId: HARDWARE }))));
  assert.equal(new Set(pcs.map(({ guid }) => guid)).size, 8);
  const found = await conflicts();
  // The first had nobody before it; each of the others has.
  assert.equal(found.length, 7);
  const first = pcs.find(({ guid }) => !found.some((one) => one.guid === guid))!;
  assert.ok(found.some(({ conflict }) => conflict.other!.guid === first.guid));
});

test('500 registrations at once over two management points: none lost, none doubled, and all there after a restart', async (t) => {
  const { site, url, point } = await start(t);
  const names = Array.from({ length: 500 }, (_, n) => `M${String(n).padStart(3, '0')}`);
  await site.know(...names);
  const { url: second } = await site.managementPoint();
  const expiresAt = new Date(site.clock.now().getTime() + HOUR);
  const devices = new Map((await site.records.resource.list({ limit: 1000 })).items.map((one) => [one.name, one.id]));
  const pcs = await Promise.all(
    names.map(async (name, n) => {
      const pc = new Pc(site, n % 2 ? url : second, name);
      const token = await site.records.client.issueToken({ resourceId: devices.get(name), name, domain: 'CORP', expiresAt });
      return { pc, registration: pc.proven(token) };
    }),
  );
  // Each comes twice, as one whose answer was cut off does.
  const answers = await Promise.all(
    pcs.flatMap(({ pc, registration }) => [pc.register(registration), pc.register(registration)]),
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal(new Set(answers.map(({ json }) => json['guid'])).size, 500);
  const { items } = await site.records.client.list({ limit: 1000 });
  assert.equal(items.length, 500);
  assert.ok(items.every(({ approval, resourceId }) => approval === 'approved' && resourceId !== undefined));
  await point.close();
  const { url: restarted } = await site.managementPoint();
  for (const { pc, registration } of pcs.slice(0, 20)) {
    const { guid } = pc;
    pc.url = restarted;
    assert.equal((await pc.beat()).status, 200);
    assert.equal((await pc.register(registration)).json['guid'], guid);
  }
  assert.equal((await site.records.client.list({ limit: 1000 })).items.length, 500);
});

test('a blocked client that is merged into one that is not blocked stays blocked, which is said', async (t) => {
  const { site, url, call } = await start(t);
  const [kept, blocked] = [new Pc(site, url, 'PC042'), new Pc(site, url, 'PC043')];
  await kept.register();
  await blocked.register();
  await call('POST', `/clients/${blocked.guid}/block`);
  const merged = (await call('POST', `/clients/${blocked.guid}/merge`, { into: kept.guid })).json;
  assert.deepEqual([merged.guid, merged.blocked], [kept.guid, true]);
  assert.equal((await blocked.register()).code, 'PP_CLIENT_BLOCKED');
  assert.equal((await call('GET', `/clients/${kept.guid}`)).json.blocked, true);
});
