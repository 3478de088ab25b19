import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { systemRandom } from '#base/random';
import { BoundaryIndex, BoundaryRecord, boundaryText, parseBoundary, type Boundary } from '#records/boundary';
import { ResourceRecord } from '#records/resource';
import { SiteRecord } from '#records/site';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let boundaries: BoundaryRecord;
const clock = new ManualClock();

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate boundary, site, site_point, resource, resource_source');
  const sites = new SiteRecord(base.db, clock, systemRandom);
  await sites.create({ code: 'P01', kind: 'primary' });
  await sites.learn({ code: 'S01', kind: 'secondary', parent: 'P01' });
  await sites.learn({ code: 'P02', kind: 'primary' });
  boundaries = new BoundaryRecord(base.db, clock);
});

const add = (text: string, site = 'P01', roaming = false) => boundaries.add([text], { site, roaming, by: 'test' });

let made = 0;
function plain(text: string, site: string, roaming = false): Boundary {
  const { kind, value, span } = parseBoundary(text);
  return { id: ++made, kind, value, site, roaming, span, createdAt: clock.now(), idle: false };
}

test('a boundary is read in every form that means one thing, and kept in one', () => {
  const right: [string, string][] = [
    ['subnet:10.1.0.0/16', 'subnet:10.1.0.0/16'],
    ['Subnet: 10.1.0.0/255.255.0.0', 'subnet:10.1.0.0/16'],
    ['subnet:10.1.0.0, 255.255.0.0', 'subnet:10.1.0.0/16'],
    ['subnet:0.0.0.0/0', 'subnet:0.0.0.0/0'],
    ['subnet:0.0.0.0/0.0.0.0', 'subnet:0.0.0.0/0'],
    ['subnet:10.1.2.3/32', 'subnet:10.1.2.3/32'],
    ['subnet:10.1.2.3/255.255.255.255', 'subnet:10.1.2.3/32'],
    ['range:10.1.0.5-10.1.0.90', 'range:10.1.0.5-10.1.0.90'],
    ['range:10.1.0.5 - 10.1.0.5', 'range:10.1.0.5-10.1.0.5'],
    ['ipv6:2001:DB8:0:0::/32', 'ipv6:2001:db8::/32'],
    ['ipv6:::/0', 'ipv6:::/0'],
    ['ipv6:2001:db8:1:2:3:4:5:6/128', 'ipv6:2001:db8:1:2:3:4:5:6/128'],
    ['adsite:Default-First-Site-Name', 'adsite:Default-First-Site-Name'],
    [`adsite:${'x'.repeat(63)}`, `adsite:${'x'.repeat(63)}`],
  ];
  for (const [given, kept] of right) assert.equal(boundaryText(parseBoundary(given)), kept);
});

test('what means nothing, or not what its writer thinks, is refused with how it is written', () => {
  const wrong: [string, RegExp][] = [
    ['10.1.0.0/16', /begins with none of subnet:/],
    ['vlan:7', /begins with none of subnet:/],
    ['constructor:x', /begins with none of subnet:/],
    ['subnet:10.1.0.0', /NETWORK\/LENGTH or NETWORK\/MASK/],
    ['subnet:10.1.2.3/16', /bits set behind the mask; the network is 10\.1\.0\.0\/16/],
    ['subnet:10.1.0.0/33', /at most 32 bits, not 33/],
    ['subnet:10.1.0.0/-1', /no length of a prefix/],
    ['subnet:10.1.0.0/255.0.255.0', /not a subnet mask/],
    ['subnet:10.1.0.0/0.0.255.255', /not a subnet mask/],
    ['subnet:10.1.0.0/16/8', /is written NETWORK/],
    ['subnet:10.01.0.0/16', /not an IPv4 address/],
    ['subnet:10.256.0.0/16', /not an IPv4 address/],
    ['subnet:2001:db8::/32', /written ipv6:PREFIX\/LENGTH/],
    ['subnet:::ffff:10.1.0.0/112', /IPv4 address in the form of IPv6/],
    ['subnet:169.254.0.0/16', /link-local/],
    ['range:10.1.0.90-10.1.0.5', /other way round it is 10\.1\.0\.5-10\.1\.0\.90/],
    ['range:10.1.0.5', /FIRST-LAST/],
    ['range:10.1.0.5-90', /90 is not an IPv4 address/],
    ['range:2001:db8::1-2001:db8::9', /one of IPv4/],
    ['ipv6:10.1.0.0/16', /holds colons/],
    ['ipv6:2001:db8::', /PREFIX\/LENGTH/],
    ['ipv6:2001:db8::1/32', /the network is 2001:db8::\/32/],
    ['ipv6:2001:db8::/129', /at most 128 bits/],
    ['ipv6:::ffff:10.1.0.0/112', /IPv4 address in the form of IPv6.*subnet:10\.1\.0\.0\/32/],
    ['ipv6:::ffff:0:0/96', /IPv4 address in the form of IPv6/],
    ['ipv6:fe80::/64', /link-local/],
    ['ipv6:2001:db8::%eth0/64', /a zone/],
    ['adsite:', /no name/],
    [`adsite:${'x'.repeat(64)}`, /at most 63 characters, not 64/],
    ['adsite:Ber lin', /letters, digits/],
    ['adsite:a\u0000b', /letters, digits/],
  ];
  for (const [given, why] of wrong)
    assert.throws(
      () => parseBoundary(given),
      (e) => isCode(e, 'PP_BOUNDARY_VALUE') && why.test(e.message),
      `${given} ${String(why)}`,
    );
});

test('an address belongs to the most specific site boundary, and of equal ones to the lower site code', async () => {
  await boundaries.add(['subnet:10.0.0.0/8', 'ipv6:2001:db8::/32', 'subnet:127.0.0.0/8'], { by: 'test' });
  await add('subnet:10.1.0.0/16', 'P02');
  await add('range:10.1.0.10-10.1.0.19', 'S01');
  await add('subnet:10.1.0.0/24', 'S01', true);
  await add('subnet:10.3.0.0/24', 'P02');
  await add('range:10.3.0.0-10.3.0.255', 'P01');
  const cases: [string, string | null, string | null][] = [
    ['9.255.255.255', null, null],
    ['10.0.0.0', 'P01', 'subnet:10.0.0.0/8'],
    ['10.255.255.255', 'P01', 'subnet:10.0.0.0/8'],
    ['11.0.0.0', null, null],
    ['10.1.0.9', 'P02', 'subnet:10.1.0.0/16'],
    ['10.1.0.10', 'S01', 'range:10.1.0.10-10.1.0.19'],
    ['10.1.0.19', 'S01', 'range:10.1.0.10-10.1.0.19'],
    ['10.1.0.20', 'P02', 'subnet:10.1.0.0/16'],
    ['10.3.0.7', 'P01', 'range:10.3.0.0-10.3.0.255'],
    ['::ffff:10.1.0.12', 'S01', 'range:10.1.0.10-10.1.0.19'],
    ['2001:db8:ffff::1', 'P01', 'ipv6:2001:db8::/32'],
    ['2001:db9::1', null, null],
    ['127.20.0.1', 'P01', 'subnet:127.0.0.0/8'],
    ['255.255.255.255', null, null],
    ['::', null, null],
  ];
  const index = await boundaries.index();
  for (const [address, site, boundary] of cases) {
    const which = await boundaries.which(address);
    assert.deepEqual([which.site, which.boundary], [site, boundary], address);
    assert.equal(index.siteOf(address)?.site ?? null, site, address);
  }
  const which = await boundaries.which('10.1.0.12');
  assert.match(which.why, /before 2 others: before subnet:10\.1\.0\.0\/16 of site P02 because .*10 addresses, not 65536/);
  assert.deepEqual(
    which.overlaps.map((o) => [o.boundary, o.site, o.roaming]),
    [
      ['subnet:10.1.0.0/24', 'S01', true],
      ['subnet:10.1.0.0/16', 'P02', false],
      ['subnet:10.0.0.0/8', 'P01', false],
    ],
  );
  assert.match((await boundaries.which('10.3.0.7')).why, /site code P01 comes before P02/);
  const near = await boundaries.which('10.1.0.200');
  assert.deepEqual(near.content, { site: 'S01', boundary: 'subnet:10.1.0.0/24', roaming: true });
  assert.equal(near.site, 'P02', 'a roaming boundary assigns nobody');
  assert.match((await boundaries.which('169.254.1.1')).why, /link-local/);
  for (const bad of ['', 'PC1', '10.1.0', '10.1.0.0/16', '1.2.3.4.5', '::1::', 'fg::'])
    await assert.rejects(boundaries.which(bad), (e) => isCode(e, 'PP_BOUNDARY_ADDRESS'), bad);
});

test('a machine with several addresses is judged the same in whatever order it tells them', async () => {
  await add('subnet:10.1.0.0/16', 'P02');
  await add('subnet:10.2.0.0/24', 'S01');
  await add('ipv6:2001:db8::/64', 'P01');
  await add('adsite:Berlin', 'P01');
  await add('adsite:Roam', 'P02', true);
  const index = await boundaries.index();
  const judge = (addresses: string[], adSite?: string) => {
    const all = [addresses, addresses.toReversed()].map((order) => index.judge({ addresses: order, adSite }));
    assert.deepEqual(all[0], all[1]);
    return all[0] && [all[0].site, all[0].address];
  };
  assert.deepEqual(judge(['10.1.9.9', '10.2.0.7', '192.0.2.1']), ['S01', '10.2.0.7']);
  assert.deepEqual(judge(['10.2.0.9', '10.2.0.7']), ['S01', '10.2.0.7'], 'the lower of two in one boundary');
  assert.deepEqual(judge(['2001:db8::1', '10.1.0.1']), ['P02', '10.1.0.1'], 'fewer addresses are more specific');
  assert.deepEqual(judge(['fe80::1', '169.254.7.7', '2001:db8::1']), ['P01', '2001:db8::1']);
  assert.deepEqual(judge(['10.1.0.1'], 'berlin'), ['P02', '10.1.0.1'], 'addresses come before the AD site');
  assert.deepEqual(judge(['192.0.2.1'], 'BERLIN'), ['P01', undefined]);
  assert.equal(judge(['192.0.2.1'], 'Roam'), undefined);
  assert.equal(judge([]), undefined);
});

test('what is there, what no site claims and what is not known is refused, and then nothing is added', async () => {
  await add('subnet:10.1.0.0/16');
  const code = (c: string, text: RegExp) => (e: unknown) => isCode(e, c as never) && text.test((e as Error).message);
  await assert.rejects(add('subnet:10.1.0.0/255.255.0.0'), code('PP_BOUNDARY_EXISTS', /a site boundary of site P01 already/));
  await assert.rejects(add('subnet:10.1.0.0/16', 'P01', true), code('PP_BOUNDARY_EXISTS', /a site boundary/));
  await assert.rejects(add('adsite:Berlin', 'X99'), code('PP_BOUNDARY_SITE', /no site X99 here; known are P01, P02, S01/));
  await assert.rejects(add('adsite:Berlin', 'P0001'), code('PP_SITE_CODE', /./));
  await assert.rejects(
    boundaries.add(['adsite:Berlin', 'ADSITE:berlin'], { by: 't' }),
    code('PP_BOUNDARY_VALUE', /it is given twice/),
  );
  await assert.rejects(boundaries.add(['adsite:Paris', 'subnet:x/8'], { by: 't' }), code('PP_BOUNDARY_VALUE', /./));
  assert.deepEqual((await boundaries.list()).map(boundaryText), ['subnet:10.1.0.0/16']);
  const { overlaps } = await add('subnet:10.1.0.0/16', 'P02');
  assert.deepEqual([overlaps.length, overlaps[0]!.contradictory, overlaps[0]!.site], [1, true, 'P01']);
  await assert.rejects(boundaries.remove('subnet:10.1.0.0/16'), code('PP_BOUNDARY_AMBIGUOUS', /P01, P02/));
  assert.equal((await boundaries.remove('subnet:10.1.0.0/16', { site: 'p02' })).site, 'P02');
  await assert.rejects(boundaries.remove('subnet:10.9.0.0/16'), code('PP_BOUNDARY_UNKNOWN', /./));
  await boundaries.remove('subnet:10.1.0.0/16');
  assert.equal((await boundaries.index()).assigns, false);
});

test('every process sees a change at its next look, and never one that was taken back', async () => {
  const other = new BoundaryRecord(base.db, clock);
  const heard = Promise.withResolvers<void>();
  const stop = await base.db.listen('boundary', () => heard.resolve());
  await add('subnet:10.1.0.0/16');
  const first = await other.index();
  assert.equal(first, await other.index(), 'nothing is built anew while nothing changes');
  assert.equal(first.siteOf('10.1.0.1')?.site, 'P01');
  await assert.rejects(
    base.db.transaction(async (tx) => {
      await boundaries.add(['subnet:10.1.2.0/24'], { site: 'P02', by: 'test' }, tx);
      assert.equal((await boundaries.index(tx)).siteOf('10.1.2.1')?.site, 'P02');
      throw new Error('undone');
    }),
    /undone/,
  );
  assert.equal((await boundaries.index()).siteOf('10.1.2.1')?.site, 'P01');
  await other.add(['subnet:10.1.2.0/24'], { site: 'S01', by: 'test' });
  assert.equal((await boundaries.index()).siteOf('10.1.2.1')?.site, 'S01');
  await heard.promise;
  await stop();
});

test('of those who add the same boundary at the same time one does, and the others are told', async () => {
  const tried = await Promise.allSettled(Array.from({ length: 5 }, () => add('subnet:10.1.0.0/16')));
  assert.equal(tried.filter((one) => one.status === 'fulfilled').length, 1);
  for (const one of tried) assert.ok(one.status === 'fulfilled' || isCode(one.reason, 'PP_BOUNDARY_EXISTS'));
  assert.equal((await boundaries.list()).length, 1);
});

test('the report names overlaps, contradictory ones first, and networks of known machines without a boundary', async () => {
  await add('subnet:10.1.0.0/16');
  await add('subnet:10.1.2.0/24');
  await add('range:10.1.2.200-10.1.3.9', 'P02');
  await add('subnet:10.1.9.0/24', 'S01', true);
  await add('adsite:Berlin', 'P01');
  await add('adsite:berlin', 'P02');
  const resources = new ResourceRecord(base.db, clock);
  await resources.importDevices(
    [
      { name: 'PC1', addresses: ['10.1.2.3'] },
      { name: 'PC2', addresses: ['10.9.0.1', '10.9.0.2', '169.254.0.9'] },
      { name: 'PC3', addresses: ['10.9.0.3', '2001:db8:0:7::1'] },
      { name: 'PC4', addresses: [] },
    ],
    { site: 'P01', source: 'import' },
  );
  const report = await boundaries.report();
  assert.deepEqual(
    report.overlaps.map((o) => [o.contradictory, o.boundary, o.site, o.other, o.otherSite]),
    [
      [true, 'range:10.1.2.200-10.1.3.9', 'P02', 'subnet:10.1.0.0/16', 'P01'],
      [true, 'range:10.1.2.200-10.1.3.9', 'P02', 'subnet:10.1.2.0/24', 'P01'],
      [true, 'adsite:Berlin', 'P01', 'adsite:berlin', 'P02'],
      [false, 'subnet:10.1.2.0/24', 'P01', 'subnet:10.1.0.0/16', 'P01'],
      [false, 'subnet:10.1.0.0/16', 'P01', 'subnet:10.1.9.0/24', 'S01'],
    ],
  );
  assert.deepEqual(report.gaps, [
    { subnet: '10.9.0.0/24', addresses: 3, machines: 2, unassigned: 2, examples: ['PC2', 'PC3'] },
    { subnet: '2001:db8:0:7::/64', addresses: 1, machines: 1, unassigned: 1, examples: ['PC3'] },
  ]);
  assert.deepEqual([report.machines, report.unassigned, report.gapCount, report.moreOverlaps], [4, 4, 2, false]);
});

test('look-up agrees with a plain search through thousands of boundaries that lie in each other', () => {
  let seed = 7;
  const next = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n;
  const sites = ['P01', 'P02', 'S01', 'S02'];
  const text = (): string => {
    const length = 8 + next(23);
    const part = 10 * 2 ** 24 + next(2 ** 24);
    const net = (part - (part % 2 ** (32 - length))) >>> 0;
    const dotted = (v: number) => [v >>> 24, (v >>> 16) & 255, (v >>> 8) & 255, v & 255].join('.');
    if (next(3) > 0) return `subnet:${dotted(net)}/${length}`;
    return `range:${dotted(part)}-${dotted(Math.min(part + next(70_000), 2 ** 32 - 1))}`;
  };
  const all = Array.from({ length: 3000 }, () => plain(text(), sites[next(4)]!, next(5) === 0));
  for (let i = 0; i < 500; i++)
    all.push(
      plain(
        `ipv6:2001:db8:${(next(256) * 256).toString(16)}::/${36 + next(5)}`.replace(
          /:\w+::\/(\d+)$/,
          (_m, l: string) => `:${(next(16) * 4096).toString(16)}::/${l}`,
        ),
        sites[next(4)]!,
      ),
    );
  const index = new BoundaryIndex(all);
  const best = (address: string, value: bigint, family: 4 | 6) => {
    const found = index.all.find((b) => !b.roaming && b.span?.family === family && b.span.first <= value && value <= b.span.last);
    assert.equal(index.siteOf(address), found, address);
    return found;
  };
  let hits = 0;
  for (let i = 0; i < 20_000; i++) {
    const value = 10 * 2 ** 24 + next(2 ** 24) - (i % 50 === 0 ? 2 ** 24 : 0);
    if (best([24, 16, 8, 0].map((s) => (value >>> s) & 255).join('.'), BigInt(value), 4)) hits++;
  }
  assert.ok(hits > 5000 && hits <= 20_000, String(hits));
  for (let i = 0; i < 2000; i++) {
    const word = next(65_536);
    best(`2001:db8:${word.toString(16)}::9`, (0x20010db8n << 96n) | (BigInt(word) << 80n) | 9n, 6);
  }
});
