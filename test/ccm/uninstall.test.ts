import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LabHost } from '#lab/host';
import type { CcrShown } from '#records/ccr';
import { labSite } from '#test/lab-site';
import { type PushSite, waitFor } from '#test/push-site';

/** everything is each path on a lab host's disk, with what is in it. */
function everything(site: PushSite, name: string): string[] {
  const root = join(site.folder, 'hosts', name);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .map((one) => {
      const path = join(one.parentPath, one.name);
      const what = one.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : 'folder';
      return `${path.slice(root.length)} ${what}`;
    })
    .toSorted();
}

/** settled skips to the looks at the machine until the CCR has ended. */
async function settled(site: PushSite, name: string, host?: LabHost): Promise<CcrShown> {
  for (;;) {
    const one = await site.until(name, 'complete', 'failed', 'retry', 'waiting', 'skipped', 'verifying');
    if (one.state !== 'verifying') return one;
    // The bootstrap works in real time, whatever the site's clock says: it is not to be late only because hours were skipped.
    await waitFor('the bootstrap to be done', () => host?.machine.serviceState('ccmsetup') !== 'running');
    await site.skip(6 * 60_000);
    await site.until(name, 'complete', 'failed', 'retry', 'waiting', 'skipped', 'verifying', 'processing');
  }
}

test('a push that removes leaves the machine as it was before the first push, and the site has heard the farewell', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {} });
  const host = hosts['PC-1']!;
  await site.startCcm();
  // A lab host makes its disk when somebody first comes near it.
  await site.push('PC-1', { inspectOnly: true });
  await site.until('PC-1', 'complete');
  const before = everything(site, 'PC-1');
  await site.push('PC-1');
  const installed = await site.until('PC-1', 'complete', 'failed', 'retry');
  assert.equal(installed.state, 'complete', JSON.stringify(installed.steps));
  await waitFor('the bootstrap to remove itself', () => host.machine.serviceState('ccmsetup') === undefined);
  const client = await site.records.client.byResource(installed.resourceId!);
  assert.ok(client);
  assert.notDeepEqual(everything(site, 'PC-1'), before);

  await site.push('PC-1', { uninstall: true });
  const done = await settled(site, 'PC-1', host);
  assert.equal(done.state, 'complete', JSON.stringify(done.steps));
  assert.equal(done.proof, 'the client is removed');
  assert.match(done.steps.find((step) => step.name === 'decide')!.detail!, /is to be removed/);
  assert.deepEqual([host.machine.serviceState('CcmExec'), host.machine.serviceState('ccmsetup')], [undefined, undefined]);
  await waitFor('its folders to be gone', () => everything(site, 'PC-1').join() === before.join());
  const left = await site.records.client.byGuid(client.guid);
  assert.equal(left?.obsolete, true);

  // Where no client is, there is nothing to do, and nothing is copied.
  await site.push('PC-1', { uninstall: true });
  const again = await settled(site, 'PC-1');
  assert.deepEqual([again.state, again.proof], ['complete', 'no client is there']);
  assert.deepEqual(everything(site, 'PC-1'), before);
});

test('a push to install that comes after one to remove counts; one of another kind changes nothing of it', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {} });
  await site.push('PC-1', { uninstall: true });
  assert.equal((await site.show('PC-1')).uninstall, true);
  await site.push('PC-1', { source: 'discovery' });
  assert.equal((await site.show('PC-1')).uninstall, true);
  await site.push('PC-1', { uninstall: false });
  assert.equal((await site.show('PC-1')).uninstall, false);
});

test('a domain controller is left alone', async (t) => {
  const { site } = await labSite(t, { 'DC-1': { profile: 'domain-controller' } });
  await site.startCcm();
  await site.push('DC-1', { uninstall: true });
  assert.equal((await settled(site, 'DC-1')).state, 'skipped');
});
