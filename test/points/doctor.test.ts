import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestSite } from '#test/points';

interface Asked {
  id: number;
  state: string;
  logon: boolean;
}

test('an examination is recorded with its audit entry, made by nobody here, and shown as it goes', async (t) => {
  const site = await TestSite.make(t);
  await site.know('PC-1');
  const { call } = await site.console();
  const asked = await call('POST', '/doctor', { host: 'PC-1' });
  assert.equal(asked.status, 200);
  const { id, state, logon } = asked.json as Asked;
  assert.deepEqual([state, logon], ['queued', true]);
  const entries = await site.records.audit.list({ what: 'doctor' });
  assert.deepEqual([entries.items[0]!.object, entries.items[0]!.detail], ['PC-1', { id, logon: true }]);
  await site.records.doctor.claim('test');
  const found = { group: 'site', name: 'disk', verdict: 'ok', tried: 'it', found: 'room', durationMs: 1 } as const;
  await site.records.doctor.finish(id, 'test', [found]);
  const shown = await call('GET', `/doctor/${id}`);
  assert.deepEqual([(shown.json as Asked).state, (shown.json as { checks: unknown }).checks], ['done', [found]]);
  const server = await call('POST', '/doctor', {});
  assert.equal((server.json as Asked).logon, false, 'no credential is needed for the site server');
  assert.equal((await call('GET', '/doctor/999')).status, 404);
});

test('names are judged before anything is recorded, and a token that may only read asks for none', async (t) => {
  const site = await TestSite.make(t);
  await site.know({ name: 'TWIN', domain: 'A' }, { name: 'TWIN', domain: 'B' });
  const { call } = await site.console();
  for (const [host, status] of [
    ['host@8080', 400],
    ['a/b', 400],
    ['10.0.0.1:445', 400],
    ['TWIN', 409],
    ['TWIN.A', 200],
  ] as const)
    assert.equal((await call('POST', '/doctor', { host })).status, status, host);
  assert.equal(
    (await call('POST', '/doctor', { hots: 'PC-1' })).status,
    400,
    'a misspelt field is no examination of the site server',
  );
  const reading = await site.records.site.tokens.add({ label: 'eyes', scopes: ['read'] });
  const refused = await call('POST', '/doctor', { host: 'TWIN.A' }, { authorization: `Bearer ${reading}` });
  assert.equal(refused.status, 403);
  assert.equal((await site.records.audit.list({ what: 'doctor' })).items.length, 1);
});
