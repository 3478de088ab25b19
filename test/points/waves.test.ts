import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manual, TestSite } from '#test/points';

test('a push is a wave: listed, shown, and cancelled, paused and resumed as one', async (t) => {
  const site = await TestSite.make(t, manual());
  const { call } = await site.console();
  await site.know('PC1', 'PC2', 'PC3', 'PC4');
  const dry = await call('POST', '/push', { names: ['PC1'], dryRun: true });
  assert.equal(dry.json.wave, undefined);
  const first = await call('POST', '/push', { names: ['PC1', 'PC2'], stopAfter: { percent: 50 } });
  assert.equal(first.status, 200, first.text);
  const { wave } = first.json;
  assert.deepEqual([first.json.held, first.json.paused], [false, 0]);
  const part = await call('POST', '/push', { names: ['PC3'], wave });
  assert.equal(part.json.wave, wave, 'a further part of a large push');
  const other = await call('POST', '/push', { names: ['PC4'] });
  assert.notEqual(other.json.wave, wave);
  const shown = async () => (await call('GET', `/waves/${wave}`)).json;
  assert.equal((await shown()).machines, 3);
  assert.deepEqual((await shown()).counts, { queued: 3 });
  const list = (await call('GET', `/ccrs?wave=${wave}`)).json.items as { name: string; wave: number }[];
  assert.deepEqual(list.map((c) => c.name).toSorted(), ['PC1', 'PC2', 'PC3']);
  const page = (await call('GET', '/waves?limit=1')).json;
  assert.equal(page.items[0].id, other.json.wave);
  assert.equal((await call('GET', `/waves?limit=1&cursor=${page.next}`)).json.items[0].id, wave);
  const act = async (action: string, more: object = {}) =>
    ((await call('POST', `/ccrs/${action}`, { wave, ...more })).json.items as { done: boolean }[]).filter((i) => i.done).length;
  assert.equal(await act('pause', { dryRun: true }), 3);
  assert.deepEqual((await shown()).counts, { queued: 3 });
  assert.equal(await act('pause'), 3);
  assert.deepEqual((await shown()).counts, { paused: 3 });
  await call('PATCH', '/settings', { ccr: { held: true } });
  const again = (await call('POST', '/push', { names: ['n@t', 'PC1', 'PC4'], dryRun: true })).json;
  assert.deepEqual([again.held, again.paused], [true, 1], 'who pushes hears what holds it back');
  assert.equal(await act('resume'), 3);
  assert.equal(await act('cancel'), 3);
  assert.deepEqual((await shown()).counts, { cancelled: 3 });
  assert.equal((await site.records.ccr.countByState()).queued, 1, 'the other push is as it was');
});

test('a wave that is not there, somebody else`s, and names beside a wave are refused', async (t) => {
  const site = await TestSite.make(t, manual());
  const { call } = await site.console();
  await site.know('PC1');
  assert.equal((await call('GET', '/waves/99')).status, 404);
  assert.equal((await call('POST', '/ccrs/cancel', { wave: 99 })).status, 404);
  assert.equal((await call('POST', '/ccrs/cancel', { wave: 99, names: ['PC1'] })).status, 400);
  assert.equal((await call('POST', '/ccrs/cancel', {})).status, 400);
  const theirs = await site.records.ccr.waves.make({ by: 'another', machines: 1 });
  assert.equal((await call('POST', '/push', { names: ['PC1'], wave: theirs!.id })).status, 404);
});

test('a CCR tells what holds it: a person, its wave that was stopped, or the pause of the site', async (t) => {
  const site = await TestSite.make(t, manual());
  const { call } = await site.console();
  await site.know('PC1', 'PC2', 'PC3', 'PC4');
  const { wave } = (await call('POST', '/push', { names: ['PC1', 'PC2', 'PC3', 'PC4'], stopAfter: { failures: 1 } })).json;
  const held = async (name: string) => {
    const shown = (await call('GET', `/ccrs/${name}`)).json;
    const listed = (await call('GET', '/ccrs')).json.items as { name: string; held?: unknown; wave: number }[];
    const one = listed.find((c) => c.name === name)!;
    assert.deepEqual([one.held, one.wave], [shown.held, wave]);
    return shown.held;
  };
  assert.equal(await held('PC1'), undefined);
  await call('POST', '/ccrs/pause', { names: ['PC1'] });
  assert.deepEqual(await held('PC1'), { why: 'somebody paused it', remedy: 'pushpoint ccr resume PC1' });
  assert.equal(await held('PC2'), undefined);
  await call('PATCH', '/settings', { ccr: { held: true } });
  assert.equal((await held('PC2')).remedy, 'pushpoint ccr resume --all');
  assert.match((await held('PC2')).why, /^the site P01 is paused/);
  await site.parts.database.query(
    `update ccr set state = 'failed', finished_at = now(), due_at = null where name in ('PC2', 'PC4')`,
  );
  assert.ok(await site.records.ccr.waves.halt(wave));
  assert.match((await held('PC3')).why, new RegExp(`^wave ${wave} was stopped: `));
  assert.equal((await held('PC3')).remedy, `pushpoint ccr resume --wave ${wave}`);
  assert.equal(await held('PC2'), undefined, 'what has ended is held by nothing');
});
