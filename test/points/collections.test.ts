import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { CollectionUpkeep } from '#components/upkeep';
import { manual, TestSite } from '#test/points';
import { eventually } from '#test/whole-site';

async function start(t: TestContext) {
  const clock = manual();
  const site = await TestSite.make(t, clock);
  const { call } = await site.console();
  return { site, call, clock };
}

const pc = (name: string, ip: string, more: object = {}) => ({
  name,
  domain: 'CORP',
  addresses: [ip],
  type: 'workstation',
  os: 'Windows 11',
  ...more,
});

test('machines are listed by a filter, page by page, and a wrong one is a problem with its column', async (t) => {
  const { site, call } = await start(t);
  await site.know(pc('PC1', '10.1.0.1'), pc('PC2', '10.2.0.1'), pc('PC3', '10.1.0.3', { os: 'Windows 10' }));
  const filter = encodeURIComponent('address in 10.1.0.0/16 and not os like "windows 10*"');
  const { json } = await call('GET', `/devices?filter=${filter}`);
  assert.deepEqual(
    json.items.map((i: { name: string }) => i.name),
    ['PC1'],
  );
  const wrong = await call('GET', `/devices?filter=${encodeURIComponent('adress in 10.1.0.0/16')}`);
  assert.deepEqual([wrong.status, wrong.json.code], [400, 'PP_FILTER']);
  assert.match(wrong.json.detail, /at column 1: there is no field "adress"; did you mean address\?/);
  const { items } = (await call('GET', '/device-fields')).json;
  assert.ok(items.some((f: { name: string; wants: string }) => f.name === 'type' && /workstation, server/.test(f.wants)));
});

test('a collection is tried, made, changed, used and deleted, and the audit log has all of it', async (t) => {
  const { site, call } = await start(t);
  await site.know(pc('PC1', '10.1.0.1'), pc('PC2', '10.1.0.2'), pc('PC3', '10.2.0.3'));
  const body = { name: 'Berlin / no', query: 'address in 10.1.0.0/16' };
  assert.deepEqual([(await call('POST', '/collections', body)).json.code], ['PP_COLLECTION_NAME']);
  body.name = 'Berlin & more?';
  const tried = await call('POST', '/collections?dryRun=true', body);
  assert.deepEqual([tried.status, tried.json.members], [200, 2]);
  assert.equal((await call('GET', `/collections/${encodeURIComponent(body.name)}`)).status, 404);
  assert.equal((await call('POST', '/collections', body)).json.members, 2);
  const path = `/collections/${encodeURIComponent(body.name)}`;
  const added = await call('POST', `${path}/add`, { names: ['PC3'] });
  assert.deepEqual([added.status, added.json.members, added.json.direct], [200, 3, 1], added.text);
  assert.equal((await call('POST', `${path}/add`, { names: ['NONE'] })).status, 404);
  assert.equal((await call('POST', `${path}/add`, {})).status, 400);
  await call('POST', '/collections', { name: 'Pilot', names: ['PC1'], under: body.name });
  // A machine that came just now is among the members, though nobody keeps them up to date here.
  await site.know(pc('PC4', '10.1.0.4'));
  const first = await call('GET', `${path}/members?limit=2`);
  assert.deepEqual(
    first.json.items.map((i: { name: string }) => i.name),
    ['PC1', 'PC2'],
  );
  const second = await call('GET', `${path}/members?limit=2&cursor=${first.json.next}&subcollections=true`);
  assert.deepEqual([second.json.items.map((i: { name: string }) => i.name), second.json.next], [['PC3', 'PC4'], undefined]);
  const filtered = await call('GET', `${path}/members?filter=${encodeURIComponent('name in (PC4, PC1)')}`);
  assert.equal(filtered.json.items.length, 2);
  assert.deepEqual((await call('POST', `${path}/remove`, { names: ['PC3'] })).json.members, 3);
  assert.equal((await call('DELETE', path)).json.code, 'PP_COLLECTION_USED');
  assert.equal((await call('DELETE', '/collections/pilot')).status, 200);
  assert.equal((await call('DELETE', path)).status, 200);
  assert.equal((await call('POST', '/collections/evaluate', {})).json.items.length, 4);
  const { items } = await site.records.audit.list({});
  const what = new Set(items.map((i) => i.what));
  for (const one of ['create', 'add', 'remove', 'delete', 'evaluate']) assert.ok(what.has(`collection.${one}`), one);
  assert.equal(items.filter((i) => i.what === 'collection.create').length, 2, 'a trial is not written');
});

test('a collection is changed and pushed to, with its subcollections, a filter, and in parts', async (t) => {
  const { site, call } = await start(t);
  await site.know(pc('PC1', '10.1.0.1'), pc('PC2', '10.1.0.2'), pc('PC3', '10.2.0.3'));
  await call('POST', '/collections', { name: 'Berlin', query: 'name = PC9' });
  await call('POST', '/collections', { name: 'Far', names: ['PC3'], under: 'Berlin' });
  const set = (body: object, more = '') => call('PATCH', `/collections/Berlin${more}`, body);
  const query = 'address in 10.1.0.0/16';
  assert.equal((await set({ query }, '?dryRun=true')).json.members, 2);
  assert.equal((await call('GET', '/collections/Berlin')).json.members, 0);
  assert.equal((await set({ query })).json.members, 2);
  assert.deepEqual([(await set({})).status, (await set({ query: 'nmae = x' })).json.code], [400, 'PP_FILTER']);
  const push = async (body: object) => {
    const { status, json } = await call('POST', '/push', { dryRun: true, ...body });
    return status === 200 ? json.items.map((i: { name: string }) => i.name).join(' ') : json.code;
  };
  assert.equal(await push({ collection: 'berlin' }), 'PC1.CORP PC2.CORP PC3.CORP');
  assert.equal(await push({ collection: 'Berlin', subcollections: false }), 'PC1.CORP PC2.CORP');
  assert.equal(await push({ collection: 'Berlin', filter: 'name in (PC2, PC3)', names: ['PC1'] }), 'PC1 PC2.CORP PC3.CORP');
  assert.equal(await push({ filter: 'name = PC2' }), 'PC2.CORP');
  assert.equal(await push({}), 'PP_API_INVALID');
  assert.equal(await push({ filter: ' ' }), 'PP_API_INVALID');
  assert.equal(await push({ collection: 'None' }), 'PP_COLLECTION_UNKNOWN');
  await site.know(...Array.from({ length: 10_001 }, (_, i) => pc(`Z${i}`, '10.9.0.1')));
  const part = (more: object) => call('POST', '/push', { dryRun: true, collection: 'All Systems', ...more });
  const first = (await part({})).json;
  assert.equal(first.items.length, 10_000);
  const last = (await part({ cursor: first.next })).json;
  assert.deepEqual([last.items.length, last.next], [4, undefined]);
  const { items } = await site.records.audit.list({});
  assert.ok(items.some((i) => i.what === 'collection.set' && (i.detail as { queryWas?: string }).queryWas === 'name = PC9'));
});

test('the upkeep of a running site keeps members right without being asked', async (t) => {
  const { site, clock } = await start(t);
  const upkeep = new CollectionUpkeep(site.parts);
  await upkeep.start();
  t.after(() => upkeep.stop());
  const members = async (name: string) => (await site.records.collection.get(name)).members;
  await site.know(pc('PC1', '10.1.0.1'));
  await eventually('the collections to follow', async () => {
    await clock.advance(1000);
    return (await members('All Windows Workstations')) === 1;
  });
  await site.know(pc('PC2', '10.1.0.2'), pc('PC1', '10.1.0.1', { os: 'Linux' }));
  await eventually('the collections to follow', async () => {
    await clock.advance(1000);
    return (await members('All Systems')) === 2 && (await members('All Windows Workstations')) === 1;
  });
});

test('machines are reassigned by a filter', async (t) => {
  const { site, call } = await start(t);
  await site.know(pc('PC1', '10.1.0.1'), pc('PC2', '10.1.0.2', { os: 'Windows 10' }));
  await call('POST', '/boundaries', { boundaries: ['subnet:10.1.0.0/16'] });
  const { json } = await call('POST', '/devices/reassign', { filter: 'os like "*11" and not client.installed' });
  assert.deepEqual([json.changed, json.items[0].name], [1, 'PC1']);
  assert.equal((await call('POST', '/devices/reassign', { filter: 'os like' })).json.code, 'PP_FILTER');
});

test('counts of CCRs are exact, and tell their moment', async (t) => {
  const { site, call, clock } = await start(t);
  await site.records.ccr.request({ name: 'PC1', source: 'push', requestedBy: 'test' });
  const answer = await call('GET', '/ccrs/counts');
  assert.equal(answer.json.queued, 1);
  assert.equal(answer.headers.get('pushpoint-counted-at'), clock.now().toISOString());
});
