import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pushpoint, type How } from '#test/command';
import { scratch } from '#test/scratch';

/** Filters and collections as a shell has them, on a folder that nobody serves. */

const folder = mkdtempSync(join(scratch, 'pushpoint-cli-'));
const data = join(folder, 'p01');
const on = (args: string[], how?: How) => pushpoint([...args, '--data', data], how);

// oxlint-disable-next-line typescript/no-explicit-any -- each test says which fields it expects by comparing them
async function done<T = Record<string, any>>(args: string[], how?: How): Promise<T> {
  const ran = await on([...args, '--json'], how);
  assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
  return ran.json<T>();
}
const names = (answer: Record<string, { name: string }[]>) => answer['items']!.map((i) => i.name).join(' ');

before(async () => {
  await done(['site', 'create', 'P01', '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0']);
  const rows = [
    'name,domain,ip,type,os',
    'PC1,CORP,10.1.0.1,workstation,Windows 11',
    'PC2,CORP,10.2.0.1,workstation,Windows 10',
    'SRV,CORP,10.1.0.9,server,Windows Server 2022',
  ];
  await done(['device', 'import', '-'], { input: rows.join('\n') });
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('device list takes a word as before, a filter, and says what a filter can ask for', async () => {
  assert.equal(names(await done(['device', 'list', '--filter', 'pc'])), 'PC1 PC2');
  assert.equal(names(await done(['device', 'list', '--filter', 'address in 10.1.0.0/16 and type != server'])), 'PC1');
  const wrong = await on(['device', 'list', '--filter', 'os lik "x"']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /at column 4: expected =, .* after os, not "lik"/);
  const fields = await on(['device', 'list', '--fields']);
  assert.match(fields.out, /^client\.installed +yes or no +it is flagged as installed/m);
});

test('collections are made, listed, shown, used for a push, and deleted', async () => {
  const tried = await on(['collection', 'create', 'Berlin', '--query', 'address in 10.1.0.0/16', '--dry-run']);
  assert.match(tried.out, /^dry run, nothing is changed: collection Berlin made; 2 machines in it\.$/m);
  assert.equal((await done(['collection', 'create', 'Berlin', '--query', 'address in 10.1.0.0/16'])).members, 2);
  assert.equal((await done(['collection', 'create', 'Far', 'PC2', '--under', 'berlin'])).members, 1);
  assert.equal(
    (await done(['collection', 'create', 'Rest', '--include', 'Berlin', '--include', 'Far', '--exclude', 'All Windows Servers']))
      .members,
    2,
  );
  assert.equal(names(await done(['collection', 'members', 'Rest'])), 'PC1 PC2');
  assert.equal(names(await done(['collection', 'members', 'Berlin', '--filter', 'type = server'])), 'SRV');
  const list = (await done<{ items: { name: string; members: number }[] }>(['collection', 'list'])).items;
  assert.deepEqual(
    list.slice(-3).map((c) => [c.name, c.members]),
    [
      ['Berlin', 2],
      ['Far', 1],
      ['Rest', 2],
    ],
  );
  assert.match((await on(['collection', 'show', 'rest'])).out, /^excludes +All Windows Servers$/m);
  assert.match((await on(['device', 'show', 'PC1'])).out, /^collections +All Systems, All Windows Workstations, Berlin, Rest/m);
  const push = async (...args: string[]) => {
    const ran = await on(['push', ...args, '--dry-run', '--json']);
    return ran
      .json<{ items: { name: string }[] }>()
      .items.map((i) => i.name)
      .join(' ');
  };
  assert.equal(await push('--collection', 'Berlin'), 'PC1.CORP PC2.CORP SRV.CORP');
  assert.equal(await push('--collection', 'Berlin', '--no-subcollections'), 'PC1.CORP SRV.CORP');
  assert.equal(await push('--collection', 'Berlin', '--filter', 'type = workstation'), 'PC1.CORP PC2.CORP');
  assert.match((await on(['push', '--collection', 'None', '--dry-run'])).err, /there is no collection None/);
  assert.match((await on(['push', 'PC1', '--no-subcollections'])).err, /goes with --collection/);
  assert.match(
    (await on(['collection', 'add', 'Berlin', '--include', 'Rest'])).err,
    /Berlin would need itself: Berlin → Rest → Berlin/,
  );
  assert.equal((await done(['collection', 'set', 'Rest', '--no-query', '--rename', 'Others', '--comment', 'x'])).name, 'Others');
  assert.match((await on(['collection', 'set', 'Others'])).err, /collection set wants/);
  assert.match(
    (await on(['collection', 'set', 'Others', '--rename', 'Rest'])).out,
    /^collection Rest changed; 2 machines in it\.$/m,
  );
  assert.equal((await done(['collection', 'add', 'Far', 'PC1'])).members, 2);
  assert.equal((await done(['collection', 'remove', 'Far', 'PC1'])).members, 1);
  const evaluated = await done<{ items: { name: string }[] }>(['collection', 'evaluate', 'Berlin']);
  assert.equal(names(evaluated), 'Berlin Rest');
  assert.match((await on(['collection', 'delete', 'Berlin'])).err, /Far, Rest needs it/);
  for (const name of ['Rest', 'Far', 'Berlin']) await done(['collection', 'delete', name]);
});
