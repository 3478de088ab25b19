import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { raise } from '#base/errors';
import { labSite } from '#test/lab-site';
import { waitFor } from '#test/push-site';

/** What nobody may send to a screen as it is: controls of terminals, and those that turn the order of letters around. */
const HOSTILE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;
const head = '[NT Client Configuration Request]\r\n';

test('dropped files of every bad kind go to bad, each with its reason; good ones between them are worked and nothing is lost', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {}, 'PC-2': {} });
  const inboxes = join(site.folder, 'inboxes');
  const box = join(inboxes, 'ccr.box');
  await mkdir(box, { recursive: true });
  const good = `${head}Machine Name=PC-1\r\n`;
  const utf16 = Buffer.from(`\ufeff${good.replace('PC-1', 'PC-2')}`, 'utf16le');
  const bad: Record<string, string | Uint8Array> = {
    'empty.ccr': '',
    'truncated.ccr': '[NT Client Configur',
    'half.ccr': `${head}Machine Na`,
    'binary.ccr': Uint8Array.from({ length: 5000 }, (_, i) => (i * 73 + (i >> 3)) & 255),
    'nul.ccr': `${head}Machine Name=PC\0-1\r\n`,
    'large.ccr': Buffer.alloc(10 * 1024 * 1024, `${head}Machine Name=PC-1\r\n`),
    'odd-utf16.ccr': utf16.subarray(0, 61),
    'at.ccr': `${head}Machine Name=PC-1@8080\r\n`,
    'slash.ccr': `${head}Machine Name=PC-1/x\r\n`,
    'quote.ccr': `${head}Machine Name=PC-1';--\r\n`,
    'long.ccr': `${head}Machine Name=${'a'.repeat(300)}\r\n`,
    'bidi.ccr': `${head}Machine Name=PC\u202e1-\r\n`,
    'escape.ccr': `${head}Machine Name=PC\u001b[31m\r\n`,
    'resource.ccr': `${head}Machine Name=PC-1\r\n[Resource Names ]\r\nResource Names 1=evil@80\r\n`,
    'address.ccr': `${head}Machine Name=PC-1\r\nIP Address 1=10.0.0.1;rm\r\n`,
    'wrong\u202egnp.ccr': 'not a CCR',
    'names.txt': 'PC-1',
  };
  for (const [name, content] of Object.entries(bad)) await writeFile(join(box, name), content);
  await writeFile(join(box, 'good.ccr'), good);
  await writeFile(join(box, 'good-again.CCR'), good);
  await writeFile(join(box, 'utf16le.ccr'), utf16);
  await writeFile(join(box, 'utf16be.ccr'), Buffer.from(utf16).swap16());
  await site.startInbox();
  const folder = join(box, 'bad');
  await waitFor('every bad file to be put aside', async () => {
    const names = await readdir(folder).catch(() => []);
    return names.filter((n) => n.endsWith('.reason')).length === Object.keys(bad).length;
  });
  const names = await readdir(folder);
  assert.equal(names.length, 2 * Object.keys(bad).length, names.join(' '));
  for (const name of names) {
    assert.doesNotMatch(name, HOSTILE);
    if (!name.endsWith('.reason')) continue;
    const reason = await readFile(join(folder, name), 'utf8');
    assert.ok(reason.length > 30, `${name}: ${reason}`);
    for (const line of reason.split(/\r?\n/)) assert.doesNotMatch(line, HOSTILE, name);
  }
  assert.match(await readFile(join(folder, 'names.txt.reason'), 'utf8'), /PP_CCR_FILE_NAME: the name of the file names\.txt /);
  for (const name of ['PC-1', 'PC-2']) await waitFor(name, async () => (await site.records.ccr.find(name)).length === 1);
  await waitFor(
    'duplicates to merge',
    async () => (await site.show('PC-1')).requestCount === 2 && (await site.show('PC-2')).requestCount === 2,
  );
  assert.equal((await site.records.ccr.list({ limit: 100 })).items.length, 2);
  for (const line of site.journal.join('').split(/\r?\n/)) assert.doesNotMatch(line, HOSTILE);
});

test('a machine that calls itself by hostile letters does not bring them into timeline, log or file', async (t) => {
  const { site } = await labSite(t, { 'PC-1': { switches: { answersAs: '\u202egnp.1-CP' } } });
  await site.startInbox();
  await site.startCcm();
  await site.push('PC-1');
  const shown = await site.until('PC-1', 'retry', 'waiting', 'complete');
  assert.equal(shown.lastError, 'PP_WIRE_MALFORMED', 'no Windows machine has such a name');
  for (const text of [shown.lastErrorText!, ...shown.steps.map((s) => s.detail ?? '')])
    assert.doesNotMatch(text, HOSTILE, JSON.stringify(text));
  for (const line of site.journal.join('').split('\r\n')) assert.doesNotMatch(line, HOSTILE, JSON.stringify(line));
  const file = join(site.folder, 'inboxes', 'ccrretry.box', 'PC-1.ccr');
  await waitFor('its file', async () => (await readFile(file, 'utf8').catch(() => '')).includes('Last Error'));
  for (const line of (await readFile(file, 'utf8')).split('\r\n')) assert.doesNotMatch(line, HOSTILE, JSON.stringify(line));
});

test('a package for another system, or none of that name, is told before any machine is bothered; the CCR goes on once it is right', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {}, 'PC-2': {} });
  const [client] = await site.records.package.list();
  const { definition } = client!;
  await site.records.package.add(
    { ...definition, name: 'linux-client', platform: 'linux', default: false },
    client!.files,
    'test',
  );
  await site.startCcm();
  await site.push('PC-1', { package: 'linux-client' });
  await site.push('PC-2', { package: 'nobody-has-it' });
  const [one, two] = [
    await site.until('PC-1', 'waiting', 'retry', 'complete'),
    await site.until('PC-2', 'waiting', 'retry', 'complete'),
  ];
  assert.deepEqual([one.state, one.lastError, one.lastErrorCode], ['waiting', 'PP_PUSH_PACKAGE_PLATFORM', 193]);
  assert.deepEqual([two.state, two.lastError], ['waiting', 'PP_PUSH_NO_PACKAGE']);
  for (const host of Object.values(hosts)) assert.equal(host.logons.tried, 0);
  await site.records.package.add({ ...definition, name: 'nobody-has-it', default: false }, client!.files, 'test');
  assert.equal((await site.until('PC-2', 'complete')).state, 'complete');
});

test('whatever a machine says is kept as one line that can be shown: hostile letters are visible and steer nothing', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {} });
  const { ccr } = site.records;
  const worker = await ccr.claims.registerWorker('test');
  await site.push('PC-1');
  const [claimed] = await ccr.claims.take({ worker, limit: 1, caps: { perSubnet: 9, perAccount: 9 } });
  const said = 'NAS \u202egnp.exe\u2066 \u001b[2J\u0000\r\nnext\u2028line \ud800';
  ccr.claims.attempt(claimed!).step({ name: 'inspect', outcome: 'ok', startedAt: site.clock.now(), durationMs: 1, detail: said });
  const error = raise('PP_PUSH_NOT_WINDOWS', { machine: 'PC-1', os: said }, { detail: said });
  assert.equal(await ccr.claims.retry(claimed!, { error, nextAt: site.clock.now() }), true);
  await worker.leave(site.clock.now());
  const shown = await site.show('PC-1');
  for (const text of [shown.lastErrorText!, shown.steps[0]!.detail!]) {
    assert.doesNotMatch(text, HOSTILE);
    assert.match(text, /NAS \\u202egnp\.exe\\u2066 \\u001b\[2J\\u0000 next\\u2028line/);
  }
});
