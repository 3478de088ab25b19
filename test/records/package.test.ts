import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode } from '#base/errors';
import { PackageRecord, type PackageDefinition } from '#records/package';
import { testDatabase, type TestDatabase } from '#test/database';

let base: TestDatabase;
let packages: PackageRecord;

before(async () => {
  base = await testDatabase();
});
after(() => base.close());
beforeEach(async () => {
  await base.db.query('truncate package, package_file');
  packages = new PackageRecord(base.db, new ManualClock());
});

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const FILES = [
  { name: 'ccmsetup.exe', sha256: A, size: 100_000 },
  { name: 'client.msi', sha256: B, size: 5_000_000_000 },
];
const definition = (more: Partial<PackageDefinition> = {}): PackageDefinition => ({
  name: 'client',
  version: '1.0',
  platform: 'windows',
  bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
  payload: { file: 'client.msi', sha256: B },
  verify: { service: 'CcmExec' },
  ...more,
});

test('the first package of a platform is its default, until another one says so', async () => {
  const first = await packages.add(definition(), FILES, 'admin');
  assert.deepEqual([first.isDefault, first.files], [true, FILES]);
  await packages.add(definition({ name: 'other' }), FILES, 'admin');
  assert.equal((await packages.defaultFor('windows'))!.name, 'client');
  await packages.add(definition({ name: 'other', version: '1.1', default: true }), FILES, 'admin');
  assert.equal((await packages.defaultFor('windows'))!.version, '1.1');
  assert.deepEqual(
    (await packages.list()).map((p) => [p.name, p.version, p.isDefault]),
    [
      ['client', '1.0', false],
      ['other', '1.1', true],
    ],
  );
  assert.equal(await packages.defaultFor('linux'), undefined);
  assert.deepEqual(await packages.holding(B), ['client', 'other']);
});

test('a newer version takes the place of the older one and stays the default', async () => {
  await packages.add(definition(), FILES, 'admin');
  const newer = await packages.add(definition({ version: '2.0', payload: undefined }), FILES.slice(0, 1), 'admin');
  assert.deepEqual([newer.version, newer.isDefault, newer.files.length], ['2.0', true, 1]);
  assert.equal(await packages.remove('client'), true);
  assert.equal(await packages.remove('client'), false);
  assert.equal(await packages.get('client'), undefined);
});

test('a definition that is wrong, a missing file and a wrong hash are refused', async () => {
  const wrong: unknown[] = [
    null,
    {},
    { ...definition(), bootstrap: { file: '..\\x.exe', service: 'x' } },
    { ...definition(), platform: 'os2' },
    { ...definition(), surprise: 1 },
    { ...definition(), verify: { service: 'a\nb' } },
  ];
  for (const bad of wrong) await assert.rejects(packages.add(bad, FILES, 'x'), (e) => isCode(e, 'PP_PACKAGE_DEFINITION'));
  await assert.rejects(packages.add(definition(), FILES.slice(0, 1), 'x'), (e) => isCode(e, 'PP_PACKAGE_FILE'));
  await assert.rejects(packages.add(definition({ payload: { file: 'client.msi', sha256: A } }), FILES, 'x'), (e) =>
    isCode(e, 'PP_PACKAGE_HASH'),
  );
  assert.deepEqual(await packages.list(), []);
});

test('an empty file is refused, and the package that is there stays; the complaint about a field tells what is meant', async () => {
  await packages.add(definition(), FILES, 'admin');
  for (const hollow of [0, 1]) {
    const files = FILES.map((file, i) => (i === hollow ? { ...file, size: 0 } : file));
    await assert.rejects(packages.add(definition({ version: '2.0' }), files, 'admin'), (e) => isCode(e, 'PP_PACKAGE_EMPTY'));
  }
  assert.equal((await packages.get('client'))!.version, '1.0');
  const odd = (more: object) => packages.add({ ...definition(), ...more }, FILES, 'admin');
  await assert.rejects(odd({ platform: 'beos' }), /at platform: it is windows or linux/);
  await assert.rejects(odd({ plattform: 'windows' }), /at plattform: no package has such a field/);
});
