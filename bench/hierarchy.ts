/**
 * What a line between two sites carries: 100,000 items queued at a child, sent, and taken by its parent in the transactions of their receipt,
 * over loopback HTTP, both sites with databases of their own on one PostgreSQL. Both sites run in this process, so the memory is that of both.
 */
import type { TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { LinkSite } from '#test/sites';

const ITEMS = Number(process.argv[2] ?? 100_000);
const IN_ONE = 1000;
const MB = 1024 * 1024;

const ends: (() => unknown)[] = [];
const context = { after: (end: () => unknown) => void ends.push(end) } as unknown as TestContext;
const ms = (from: number) => Math.round(systemClock.monotonic() - from);
const rate = (n: number, took: number) => Math.round((n / took) * 1000);

async function countOf(site: LinkSite, table: string): Promise<number> {
  const [row] = await site.database.query<{ n: number }>(`select count(*)::int n from ${table}`);
  return row!.n;
}

function body(i: number) {
  const name = `PC${String(i).padStart(6, '0')}`;
  return {
    name,
    domain: 'CORP',
    fqdn: `${name}.corp.example`,
    ip: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
    os: 'Windows 11 Enterprise',
  };
}

const [parent, child] = [await LinkSite.make(context, 'P01'), await LinkSite.make(context, 'S01', 'secondary')];
try {
  await parent.serve({ holdMs: 20_000 });
  await child.join(parent);
  let from = systemClock.monotonic();
  for (let at = 0; at < ITEMS; at += IN_ONE)
    await child.database.transaction((tx) =>
      child.link.enqueue(
        tx,
        Array.from({ length: Math.min(IN_ONE, ITEMS - at) }, (_, i) => ({
          to: 'parent' as const,
          kind: 'many',
          key: `R${at + i}`,
          body: body(at + i),
        })),
      ),
    );
  const queued = ms(from);
  const before = process.memoryUsage().rss;
  let most = before;
  let sampled: number[] = [];
  from = systemClock.monotonic();
  await child.dial({ holdMs: 20_000, patienceMs: 60_000 });
  for (;;) {
    await systemClock.sleep(100);
    const { rss } = process.memoryUsage();
    most = Math.max(most, rss);
    sampled = [...sampled, rss];
    if ((await child.link.get('P01'))!.acked >= ITEMS) break;
  }
  const sent = ms(from);
  const arrived = await countOf(parent, 'note');
  const half = sampled.slice(0, Math.ceil(sampled.length / 2));
  const rest = sampled.slice(Math.ceil(sampled.length / 2));
  const peak = (some: number[]) => Math.round(Math.max(...some, 0) / MB);
  console.log(
    JSON.stringify({
      items: ITEMS,
      arrived,
      queuedPerSecond: rate(ITEMS, queued),
      carriedPerSecond: rate(ITEMS, sent),
      carriedMs: sent,
      rssBeforeMb: Math.round(before / MB),
      rssPeakMb: Math.round(most / MB),
      rssPeakFirstHalfMb: peak(half),
      rssPeakSecondHalfMb: peak(rest),
    }),
  );
} finally {
  for (const end of ends.toReversed()) await end();
}
process.exit(0);
