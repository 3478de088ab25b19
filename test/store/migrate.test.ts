import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ManualClock, systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { migrate, openDatabase, type Database, type Migrations } from '#store/database';
import { testDatabase } from '#test/database';

const home = mkdtempSync(path.join(tmpdir(), 'pushpoint migrate '));
after(() => rmSync(home, { recursive: true }));
let count = 0;

async function fresh(t: TestContext): Promise<{ db: Database; url: string }> {
  const own = await testDatabase({ records: [] });
  t.after(() => own.close());
  return own;
}

/** record writes the files of a record and gives where they lie, with a blank in the path and no slash at its end. */
function record(name: string, files: Record<string, string>): Migrations {
  const folder = path.join(home, `${count++}`, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(folder, file), text);
  return { record: name, folder: pathToFileURL(folder) };
}

const clock = new ManualClock();

test('migrations are applied once, in an order that the files say and not the list', async (t) => {
  const { db } = await fresh(t);
  const ccr = record('ccr', {
    '0001-tables.sql':
      '-- after: resource/0002-more.sql\ncreate table ccr (resource int references resource (id));\ncreate index on ccr (resource);',
    '0002-more.sql': 'alter table ccr add note text;',
  });
  const resource = record('resource', {
    '0001-tables.sql': 'create table resource (id int);',
    '0002-more.sql': 'alter table resource add primary key (id);',
  });
  const order = ['resource/0001-tables.sql', 'resource/0002-more.sql', 'ccr/0001-tables.sql', 'ccr/0002-more.sql'];
  assert.deepEqual(await migrate(db, [ccr, resource], clock), order);
  assert.deepEqual(await migrate(db, [resource, ccr], clock), []);
  assert.deepEqual(await db.query('select distinct applied_at from migration'), [{ applied_at: clock.now() }]);
  writeFileSync(new URL(`${resource.folder.href}/0003-new.sql`), 'create table third (n int);');
  assert.deepEqual(await migrate(db, [ccr, resource], clock), ['resource/0003-new.sql']);
});

test('a migration that fails leaves the database as it was', async (t) => {
  const { db } = await fresh(t);
  const good = record('a', { '0001-good.sql': 'create table good (n int);' });
  const bad = record('b', { '0001-bad.sql': 'create table half (n int); create tabel other (n int);' });
  await assert.rejects(migrate(db, [good, bad], clock), {
    code: 'PP_STORE_MIGRATION_FAILED',
    message: /b\/0001-bad\.sql failed: syntax error/,
  });
  const tables = "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
  assert.deepEqual(await db.query(tables), [{ relname: 'migration' }]);
  assert.deepEqual(await migrate(db, [good], clock), ['a/0001-good.sql']);
});

test('a database that a newer program migrated is refused', async (t) => {
  const { db } = await fresh(t);
  const things = record('thing', { '0001-a.sql': 'create table a (n int);', '0002-b.sql': 'create table b (n int);' });
  await migrate(db, [things], clock);
  unlinkSync(new URL(`${things.folder.href}/0002-b.sql`));
  await assert.rejects(migrate(db, [things], clock), { code: 'PP_STORE_NEWER', message: /thing\/0002-b\.sql/ });
});

test('a file that was changed after it had been applied is refused, other line ends are not', async (t) => {
  const { db } = await fresh(t);
  const things = record('thing', { '0001-a.sql': 'create table a (n int);\n-- end\n' });
  await migrate(db, [things], clock);
  const file = new URL(`${things.folder.href}/0001-a.sql`);
  writeFileSync(file, 'create table a (n int);\r\n-- end\r\n');
  assert.deepEqual(await migrate(db, [things], clock), []);
  writeFileSync(file, 'create table a (n bigint);\n-- end\n');
  await assert.rejects(migrate(db, [things], clock), { code: 'PP_STORE_MIGRATION_CHANGED' });
});

test('of several processes that migrate at once exactly one applies', async (t) => {
  const { url } = await fresh(t);
  const things = record('thing', {
    '0001-a.sql': 'create table a (n int); select pg_sleep(0.1);',
    '0002-b.sql': 'insert into a values (1);',
  });
  const all = await Promise.all(
    Array.from({ length: 6 }, () => openDatabase({ dataDir: path.join(home, 'data'), url, clock: systemClock, log: silentLog })),
  );
  const applied = await Promise.all(all.map((db) => migrate(db, [things], clock)));
  assert.deepEqual(applied.flat(), ['thing/0001-a.sql', 'thing/0002-b.sql']);
  assert.deepEqual(await all[0]!.query('select n from a'), [{ n: 1 }]);
  await Promise.all(all.map((db) => db.close()));
});

test('names and circles that can only be mistakes are refused', async (t) => {
  const { db } = await fresh(t);
  await assert.rejects(migrate(db, [record('x', { '1-x.sql': '' })], clock), /not named NNNN-name\.sql/);
  await assert.rejects(
    migrate(db, [record('x', { '0001-x.sql': '-- after: y/0001-y.sql\n' })], clock),
    /needs y\/0001-y\.sql, which is not there/,
  );
  const x = record('x', { '0001-x.sql': '-- after: y/0001-y.sql\n' });
  const y = record('y', { '0001-y.sql': '-- after: x/0001-x.sql\n' });
  await assert.rejects(migrate(db, [x, y], clock), /needs itself/);
});
