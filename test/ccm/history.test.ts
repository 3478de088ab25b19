import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { LabDomain } from '#lab/host';
import { labSite, type LabKind } from '#test/lab-site';
import { PASSWORD, waitFor, type PushSite } from '#test/push-site';

/** What went wrong in twenty years of client push (facts B7), each as a test that it does not come back. */

const HOUR = 3_600_000;

async function retryBox(site: PushSite): Promise<string[]> {
  return readdir(join(site.folder, 'inboxes', 'ccrretry.box')).catch(() => []);
}

async function drop(site: PushSite, file: string, lines: string[]): Promise<void> {
  const box = join(site.folder, 'inboxes', 'ccr.box');
  await mkdir(box, { recursive: true });
  await writeFile(join(box, file), ['[NT Client Configuration Request]', ...lines, ''].join('\r\n'));
}

test('Q242926: however often and by whatever way a machine is asked for, it has one CCR and one file', async (t) => {
  const { site } = await labSite(t, { 'PC-1': { switches: { offline: 'closed' } } });
  await site.startInbox();
  await site.startCcm();
  await site.push('PC-1');
  await site.until('PC-1', 'retry');
  for (const [i, name] of ['PC-1', 'pc-1', 'Pc-1'].entries())
    await drop(site, `01MOLQG${i}.CCR`, [`Machine Name=${name}`, 'Domain=CORP']);
  await site.push('pc-1');
  await waitFor('all to be taken in', async () => (await site.show('PC-1')).requestCount === 5);
  await site.until('PC-1', 'retry');
  const live = (await site.records.ccr.list({ limit: 100 })).items.filter((c) => c.state !== 'complete');
  assert.equal(live.length, 1);
  await waitFor('its file', async () => (await retryBox(site)).length > 0);
  assert.deepEqual(await retryBox(site), ['PC-1.ccr']);
});

test('Q265882: two machines of one name, in domains of two and three letters, have a file each, and each ends in .ccr', async (t) => {
  const { site } = await labSite(t, {});
  await site.importCsv('name,domain,ip,smbPort\r\nPC-1,CO,127.0.0.1,1\r\nPC-1,XYZ,127.0.0.2,1\r\n');
  await site.startInbox();
  await site.startCcm();
  await drop(site, 'a.ccr', ['Machine Name=PC-1', 'Domain=CO']);
  await drop(site, 'b.ccr', ['Machine Name=PC-1', 'Domain=XYZ']);
  await waitFor('both files', async () => (await retryBox(site)).length === 2);
  for (const name of await retryBox(site)) assert.match(name, /^PC-1(\.(CO|XYZ))?\.ccr$/);
});

test('Q262298: what is on the list of machines that are never pushed to is met by nobody, forced or not, from any door', async (t) => {
  const { site, hosts } = await labSite(t, { 'NAS-1': {}, FILER7: {}, 'PC-1': {} });
  await site.records.site.updateSettings({ push: { exclude: ['NAS-*', 'filer?.corp.example'] } }, 'test');
  await site.startInbox();
  await site.startCcm();
  await site.push('NAS-1', { forced: true });
  await drop(site, 'filer.ccr', ['Machine Name=FILER7', 'Forced CCR=TRUE']);
  await site.push('PC-1', { inspectOnly: true });
  await site.until('PC-1', 'complete');
  for (const [name, pattern] of [
    ['NAS-1', 'NAS-*'],
    ['FILER7', 'filer?.corp.example'],
  ] as const) {
    await waitFor(`the CCR of ${name}`, async () => (await site.records.ccr.find(name)).length > 0);
    const skipped = await site.until(name, 'skipped', 'complete', 'retry', 'waiting');
    assert.equal(skipped.state, 'skipped');
    assert.equal(skipped.lastError, 'PP_PUSH_EXCLUDED');
    assert.match(skipped.lastErrorText!, new RegExp(`push\\.exclude names ${pattern.replace(/[*?.]/g, '\\$&')}`));
    assert.deepEqual(
      skipped.steps.map((s) => `${s.name} ${s.outcome}`),
      ['decide skipped'],
    );
    assert.equal(hosts[name]!.logons.tried, 0);
  }
});

test('a NAS that discovery took for a Windows machine is seen for what it is, and not tried for a week', async (t) => {
  const { site, hosts } = await labSite(t, { 'NAS-1': { profile: 'nas' } });
  await site.startCcm();
  await site.push('NAS-1');
  const skipped = await site.until('NAS-1', 'skipped', 'retry', 'waiting');
  assert.deepEqual([skipped.state, skipped.lastError], ['skipped', 'PP_PUSH_NOT_WINDOWS']);
  const { tried } = hosts['NAS-1']!.logons;
  await site.skip(48 * HOUR);
  await site.push('NAS-1', { inspectOnly: true });
  await waitFor('the look that was asked for', () => hosts['NAS-1']!.logons.tried > tried);
});

test('an encrypted target folder is named before anything is laid there, and the push goes on once it is decrypted', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': { switches: { encryptedSetup: true } } });
  await site.startCcm();
  await site.push('PC-1');
  const waiting = await site.until('PC-1', 'waiting', 'retry', 'verifying', 'complete');
  assert.deepEqual([waiting.state, waiting.lastError, waiting.lastErrorCode], ['waiting', 'PP_TARGET_ENCRYPTED', 6002]);
  assert.deepEqual(await readdir(join(site.folder, 'hosts', 'PC-1', 'Windows', 'ccmsetup')), [], 'nothing was copied');
  await hosts['PC-1']!.set({ encryptedSetup: false });
  await site.skip(1.1 * HOUR);
  assert.equal((await site.until('PC-1', 'complete')).state, 'complete');
});

test('reverse DNS of a multi-homed machine: the ghost that its second name makes is reached, known for another and left alone', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {} });
  const { address, port } = hosts['PC-1']!;
  await site.importCsv(`name,domain,fqdn,ip,smbPort\r\nPC-1-NIC2,CORP,pc-1-nic2.corp.example,${address},${port}\r\n`);
  await site.startCcm();
  await site.push('PC-1-NIC2', { forced: true });
  const ghost = await site.until('PC-1-NIC2', 'retry', 'complete', 'verifying', 'waiting');
  assert.deepEqual([ghost.state, ghost.lastError, ghost.lastErrorCode], ['retry', 'PP_LOGON_WRONG_HOST', 1396]);
  assert.match(ghost.lastErrorText!, /calls itself pc-1\.corp\.example/i);
  assert.equal(hosts['PC-1']!.logons.tried, 0, 'no credential was used for a name that is not the machine’s own');
  assert.equal(hosts['PC-1']!.machine.serviceState('CcmExec'), undefined);
});

test('KB4018655: after a push nothing is left that installs again, neither on the machine nor at the site', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {} });
  await site.startInbox();
  await site.startCcm();
  await site.push('PC-1');
  await site.until('PC-1', 'complete');
  const { machine, logons } = hosts['PC-1']!;
  await waitFor('the bootstrap to remove itself', () => machine.serviceState('ccmsetup') === undefined);
  const { tried } = logons;
  for (let hours = 0; hours < 48; hours += 5) await site.skip(5 * HOUR);
  assert.equal(await site.records.ccr.claims.nextDue(), undefined, 'nothing is due any more');
  assert.equal(logons.tried, tried);
  await waitFor('the folder to be empty', async () => (await retryBox(site)).length === 0);
});

test('travelling mode: a machine that moves to another network keeps its CCR, and is reached where it is now', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': { address: '127.0.7.31' } });
  const { port } = hosts['PC-1']!;
  const at = (ip: string) => site.importCsv(`name,domain,fqdn,ip,smbPort\r\nPC-1,CORP,pc-1.corp.example,${ip},${port}\r\n`);
  await at('127.0.9.9');
  await site.startCcm();
  await site.push('PC-1');
  assert.equal((await site.until('PC-1', 'retry')).lastErrorCode, 53);
  await at('127.0.7.31');
  await site.skip(1.1 * HOUR);
  const done = await site.until('PC-1', 'complete', 'failed', 'skipped', 'cancelled');
  assert.equal(done.state, 'complete', JSON.stringify(done.steps));
  assert.equal(done.attempts, 2);
});

test('account lockout storm: 256 attempts at once with a wrong password cost two logons in all, and the account stays usable for others', async (t) => {
  const domain = new LabDomain({
    netbios: 'CORP',
    dns: 'corp.example',
    lockAfter: 3,
    accounts: [{ username: 'push', password: 'another password', administrator: true }],
  });
  const kinds: Record<string, LabKind> = {};
  for (let i = 0; i < 256; i++) kinds[`PC-${i}`] = { domain };
  const { site, hosts } = await labSite(t, kinds);
  await site.records.site.updateSettings({ ccr: { concurrency: 256, perSubnet: 256, perAccount: 256 } }, 'test');
  await site.startCcm();
  await site.push(Object.keys(kinds));
  await waitFor(
    'all to wait',
    async () => (await site.records.ccr.list({ state: 'waiting', limit: 1000 })).items.length === 256,
    60_000,
  );
  const tried = Object.values(hosts).reduce((sum, host) => sum + host.logons.tried, 0);
  assert.equal(tried, 2);
  assert.equal(domain.accounts.find('push')!.state, 'active');
  const [account] = await site.records.account.list();
  assert.deepEqual([account!.state, account!.stopCode], ['stopped', 1326]);
  // The hourly retries of a week do not make up for it either.
  for (let day = 0; day < 3; day++) await site.skip(25 * HOUR);
  await waitFor(
    'the queue to rest',
    async () => {
      const due = await site.records.ccr.claims.nextDue();
      return due === undefined || due > site.clock.now();
    },
    60_000,
  );
  assert.equal(
    Object.values(hosts).reduce((sum, host) => sum + host.logons.tried, 0),
    2,
  );
  assert.ok(!site.lines.join('').includes(PASSWORD));
});
