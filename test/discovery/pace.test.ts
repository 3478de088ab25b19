import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { PushpointError } from '#base/errors';
import { Targets } from '#records/method';
import { Pace } from '../../src/components/discovery/network/pace.ts';

const all = (targets: Targets) => Array.from({ length: targets.count }, (_, n) => targets.at(n));

describe('targets', () => {
  test('networks, ranges and addresses of both families; each address once, exclusions left out', () => {
    const targets = new Targets(
      ['10.1.2.0/29', '10.1.2.4-10.1.2.9', '2001:db8::a', '2001:db8::/126'],
      ['10.1.2.5', '2001:db8::1/128'],
    );
    assert.deepEqual(
      all(targets).sort(),
      [
        '10.1.2.1',
        '10.1.2.2',
        '10.1.2.3',
        '10.1.2.4',
        '10.1.2.6',
        '10.1.2.7',
        '10.1.2.8',
        '10.1.2.9',
        '2001:db8::',
        '2001:db8::2',
        '2001:db8::3',
        '2001:db8::a',
      ].sort(),
    );
  });

  test('what is among them is known without asking, exclusions are not', () => {
    const targets = new Targets(['10.1.2.0/29', '10.9.0.1-10.9.0.3', '2001:db8::/126'], ['10.1.2.4']);
    for (const address of all(targets)) assert.ok(targets.has(address), address);
    for (const address of ['10.1.2.0', '10.1.2.4', '10.1.2.7', '10.9.0.0', '10.9.0.4', '2001:db8::4', '::1', 'PC1', ''])
      assert.ok(!targets.has(address), address);
  });

  test('a large network is never a list, and neighbours are not asked one after the other', () => {
    const targets = new Targets(['10.64.0.0/12'], ['10.64.0.0/24']);
    assert.equal(targets.count, 2 ** 20 - 2 - 255);
    const third = (address: string) => address.split('.').slice(0, 3).join('.');
    const first = Array.from({ length: 200 }, (_, n) => third(targets.at(n)));
    assert.ok(new Set(first).size > 190, 'the first addresses lie in few subnets');
    assert.equal(new Set(Array.from({ length: 5000 }, (_, n) => targets.at(n))).size, 5000);
  });

  const wrong: [given: string, why: RegExp][] = [
    ['10.1.2.3/16', /the network is 10\.1\.0\.0\/16/],
    ['10.1.0.0/33', /at most 32 bits/],
    ['10.1.0.0/255.255.0.0', /ADDRESS\/LENGTH/],
    ['10.1.0.9-10.1.0.1', /ends before it begins/],
    ['10.1.0.1-2001:db8::1', /begins as IPv4/],
    ['fileserver', /not an IP address/],
    ['10.0.0.256', /not an IP address/],
    ['', /not an IP address/],
    ['224.0.0.1', /multicast/],
    ['255.255.255.255', /reserved/],
    ['0.0.0.0/0', /0\.0\.0\.0\/8/],
    ['ff02::1', /multicast/],
    ['fe80::1', /link-local/],
    ['fe80::1%eth0', /not an IP address/],
    ['10.0.0.0/8', /16777214 addresses/],
    ['2001:db8::/64', /18446744073709551616 addresses/],
    ['\u001b[2J', /\\u001b/],
  ];
  for (const [given, why] of wrong)
    test(`${JSON.stringify(given)} is refused with its reason`, () => {
      assert.throws(
        () => new Targets([given]),
        (error) => error instanceof PushpointError && error.http === 400 && why.test(error.message),
      );
    });
});

describe('pace', () => {
  test('in no second of any beginning more connections begin than the rate says, and no more are open than allowed', async () => {
    const clock = new ManualClock();
    const pace = new Pace({ perSecond: 200, atOnce: 1000, clock });
    const starts: number[] = [];
    const signal = new AbortController().signal;
    const all = Array.from({ length: 700 }, () =>
      pace.slot(signal).then((over) => {
        starts.push(clock.monotonic());
        over();
      }),
    );
    let isDone = false;
    void Promise.all(all).then(() => (isDone = true));
    await new Promise(setImmediate);
    while (!isDone) await clock.advance(5);
    for (const from of starts) {
      const inSecond = starts.filter((at) => at >= from && at < from + 1000).length;
      assert.ok(inSecond <= 200, `${inSecond} in a second`);
    }
    const took = starts.at(-1)! - starts[0]!;
    assert.ok(took >= 3400 && took <= 3800, `700 at 200 a second took ${took} ms`);
    assert.ok(pace.busiest <= 200);
  });

  test('what is open counts until it is over', async () => {
    const clock = new ManualClock();
    const pace = new Pace({ perSecond: 10_000, atOnce: 3, clock });
    const signal = new AbortController().signal;
    const over: (() => void)[] = [];
    for (let i = 0; i < 5; i++) void pace.slot(signal).then((end) => over.push(end));
    await clock.advance(1000);
    assert.equal(over.length, 3);
    over[0]!();
    over[0]!(); // a second time does nothing
    await clock.advance(1000);
    assert.equal(over.length, 4);
  });

  test('who waits when the run is cancelled is told', async () => {
    const pace = new Pace({ perSecond: 1, atOnce: 1, clock: new ManualClock() });
    const ending = new AbortController();
    await pace.slot(ending.signal);
    const waiting = pace.slot(ending.signal);
    ending.abort(new Error('enough'));
    pace.end();
    await assert.rejects(waiting, /enough/);
    await assert.rejects(pace.slot(ending.signal), /enough/);
  });
});
