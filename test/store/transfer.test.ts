import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { isCode, type Code } from '#base/errors';
import { silentLog } from '#base/log';
import {
  exportDatabase,
  importDatabase,
  migrationSteps,
  openDatabase,
  type Carried,
  type Database,
  type Part,
} from '#store/database';
import { recordMigrations, testDatabase, type TestDatabase } from '#test/database';
import { scratch } from '#test/scratch';

/** All rows of a site go from one PostgreSQL to another and are the same there: every table, every kind of column, awkward values. */

const records = await recordMigrations();
let from: TestDatabase;
const made: Part[] = [];
let carried: Carried;

const FILL = `
  insert into site (code, kind, own, settings, created_at, changed_at)
    values ('P01', 'primary', true, '{"a": {"b": [1, null, "ö\\\\n\\""]}}', '2026-01-05T08:00:00.123456Z', 'infinity');
  insert into site_point values ('P01', 'mp', 'http://mp', true, null, now());
  insert into site_token (hash, label, scopes, created_at) select sha256(n::text::bytea), 'tok ' || n, '{admin,"with , comma"}', now() from generate_series(1, 5) n;
  select audit_write(now(), 'root', 'x.y', E'tab\\tback\\\\slash', null, null, '["entry"]'), audit_write(now(), 'ö', 'x.y', '', '{"k":1}', '::1', '["zwei"]');
  insert into account (name, name_key, username, sealed_password, scope_kind, created_at, changed_at)
    values ('push', 'PUSH', 'CORP\\x', '\\x00ff5c', 'site', now(), now());
  insert into resource (name, name_key, addresses, macs, os, os_build, created_at, changed_at)
    select 'PC' || n, 'PC' || n, array['10.0.0.' || n % 250, 'fe80::' || n], '{}', case when n % 2 = 0 then E'Windows "11"\\u00a0\\u2028' end, n, now(), now()
    from generate_series(1, 1200) n;
  delete from resource where name = 'PC1200';
  insert into resource_source select id, 'import', 'P01', now() from resource;
  insert into account_host select 'R' || r.id, a.id, now() from resource r, account a where r.id % 100 = 0;
  insert into client_state (topic_type, topic_id, state_id, at, received_at, name_key, name, log_tail, exit_code, proven)
    select 800, gen_random_uuid(), n % 500, now(), now(), 'PC' || n, 'PC' || n, repeat(md5(n::text), 200), 9007199254740993, true from generate_series(1, 1500) n;
  insert into package (name, version, platform, definition, added_by, added_at) values ('agent', '1.0', 'windows', '{"n": 1.50, "deep": {"x": []}}', 'root', now());
  insert into package_file values ('agent', 'a.exe', repeat('ab', 32), 12345678901);
`;

before(async () => {
  from = await testDatabase();
  await from.db.query(FILL.replaceAll('now()', "'2026-01-05T08:00:00.000001Z'::timestamptz"));
  for (const [name, state] of [
    ['PC1', 'queued'],
    ['PC2', 'verifying'],
  ])
    await from.db.query(
      `insert into ccr (machine_key, name, name_key, state, source, requested_by, first_requested_at, last_requested_at, due_at, changed)
       values ($1, $1, $1, $2, 'push', 'root', $3, $3, $3, '12345678901')`,
      [name, state, new Date(0)],
    );
  carried = await exportDatabase(from.db, async (name, bytes) => void made.push({ name, bytes: Buffer.from(bytes) }));
});
after(() => from?.close());

async function* parts(change?: (part: Part) => Part): AsyncGenerator<Part> {
  for (const part of made) yield change ? change(part) : part;
}

/** all is what a database holds, asked for in another way than the export asks; a row's transaction number is its cluster's own. */
async function all(db: Database): Promise<Map<string, string[]>> {
  const tables = await db.query<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = current_schema() and table_name <> 'migration' order by 1`,
  );
  const found = new Map<string, string[]>();
  for (const { name } of tables) {
    const rows = await db.query<{ row: string }>(`select (to_jsonb(t) - 'changed')::text as row from "${name}" t`);
    found.set(
      name,
      rows.map(({ row }) => row).sort((a, b) => (a < b ? -1 : 1)),
    );
  }
  return found;
}

async function same(to: Database): Promise<void> {
  const [one, other] = [await all(from.db), await all(to)];
  assert.deepEqual([...other.keys()], [...one.keys()]);
  for (const [name, rows] of one) assert.deepEqual(other.get(name), rows, name);
  assert.ok([...one.values()].filter((rows) => rows.length > 0).length >= 11, 'the test fills the tables');
  // Numbers go on where they were: no id is given twice.
  for (const name of ['resource_id_seq', 'ccr_id_seq']) {
    const last = carried.sequences.find((sequence) => sequence.name === name)!.last;
    assert.deepEqual(await to.query('select nextval($1::regclass) as n', [name]), [{ n: Number(last) + 1 }]);
  }
  // What came is a database to work with: its rules are there, and not only its rows.
  await assert.rejects(to.query("update audit set who = 'x'"), /only added to/);
  await assert.rejects(to.query("insert into site_point values ('XXX', 'mp', 'x', true, null, now())"), /foreign key/);
}

test('all tables are equal after an export and an import, and a second import is refused', async (t) => {
  const to = await testDatabase({ records: [] });
  t.after(() => to.close());
  assert.ok(made.filter(({ name }) => name.includes('client_state')).length > 1, 'a large table comes in parts');
  assert.deepEqual(await importDatabase(to.db, { carried, records, clock: systemClock, parts: parts() }), []);
  await same(to.db);
  await assert.rejects(importDatabase(to.db, { carried, records, clock: systemClock, parts: parts() }), (error) => {
    assert.ok(isCode(error, 'PP_STORE_NOT_EMPTY'));
    assert.match(error.message, /it holds the site P01/);
    return true;
  });
});

test('an export is of one instant, whatever is written meanwhile', async (t) => {
  const busy = await testDatabase();
  t.after(() => busy.close());
  await busy.db.query("insert into site (code, kind, own, created_at, changed_at) values ('P01', 'primary', true, now(), now())");
  const names: string[] = [];
  const snapshot = await exportDatabase(busy.db, async (name) => {
    if (names.length === 0)
      await busy.db.query("insert into site_token (hash, label, scopes, created_at) values ('\\x01', 'late', '{}', now())");
    names.push(name);
  });
  assert.ok(names.length > 0);
  assert.equal(snapshot.tables.find(({ name }) => name === 'site_token')?.rows, 0);
});

test('an import that fails leaves an empty database, and the table is named', async (t) => {
  const to = await testDatabase({ records: [] });
  t.after(() => to.close());
  const attempt = async (code: Code, table: RegExp, options: { carried?: Carried; change?: (part: Part) => Part }) => {
    await assert.rejects(
      importDatabase(to.db, { carried: options.carried ?? carried, records, clock: systemClock, parts: parts(options.change) }),
      (error) => isCode(error, code) && table.test(error.message),
    );
    assert.deepEqual([...(await all(to.db)).keys()], []);
  };
  const wrong = (change: Partial<Carried['tables'][number]>) => ({
    ...carried,
    tables: carried.tables.map((table) => (table.name === 'resource' ? { ...table, ...change } : table)),
  });
  await attempt('PP_STORE_IMPORT_DIFFERS', /table resource/, { carried: wrong({ rows: 7 }) });
  await attempt('PP_STORE_IMPORT_DIFFERS', /table resource/, { carried: wrong({ sha256: '00' }) });
  await attempt('PP_STORE_IMPORT_DIFFERS', /table resource/, { carried: wrong({ columns: ['id', 'nothing'] }) });
  const swapped = (part: Part) =>
    part.name.includes('-site/') ? { ...part, name: part.name.replace('-site/', '-elsewhere/') } : part;
  await attempt('PP_STORE_IMPORT_DIFFERS', /table elsewhere/, { change: swapped });
  const newer = { ...carried, migrations: [...carried.migrations, { id: 'site/9999-future.sql', checksum: 'x' }] };
  await attempt('PP_STORE_NEWER', /9999-future/, { carried: newer });
  const [first, ...rest] = carried.migrations;
  const edited = { ...carried, migrations: [{ ...first!, checksum: 'x' }, ...rest] };
  await attempt('PP_STORE_MIGRATION_CHANGED', new RegExp(first!.id), { carried: edited });
});

test('an export of an older program is brought to the tables of this one', async (t) => {
  const steps = await migrationSteps(records);
  const old = steps.filter(({ id }) => id.includes('/0001-'));
  assert.ok(old.length < steps.length, 'there are later migrations');
  const to = await testDatabase({ records: [] });
  t.after(() => to.close());
  const empty = (async function* (): AsyncGenerator<Part> {})();
  const done = await importDatabase(to.db, {
    carried: { ...carried, migrations: old, tables: [], sequences: [] },
    records,
    clock: systemClock,
    parts: empty,
  });
  assert.deepEqual(
    done,
    steps.filter(({ id }) => !id.includes('/0001-')).map(({ id }) => id),
  );
});

test('the rows go to another major version of PostgreSQL, and back', async (t) => {
  const pgBin = '/usr/lib/postgresql/15/bin';
  if (!existsSync(path.join(pgBin, 'postgres'))) {
    process.stderr.write('SKIPPED, needs PostgreSQL 15: apt-get install postgresql-15\n');
    return t.skip('needs PostgreSQL 15');
  }
  const dataDir = mkdtempSync(path.join(scratch, 'pushpoint-pg15-'));
  const older = await openDatabase({ dataDir, pgBin, clock: systemClock, log: silentLog });
  t.after(async () => {
    await older.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const [{ v }] = (await older.query<{ v: string }>("select current_setting('server_version') as v")) as [{ v: string }];
  assert.match(v, /^15/);
  await importDatabase(older, { carried, records, clock: systemClock, parts: parts() });
  await same(older);
  const back: Part[] = [];
  const again = await exportDatabase(older, async (name, bytes) => void back.push({ name, bytes: Buffer.from(bytes) }));
  assert.deepEqual(again.tables, carried.tables);
  assert.notEqual(again.postgres, carried.postgres);
  assert.deepEqual(
    back.map(({ bytes }) => bytes.toString('hex')),
    made.map(({ bytes }) => bytes.toString('hex')),
  );
});
