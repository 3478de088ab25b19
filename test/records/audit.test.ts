import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { AuditRecord } from '#records/audit';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let audit: AuditRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await tamper('truncate audit');
  audit = new AuditRecord(base.db, new ManualClock());
});

/** tamper does what somebody with full rights on the database could do. */
async function tamper(sql: string): Promise<void> {
  await base.db.transaction(async (tx) => {
    await tx.query('alter table audit disable trigger all');
    await tx.query(sql);
    await tx.query('alter table audit enable trigger all');
  });
}

test('writers at the same moment make one chain without a gap', async () => {
  await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      audit.write({ who: `user${i}`, what: 'ccr.cancel', object: `PC${i}`, detail: { ä: [i, null] }, address: '::1' }),
    ),
  );
  assert.deepEqual(await audit.verify(), { ok: true, entries: 40 });
  const page = await audit.list({ limit: 30 });
  assert.deepEqual([page.items.length, page.items[0]!.seq, page.next], [30, 40, '11']);
  assert.equal((await audit.list({ cursor: page.next })).items.length, 10);
  assert.deepEqual(Object.keys(page.items[0]!.detail as object), ['ä']);
});

test('an entry that is changed, taken out or put in is noticed where it stands', async () => {
  const fill = async () => {
    await tamper('truncate audit');
    for (let i = 1; i <= 5; i++) await audit.write({ who: 'a', what: 'x', object: `o${i}` });
  };
  for (const [sql, at] of [
    ["update audit set object = 'o9' where seq = 3", 3],
    ["update audit set at = at + interval '1 ms' where seq = 2", 2],
    ["update audit set detail = '{}' where seq = 5", 5],
    ['delete from audit where seq = 2', 2],
    ['delete from audit where seq = 1', 1],
    [
      'update audit set seq = -seq where seq = 4; update audit set seq = 4 where seq = 5; update audit set seq = 5 where seq = -4',
      4,
    ],
  ] as const) {
    await fill();
    assert.deepEqual(await audit.verify(), { ok: true, entries: 5 });
    for (const one of sql.split(';')) await tamper(one);
    const found = await audit.verify();
    assert.equal(!found.ok && found.brokenAt, at, sql);
  }
});

test('the log is only added to', async () => {
  await audit.write({ who: 'a', what: 'x', object: 'y' });
  for (const sql of ["update audit set who = 'b'", 'delete from audit', 'truncate audit'])
    await assert.rejects(base.db.query(sql), /only added to/, sql);
});

test('an entry goes with the transaction of what it tells about', async () => {
  await assert.rejects(
    base.db.transaction(async (tx) => {
      await audit.write({ who: 'a', what: 'x', object: 'undone' }, tx);
      throw new Error('undone');
    }),
  );
  await audit.write({ who: 'a\nb\u0000', what: 'x', object: 'done\ud800' });
  const { items } = await audit.list();
  assert.deepEqual(
    items.map((i) => [i.seq, i.who, i.object]),
    [[1, 'a b ', 'done\ufffd']],
  );
  assert.deepEqual(await audit.verify(), { ok: true, entries: 1 });
});
