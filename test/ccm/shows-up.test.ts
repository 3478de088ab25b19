import assert from 'node:assert/strict';
import { test } from 'node:test';
import { raise } from '#base/errors';
import { AheadClock, PushSite, waitFor } from '#test/push-site';

test('a machine in retry is tried at once when discovery or its client shows it, after its rest, and no CCR comes of that alone', async (t) => {
  const site = await PushSite.create({ clock: new AheadClock() });
  t.after(() => site.close());
  await site.addAccount('CORP\\push');
  const csv = 'name,domain,ip\r\nPC-1,CORP,127.9.9.1\r\nPC-2,CORP,127.9.9.2\r\n';
  await site.importCsv(csv);
  const away = () => Promise.reject(raise('PP_NET_SILENT', { address: '127.9.9.1', port: 445, ms: 1 }));
  await site.startCcm({ network: site.network({ probe: away }) });
  await site.push('PC-1');
  const first = await site.until('PC-1', 'retry');
  assert.equal(first.attempts, 1);
  const tries = async () => (await site.show('PC-1')).attempts;
  // Just tried: the machine has its rest, whoever saw it.
  await site.importCsv(csv);
  const seen = { resourceIds: [first.resourceId!] };
  assert.equal(await site.records.ccr.absences.seen(seen), 0);
  await site.skip(11 * 60_000);
  assert.equal(await tries(), 1, 'its hour is not over');
  await site.importCsv(csv);
  await waitFor('a second try', async () => (await tries()) === 2);
  await site.until('PC-1', 'retry');
  await site.skip(11 * 60_000);
  await site.database.notify('client', JSON.stringify({ resourceId: first.resourceId, name: 'PC-1', domain: 'CORP' }));
  await waitFor('a third try', async () => (await tries()) === 3);
  assert.equal((await site.records.ccr.find('PC-2')).length, 0);
});
