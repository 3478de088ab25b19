import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Cable, LinkSite } from '#test/sites';
import { eventually } from '#test/whole-site';

async function pair(t: TestContext): Promise<{ parent: LinkSite; child: LinkSite; cable: Cable }> {
  const [parent, child] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'S01', 'secondary')];
  const cable = await Cable.to(t, await parent.serve());
  await child.join(parent, { url: cable.url });
  await parent.dial();
  return { parent, child, cable };
}

const has =
  (site: LinkSite, ...keys: string[]) =>
  async () => {
    const there = await site.keys();
    return keys.every((key) => there.includes(key));
  };

const once = async (site: LinkSite) => (await site.notes()).every(({ times }) => times === 1);

test('items travel both ways, in order, once, and nothing waits afterwards', async (t) => {
  const { parent, child } = await pair(t);
  const names = Array.from({ length: 50 }, (_, i) => `n${i}`);
  await child.say('parent', ...names);
  await child.dial();
  await parent.say('S01', 'd1', 'd2', 'd3');
  await eventually('all of it', async () => (await has(parent, 'n49')()) && (await has(child, 'd3')()));
  assert.deepEqual(await parent.keys(), names);
  assert.deepEqual(await child.keys(), ['d1', 'd2', 'd3']);
  assert.ok((await once(parent)) && (await once(child)));
  assert.equal((await parent.notes())[0]!.origin, 'S01');
  await eventually(
    'acknowledged',
    async () => (await child.state('P01')).backlog === 0 && (await parent.state('S01')).backlog === 0,
  );
  await parent.say('S01', 'late');
  await eventually('a held poll to be woken', has(child, 'late'), 10_000);
});

test('of items with one key that wait only the last travels; ordered ones all do', async (t) => {
  const { parent, child } = await pair(t);
  for (const body of ['first', 'second', 'third'])
    await child.database.transaction((tx) => child.link.enqueue(tx, { to: 'parent', kind: 'note', key: 'k', body }));
  await child.database.transaction((tx) =>
    child.link.enqueue(
      tx,
      ['a', 'b'].map((body) => ({ to: 'parent' as const, kind: 'note', key: 'o', body, ordered: true })),
    ),
  );
  assert.equal((await child.state('P01')).backlog, 3);
  await child.dial();
  await eventually('them', has(parent, 'k', 'o'));
  assert.deepEqual(
    (await parent.notes()).map(({ key, body, times }) => [key, body, times]),
    [
      ['k', '"third"', 1],
      ['o', '"b"', 2],
    ],
  );
});

test('what a transaction queued goes when it commits, and not when it fails', async (t) => {
  const { parent, child } = await pair(t);
  await child.dial();
  await assert.rejects(
    child.database.transaction(async (tx) => {
      await child.link.enqueue(tx, { to: 'parent', kind: 'note', key: 'undone', body: 1 });
      throw new Error('no');
    }),
  );
  await child.say('parent', 'done');
  await eventually('it', has(parent, 'done'));
  assert.deepEqual(await parent.keys(), ['done']);
});

test('a site without a parent queues nothing, and no line leads to a stranger', async (t) => {
  const lone = await LinkSite.make(t, 'P09');
  await lone.say('parent', 'x');
  assert.deepEqual(await lone.database.query('select * from link_out'), []);
  await assert.rejects(lone.say('S77', 'x'), { code: 'PP_LINK_NO_WAY' });
});

test('while the line is cut everything waits; it comes back by itself, with less and less haste', async (t) => {
  const { parent, child, cable } = await pair(t);
  await child.dial();
  await child.say('parent', 'a');
  await eventually('the first', async () => (await has(parent, 'a')()) && (await child.state('P01')).backlog === 0);
  cable.cut();
  await child.say('parent', 'b', 'c');
  await parent.say('S01', 'd');
  await eventually('it to be noticed', async () => (await child.state('P01')).error?.code === 'PP_LINK_UNREACHABLE');
  const asked = cable.asked;
  await eventually('several tries', () => cable.asked >= asked + 2);
  assert.ok(cable.asked < asked + 8);
  assert.equal((await child.state('P01')).backlog, 2);
  cable.mend();
  await eventually('what waited', async () => (await has(parent, 'b', 'c')()) && (await has(child, 'd')()));
  assert.ok((await once(parent)) && (await once(child)));
  assert.equal((await child.state('P01')).error, undefined);
});

test('a line that has gone silent is given up and made anew', async (t) => {
  const { parent, child, cable } = await pair(t);
  await child.dial({ holdMs: 300, patienceMs: 700 });
  await child.say('parent', 'a');
  await eventually('the first', has(parent, 'a'));
  cable.silence();
  await child.say('parent', 'b');
  await eventually('the rest over another connection', has(parent, 'b'));
  assert.ok(await once(parent));
});

test('an answer that is lost after the receipt: the batch comes again and takes no effect again', async (t) => {
  const { parent, child, cable } = await pair(t);
  await child.dial({ holdMs: 20_000 });
  await child.say('parent', 'a');
  await eventually('the first', has(parent, 'a'));
  await eventually('the acknowledgement', async () => (await child.state('P01')).backlog === 0);
  const lost = cable.loseAnswer();
  await child.say('parent', 'b', 'c');
  await lost;
  await eventually('the rest', has(parent, 'b', 'c'));
  await eventually('the acknowledgement', async () => (await child.state('P01')).backlog === 0);
  assert.ok(await once(parent));
  assert.equal((await child.state('P01')).restarts, 0);
});

test('a slow line carries everything', async (t) => {
  const { parent, child, cable } = await pair(t);
  cable.delayMs = 120;
  await child.dial();
  await child.say('parent', 'a', 'b');
  await parent.say('S01', 'c');
  await eventually('it', async () => (await has(parent, 'a', 'b')()) && (await has(child, 'c')()));
  assert.ok((await once(parent)) && (await once(child)));
});

test('the parent stops in the middle of a batch: nothing of the batch counts, and all of it after the start', async (t) => {
  const { parent, child } = await pair(t);
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  parent.before = async (key) => {
    if (key !== 'n5') return;
    resolve();
    throw Object.assign(new Error('terminating connection due to administrator command'), { code: '57P01' });
  };
  await parent.stopPoint();
  await parent.serve();
  await child.database.transaction((tx) =>
    child.link.enqueue(
      tx,
      Array.from({ length: 10 }, (_, i) => ({ to: 'parent' as const, kind: 'note', key: `n${i}`, body: i })),
    ),
  );
  await child.dial();
  await reached;
  await parent.stopPoint();
  assert.deepEqual(await parent.keys(), []);
  parent.before = async () => {};
  await parent.serve();
  await eventually('the batch', has(parent, 'n9'));
  assert.equal((await parent.keys()).length, 10);
  assert.ok(await once(parent));
});

test('an item that no handler can take is put aside, and the line goes on', async (t) => {
  const { parent, child } = await pair(t);
  parent.before = async (key) => {
    if (key === 'bad') throw new Error('this one is wrong');
    if (key === 'worse') await parent.database.query('select 1');
  };
  await parent.stopPoint();
  await parent.serve();
  await child.database.transaction(async (tx) => {
    const item = (kind: string, key: string) => ({ to: 'parent' as const, kind, key, body: 1 });
    await child.link.enqueue(tx, [
      item('note', 'a'),
      item('note', 'bad'),
      item('order', 'x'),
      item('unheard-of', 'y'),
      item('note', 'z'),
    ]);
  });
  await child.dial();
  await eventually('the rest', has(parent, 'a', 'z'));
  const aside = await parent.link.rejected('S01');
  assert.deepEqual(aside.map(({ kind, key, code }) => [kind, key, code].join(' ')).toSorted(), [
    'note bad PP_LINK_ITEM',
    'order x PP_LINK_KIND',
    'unheard-of y PP_LINK_KIND',
  ]);
  assert.equal((await parent.state('S01')).rejected, 3);
  await eventually('nothing to wait', async () => (await child.state('P01')).backlog === 0);
});

test('three sites: what the first has for the last passes through the one between, which does not take it', async (t) => {
  const [top, middle, last] = [
    await LinkSite.make(t, 'P01'),
    await LinkSite.make(t, 'P02'),
    await LinkSite.make(t, 'S02', 'secondary'),
  ];
  await top.serve();
  await middle.serve();
  await middle.join(top, { kind: 'primary' });
  await last.database.query(`update site set parent = 'P02' where own`);
  await last.join(middle);
  await top.site.learn({ code: 'S02', kind: 'secondary', parent: 'P02' });
  for (const site of [top, middle, last]) await site.dial();
  await top.say('S02', 'deep');
  await eventually('it to arrive', has(last, 'deep'));
  assert.equal((await last.notes())[0]!.origin, 'P01');
  assert.deepEqual(await middle.keys(), []);
  await last.say('parent', 'up');
  await eventually('it to arrive', has(middle, 'up'));
  await eventually('the way up to be known', async () => (await last.state('P02')).path.join() === 'P02,P01');
});
