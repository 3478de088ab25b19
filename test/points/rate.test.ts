import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { silentLog } from '#base/log';
import { Refusals } from '#points/management';
import type { AuditEntry, AuditRecord } from '#records/audit';
import { networkOf, plainAddress, Rate } from '#wire/http';

test('a sender is an IPv4 address, or the /64 of an IPv6 one', () => {
  const same = ['2001:db8:1:2::1', '2001:db8:1:2:ffff::', '2001:db8:1:2:3:4:5:6'];
  assert.deepEqual(new Set(same.map(networkOf)), new Set(['2001:db8:1:2::/64']));
  assert.equal(networkOf('2001:db8::7'), '2001:db8:0:0::/64');
  assert.equal(networkOf('::1'), '0:0:0:0::/64');
  assert.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64');
  assert.equal(networkOf('10.1.2.3'), '10.1.2.3');
  assert.equal(plainAddress('::ffff:10.1.2.3'), '10.1.2.3');
  assert.equal(plainAddress('::1'), '::1');
  assert.equal(plainAddress(undefined), '');
});

test('a bucket fills again at its rate and never above its burst; one sender does not touch another', async () => {
  const clock = new ManualClock();
  const rate = new Rate(clock, 3, 2);
  const passes = (address: string) => {
    try {
      rate.take(address);
      return true;
    } catch (error) {
      assert.ok(isCode(error, 'PP_API_RATE'));
      return false;
    }
  };
  const count = (address: string, n: number) => Array.from({ length: n }, () => passes(address)).filter(Boolean).length;
  assert.equal(count('10.0.0.1', 10), 3);
  assert.equal(count('10.0.0.2', 10), 3);
  await clock.advance(1000);
  assert.equal(count('10.0.0.1', 10), 2);
  await clock.advance(3_600_000);
  assert.equal(count('10.0.0.1', 10), 3);
});

test('refusals of many senders cost a bounded number of entries, and every one is counted', async () => {
  const clock = new ManualClock();
  const written: AuditEntry[] = [];
  const audit = { write: async (entry: AuditEntry) => void written.push(entry) } as unknown as AuditRecord;
  const refusals = new Refusals({ audit, clock, log: silentLog }, 'x.refused');
  const SENDERS = 12_000;
  for (let i = 0; i < SENDERS; i++)
    for (let k = 0; k < 3; k++)
      await refusals.note({ object: 'PC', code: 'PP_MP_NOT_HERE', address: `10.${i >> 14}.${(i >> 7) & 127}.${i & 127}` });
  assert.equal(written.length, 60);
  await clock.advance(60_000);
  await refusals.close();
  assert.equal(written.length, 60 + 20 + 1);
  const counted = written.slice(60).reduce((sum, entry) => sum + (entry.detail as { count: number }).count, 0);
  assert.equal(counted + 60, SENDERS * 3);
  assert.equal(clock.nextAt(), undefined);
});

test('an audit log that cannot be written does not keep the answer from the requester', async () => {
  const audit = { write: () => Promise.reject(new Error('down')) } as unknown as AuditRecord;
  const clock = new ManualClock();
  const refusals = new Refusals({ audit, clock, log: silentLog }, 'x.refused');
  for (let i = 0; i < 9; i++) await refusals.note({ object: 'PC', code: 'PP_MP_NOT_HERE', address: '10.0.0.1' });
  await refusals.close();
});
