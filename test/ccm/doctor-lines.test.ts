import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from '#base/random';
import { LinkRecord } from '#records/link';
import { checkOf, examined, startDoctor } from '#test/doctor-site';
import { labSite } from '#test/lab-site';

test('doctor tells how the lines to the parent and to the children are; a site without any has no such check', async (t) => {
  const { site } = await labSite(t, { 'ANY-1': {} });
  const { record } = await startDoctor(t, site);
  assert.deepEqual(
    (await examined(record)).checks.filter(({ name }) => name.startsWith('line')),
    [],
  );
  const { database, clock } = site;
  const link = new LinkRecord(database, clock, systemRandom);
  const keys = { publicKey: 'key', sealKey: 'seal', version: '1.0.0' };
  for (const [code, role] of [
    ['C00', 'parent'],
    ['S01', 'child'],
    ['S02', 'child'],
    ['S03', 'child'],
    ['S04', 'child'],
  ] as const)
    await database.transaction((tx) => link.join(tx, { site: code, role, ...keys }));
  const set = (code: string, what: string, ...values: unknown[]) =>
    database.query(`update link set ${what} where site = $1`, [code, ...values]);
  const before = (seconds: number) => new Date(clock.now().getTime() - seconds * 1000);
  await set(
    'C00',
    "error_code = 'PP_NET_REFUSED', error = 'C00 refuses connections', error_at = $2, exchanged_at = $3",
    before(90),
    before(120),
  );
  await set('S01', 'exchanged_at = $2', before(10));
  await set('S02', 'exchanged_at = $2, joined_at = $2', before(3600));
  await set('S03', 'exchanged_at = $2, skew_ms = 300000', before(5));
  await set('S04', "state = 'removed'");
  const { checks } = await examined(record);
  const lines = Object.fromEntries(checks.filter(({ name }) => name.startsWith('line')).map((check) => [check.name, check]));
  assert.deepEqual(Object.keys(lines).sort(), ['line-C00', 'line-S01', 'line-S02', 'line-S03']);
  const up = checkOf({ checks }, 'line-C00');
  assert.equal(up.verdict, 'problem');
  assert.equal(up.code, 'PP_NET_REFUSED');
  assert.match(up.tried, /the line to the parent C00/);
  assert.match(up.found, /^C00 refuses connections, since .*; last contact 12\d s ago; nothing waits to be sent$/);
  assert.ok(up.cause && up.remedy);
  assert.equal(lines['line-S01']!.verdict, 'ok', lines['line-S01']!.found);
  assert.equal(lines['line-S02']!.verdict, 'problem');
  assert.match(lines['line-S02']!.found, /last contact 36\d\d s ago/);
  assert.match(lines['line-S02']!.remedy!, /pushpoint doctor on the server of S02/);
  assert.equal(lines['line-S03']!.verdict, 'warning');
  assert.match(lines['line-S03']!.found, /clock is 300 s before ours/);
});

test('what waits for long, what was put aside and a removal are told', async (t) => {
  const { site } = await labSite(t, { 'ANY-1': {} });
  const { record } = await startDoctor(t, site);
  const { database, clock } = site;
  const link = new LinkRecord(database, clock, systemRandom);
  await database.transaction((tx) =>
    link.join(tx, { site: 'C00', role: 'parent', publicKey: 'key', sealKey: 'seal', version: '1.0.0' }),
  );
  await database.transaction((tx) => link.enqueue(tx, { to: 'parent', kind: 'ddr', key: 'PC1', body: {} }));
  await database.query('update link_out set queued_at = $1', [new Date(clock.now().getTime() - 3_600_000)]);
  await database.query('update link set exchanged_at = $1, out_full = false', [clock.now()]);
  const waits = checkOf(await examined(record), 'line-C00');
  assert.equal(waits.verdict, 'warning');
  assert.match(waits.found, /one item waits to be sent, the oldest since /);
  await database.query("update link set state = 'removed', removed_at = $1", [clock.now()]);
  const removed = checkOf(await examined(record), 'line-C00');
  assert.equal(removed.verdict, 'problem');
  assert.match(removed.remedy!, /pushpoint site join/);
});
