import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isCode } from '#base/errors';
import { systemClock } from '#base/clock';
import { isForeignKeyViolation, isUniqueViolation, type Database } from '#store/database';
import { testDatabase, type TestDatabase } from '#test/database';

let own: TestDatabase;
let db: Database;
before(async () => {
  own = await testDatabase({ records: [] });
  db = own.db;
  await db.query('create table seat (id int primary key, held_by text not null default $$$$, next int references seat)');
});
after(() => own?.close());

async function until(what: string, look: () => boolean): Promise<void> {
  const deadline = systemClock.monotonic() + 30_000;
  while (!look()) {
    if (systemClock.monotonic() > deadline) assert.fail(`waited in vain for: ${what}`);
    await systemClock.sleep(10);
  }
}

/** gate lets several transactions wait for each other. */
function gate(parties: number): () => Promise<void> {
  let open!: () => void;
  let missing = parties;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return () => {
    if (--missing === 0) open();
    return opened;
  };
}

test('values come back as the types that are promised', async () => {
  const [row] = await db.query(
    `select 5::int8 as small, 9007199254740993::int8 as big, array[1, null]::int8[] as list, date '2026-01-05' as day,
            timestamptz '2026-01-05 08:00:00+02' as at, timestamp '2026-01-05 08:00:00' as plain, inet '10.0.0.1' as address,
            '\\x00ff'::bytea as bytes, '{"a":[1]}'::jsonb as json, 1.50::numeric as exact`,
  );
  assert.deepEqual(row, {
    small: 5,
    big: 9007199254740993n,
    list: [1, null],
    day: '2026-01-05',
    at: new Date('2026-01-05T06:00:00Z'),
    plain: new Date('2026-01-05T08:00:00Z'),
    address: '10.0.0.1',
    bytes: Buffer.from([0, 255]),
    json: { a: [1] },
    exact: '1.50',
  });
});

test('values go in as the types that are promised', async () => {
  const at = new Date('2026-01-05T06:00:00.123Z');
  const [row] = await db.query(
    'select $1::timestamptz as at, $2::bytea as bytes, $3::jsonb as json, $4::text[] as list, $5::text as none',
    [at, new Uint8Array([0, 255]), { a: [1] }, ['x,y', 'z"'], undefined],
  );
  assert.deepEqual(row, { at, bytes: Buffer.from([0, 255]), json: { a: [1] }, list: ['x,y', 'z"'], none: null });
});

test('a named statement is prepared once per connection and gives its rows; count gives how many were touched', async () => {
  const statement = { name: 'seat-by-id', text: 'select id from seat where id = $1' };
  assert.equal(await db.count('insert into seat (id) values (1), (2), (3)'), 3);
  await db.transaction(async (tx) => {
    assert.deepEqual(await tx.exec(statement, [1]), [{ id: 1 }]);
    assert.deepEqual(await tx.exec(statement, [2]), [{ id: 2 }]);
    const prepared = await tx.query(
      "select calls from (select generic_plans + custom_plans as calls from pg_prepared_statements where name = 'seat-by-id') x",
    );
    assert.deepEqual(prepared, [{ calls: 2 }]);
  });
});

test('constraint errors reach the record, which can tell them apart', async () => {
  await assert.rejects(db.query('insert into seat (id) values (1)'), (error) => {
    assert.ok(isUniqueViolation(error) && isUniqueViolation(error, 'seat_pkey') && !isUniqueViolation(error, 'other'));
    return !isForeignKeyViolation(error);
  });
  await assert.rejects(db.query('insert into seat (id, next) values (50, 999)'), (error) =>
    isForeignKeyViolation(error, 'seat_next_fkey'),
  );
});

test('a transaction commits everything or nothing', async () => {
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.query('insert into seat (id) values (10)');
      throw new Error('changed my mind');
    }),
    /changed my mind/,
  );
  assert.deepEqual(await db.query('select 1 from seat where id = 10'), []);
  assert.equal(await db.transaction((tx) => tx.count('insert into seat (id) values (10)')), 1);
  assert.equal((await db.query('select 1 from seat where id = 10')).length, 1);
});

test('an error that was swallowed inside a transaction does not look like a commit', async () => {
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.query('insert into seat (id) values (11)');
      await tx.query('insert into seat (id) values (11)').catch(() => {});
      return 'fine';
    }),
    (error) => isUniqueViolation(error),
  );
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.query('insert into seat (id) values (10)').catch(() => {});
      await tx.query('select 1');
    }),
    (error) => isUniqueViolation(error),
  );
  assert.deepEqual(await db.query('select 1 from seat where id = 11'), []);
});

test('a statement that comes after the end of its transaction is refused', async () => {
  const tx = await db.transaction((inner) => Promise.resolve(inner));
  await assert.rejects(tx.query('select 1'), /after the end of its transaction/);
});

test("two serializable transactions in each other's way both succeed in the end", async () => {
  await db.query('insert into seat (id) values (20), (21)');
  const meet = gate(2);
  let runs = 0;
  const take = (who: string, seat: number) =>
    db.transaction(
      async (tx) => {
        const first = ++runs <= 2;
        const [free] = await tx.query<{ n: number }>("select count(*) as n from seat where id in (20, 21) and held_by = ''");
        if (first) await meet();
        if (free!.n === 2) await tx.query('update seat set held_by = $1 where id = $2', [who, seat]);
      },
      { isolation: 'serializable' },
    );
  await Promise.all([take('a', 20), take('b', 21)]);
  assert.ok(runs >= 3, `${runs} runs`);
  assert.equal((await db.query("select 1 from seat where id in (20, 21) and held_by <> ''")).length, 1);
});

test('the victim of a deadlock is tried again', async () => {
  await db.query('insert into seat (id) values (30), (31)');
  const meet = gate(2);
  let runs = 0;
  const cross = (first: number, second: number) =>
    db.transaction(async (tx) => {
      const early = ++runs <= 2;
      await tx.query('update seat set held_by = held_by || $2 where id = $1', [first, 'x']);
      if (early) await meet();
      await tx.query('update seat set held_by = held_by || $2 where id = $1', [second, 'y']);
    });
  await Promise.all([cross(30, 31), cross(31, 30)]);
  // The victim may come back before the other one has its second row, and be the victim once more.
  assert.ok(runs >= 3, `${runs} runs`);
  const seats = await db.query<{ held_by: string }>('select held_by from seat where id in (30, 31) order by id');
  for (const { held_by: who } of seats) assert.match(who, /^(?:xy|yx)$/);
});

test('a statement by itself that lost against another transaction is tried again too', async () => {
  // A sequence counts on although what it counted for is undone.
  await db.query('create sequence tries');
  await db.query(
    `create function third_time() returns integer language plpgsql as $$ begin
       if nextval('tries') < 3 then raise exception 'deadlock' using errcode = '40P01'; end if;
       return currval('tries');
     end $$`,
  );
  assert.deepEqual(await db.query('select third_time() as n'), [{ n: 3 }]);
  await db.query("select setval('tries', 1, false)");
  assert.equal(await db.count('insert into seat (id) select 40 + third_time()'), 1);
  assert.equal((await db.query('select from seat where id = 43')).length, 1);
});

test('a conflict that never ends is given up after five tries', async () => {
  let runs = 0;
  await assert.rejects(
    db.transaction(async (tx) => {
      runs++;
      await tx.query("do $$ begin raise exception 'again' using errcode = '40001'; end $$");
    }),
    { code: '40001' },
  );
  assert.equal(runs, 5);
});

test('a statement that takes too long is stopped with an error that says so', async () => {
  const short = db.transaction(async (tx) => {
    await tx.query("set local statement_timeout = '30ms'");
    await tx.query('select pg_sleep(5)');
  });
  await assert.rejects(short, (error) => isCode(error, 'PP_STORE_SLOW'));
});

test('notifications are heard at commit, by all who listen, and no more after the end', async () => {
  const heard: string[] = [];
  const end = await db.listen('Odd "channel"', (payload) => heard.push(payload));
  const endSecond = await db.listen('Odd "channel"', (payload) => heard.push(`${payload}2`));
  await db.transaction(async (tx) => {
    await db.notify('Odd "channel"', 'a', tx);
    await systemClock.sleep(0);
    assert.deepEqual(heard, []);
  });
  await until('both', () => heard.length === 2);
  await end();
  await db.notify('Odd "channel"', 'b');
  await until('the second only', () => heard.length === 3);
  await endSecond();
  assert.deepEqual(heard, ['a', 'a2', 'b2']);
  await assert.rejects(db.notify('x', 'ä'.repeat(4000)), RangeError);
});

test('a listener whose connection was cut is told so and hears again', async () => {
  const heard: string[] = [];
  const end = await db.listen('news', (payload) => heard.push(payload));
  await db.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %' and datname = current_database()",
  );
  await until('the empty notification', () => heard.includes(''));
  await db.notify('news', 'after');
  await until('the next one', () => heard.includes('after'));
  await end();
});

test('a connection cut while it is idle or in use costs one error at most, and says what it is', async () => {
  const slow = db.query('select pg_sleep(10)');
  const cut = assert.rejects(slow, (error) => isCode(error, 'PP_STORE_UNREACHABLE'));
  for (let cutOff = 0; cutOff === 0;)
    cutOff = await db.count(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(10)%' and pid <> pg_backend_pid() and datname = current_database()",
    );
  await cut;
  assert.deepEqual(await db.query('select 1 as one'), [{ one: 1 }]);
});

test('closing waits for what runs and refuses what comes', async () => {
  const { db: second, close } = await testDatabase({ records: [] });
  const running = second.query('select 1 as one from pg_sleep(0.2)');
  const closed = second.close();
  await assert.rejects(second.query('select 1'), (error) => isCode(error, 'PP_STORE_CLOSED'));
  assert.deepEqual(await running, [{ one: 1 }]);
  await closed;
  await close();
});

test('each test database is its own', async () => {
  const [a, b] = await Promise.all([testDatabase({ records: [] }), testDatabase({ records: [] })]);
  await a.db.query('create table mine (n int)');
  await assert.rejects(b.db.query('select * from mine'), { code: '42P01' });
  await Promise.all([a.close(), b.close()]);
});
