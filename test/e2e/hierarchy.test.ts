import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { startFleet, type Fleet } from '#lab/fleet';
import { pushpoint } from '#test/command';
import { eventually, freePort, WholeSite, type Shown } from '#test/whole-site';

/**
 * The three scenarios of D1 (docs/which-site.md), with and without a proxy management point at the secondary: two site servers, each a
 * process of its own with a database of its own, and lab hosts in the boundaries of both.
 */

interface DeviceJson {
  name: string;
  assignedSite?: string;
  sources: { method: string; site: string }[];
  siteWidePush: { push: boolean; reason: string };
}

interface Item {
  name: string;
  decision: string;
  reason: string;
  managementPoint?: string;
}

const primary = new WholeSite('P01');
const secondary = new WholeSite('S01');
let fleet: Fleet;
let rows: string[];
let head: string;
/** The hosts from the second on are in the boundaries of S01; each scenario takes the next one. */
let next = 1;

before(async () => {
  fleet = await startFleet({
    windows: 9,
    folder: join(primary.folder, 'hosts'),
    clock: systemClock,
    random: systemRandom,
    addresses: '127.24.1.1',
  });
  [head, ...rows] = fleet.csv().trim().split('\n') as [string, ...string[]];
  // The parent keeps its port over a restart, as a real one does.
  await (await primary.create(`127.0.0.1:${await freePort()}`)).spawn();
  await primary.prepare({ csv: `${head}\n${rows[0]}\n`, account: fleet.account });
  await (await secondary.join(primary)).spawn();
  const range = ([first, last]: [number, number]) =>
    `range:${fleet.hosts[first]!.host.address}-${fleet.hosts[last]!.host.address}`;
  await primary.send('POST', '/boundaries', { boundaries: [range([0, 0])] });
  await secondary.send('POST', '/boundaries', { boundaries: [range([1, 8])] });
  // Accounts stay where they are; the package comes down from the parent.
  await secondary.send('POST', '/accounts', { name: 'push', ...fleet.account, scope: { kind: 'site' } });
  await eventually('the package of P01 at S01', async () => {
    const { items } = await secondary.get<{ items: { addedBy: string }[] }>('/packages');
    return items.some(({ addedBy }) => addedBy === 'site P01');
  });
  await eventually('the boundary of S01 at P01', async () => {
    const { items } = await primary.get<{ items: { site: string }[] }>('/boundaries');
    return items.length === 2;
  });
  for (const site of [primary, secondary]) {
    const systems = ['workstations', 'servers', 'dcs'];
    await site.send('PATCH', '/settings', { push: { enabled: site === primary, systems }, ccr: { verifyMinutes: [1] } });
  }
});
after(async () => {
  await fleet.stop();
  await secondary.close();
  await primary.close();
});

async function proxy(on: boolean): Promise<void> {
  await secondary.send('PUT', '/points/mp', { address: secondary.points, on });
  await eventually(`P01 to know that the proxy MP is ${on ? 'on' : 'off'}`, async () => {
    const { items } = await primary.send<{ items: Item[] }>('POST', '/push', {
      names: ['NOSUCH'],
      includeUnassigned: true,
      dryRun: true,
    });
    assert.equal(items[0]!.decision, 'push');
    const point = await primary.get<{ items: { site: string; kind: string; on: boolean }[] }>('/points?site=S01');
    return point.items.some((p) => p.site === 'S01' && p.kind === 'mp' && p.on === on);
  });
}

const push = (on: boolean) => secondary.send('PATCH', '/settings', { push: { enabled: on } });

/** discover has a site discover the next machine in the boundaries of S01. */
async function discover(site: WholeSite): Promise<string> {
  const at = next++;
  await site.importCsv(`${head}\n${rows[at]}\n`);
  return fleet.hosts[at]!.host.name;
}

async function device(site: WholeSite, name: string): Promise<DeviceJson> {
  let found: DeviceJson | undefined;
  await eventually(`${name} at ${site.code}`, async () => {
    const { status, body } = await site.call<DeviceJson>('GET', `/devices/${name}`);
    found = body;
    return status === 200 && body.assignedSite !== undefined;
  });
  return found!;
}

const sources = ({ sources: all }: DeviceJson) =>
  all
    .map(({ method, site }) => `${method}@${site}`)
    .sort()
    .join(' ');
const noCcr = async (site: WholeSite, name: string) =>
  assert.equal((await site.call('GET', `/ccrs/${name}`)).status, 404, `there is a CCR of ${name} at ${site.code}`);

/** installed waits for the client and tells to which site it belongs, which MP it talks to first, and from where its files came. */
async function installed(
  site: WholeSite,
  name: string,
  wanted: string,
): Promise<{ ccr: Shown; site: string; point: string; files: string }> {
  await eventually(`a CCR of ${name} at ${site.code}`, async () => (await site.call('GET', `/ccrs/${name}`)).status === 200);
  const ccr = await site.until(name, 'complete');
  const folder = join(primary.folder, 'hosts', name, 'Windows', 'CCM');
  let status: { site?: string; managementPoint?: string; proxyManagementPoints?: string[] } = {};
  const talksTo = () =>
    [primary, secondary].find(({ points }) => points === (status.proxyManagementPoints?.[0] ?? status.managementPoint))?.code;
  await eventually(`the agent of ${name} to talk to ${wanted}`, async () => {
    // The agent may be in the middle of writing it.
    const text = await readFile(join(folder, 'status.json'), 'utf8').catch(() => '');
    if (!text.trimEnd().endsWith('}')) return false;
    status = JSON.parse(text) as typeof status;
    return talksTo() === wanted;
  });
  const log = await readFile(join(primary.folder, 'hosts', name, 'Windows', 'ccmsetup', 'logs', 'ccmsetup.log'), 'utf8');
  const files = [primary, secondary]
    .filter(({ points }) => log.includes(`Downloading ${points}/CCM_Client/`))
    .map(({ code }) => code);
  return { ccr, site: status.site!, point: talksTo()!, files: files.join(' ') };
}

/** The client belongs to the primary, and both sites know it. */
async function known(name: string): Promise<void> {
  for (const site of [primary, secondary])
    await eventually(`${site.code} to know the client of ${name}`, async () => {
      const { status, body } = await site.call<{ site: string; approval: string }>('GET', `/clients/${name}`);
      return status === 200 && body.site === 'P01' && body.approval === 'approved';
    });
}

for (const [how, point] of [
  ['with a proxy MP', 'S01'],
  ['without a proxy MP', 'P01'],
] as const) {
  test(`scenario 1, ${how}: discovered at P01, push off at S01; the wizard at P01 installs it when told so`, async () => {
    await proxy(point === 'S01');
    await push(false);
    const name = await discover(primary);
    const below = await device(secondary, name);
    assert.equal(sources(below), 'pdr@P01');
    assert.equal(below.siteWidePush.reason, 'site-wide push of site S01 is off');
    const here = await device(primary, name);
    assert.deepEqual([here.assignedSite, sources(here)], ['S01', 'import@P01']);
    assert.equal(here.siteWidePush.reason, 'it is assigned to site S01');
    await noCcr(primary, name);
    await noCcr(secondary, name);
    const ask = (wish: object) => primary.send<{ items: Item[] }>('POST', '/push', { names: [name], ...wish });
    const [refused] = (await ask({})).items;
    assert.equal(refused!.decision, 'refuse');
    assert.match(refused!.reason, /it is assigned to site S01: push from there, or with --include-unassigned/);
    const [preview] = (await ask({ includeUnassigned: true, dryRun: true })).items;
    assert.deepEqual([preview!.decision, preview!.managementPoint], ['push', (point === 'S01' ? secondary : primary).points]);
    const shown = await pushpoint(['push', name, '--include-unassigned', '--dry-run', '--data', primary.data]);
    assert.match(shown.out, new RegExp(`^NAME +DECISION +ASSIGNED +PUSHED BY .*\\n${name} +push +S01 +P01 `), shown.err);
    await ask({ includeUnassigned: true });
    const done = await installed(primary, name, point);
    assert.deepEqual([done.site, done.point, done.files], ['P01', point, point]);
    await known(name);
    await noCcr(secondary, name);
  });

  test(`scenario 2, ${how}: discovered and pushed at S01; DDR up, PDR down, CCR at S01`, async () => {
    await proxy(point === 'S01');
    await push(true);
    const name = await discover(secondary);
    const done = await installed(secondary, name, point);
    assert.equal((done.ccr as unknown as { source: string }).source, 'discovery');
    assert.deepEqual([done.site, done.point, done.files], ['P01', point, point]);
    assert.equal(sources(await device(primary, name)), 'import@S01');
    assert.equal(sources(await device(secondary, name)), 'import@S01 pdr@P01');
    await noCcr(primary, name);
    await known(name);
    await eventually('P01 to hear how the CCR at S01 stands', async () => {
      const { items } = await primary.get<{ items: { name: string; state: string }[] }>('/sites/S01/ccrs');
      return items.some((ccr) => ccr.name === name && ccr.state === 'complete');
    });
  });

  test(`scenario 3, ${how}: discovered at P01, push on at S01; no CCR at P01, PDR down, CCR at S01`, async () => {
    await proxy(point === 'S01');
    await push(true);
    const name = await discover(primary);
    const done = await installed(secondary, name, point);
    assert.deepEqual([done.site, done.point, done.files], ['P01', point, point]);
    assert.equal(sources(await device(secondary, name)), 'pdr@P01');
    assert.equal(sources(await device(primary, name)), 'import@P01');
    await noCcr(primary, name);
    await known(name);
  });
}

test('the line is cut: S01 goes on pushing what it has, and P01 hears of it when it is back', async () => {
  await proxy(true);
  await push(false);
  const name = await discover(primary);
  await device(secondary, name);
  await primary.kill();
  // Switched on now, it takes what the PDR told.
  await push(true);
  const done = await installed(secondary, name, 'S01');
  assert.deepEqual([done.site, done.point, done.files], ['P01', 'S01', 'S01']);
  // What it discovers itself now waits for a PDR, but not where a person asks for it.
  const late = await discover(secondary);
  await noCcr(secondary, late);
  await secondary.push(late);
  assert.deepEqual((await installed(secondary, late, 'S01')).point, 'S01');
  await primary.spawn();
  for (const one of [name, late]) {
    await known(one);
    await noCcr(primary, one);
  }
});

test('a TLS key is only noted for a parent that is reached over HTTPS, and only in its right form', async () => {
  const pin = 'ab'.repeat(32);
  const plain = await pushpoint(['site', 'pin', 'P01', pin, '--data', secondary.data]);
  assert.deepEqual([plain.code, /PP_LINK_NO_WAY/.test(plain.err)], [1, true], plain.err);
  assert.equal((await pushpoint(['site', 'pin', 'P01', 'abc', '--data', secondary.data])).code, 2);
});

test('S01 is removed: its boundaries are shown as idle, and its machines can be given to another site', async () => {
  const removed = await pushpoint(['site', 'remove', 'S01', '--data', primary.data]);
  assert.equal(removed.code, 0, removed.err);
  assert.match(removed.err, /Its boundaries are kept and assign nobody any more/);
  const list = await pushpoint(['boundary', 'list', '--data', primary.data]);
  assert.match(list.out, /S01 \(removed\) +site/);
  const add = await pushpoint(['boundary', 'add', 'subnet:10.77.0.0/16', '--site', 'S01', '--data', primary.data]);
  assert.match(add.err, /site S01 was removed: its boundaries assign nobody/);
  await pushpoint(['device', 'reassign', '--all', '--data', primary.data]);
  const { items } = await primary.get<{ items: DeviceJson[] }>('/devices');
  assert.ok(items.length > 5);
  assert.ok(items.every(({ assignedSite }) => assignedSite !== 'S01'));
  // S01 decides for itself now.
  await eventually('S01 to notice', async () => {
    const { items: sites } = await secondary.get<{ items: { code: string; link?: { state: string } }[] }>('/sites');
    return sites.some(({ code, link }) => code === 'P01' && link?.state === 'removed');
  });
  assert.equal((await secondary.call('POST', '/devices/reassign', '{"all":true}', 'application/json')).status, 200);
});
