import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { ManualClock } from '#base/clock';
import { PolicyUpkeep } from '#components/upkeep';
import { manual, TestSite } from '#test/points';
import { Pc } from '#test/pc';

const HOUR = 3_600_000;

interface Shown {
  id: number;
  state: string;
  wave: number;
  stopReason?: string;
  counts: Record<string, number>;
}

async function start(t: TestContext, machines = 1) {
  const site = await TestSite.make(t, manual());
  const names = Array.from({ length: machines }, (_, n) => `PC${n}`);
  await site.know(...names);
  const { url } = await site.managementPoint();
  const { call } = await site.console();
  const pcs: Pc[] = [];
  for (const name of names) {
    const [device] = await site.records.resource.find(name);
    const expiresAt = new Date(site.clock.now().getTime() + 240 * HOUR);
    const pc = new Pc(site, url, name);
    await pc.register(
      pc.proven(await site.records.client.issueToken({ resourceId: device!.id, name, domain: 'CORP', expiresAt })),
    );
    pcs.push(pc);
  }
  const ask = async (body: Record<string, unknown>): Promise<number> => {
    const answer = await call('POST', '/policies', body);
    assert.equal(answer.status, 200, answer.text);
    return answer.json.id as number;
  };
  const shown = async (id: number) => (await call('GET', `/policies/${id}`)).json as Shown;
  const policy = async (pc: Pc) => (await pc.get('/ccm_system/policy')).json;
  const asked = async () => {
    const all = await Promise.all(pcs.map(async (pc) => ((await policy(pc))['upgrade'] ? pc.name : '')));
    return all.filter((name) => name !== '');
  };
  const round = () => site.records.policy.advance();
  await site.records.package.add(
    {
      name: 'client',
      version: '2.0.0',
      platform: 'windows',
      bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup', arguments: '/service' },
      payload: { file: 'client.msi', command: 'msiexec /i client.msi' },
      verify: { service: 'CcmExec' },
      requires: { minimumBuild: 14_393, architectures: [] },
      prerequisites: [{ file: 'runtime.cab', command: 'expand.exe runtime.cab' }],
    },
    ['ccmsetup.exe', 'client.msi', 'runtime.cab'].map((name) => ({ name, sha256: site.sha256, size: 100_000 })),
    'test',
  );
  return { site, url, call, pcs, ask, shown, policy, asked, round, clock: site.clock as ManualClock };
}

test('an upgrade stands in the policy of the client that is meant, and is over when it is of that version', async (t) => {
  const { call, pcs, ask, shown, policy, round, site } = await start(t, 2);
  const [pc, other] = pcs as [Pc, Pc];
  const before = (await pc.beat()).json['policyRevision'];
  const id = await ask({ kind: 'upgrade', clients: ['PC0'], notBefore: '2030-01-01T00:00:00+02:00' });
  assert.equal((await call('GET', `/policies/${id}`)).json.target, '1 client');
  await round();
  assert.notEqual((await pc.beat()).json['policyRevision'], before);
  assert.deepEqual((await policy(pc))['upgrade'], {
    version: '2.0.0',
    files: ['ccmsetup.exe', 'client.msi', 'runtime.cab'].map((name) => ({ name, sha256: site.sha256, size: 100_000 })),
    bootstrap: 'ccmsetup.exe',
    arguments: '/service',
    payload: 'client.msi',
    command: 'msiexec /i client.msi',
    requires: { minimumBuild: 14_393 },
    prerequisites: [{ file: 'runtime.cab', command: 'expand.exe runtime.cab' }],
    notBefore: '2029-12-31T22:00:00.000Z',
  });
  assert.equal((await policy(other))['upgrade'], undefined);
  await round();
  assert.deepEqual(await shown(id).then(({ state, counts }) => [state, counts]), ['active', { offered: 1 }]);
  await pc.beat({ clientVersion: '2.0.0' });
  await round();
  assert.deepEqual(await shown(id).then(({ state, counts }) => [state, counts]), ['finished', { done: 1 }]);
  assert.equal((await policy(pc))['upgrade'], undefined);
});

test('waves: the next is asked when the one before it is through, and too many failures stop it and take back what is open', async (t) => {
  const { site, pcs, ask, shown, asked, round, call, clock } = await start(t, 7);
  const id = await ask({ kind: 'upgrade', collection: 'All Systems', waveSize: 2, stopAfter: { failures: 1 } });
  // The collection is empty until somebody evaluates it.
  assert.deepEqual((await shown(id)).counts, {});
  await call('POST', `/policies/${id}/cancel`);
  await site.records.collection.evaluate(undefined);
  const next = await ask({ kind: 'upgrade', collection: 'all systems', waveSize: 2, stopAfter: { failures: 1 } });
  assert.deepEqual((await shown(next)).counts, { waiting: 7 });
  await round();
  assert.deepEqual(await asked(), ['PC0', 'PC1']);
  await round();
  assert.deepEqual(await asked(), ['PC0', 'PC1']);
  await pcs[0]!.beat({ clientVersion: '2.0.0' });
  await round();
  assert.deepEqual(await asked(), ['PC1']);
  // The second one's installer fails.
  await clock.advance(1000);
  await pcs[1]!.post('/ccm_system/state', pcs[1]!.state(313, { detail: 'error 1603' }), pcs[1]!.signer);
  await round();
  assert.deepEqual(await asked(), ['PC2', 'PC3']);
  assert.equal((await shown(next)).wave, 2);
  await clock.advance(1000);
  await pcs[2]!.post('/ccm_system/state', pcs[2]!.state(325), pcs[2]!.signer);
  await round();
  const stopped = await shown(next);
  assert.deepEqual([stopped.state, stopped.stopReason], ['stopped', '2 of 7 clients have failed, 1 were allowed']);
  assert.deepEqual(stopped.counts, { done: 1, failed: 2, withdrawn: 1, waiting: 3 });
  assert.deepEqual(await asked(), []);
  await round();
  assert.deepEqual(await asked(), []);
  const failed = (await call('GET', `/policies/${next}`)).json.targets[0];
  assert.deepEqual([failed.name, failed.state, failed.detail], ['PC1', 'failed', 'state 313: error 1603']);
  // Who goes on has seen it: the limit goes, and who was taken back is asked again.
  assert.equal((await call('POST', `/policies/${next}/resume`)).json.done, true);
  await round();
  assert.deepEqual(await asked(), ['PC3', 'PC4']);
});

test('a hint that nobody signed fails nobody, nor does a restart that is needed; who was heard and has not done it has failed after the patience; who is away has not', async (t) => {
  const { pcs, ask, shown, round, clock } = await start(t, 3);
  const id = await ask({ kind: 'upgrade', clients: ['PC0', 'PC1', 'PC2'], patienceHours: 4 });
  await round();
  await clock.advance(3 * HOUR);
  await pcs[0]!.beat();
  // One that waits for a restart goes on by itself after it.
  await pcs[0]!.post('/ccm_system/state', pcs[0]!.state(317), pcs[0]!.signer);
  await pcs[1]!.beat({ clientVersion: '2.0.0' });
  await round();
  assert.deepEqual((await shown(id)).counts, { done: 1, offered: 2 });
  await clock.advance(2 * HOUR);
  await round();
  assert.deepEqual((await shown(id)).counts, { done: 1, failed: 1, offered: 1 });
});

test('machines that are away do not hold the next wave for ever', async (t) => {
  const { ask, shown, round, clock } = await start(t, 4);
  const id = await ask({ kind: 'upgrade', clients: ['PC0', 'PC1', 'PC2', 'PC3'], waveSize: 2, patienceHours: 2 });
  await round();
  await round();
  assert.deepEqual((await shown(id)).counts, { offered: 2, waiting: 2 });
  await clock.advance(3 * HOUR);
  await round();
  assert.deepEqual((await shown(id)).counts, { offered: 4 });
});

test('uninstall and migrate are done when the client says farewell; what is asked later of the same kind counts', async (t) => {
  const { pcs, ask, shown, policy, round, site, call } = await start(t, 2);
  const gone = await ask({ kind: 'uninstall', clients: [pcs[0]!.guid!] });
  const moved = await ask({ kind: 'migrate', clients: ['PC1'], to: 'p02', managementPoints: ['http://mp2.corp.example:8480/'] });
  await round();
  assert.equal((await policy(pcs[0]!))['uninstall'], true);
  assert.deepEqual((await policy(pcs[1]!))['migrate'], { site: 'P02', managementPoints: ['http://mp2.corp.example:8480'] });
  const other = await ask({ kind: 'migrate', clients: ['PC1'], to: 'P03', managementPoints: ['http://mp3.corp.example'] });
  await round();
  assert.equal(((await policy(pcs[1]!))['migrate'] as { site: string }).site, 'P03');
  await round();
  assert.equal((await shown(moved)).counts['withdrawn'], 1);
  for (const [n, reason] of ['uninstall', 'migrate'].entries()) {
    const farewell = { guid: pcs[n]!.guid!, reason, sentAt: site.clock.now().toISOString() };
    assert.equal((await pcs[n]!.post('/ccm_system/farewell', farewell, pcs[n]!.signer)).status, 200);
  }
  await round();
  assert.deepEqual([(await shown(gone)).state, (await shown(other)).state], ['finished', 'finished']);
  assert.equal((await call('POST', '/policies', { kind: 'migrate', clients: ['PC1'], to: 'P09' })).status, 404);
  const pc = new Pc(site, pcs[0]!.url, 'PC9');
  await pc.register();
  assert.equal((await call('POST', '/policies', { kind: 'migrate', clients: ['PC9'], to: 'P09' })).json.code, 'PP_API_INVALID');
});

test('what is asked of a collection or site goes to approved clients only, and with follow to those that come later', async (t) => {
  const { site, url, ask, shown, policy, round, call } = await start(t, 1);
  const waits = new Pc(site, url, 'PC7');
  await waits.register();
  const once = await ask({ kind: 'uninstall', site: 'P01' });
  const id = await ask({ kind: 'upgrade', site: 'P01', follow: true });
  await round();
  assert.equal((await policy(waits))['upgrade'], undefined);
  assert.deepEqual([(await shown(once)).counts, (await shown(id)).counts], [{ offered: 1 }, { offered: 1 }]);
  assert.equal((await call('POST', '/policies', { kind: 'uninstall', site: 'P77' })).status, 404);
  await call('POST', `/clients/${waits.guid}/approve`);
  await round();
  const { upgrade, uninstall } = await policy(waits);
  assert.equal(uninstall, undefined);
  assert.equal((upgrade as { version: string } | undefined)?.version, '2.0.0');
  assert.equal((await call('POST', `/policies/${id}/cancel`)).json.assignment.state, 'cancelled');
  assert.equal((await policy(waits))['upgrade'], undefined);
});

test('a dry run asks nobody; pause and wrong wishes', async (t) => {
  const { ask, call, round, asked } = await start(t, 2);
  const dry = await call('POST', '/policies?dryRun=true', { kind: 'upgrade', clients: ['PC0'] });
  assert.deepEqual(dry.json.counts, { waiting: 1 });
  assert.deepEqual((await call('GET', '/policies')).json.items, []);
  const id = await ask({ kind: 'upgrade', clients: ['PC0'] });
  await call('POST', `/policies/${id}/pause`);
  await round();
  assert.deepEqual(await asked(), []);
  await call('POST', `/policies/${id}/resume`);
  await round();
  assert.deepEqual(await asked(), ['PC0']);
  const code = async (body: unknown) => (await call('POST', '/policies', body)).json.code as string;
  assert.equal(await code({ kind: 'upgrade' }), 'PP_API_INVALID');
  assert.equal(await code({ kind: 'upgrade', clients: ['PC0'], site: 'P01' }), 'PP_API_INVALID');
  assert.equal(await code({ kind: 'upgrade', collection: 'nonsense' }), 'PP_API_NOT_FOUND');
  assert.equal(await code({ kind: 'upgrade', clients: ['PC0'], package: 'nonsense' }), 'PP_API_NOT_FOUND');
  assert.equal((await call('POST', '/policies/999/cancel')).json.code, 'PP_API_NOT_FOUND');
});

test('the upkeep of the site does it by itself, over two processes without doing it twice, and audits the end', async (t) => {
  const { site, pcs, ask, shown, policy, call, clock } = await start(t, 1);
  const upkeeps = [1, 2].map(() => new PolicyUpkeep(site.parts));
  for (const upkeep of upkeeps) await upkeep.start();
  t.after(() => Promise.all(upkeeps.map((upkeep) => upkeep.stop())));
  const id = await ask({ kind: 'upgrade', clients: ['PC0'] });
  const turn = async (holds: () => Promise<boolean>) => {
    for (let n = 0; n < 200 && !(await holds()); n++) await clock.advance(500);
    assert.ok(await holds());
  };
  await turn(async () => (await policy(pcs[0]!))['upgrade'] !== undefined);
  await pcs[0]!.beat({ clientVersion: '2.0.0' });
  await turn(async () => (await shown(id)).state === 'finished');
  assert.equal((await shown(id)).wave, 1);
  const ends = async () =>
    ((await call('GET', '/audit')).json.items as { what: string }[]).filter(({ what }) => what === 'policy.finished');
  await turn(async () => (await ends()).length > 0);
  assert.equal((await ends()).length, 1);
});
