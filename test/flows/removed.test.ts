import assert from 'node:assert/strict';
import { test } from 'node:test';
import { previewPush } from '#records/ccr';
import { BranchSite, joined } from '#test/branch-sites';

test('the boundaries of a site that was removed assign nobody, are shown as such, and count again when it is back', async (t) => {
  const primary = await BranchSite.create('P01');
  const secondary = await BranchSite.create('S01', 'P01');
  t.after(() => Promise.all([primary.close(), secondary.close()]));
  const { boundary, discovery, link, resource, site } = primary.parts;
  await joined(primary, secondary);
  // A site below it goes with it.
  await site.learn({ code: 'S09', kind: 'secondary', parent: 'S01' });
  await boundary.add(['subnet:10.0.0.0/8'], { by: 'test' });
  await boundary.add(['subnet:10.2.0.0/16'], { site: 'S01', by: 'test' });
  await boundary.add(['subnet:10.3.0.0/16'], { site: 'S09', by: 'test' });
  const from = { method: 'import', site: 'P01', trusted: true };
  await discovery.ingest([{ name: 'OLD', addresses: ['10.2.0.1'] }], from);
  const siteOf = async (name: string) => (await resource.find(name))[0]!.assignedSite;
  assert.equal(await siteOf('OLD'), 'S01');

  await primary.database.db.transaction(async (tx) => {
    await link.remove(tx, 'S01');
    await site.detach('S01', tx);
  });
  await discovery.ingest(
    [
      { name: 'NEW', addresses: ['10.2.0.2'] },
      { name: 'BELOW', addresses: ['10.3.0.2'] },
    ],
    from,
  );
  assert.deepEqual([await siteOf('NEW'), await siteOf('BELOW'), await siteOf('OLD')], ['P01', 'P01', 'S01']);
  assert.equal((await boundary.which('10.2.0.2')).site, 'P01');
  const shown = async () => (await boundary.list()).map(({ site: code, idle }) => `${code} ${idle}`);
  assert.deepEqual(await shown(), ['P01 false', 'S01 true', 'S09 true']);
  assert.equal((await boundary.add(['subnet:10.4.0.0/16'], { site: 'S01', by: 'test' })).items[0]!.idle, true);
  const removed = (await boundary.index()).removed;
  assert.deepEqual([...removed].sort(), ['S01', 'S09']);
  const facts = {
    site: 'P01',
    boundaries: true,
    assignedSite: 'S01',
    isRemoved: removed.has('S01'),
    managementPoints: ['http://mp'],
  };
  const preview = previewPush(
    { forced: false, reinstall: false, includeDcs: false, inspectOnly: false },
    {
      ...facts,
      device: (await resource.find('OLD'))[0],
      package: 'client',
      account: 'push',
      live: undefined,
      heartbeatMinutes: 1,
      now: new Date(),
    },
  );
  assert.match(preview.reason, /S01, which was removed: pushpoint device reassign OLD/);
  await discovery.reassign('all', 'test');
  assert.equal(await siteOf('OLD'), 'P01');

  await joined(primary, secondary);
  assert.equal((await boundary.which('10.2.0.2')).site, 'S01');
  assert.ok((await boundary.list()).every(({ idle }) => !idle));
});
