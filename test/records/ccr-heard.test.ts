import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { CcrRecord } from '#records/ccr';
import { testDatabase, type TestDatabase } from '#test/database';

const MINUTE = 60_000;

let base: TestDatabase;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());

/** A client that was heard, as registration and heartbeats leave it. */
async function heard(name: string, at: Date, obsolete = false): Promise<void> {
  await base.db.query(
    `insert into client (guid, public_key, key_hash, request_id, name, name_key, hardware_id, version, approval, obsolete, registered_at,
       last_seen_at)
     values ('GUID:' || $1, $1, convert_to($1, 'UTF8'), gen_random_uuid(), $2, upper($2), $1, '1', 'approved', $4, $3, $3)`,
    [`${name} ${at.getTime()}`, name, at, obsolete],
  );
}

test('whoever missed the announcements wakes exactly the verifications whose client was heard since the start', async () => {
  const clock = new ManualClock();
  const record = new CcrRecord(base.db, clock);
  const worker = await record.claims.registerWorker('w');
  const names = ['HEARD', 'SILENT', 'BEFORE', 'OBSOLETE', 'WORKED'];
  for (const name of names) await record.request({ name, source: 'push', requestedBy: 'test' });
  const startedAt = clock.now();
  const before = new Date(startedAt.getTime() - MINUTE);
  const verifyAt = new Date(startedAt.getTime() + 15 * MINUTE);
  for (const claimed of await record.claims.take({ worker, limit: 10, caps: { perSubnet: 100, perAccount: 100 } }))
    if (claimed.ccr.name !== 'WORKED') await record.claims.started(claimed, { startedAt, verifyAt });
  await clock.advance(MINUTE);
  await heard('Heard', clock.now());
  await heard('BEFORE', before);
  await heard('OBSOLETE', clock.now(), true);
  await heard('WORKED', clock.now());
  assert.equal(await record.wake({ heard: true }), 1);
  assert.equal(await record.wake({ heard: true }), 0, 'once is enough');
  const claims = await record.claims.take({ worker, limit: 10, caps: { perSubnet: 100, perAccount: 100 } });
  assert.deepEqual(
    claims.map(({ ccr, purpose }) => [ccr.name, purpose]),
    [['HEARD', 'verify']],
  );
  await worker.leave(clock.now());
});
