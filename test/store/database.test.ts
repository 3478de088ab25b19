import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { testDatabase, type TestDatabase } from '#test/database';

let own: TestDatabase;
before(async () => {
  own = await testDatabase({ records: [] });
});
after(() => own.close());

test('values come back as the types that are promised', async () => {
  const [row] = await own.db.query(
    `select 5::int8 as small, 9007199254740993::int8 as big, array[1, null]::int8[] as list, date '2026-01-05' as day,
            timestamptz '2026-01-05 08:00:00+02' as at, timestamp '2026-01-05 08:00:00' as plain, inet '10.0.0.1' as address,
            '\\x00ff'::bytea as bytes, '{"a":[1]}'::jsonb as json`,
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
  });
});
