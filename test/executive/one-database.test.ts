import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isCode, type Code } from '#base/errors';
import { createSite, runSite } from '#executive';
import { testDatabase, type TestDatabase } from '#test/database';
import { scratch } from '#test/scratch';

/** Two data folders on one external database, by mistake: each is told which, where and what to do, and nothing is changed. */

const folder = mkdtempSync(join(scratch, 'pushpoint-two-'));
const at = (name: string) => join(folder, name);
const free = { listen: '127.0.0.1:0', console: '127.0.0.1:0' };
let first: TestDatabase;
let second: TestDatabase;

before(async () => {
  first = await testDatabase({ records: [] });
  second = await testDatabase({ records: [] });
  await createSite({ code: 'P01', data: at('p01'), database: first.url, ...free });
  await createSite({ code: 'P02', data: at('p02'), database: second.url, ...free });
});
after(async () => {
  await first?.close();
  await second?.close();
  rmSync(folder, { recursive: true, force: true });
});

const refused = (doing: Promise<unknown>, code: Code, text: RegExp) =>
  assert.rejects(doing, (error) => {
    assert.ok(isCode(error, code), String(error));
    assert.match((error as Error).message, text);
    return true;
  });
const run = (name: string, o: { database?: string; roles?: string[] } = {}) => runSite({ data: at(name), signals: false, ...o });

test('a site is not created in the database of another one, nor of one with the same code; its folder is taken away again', async () => {
  for (const code of ['P03', 'P01']) {
    await refused(
      createSite({ code, data: at('new'), database: first.url, ...free }),
      'PP_SITE_DATABASE_TAKEN',
      /belongs to the site P01/,
    );
    assert.ok(!existsSync(at('new')));
  }
});

test('a data folder does not run over the database of another site', async () => {
  const before = await first.db.query('select record, name from migration');
  await refused(
    run('p02', { database: first.url }),
    'PP_SITE_DATABASE_OTHER',
    /belongs to the site P01, and .*p02 is the data folder of the site P02/,
  );
  assert.deepEqual(await first.db.query('select record, name from migration'), before);
  assert.deepEqual(await first.db.query('select code from site'), [{ code: 'P01' }]);
});

test('a copy of a data folder does not get the inbox while the other has it; it may have other roles, and gets it afterwards', async () => {
  cpSync(at('p01'), at('copy'), { recursive: true });
  const one = await run('p01');
  await refused(
    run('copy'),
    'PP_SITE_INBOX_TAKEN',
    /copy is served from another data folder too: a process connected from .* has the role inbox/,
  );
  const helper = await run('copy', { roles: ['ccm', 'ddm'] });
  await helper.stop();
  await one.stop();
  const two = await run('copy');
  assert.equal(two.ready.site, 'P01');
  await two.stop();
});
