import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manual, TestSite } from '#test/points';

test('wrong tokens of one address are bounded, told once a minute, and do not lock out who works there already', async (t) => {
  const clock = manual();
  const site = await TestSite.make(t, clock);
  const { call } = await site.console();
  const knock = (token: string) => call('GET', '/sites', undefined, { authorization: `Bearer ${token}` });
  assert.equal((await call('GET', '/sites')).status, 200);
  const second = await site.records.site.tokens.add({ label: 'second', scopes: ['read'] });
  const answers: number[] = [];
  for (let i = 0; i < 105; i++) answers.push((await knock(`wrong-token-number-${i}`)).status);
  assert.deepEqual([answers.filter((s) => s === 401).length, answers.filter((s) => s === 429).length], [100, 5]);
  const refused = await knock('wrong-token-once-more');
  assert.equal(refused.json.code, 'PP_API_RATE');
  assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  assert.equal((await call('GET', '/sites')).status, 200, 'a token that was good lately is not held up by its neighbours');
  assert.equal((await knock(second)).status, 429, 'who comes new waits a moment');
  await clock.advance(1000 * Number(refused.headers.get('retry-after')));
  assert.equal((await knock(second)).status, 200);
  const told = (await site.records.audit.list({})).items.filter((line) => line.what === 'console.refused');
  assert.equal(told.length, 1);
  assert.equal(told[0]!.object, '127.0.0.1');
  assert.equal(site.logged.filter((line) => line.includes('without a valid token')).length, 1);
  await clock.advance(61_000);
  await knock('wrong-token-much-later');
  const later = (await site.records.audit.list({})).items.filter((line) => line.what === 'console.refused');
  assert.deepEqual(later[0]!.detail, { before: 99 });
  assert.ok(!site.logged.join('').includes('wrong-token'), 'what was tried stands nowhere');
});

test('a token that was taken away is no longer believed, however good it was', async (t) => {
  const site = await TestSite.make(t, manual());
  const { call } = await site.console();
  const token = await site.records.site.tokens.add({ label: 'gone', scopes: ['read'] });
  const knock = () => call('GET', '/sites', undefined, { authorization: `Bearer ${token}` });
  assert.equal((await knock()).status, 200);
  await site.parts.database.query("delete from site_token where label = 'gone'");
  assert.equal((await knock()).status, 401);
});
