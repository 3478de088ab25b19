/**
 * Kill rounds of a line between two sites: `npm run bench:hierarchy-kill -- [--rounds N] [--seed S]`. A primary and a secondary, each a process
 * of its own with a database of its own, tell each other of machines all the time, both ways; in each round one of them, or both, get SIGKILL at
 * a random instant and are started again. Then what both know is counted. Exit code 1 when anything is lost, doubled or put aside, or when
 * a line had to begin anew.
 */
import { parseArgs } from 'node:util';
import { systemClock as clock } from '#base/clock';
import { eventually, freePort, WholeSite } from '#test/whole-site';
import { seeded } from '#test/seeded';

interface DeviceJson {
  name: string;
  assignedSite?: string;
  sources: { method: string; site: string }[];
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(clock.now().getTime() % 1_000_000) },
  },
});
const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
const random = seeded(seed);
const MANY = 150;
const OF_PRIMARY = 10;
const primary = new WholeSite('P01');
const secondary = new WholeSite('S01');
const said = { P01: 0, S01: 0 };
const name = (site: WholeSite, n: number) => `${site.code}-${String(n).padStart(5, '0')}`;

/** tell has a site learn of machines, in the boundaries of the secondary; what was refused because the site was just killed is told again. */
async function tell(site: WholeSite, from: number): Promise<void> {
  const net = site === primary ? OF_PRIMARY : OF_PRIMARY + 1;
  const rows = Array.from({ length: MANY }, (_, i) => {
    const n = from + i;
    return `${name(site, n)},CORP,,10.${net}.${n >> 8}.${n & 255},Windows 11,workstation`;
  });
  await site.importCsv(`name,domain,fqdn,ip,os,type\n${rows.join('\n')}\n`);
}

async function known(site: WholeSite): Promise<DeviceJson[]> {
  const all: DeviceJson[] = [];
  for (let cursor: string | undefined, more = true; more;) {
    const page = await site.get<{ items: DeviceJson[]; next?: string }>(
      `/devices?limit=1000${cursor ? `&cursor=${cursor}` : ''}`,
    );
    all.push(...page.items);
    cursor = page.next;
    more = cursor !== undefined;
  }
  return all;
}

interface LineJson {
  backlog: number;
  rejected: number;
  restarts: number;
  sent: number;
  acked: number;
  received: number;
}
const line = async (site: WholeSite, to: string) =>
  (await site.get<{ items: { code: string; link: LineJson }[] }>('/sites')).items.find(({ code }) => code === to)!.link;

const wrong: string[] = [];
const kills: Record<string, number> = { P01: 0, S01: 0 };
try {
  await (await primary.create(`127.0.0.1:${await freePort()}`)).spawn();
  await (await secondary.join(primary)).spawn();
  await secondary.send('POST', '/boundaries', {
    boundaries: [`subnet:10.${OF_PRIMARY}.0.0/16`, `subnet:10.${OF_PRIMARY + 1}.0.0/16`],
  });
  await eventually(
    'the boundaries at P01',
    async () => (await primary.get<{ items: unknown[] }>('/boundaries')).items.length === 2,
  );
  for (let round = 0; round < rounds; round++) {
    const dice = random();
    const victims = dice < 0.4 ? [primary] : dice < 0.8 ? [secondary] : [primary, secondary];
    const after = Math.round(random() * 400);
    const told = [primary, secondary].map(async (site) => {
      // A killed site may or may not have taken it: it is told again, which must change nothing.
      await tell(site, said[site.code as keyof typeof said]).catch(() => {});
    });
    await clock.sleep(after);
    await Promise.all(victims.map((site) => site.kill()));
    await Promise.all(told);
    for (const site of victims) {
      kills[site.code]!++;
      await site.spawn();
    }
    for (const site of [primary, secondary]) {
      await tell(site, said[site.code as keyof typeof said]);
      said[site.code as keyof typeof said] += MANY;
    }
    process.stderr.write(`round ${round + 1}: ${victims.map(({ code }) => code).join(' and ')} killed after ${after} ms\n`);
  }
  const total = said.P01 + said.S01;
  for (const site of [primary, secondary]) {
    await eventually(`${site.code} to know all`, async () => (await known(site)).length >= total, 120_000).catch(
      (error: unknown) => wrong.push(String(error)),
    );
    await eventually(
      'the lines to be empty',
      async () => (await line(primary, 'S01')).backlog + (await line(secondary, 'P01')).backlog === 0,
    );
    const all = await known(site);
    const names = new Set(all.map((device) => device.name));
    if (all.length !== total) wrong.push(`${site.code} knows ${all.length} machines, and ${total} were told`);
    if (names.size !== all.length) wrong.push(`${site.code} knows ${all.length - names.size} machines twice`);
    for (const from of [primary, secondary])
      for (let n = 0; n < said[from.code as keyof typeof said]; n++)
        if (!names.has(name(from, n))) wrong.push(`${site.code} does not know ${name(from, n)}`);
    const lost = all.filter(({ assignedSite }) => assignedSite !== 'S01');
    if (lost.length > 0) wrong.push(`${lost.length} machines are not assigned to S01 at ${site.code}`);
    if (site === secondary) {
      const unheard = all.filter(({ sources }) => !sources.some(({ method }) => method === 'pdr'));
      if (unheard.length > 0) wrong.push(`S01 got no PDR of ${unheard.length} machines`);
    }
  }
  const [down, up] = [await line(primary, 'S01'), await line(secondary, 'P01')];
  if (down.restarts + up.restarts > 0) wrong.push(`lines began anew ${down.restarts} and ${up.restarts} times`);
  if (down.rejected + up.rejected > 0) wrong.push(`${down.rejected} and ${up.rejected} items were put aside`);
  // Each item counts once: what one side sent, acknowledged, is what the other one took.
  if (down.acked !== up.received || up.acked !== down.received)
    wrong.push(`sent and taken differ: ${JSON.stringify({ down, up })}`);
  const { sent, received } = up;
  console.log(
    JSON.stringify({ rounds, seed, kills, machines: total, itemsUp: sent, itemsDown: received, wrong: wrong.slice(0, 20) }),
  );
} finally {
  await secondary.close();
  await primary.close();
}
process.exit(wrong.length > 0 ? 1 : 0);
