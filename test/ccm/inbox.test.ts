import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { ManualClock } from '#base/clock';
import { readCcrFile, Surroundings } from '#components/ccm';
import { readMobileClient } from '#messages';
import { PushSite, VERSION, waitFor } from '#test/push-site';

/** NOBODY is a port that no program is given by the system and none listens on. */
const NOBODY = 1;

async function siteWithInbox(t: TestContext): Promise<{ site: PushSite; box: string; retry: string }> {
  const site = await PushSite.create();
  t.after(() => site.close());
  await site.startInbox();
  const box = join(site.folder, 'inboxes', 'ccr.box');
  const retry = join(site.folder, 'inboxes', 'ccrretry.box');
  await waitFor('the folders', () => existsSync(box) && existsSync(retry));
  return { site, box, retry };
}

/** drop writes a file beside the box and moves it in, as careful programs do. */
async function drop(site: PushSite, box: string, name: string, text: string): Promise<void> {
  const draft = join(site.folder, name);
  await writeFile(draft, text);
  await rename(draft, join(box, name));
}

test('a dropped CCR becomes a request, with the port that only the import knows, and the file is gone', async (t) => {
  const { site, box } = await siteWithInbox(t);
  await site.importCsv('name,domain,ip,smbPort\r\nPC042,CORP,127.0.0.9,4455\r\n');
  await drop(
    site,
    box,
    'pc042.ccr',
    '[NT Client Configuration Request]\r\nMachine Name=pc042\r\nForced CCR=TRUE\r\nPushClientEvenIfDC=TRUE\r\nInitial Request Date=01/02/2026 03:04:05\r\n[Pushpoint]\r\nReinstall=yes\r\n',
  );
  await waitFor('the CCR', async () => (await site.records.ccr.find('PC042')).length === 1);
  const ccr = await site.show('PC042');
  assert.equal(ccr.source, 'file');
  assert.equal(ccr.state, 'queued');
  assert.equal(ccr.forced, true);
  assert.equal(ccr.includeDcs, true);
  assert.equal(ccr.reinstall, true);
  assert.equal(ccr.smbPort, 4455);
  assert.equal(ccr.domain, 'CORP');
  assert.equal(ccr.firstRequestedAt.toISOString(), '2026-01-02T03:04:05.000Z');
  await waitFor(
    'the empty box',
    async () => !(await readdir(box)).includes('pc042.ccr') && (await readdir(join(box, 'inproc'))).length === 0,
  );
  assert.match(site.journal.join(''), /Received request: "pc042\.ccr" for machine name: "pc042" on queue: "Incoming"/);
  assert.equal((await site.records.audit.list({})).items.filter((line) => line.what === 'ccr.file').length, 1);
});

test('what is no CCR goes to bad with the line and the reason; the next file is taken', async (t) => {
  const { site, box } = await siteWithInbox(t);
  await drop(site, box, 'evil.ccr', '[NT Client Configuration Request]\r\nMachine Name=host@8080\r\n');
  await drop(site, box, 'photo.ccr', 'PNG\u0000\u0001');
  await drop(site, box, 'notes.txt', 'buy milk');
  await drop(site, box, 'good.ccr', '[NT Client Configuration Request]\r\nMachine Name=PC1\r\n');
  await waitFor('the good one', async () => (await site.records.ccr.find('PC1')).length === 1);
  const bad = join(box, 'bad');
  await waitFor(
    'three reasons',
    async () => (await readdir(bad).catch(() => [])).filter((n) => n.endsWith('.reason')).length === 3,
  );
  const reason = await readFile(join(bad, 'evil.ccr.reason'), 'utf8');
  assert.match(reason, /PP_CCR_FILE_MALFORMED: line 2 /);
  assert.match(reason, /letters, digits, hyphens/);
  assert.match(await readFile(join(bad, 'photo.ccr.reason'), 'utf8'), /line 1 .*control character/);
  assert.equal((await site.records.ccr.list()).items.length, 1);
});

test('ccrretry.box shows live CCRs as D4 does, with true values, and two machines of one name apart', async (t) => {
  const { site, retry } = await siteWithInbox(t);
  await site.importCsv(
    `name,domain,fqdn,ip,smbPort\r\nPC1,CORP,pc1.corp.example,127.0.0.1,${NOBODY}\r\nPC1,LAB,pc1.lab.example,127.0.0.2,${NOBODY}\r\n`,
  );
  for (const device of (await site.records.resource.list()).items)
    await site.records.ccr.request({
      name: device.name,
      domain: device.domain,
      resourceId: device.id,
      addresses: device.addresses,
      smbPort: device.smbPort,
      source: 'push',
      requestedBy: 'anna',
    });
  await site.startCcm();
  await waitFor('two files', async () => (await readdir(retry)).filter((n) => n.endsWith('.ccr')).length === 2);
  const names = (await readdir(retry)).filter((n) => n.endsWith('.ccr')).sort();
  assert.equal(names.at(-1), 'PC1.ccr');
  assert.match(names[0]!, /^PC1\.(CORP|LAB)\.ccr$/);
  const text = await readFile(join(retry, 'PC1.ccr'), 'utf8');
  const ccr = (await site.records.ccr.find('PC1')).find((c) => text.includes(`Domain=${c.domain}`))!;
  const file = readCcrFile(new TextEncoder().encode(text));
  assert.equal(file.machineName, 'PC1');
  assert.deepEqual(file.ipAddresses, ccr.addresses);
  assert.equal(file.processing.attempts, 1);
  assert.equal(file.processing.lastErrorCode, 53);
  assert.equal(file.processing.latestAttempt?.getTime(), Math.floor(ccr.lastAttemptAt!.getTime() / 1000) * 1000);
  assert.equal(file.processing.errorEventCreated, undefined);
  assert.deepEqual(
    text.split('\r\n').filter((line) => line.startsWith('[')),
    ['[NT Client Configuration Request]', '[IP Address ]', '[Resource Names ]', '[Request Processing]', '[Pushpoint]', '[IDENT]'],
  );
  assert.deepEqual(
    /\[Request Processing\]\r\n([\s\S]*?)\r\n\r\n/
      .exec(text)![1]!
      .split('\r\n')
      .map((line) => line.split('=')[0]),
    ['Latest Processing Attempt', 'Last Error Code', 'Number of Processing Attempts'],
  );
});

test('deleting a file from ccrretry.box cancels that CCR and no other; our own removals cancel nothing', async (t) => {
  const { site, retry } = await siteWithInbox(t);
  await site.importCsv(`name,ip,smbPort\r\nPC1,127.0.0.1,${NOBODY}\r\nPC2,127.0.0.1,${NOBODY}\r\n`);
  await site.startCcm();
  await site.push(['PC1', 'PC2']);
  await waitFor('both files', async () => existsSync(join(retry, 'PC1.ccr')) && existsSync(join(retry, 'PC2.ccr')));
  await unlink(join(retry, 'PC1.ccr'));
  const cancelled = await site.until('PC1', 'cancelled');
  assert.match(cancelled.finishedBy!, /ccrretry\.box/);
  assert.equal((await site.show('PC2')).state, 'retry');
  const [id] = (await site.records.ccr.find('PC2')).map((c) => c.id);
  await site.records.ccr.cancel([id!], 'anna');
  await waitFor('the file to go', () => !existsSync(join(retry, 'PC2.ccr')));
  assert.equal((await site.show('PC2')).finishedBy, 'anna');
});

test('at start the files are rewritten from the database, and one that was deleted meanwhile cancels nothing', async (t) => {
  const site = await PushSite.create();
  t.after(() => site.close());
  const retry = join(site.folder, 'inboxes', 'ccrretry.box');
  await site.importCsv(`name,ip,smbPort\r\nPC1,127.0.0.1,${NOBODY}\r\nPC2,127.0.0.1,${NOBODY}\r\n`);
  const ccm = await site.startCcm();
  await site.push(['PC1', 'PC2']);
  await site.until('PC1', 'retry');
  await site.until('PC2', 'retry');
  await ccm.stop();
  await mkdir(retry, { recursive: true });
  await writeFile(join(retry, 'GHOST.ccr'), 'left by an older run');
  await writeFile(join(retry, '.4711-3.tmp'), 'half of what a killed process wrote');
  const first = await site.startInbox();
  await waitFor('the files', async () => (await readdir(retry)).sort().join() === 'PC1.ccr,PC2.ccr');
  await first.stop();
  await unlink(join(retry, 'PC1.ccr'));
  await site.startInbox();
  await waitFor('the file to come back', () => existsSync(join(retry, 'PC1.ccr')));
  assert.equal((await site.show('PC1')).state, 'retry');
});

test('a folder that vanishes comes back with its files, and cancels nothing', async (t) => {
  const { site, retry } = await siteWithInbox(t);
  await site.importCsv(`name,ip,smbPort\r\nPC1,127.0.0.1,${NOBODY}\r\n`);
  await site.startCcm();
  await site.push('PC1');
  await waitFor('the file', () => existsSync(join(retry, 'PC1.ccr')));
  await rename(retry, `${retry}.gone`);
  await waitFor('the file again', () => existsSync(join(retry, 'PC1.ccr')));
  assert.equal((await site.show('PC1')).state, 'retry');
});

test('stopped at whatever moment, it leaves no watch on a folder behind, which would keep the process alive', async (t) => {
  const site = await PushSite.create({ mp: false });
  t.after(() => site.close());
  const watches = () => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length;
  for (let turns = 0; turns < 40; turns += 4) {
    const inbox = await site.startInbox();
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
    await inbox.stop();
    assert.equal(watches(), 0, `stopped after ${turns} turns`);
  }
});

test('where the retry folder cannot be written, the log says so once and the CCRs go on', async (t) => {
  const site = await PushSite.create();
  t.after(() => site.close());
  // A file where the folder should be: no user, not even root, can write below it.
  await mkdir(join(site.folder, 'inboxes'), { recursive: true });
  const retry = join(site.folder, 'inboxes', 'ccrretry.box');
  await writeFile(retry, '');
  await chmod(retry, 0o400);
  await site.startInbox();
  await site.importCsv(`name,ip,smbPort\r\nPC1,127.0.0.1,${NOBODY}\r\n`);
  await site.startCcm();
  await site.push('PC1');
  await site.until('PC1', 'retry');
  const complaints = () => site.lines.filter((line) => line.includes('ccrretry.box cannot be kept in step')).length;
  await waitFor('the complaint', () => complaints() === 1);
  assert.match(site.journal.join(''), /Unable to write to directory .*ccrretry\.box/);
  await rm(retry);
  await waitFor('the file, once the folder can be made', () => existsSync(join(retry, 'PC1.ccr')));
  assert.equal(complaints(), 1);
});

test('mobileclient.tcf follows settings, points and packages, and is taken away with the last management point', async (t) => {
  const { site } = await siteWithInbox(t);
  const file = join(site.folder, 'bin', 'mobileclient.tcf');
  const read = async () => readMobileClient(await readFile(file));
  await waitFor('the file', () => existsSync(file));
  const first = await read();
  assert.equal(first.site, 'P01');
  assert.equal(first.payload.version, VERSION);
  assert.equal(first.registration, undefined, 'the master holds no token');
  await site.records.site.updateSettings({ push: { properties: 'SMSCACHESIZE=500' } }, 'anna');
  await waitFor('the new property', async () => (await read()).properties.endsWith('SMSCACHESIZE=500'));
  await site.records.site.setPoint('mp', { address: 'https://mp.corp.example', pin: 'ab'.repeat(32) }, 'anna');
  await waitFor('the new point', async () => (await read()).managementPoints[0] === 'https://mp.corp.example');
  assert.deepEqual((await read()).certificatePins, ['ab'.repeat(32)]);
  // A machine in the boundaries of a secondary has two points, and may meet two certificates.
  const { records } = site;
  await records.site.learn({ code: 'S01', kind: 'secondary', parent: 'P01' });
  const told = async (proxy: { address: string; pin: string }) => {
    await records.site.setPoint('mp', { ...proxy, site: 'S01' }, 'site S01');
    const surroundings = new Surroundings(site.parts());
    const file = await surroundings.settingsFile(await surroundings.packageFor({ package: undefined }), 'S01');
    return [file.managementPoints, file.certificatePins];
  };
  const own = 'https://mp.corp.example';
  const [proxy, a, b] = ['https://proxy.corp.example', 'ab'.repeat(32), 'cd'.repeat(32)];
  assert.deepEqual(await told({ address: proxy, pin: b }), [
    [proxy, own],
    [b, a],
  ]);
  assert.deepEqual(await told({ address: proxy, pin: a }), [[proxy, own], [a]], 'one certificate, one pin');
  assert.deepEqual((await read()).certificatePins, [a], 'the file for everybody has no proxy in it');
  await site.records.site.setPoint('fsp', { address: 'http://fsp.corp.example' }, 'anna');
  await waitFor('the fallback status point', async () => (await read()).fallbackStatusPoint === 'http://fsp.corp.example');
  await site.records.site.setPoint('mp', { on: false }, 'anna');
  await waitFor('the file to go', () => !existsSync(file));
});

test('the file shows the time of the error event once it was raised', async (t) => {
  const clock = new ManualClock('2026-01-05T08:00:00Z');
  const site = await PushSite.create({ clock, settings: { ccr: { eventAfterHours: 1 } } });
  t.after(() => site.close());
  const retry = join(site.folder, 'inboxes', 'ccrretry.box');
  await site.importCsv(`name,ip,smbPort\r\nPC1,127.0.0.1,${NOBODY}\r\n`);
  await site.startInbox();
  await site.startCcm();
  await site.push('PC1');
  await site.until('PC1', 'retry');
  clock.jump(new Date('2026-01-05T09:04:00Z'));
  await waitFor('the event', async () => {
    await clock.advance(1000);
    const text = await readFile(join(retry, 'PC1.ccr'), 'utf8').catch(() => '');
    return /^Error Event Created=01\/05\/2026 09:0\d:\d\d\r$/m.test(text);
  });
});
