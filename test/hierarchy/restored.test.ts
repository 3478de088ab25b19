import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { LinkSite, RawChild } from '#test/sites';
import { eventually } from '#test/whole-site';

async function pair(t: TestContext): Promise<{ parent: LinkSite; child: LinkSite }> {
  const [parent, child] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'S01', 'secondary')];
  await parent.serve();
  await child.join(parent);
  await parent.dial();
  await child.dial();
  return { parent, child };
}

const settled = (a: LinkSite, b: LinkSite, to: string) => async () => {
  const state = await a.state(b.code);
  return state.backlog === 0 && state.acked === state.sent && (await b.keys()).includes(to);
};

test('a child that goes back in time: what both sides need of each other is sent anew', async (t) => {
  const { parent, child } = await pair(t);
  await child.say('parent', 'c1', 'c2');
  await parent.say('S01', 'p1');
  await eventually('c2', settled(child, parent, 'c2'));
  await eventually('p1', settled(parent, child, 'p1'));
  await child.hangUp();
  const back = await child.remember();
  await child.dial();
  await child.say('parent', 'c3', 'c4');
  await parent.say('S01', 'p2');
  await eventually('c4', settled(child, parent, 'c4'));
  await eventually('p2', settled(parent, child, 'p2'));
  await child.hangUp();
  await back();
  assert.deepEqual(await child.keys(), ['p1']);
  // What each side holds is what a snapshot tells; p2 was lost with the child and is not in any queue any more.
  parent.owns = ['p1', 'p2'];
  child.owns = ['c1', 'c2'];
  await parent.stop();
  await parent.serve();
  await parent.dial();
  await child.say('parent', 'c5');
  await child.dial();
  await eventually('what the child lost', async () => (await child.keys()).includes('p2'));
  await eventually('what is new', async () => (await parent.keys()).includes('c5'));
  const [up, down] = [await child.state('P01'), await parent.state('S01')];
  assert.match(up.restartedWhy!, /this site was restored/);
  assert.match(down.restartedWhy!, /the other site was restored/);
});

test('a parent that goes back in time', async (t) => {
  const { parent, child } = await pair(t);
  await child.say('parent', 'c1');
  await eventually('c1', settled(child, parent, 'c1'));
  await parent.hangUp();
  const back = await parent.remember();
  await parent.dial();
  await child.say('parent', 'c2');
  await parent.say('S01', 'p1', 'p2');
  await eventually('c2', settled(child, parent, 'c2'));
  await eventually('p2', settled(parent, child, 'p2'));
  await parent.stop();
  await back();
  assert.deepEqual(await parent.keys(), ['c1']);
  child.owns = ['c1', 'c2'];
  await child.hangUp();
  await child.dial();
  await parent.serve();
  await parent.dial();
  await parent.say('S01', 'p3');
  await eventually('what the parent lost', async () => (await parent.keys()).includes('c2'));
  await eventually('what is new, though its number was used before', async () => (await child.keys()).includes('p3'));
  assert.match((await child.state('P01')).restartedWhy!, /the other site was restored/);
  assert.match((await parent.state('S01')).restartedWhy!, /this site was restored/);
});

test('a parent that goes back in time while the child goes on without a stop', async (t) => {
  const { parent, child } = await pair(t);
  await child.say('parent', 'c1');
  await eventually('c1', settled(child, parent, 'c1'));
  await parent.hangUp();
  const back = await parent.remember();
  await child.say('parent', 'c2');
  await eventually('c2', settled(child, parent, 'c2'));
  child.owns = ['c1', 'c2'];
  await back();
  await parent.dial();
  await child.say('parent', 'c3');
  await eventually('all of it', async () => (await parent.keys()).toSorted().join() === 'c1,c2,c3');
  assert.equal((await child.state('P01')).restarts, 1);
});

test('a snapshot never takes the place of what is newer', async (t) => {
  const [parent, child] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'S01', 'secondary')];
  await parent.serve();
  await child.join(parent);
  child.owns = ['k', 'other'];
  await child.say('parent', 'k');
  await child.dial();
  await eventually('both', async () => (await parent.keys()).includes('other'));
  const bodies = new Map((await parent.notes()).map(({ key, body }) => [key, body]));
  assert.deepEqual([bodies.get('k'), bodies.get('other')], ['"said k"', '"all other"']);
});

test('two processes of a child: one of them keeps the line, and the other takes it over', async (t) => {
  const { parent, child } = await pair(t);
  await eventually('the line', async () => (await child.state('P01')).exchangedAt !== undefined);
  assert.equal(await child.link.line.lease('P01', 'another process', 35_000), false);
  await child.hangUp();
  assert.equal(await child.link.line.lease('P01', 'another process', 60_000), true);
  await child.dial();
  await child.say('parent', 'x');
  assert.equal((await child.state('P01')).backlog, 1);
  await child.link.line.release('P01', 'another process');
  await child.say('parent', 'y');
  await eventually('it', settled(child, parent, 'y'));
});

test('two live copies of one site are noticed by the parent; a server that is started anew again and again is not', async (t) => {
  const [parent, child] = [await LinkSite.make(t, 'P01'), await LinkSite.make(t, 'S01', 'secondary')];
  await parent.serve();
  await child.join(parent);
  const raw = new RawChild(child, parent);
  const begin = (instance: string) => raw.send({ what: 'begin', instance });
  for (const run of ['one', 'two', 'three', 'four', 'four', 'five']) await begin(run);
  assert.equal((await parent.state('S01')).copiesAt, undefined);
  // One return is a line that another process of the site had for a while.
  await begin('four');
  assert.equal((await parent.state('S01')).copiesAt, undefined);
  await begin('five');
  assert.ok((await parent.state('S01')).copiesAt !== undefined);
  assert.equal(parent.logged.filter((line) => line.includes('one of them is a copy')).length, 1);
});

test('the servers of a site and of its copy, both running', async (t) => {
  const { parent, child } = await pair(t);
  await child.say('parent', 'a');
  await eventually('it', async () => (await parent.keys()).includes('a'));
  // A copy has the key and the line of the site, and a database of its own.
  const copy = await LinkSite.make(t, 'S01', 'secondary');
  await copy.site.learn({ code: 'P01', kind: 'primary' });
  copy.key = child.key;
  const { url, publicKey, sealKey, version } = await child.state('P01');
  await copy.database.transaction((tx) => copy.link.join(tx, { site: 'P01', role: 'parent', url, publicKey, sealKey, version }));
  await copy.dial();
  await eventually('the parent to notice', async () => (await parent.state('S01')).copiesAt !== undefined, 60_000);
});
