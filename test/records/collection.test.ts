import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { CollectionRecord } from '#records/collection';
import { ResourceRecord, type RawDevice } from '#records/resource';
import { testDatabase, type TestDatabase } from '#test/database';

const HOUR = 3_600_000;
let base: TestDatabase;
let clock: ManualClock;
let resource: ResourceRecord;
let collection: CollectionRecord;
let kept: number[];

before(async () => {
  base = await testDatabase();
  kept = (await base.db.query<{ id: number }>('select id from collection where builtin')).map(({ id }) => id);
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query(
    'truncate resource, resource_source, client, collection_member, collection_direct, collection_rule, collection_change',
  );
  await base.db.query('update collection set parent_id = null, limit_id = null');
  await base.db.query('delete from collection where not builtin');
  await base.db.query('update collection set stale = true, members = 0, evaluated_at = null');
  clock = new ManualClock(new Date('2026-11-21T12:00:00Z'));
  resource = new ResourceRecord(base.db, clock);
  collection = new CollectionRecord(base.db, clock);
});

const know = (...rows: RawDevice[]) => resource.importDevices(rows, { source: 'import', site: 'P01' });
const pc = (n: number, more: Partial<RawDevice> = {}): RawDevice => ({
  name: `PC${n}`,
  domain: 'CORP',
  addresses: [`10.1.${n >> 8}.${n & 255}`],
  os: 'Windows 11',
  type: 'workstation',
  ...more,
});
const idOf = async (name: string) => (await resource.find(name))[0]!.id;
const members = async (name: string, subcollections = false) => {
  const ids = await collection.subtree(name, subcollections);
  return (await resource.list({ collection: ids, limit: 1000 })).items.map((d) => d.name).join(' ');
};
const counted = async (name: string) => (await collection.get(name)).members;
async function hear(name: string, seen: Date): Promise<void> {
  await base.db.query(
    `insert into client (guid, public_key, key_hash, request_id, resource_id, name, name_key, hardware_id, version, approval, registered_at, last_seen_at)
     values ($1, 'k', sha256(convert_to($1, 'UTF8')), gen_random_uuid(), $2, $3, $3, 'h', '1.0', 'approved', $4, $4)`,
    [`GUID:${name}`, await idOf(name), name, seen],
  );
}

test('the built-in collections follow the machines', async () => {
  assert.equal(kept.length, 4);
  await know(
    pc(1),
    pc(2),
    { name: 'SRV', os: 'Windows Server 2022' },
    { name: 'DC', os: 'Windows Server 2022', type: 'dc' },
    { name: 'LINUX' },
  );
  await collection.freshen();
  assert.deepEqual(
    (await collection.list()).map((c) => [c.name, c.members, c.builtin]),
    [
      ['All Systems', 5, true],
      ['All Windows Servers', 2, true],
      ['All Windows Workstations', 2, true],
      ['Systems without a client', 5, true],
    ],
  );
  await hear('PC1', clock.now());
  await know(pc(3));
  await collection.freshen();
  assert.equal(await members('Systems without a client'), 'DC LINUX PC2 PC3 SRV');
  assert.equal(await counted('Systems without a client'), 5);
  await resource.remove([await idOf('PC2')]);
  await collection.freshen();
  assert.deepEqual([await counted('All Systems'), await counted('All Windows Workstations')], [5, 2]);
  for (const work of [collection.delete('All Systems'), collection.add('all systems', { include: [] })])
    await assert.rejects(work, (e) => isCode(e, 'PP_COLLECTION_BUILTIN'));
});

test('a changed machine is judged by itself, and only once', async () => {
  await know(...Array.from({ length: 30 }, (_, i) => pc(i)));
  await collection.create({ name: 'Elevens', query: 'os like "*11*"' }, 'test');
  await collection.freshen();
  assert.deepEqual(await collection.catchUp(), { machines: 0, come: 0, gone: 0, more: false });
  assert.equal(await counted('Elevens'), 30);
  await know(pc(4, { os: 'Windows 10' }), pc(5, { os: 'Windows 10' }), pc(99));
  const done = await collection.catchUp();
  assert.equal(done.machines, 3);
  assert.equal(await counted('Elevens'), 29);
  assert.equal((await members('Elevens')).split(' ').includes('PC4'), false);
  assert.equal((await collection.catchUp()).machines, 0);
});

test('direct members, includes, excludes and a limit; what is excluded is out whatever else says so', async () => {
  await know(...Array.from({ length: 10 }, (_, i) => pc(i)));
  await collection.create({ name: 'Low', query: 'address in 10.1.0.0/30' }, 'test');
  await collection.create({ name: 'Pilot', direct: [await idOf('PC3'), await idOf('PC7')] }, 'test');
  const both = await collection.create({ name: 'Both', include: ['low', 'PILOT'] }, 'test');
  assert.deepEqual([both.members, both.include], [5, ['Low', 'Pilot']]);
  const rest = await collection.create(
    { name: 'Rest', query: 'name like PC*', exclude: ['Both'], direct: [await idOf('PC3')] },
    'test',
  );
  assert.equal(rest.members, 5);
  assert.equal(await members('Rest'), 'PC4 PC5 PC6 PC8 PC9');
  const limited = await collection.create({ name: 'Limited', query: 'name in (PC3, PC4, PC5)', limitTo: 'Rest' }, 'test');
  assert.deepEqual([limited.members, limited.limitedTo], [2, 'Rest']);
  // One change at the beginning of the chain goes through to its end.
  await collection.add('Pilot', { direct: [await idOf('PC5')] });
  assert.equal(await members('Both'), 'PC0 PC1 PC2 PC3 PC5 PC7');
  assert.equal(await members('Limited'), 'PC4');
  await collection.remove('Pilot', { direct: [await idOf('PC5'), await idOf('PC7')] });
  assert.equal(await members('Rest'), 'PC4 PC5 PC6 PC7 PC8 PC9');
  // And so does a change of a machine.
  await know(pc(1, { addresses: ['10.9.9.9'] }));
  await collection.catchUp();
  assert.equal(await members('Low'), 'PC0 PC2 PC3');
  assert.equal(await members('Rest'), 'PC1 PC4 PC5 PC6 PC7 PC8 PC9');
  assert.deepEqual(await collection.having(await idOf('PC4')), [
    'All Systems',
    'All Windows Workstations',
    'Limited',
    'Rest',
    'Systems without a client',
  ]);
  assert.equal(await counted('Rest'), 7);
  await resource.remove([await idOf('PC3')]);
  await collection.catchUp();
  assert.deepEqual([await counted('Pilot'), (await collection.get('Pilot')).direct], [0, 0]);
});

test('loops are refused with the way that closes them, and nothing is changed', async () => {
  await collection.create({ name: 'A', query: 'name = x' }, 'test');
  await collection.create({ name: 'B', include: ['A'] }, 'test');
  await collection.create({ name: 'C', query: 'name = x', exclude: ['B'] }, 'test');
  await collection.create({ name: 'D', limitTo: 'C' }, 'test');
  for (const [name, other] of [
    ['A', 'A'],
    ['A', 'B'],
    ['A', 'C'],
    ['A', 'D'],
    ['B', 'D'],
  ] as const)
    for (const change of [{ include: [other] }, { exclude: [other] }])
      await assert.rejects(collection.add(name, change), (e) => isCode(e, 'PP_COLLECTION_LOOP'), `${name} ${other}`);
  await assert.rejects(collection.add('A', { include: ['D'] }), /A → D → C → B → A/);
  assert.deepEqual((await collection.get('A')).include, []);
});

test('what makes a collection can be changed: its query, its limit, its place, its name; nothing that would make it need itself', async () => {
  await know(...[1, 2, 3].map((n) => pc(n, { addresses: [`10.${n}.0.1`] })));
  await collection.create({ name: 'Berlin', query: 'address in 10.1.0.0/16' }, 'test');
  await collection.create({ name: 'Rest', include: ['Berlin'], query: 'name = PC3' }, 'test');
  const set = await collection.set('berlin', { query: 'address in (10.1.0.0/16, 10.2.0.0/16)', comment: 'two houses' });
  assert.deepEqual([set.members, set.comment, set.everyMinutes], [2, 'two houses', 1440]);
  assert.equal((await collection.get('Rest')).members, 3, 'who needs it is evaluated too');
  assert.equal((await collection.set('Rest', { limitTo: 'Berlin' })).members, 2);
  assert.equal((await collection.set('Rest', { limitTo: null })).members, 3);
  // Where time decides it is judged each hour, unless somebody has said how often.
  assert.equal((await collection.set('Rest', { query: 'lastSeen < 30d' })).everyMinutes, 60);
  assert.equal((await collection.set('Rest', { query: null })).everyMinutes, 1440);
  await collection.set('Rest', { everyMinutes: 7 });
  assert.equal((await collection.set('Rest', { query: 'lastSeen < 30d' })).everyMinutes, 7);
  assert.equal((await collection.set('Berlin', { name: 'Mitte', under: 'Rest' })).name, 'Mitte');
  assert.deepEqual((await collection.get('rest')).include, ['Mitte']);
  const before = await collection.list();
  const loop = (error: unknown) =>
    isCode(error, 'PP_COLLECTION_LOOP') && /Rest → Mitte → Rest|Mitte → Rest → Mitte/.test(error.message);
  await assert.rejects(collection.set('Mitte', { limitTo: 'Rest' }), loop);
  await assert.rejects(collection.set('Rest', { under: 'Mitte' }), loop);
  await assert.rejects(collection.set('Rest', { name: 'MITTE' }), (e) => isCode(e, 'PP_COLLECTION_EXISTS'));
  await assert.rejects(collection.set('Rest', { query: 'nmae = x' }), (e) => isCode(e, 'PP_FILTER'));
  await assert.rejects(collection.set('Rest', { under: 'None' }), (e) => isCode(e, 'PP_COLLECTION_UNKNOWN'));
  await assert.rejects(collection.set('All Systems', { query: 'name = x' }), (e) => isCode(e, 'PP_COLLECTION_BUILTIN'));
  assert.deepEqual(await collection.list(), before);
});

test('subcollections stand under a collection without being in it', async () => {
  await know(pc(1), pc(2), pc(3));
  await collection.create({ name: 'Top', query: 'name = PC1' }, 'test');
  await collection.create({ name: 'Middle', query: 'name = PC2', under: 'Top' }, 'test');
  await collection.create({ name: 'Bottom', query: 'name = PC3', under: 'middle' }, 'test');
  assert.equal(await members('Top'), 'PC1');
  assert.equal(await members('Top', true), 'PC1 PC2 PC3');
  assert.equal(await members('Middle', true), 'PC2 PC3');
  await assert.rejects(collection.delete('Top'), (e) => isCode(e, 'PP_COLLECTION_USED') && /Middle/.test(e.message));
  await collection.delete('Bottom');
  assert.equal(await members('Top', true), 'PC1 PC2');
});

test('what changes with time alone follows by the schedule', async () => {
  await know(pc(1), pc(2));
  await hear('PC1', new Date(clock.now().getTime() - 29 * 24 * HOUR));
  const made = await collection.create({ name: 'Heard', query: 'lastSeen < 30d' }, 'test');
  assert.deepEqual([made.members, made.everyMinutes], [1, 60]);
  clock.jump(new Date(clock.now().getTime() + 30 * HOUR));
  const done = (await collection.evaluateDue()).find(({ name }) => name === 'Heard');
  assert.deepEqual([done?.gone, done?.members], [1, 0]);
  assert.equal((await collection.evaluateDue()).length, 0);
  // A client that comes back after a long silence is seen at once; a heartbeat in between is nothing new.
  await base.db.query('update client set last_seen_at = $1', [clock.now()]);
  assert.equal((await collection.catchUp()).come, 1);
  await base.db.query('update client set last_seen_at = $1', [new Date(clock.now().getTime() + 60_000)]);
  assert.equal((await collection.catchUp()).machines, 0);
});

test('wrong definitions are refused, and one that no longer can be evaluated keeps its members', async () => {
  await know(pc(1));
  await collection.create({ name: 'Kept', query: 'name = PC1' }, 'test');
  for (const [given, code] of [
    [{ name: 'kept ' }, 'PP_COLLECTION_EXISTS'],
    [{ name: '  ' }, 'PP_COLLECTION_NAME'],
    [{ name: 'a\u0007b' }, 'PP_COLLECTION_NAME'],
    [{ name: 'x'.repeat(101) }, 'PP_COLLECTION_NAME'],
    [{ name: 'N', query: 'nme = x' }, 'PP_FILTER'],
    [{ name: 'N', query: 'PC' }, 'PP_FILTER'],
    [{ name: 'N', include: ['none'] }, 'PP_COLLECTION_UNKNOWN'],
    [{ name: 'N', limitTo: 'none' }, 'PP_COLLECTION_UNKNOWN'],
  ] as const)
    await assert.rejects(collection.create(given, 'test'), (e) => isCode(e, code), JSON.stringify(given));
  await base.db.query("update collection set query = 'gone = 1' where name = 'Kept'");
  await know(pc(2));
  await collection.catchUp();
  const [done] = await collection.evaluate('Kept');
  assert.match(done!.error!, /no field "gone"/);
  assert.equal(await members('Kept'), 'PC1');
});

test('evaluations side by side, with machines being changed, end with the right members and counts', async () => {
  await know(...Array.from({ length: 60 }, (_, i) => pc(i)));
  await collection.create({ name: 'Elevens', query: 'os like "*11*"' }, 'test');
  await collection.create({ name: 'Others', query: 'name is not null', exclude: ['Elevens'] }, 'test');
  const other = new CollectionRecord(base.db, clock);
  await Promise.all([
    ...Array.from({ length: 6 }, (_, i) =>
      know(...Array.from({ length: 10 }, (_one, j) => pc(i * 10 + j, { os: i % 2 ? 'Windows 10' : 'Windows 11' }))),
    ),
    collection.evaluate(undefined),
    collection.catchUp(),
    other.catchUp(),
    other.evaluate('Elevens'),
  ]);
  await collection.freshen();
  assert.deepEqual([await counted('Elevens'), await counted('Others')], [30, 30]);
  assert.equal((await members('Elevens')).split(' ').length, 30);
  assert.equal((await members('Others')).split(' ').length, 30);
});
