import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pushpoint, Running, type How } from '#test/command';
import { scratch } from '#test/scratch';

/** Boundaries, assignment and site-wide push as a shell has them: one `up` for the whole file. */

const folder = mkdtempSync(join(scratch, 'pushpoint-cli-'));
const at = (name: string) => join(folder, name);
const data = at('p01');
let up: Running;

const on = (args: string[], how?: How) => pushpoint([...args, '--data', data], how);

// oxlint-disable-next-line typescript/no-explicit-any -- each test says which fields it expects by comparing them
async function done<T = Record<string, any>>(args: string[], how?: How): Promise<T> {
  const ran = await on([...args, '--json'], how);
  assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
  return ran.json<T>();
}

before(async () => {
  await done(['site', 'create', 'P01', '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0']);
  up = await Running.start(['up', '--data', data]);
  const rows = [
    'name,domain,ip,type,adsite',
    'PC1,CORP,10.1.0.1,workstation,',
    'PC2,CORP,10.2.0.1,workstation,',
    'AD1,CORP,,server,Berlin',
  ];
  await done(['device', 'import', '-'], { input: rows.join('\n') });
});

after(async () => {
  await up?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('boundaries are added one by one or from a file, listed, explained and taken away', async () => {
  writeFileSync(at('b.txt'), '# the branch\nsubnet:10.1.0.0/255.255.0.0\n\nadsite:Berlin\n');
  const tried = await on(['boundary', 'add', '-f', at('b.txt'), '--dry-run']);
  assert.deepEqual(
    [tried.code, tried.out],
    [0, 'dry run, nothing is changed: 2 boundaries added as site boundaries of site P01.\n'],
  );
  assert.deepEqual((await done(['boundary', 'list'])).items, []);
  const added = await on(['boundary', 'add', '-f', at('b.txt'), 'range:10.1.0.0-10.1.0.9']);
  assert.match(added.out, /^3 boundaries added as site boundaries of site P01\.\n$/);
  assert.match(
    (await on(['boundary', 'add', 'subnet:10.7.0.0/24', '--roaming'])).out,
    /^subnet:10\.7\.0\.0\/24 added as roaming boundary of/,
  );
  const list = (await done<{ items: { boundary: string; roaming: boolean }[] }>(['boundary', 'list', '--site', 'p01'])).items;
  assert.deepEqual(
    list.map((b) => [b.boundary, b.roaming]),
    [
      ['range:10.1.0.0-10.1.0.9', false],
      ['subnet:10.7.0.0/24', true],
      ['subnet:10.1.0.0/16', false],
      ['adsite:Berlin', false],
    ],
  );
  const which = await done(['boundary', 'which', '10.1.0.1']);
  assert.deepEqual(
    [which['site'], which['boundary'], which['kind'], which['overlaps'].length],
    ['P01', 'range:10.1.0.0-10.1.0.9', 'range', 1],
  );
  assert.match(
    (await on(['boundary', 'which', '10.7.0.1'])).out,
    /belongs to no site\n {2}only roaming boundaries hold it.*\n[^]*content is found at site P01/,
  );
  for (const [args, exit, code] of [
    [['boundary', 'add'], 2, 'PP_CLI_USAGE'],
    [['boundary', 'add', 'subnet:10.1.2.3/16'], 2, 'PP_BOUNDARY_VALUE'],
    [['boundary', 'add', 'adsite:Berlin'], 1, 'PP_BOUNDARY_EXISTS'],
    [['boundary', 'add', 'adsite:Paris', '--site', 'X99'], 1, 'PP_BOUNDARY_SITE'],
    [['boundary', 'which', 'PC1'], 2, 'PP_BOUNDARY_ADDRESS'],
    [['boundary', 'remove', 'adsite:Paris'], 1, 'PP_BOUNDARY_UNKNOWN'],
  ] as const) {
    const ran = await on([...args]);
    assert.deepEqual([ran.code, ran.out], [exit, ''], args.join(' '));
    assert.match(ran.err, new RegExp(`\\[${code}\\]\\n  cause: .+\\n  fix:   .+\\n$`));
  }
  assert.match((await on(['boundary', 'remove', 'range:10.1.0.0-10.1.0.9'])).out, /removed\.\n$/);
});

test('machines without a site get one when boundaries are added; reassign moves those that have one', async () => {
  const sites = async () =>
    Object.fromEntries(
      (await done(['device', 'list'])).items.map((d: { name: string; assignedSite?: string }) => [d.name, d.assignedSite]),
    );
  // The site server walks through the known machines by itself.
  for (let tries = 0; tries < 40 && (await sites())['AD1'] === undefined; tries++);
  assert.deepEqual(await sites(), { AD1: 'P01', PC1: 'P01', PC2: undefined });
  await done(['boundary', 'remove', 'adsite:berlin']);
  const tried = await on(['device', 'reassign', '--all', '--dry-run']);
  assert.match(
    tried.out,
    /^NAME +FROM +TO[^]*AD1 +P01 +none[^]*dry run, nothing is changed: 1 machines change their site, 2 stay\.\n$/,
  );
  assert.equal((await done(['device', 'reassign', 'AD1']))['changed'], 1);
  assert.deepEqual((await sites())['AD1'], undefined);
  assert.equal((await on(['device', 'reassign'])).code, 2);
  assert.equal((await on(['device', 'reassign', 'AD1', '--all'])).code, 2);
  const report = await done(['boundary', 'report']);
  assert.deepEqual([report['machines'], report['unassigned'], report['gaps'][0].subnet], [3, 2, '10.2.0.0/24']);
});

test('push settings show and set site-wide push; a machine of that name is still a machine', async () => {
  const first = await done(['push', 'settings']);
  assert.deepEqual(
    [first['enabled'], first['systems'], first['siteSystems'], first['accounts']],
    [false, ['workstations', 'servers'], false, []],
  );
  const set = ['push', 'settings', '--enable', '--systems', 'workstations', '--site-systems', 'yes', '--properties', 'A=1 B=2'];
  assert.match((await on([...set, '--dry-run'])).out, /^dry run, nothing is changed[^]*enabled +yes\n/);
  assert.equal((await done(['push', 'settings']))['enabled'], false);
  const ran = await on(set);
  assert.match(ran.out, /systems +workstations\n[^]*properties +A=1 B=2\n/);
  assert.match(ran.err, /no push account/);
  let ccrs: { name: string; source: string }[] = [];
  for (let tries = 0; tries < 40 && ccrs.length === 0; tries++) ccrs = (await done(['ccr', 'list'])).items;
  assert.deepEqual(
    ccrs.map((c) => [c.name, c.source]),
    [['PC1', 'discovery']],
  );
  const shown = await done(['device', 'show', 'PC2']);
  assert.deepEqual(shown['siteWidePush'], { push: false, reason: 'it is assigned to no site' });
  const after = await pushpoint(['push', '--data', data, 'settings', '--disable', '--json']);
  assert.equal(after.json()['enabled'], false, 'options may stand before the verb of a verb');
  for (const wrong of [
    ['--enable', '--disable'],
    ['--site-systems', 'perhaps'],
    ['--systems', 'toasters'],
  ])
    assert.equal((await on(['push', 'settings', ...wrong])).code, 2, wrong.join(' '));
  writeFileSync(at('names.txt'), 'SETTINGS\nHELP\n');
  const plan = await on(['push', '-f', at('names.txt'), 'HELP', '--dry-run', '--json']);
  assert.deepEqual(
    plan.json<{ items: { name: string }[] }>().items.map((i) => i.name),
    ['HELP', 'SETTINGS'],
  );
  assert.equal((await on(['push', '--filter', ' ', '--dry-run'])).code, 2, 'nothing is not everything');
  const filtered = await on(['push', '--filter', 'pc', '--dry-run', '--json']);
  assert.deepEqual(
    filtered.json<{ items: { name: string }[] }>().items.map((i) => i.name),
    ['PC1.CORP', 'PC2.CORP'],
  );
});
