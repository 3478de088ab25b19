import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pc } from '#test/pc';
import { TestSite } from '#test/points';

test('beyond what is let in at once clients hear 429 with a time of their own to come again, and all get in later, once each', async (t) => {
  const site = await TestSite.make(t);
  const { url } = await site.managementPoint({ admission: { registrations: { most: 4 }, heartbeats: { most: 2 } } });
  const pcs = Array.from({ length: 40 }, (_, i) => new Pc(site, url, `PC${100 + i}`));
  const said = await Promise.all(pcs.map((pc) => pc.register()));
  const busy = said.filter(({ code }) => code === 'PP_MP_BUSY');
  assert.ok(busy.length > 0 && busy.every(({ status }) => status === 429), JSON.stringify(said.map(({ code }) => code)));
  assert.equal(said.filter(({ status }) => status === 200).length, 40 - busy.length);
  for (let rounds = 0; pcs.some(({ guid }) => guid === undefined); rounds++) {
    assert.ok(rounds < 40);
    await Promise.all(pcs.filter(({ guid }) => guid === undefined).map((pc) => pc.register()));
  }
  assert.equal((await site.records.client.list({ limit: 1000 })).items.length, 40);
  const beats = await Promise.all(pcs.map((pc) => pc.beat()));
  assert.ok(beats.some(({ status }) => status === 429) && beats.some(({ status }) => status === 200));
});

test('the time to come again is in the head, between the bounds, and not the same for all', async (t) => {
  const site = await TestSite.make(t);
  let turn = 0;
  const random = { ...site.parts.random, fraction: () => (turn++ % 10) / 10 };
  const { url } = await site.managementPoint({ random, admission: { heartbeats: { most: 0, from: 10, to: 19 } } });
  const pc = new Pc(site, url);
  await pc.register();
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => fetch(`${url}/ccm_system/heartbeat`, { method: 'POST', body: '{}' })),
  );
  const seconds = answers.map(({ headers }) => Number(headers.get('retry-after')));
  assert.deepEqual([Math.min(...seconds), Math.max(...seconds)], [10, 19]);
  assert.equal(new Set(seconds).size, 10);
});
