import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Cable } from '#test/sites';
import { eventually, WholeSite } from '#test/whole-site';

const MIB = 1024 * 1024;
const SIZE = 40 * MIB + 4321;

test('the file of a package of the parent: cut in the middle, then the site killed in the middle, and no octet more than a piece is fetched again', async (t) => {
  const primary = await (await new WholeSite('P01').create()).spawn();
  t.after(() => primary.close());
  const cable = await Cable.to(t, primary.points);
  // A slow line, so that there is a middle.
  cable.delayMs = 20;
  const secondary = await (await new WholeSite('S01').join(primary, { url: cable.url })).spawn();
  t.after(() => secondary.close());
  const line = async () => (await secondary.get<{ items: { code: string; link?: { exchangedAt?: string } }[] }>('/sites')).items;
  await eventually('the line', async () => (await line()).some(({ link }) => link?.exchangedAt !== undefined));

  const bytes = randomBytes(SIZE);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const part = join(secondary.data, 'content', 'incoming', `${sha256}.part`);
  const has = async () => (await stat(part).catch(() => ({ size: 0 }))).size;
  await primary.call('POST', '/content', bytes, 'application/octet-stream');
  cable.answered = 0;
  await primary.send('POST', '/packages', {
    definition: {
      name: 'large',
      version: '1.0.0',
      platform: 'windows',
      bootstrap: { file: 'setup.exe', service: 'setup' },
      verify: { service: 'agent' },
    },
    files: [{ name: 'setup.exe', sha256, size: SIZE }],
  });
  await eventually('a part of it', async () => (await has()) > 8 * MIB);
  cable.cut();
  const atCut = await has();
  assert.ok(atCut < SIZE, 'cut too late');
  cable.mend();
  await eventually('more of it', async () => (await has()) > atCut + 6 * MIB, 60_000);
  await secondary.kill();
  const atKill = await has();
  assert.ok(atKill < SIZE - 4 * MIB, 'killed too late');
  await secondary.spawn();
  await eventually(
    'the package at S01',
    async () => (await secondary.get<{ items: { name: string }[] }>('/packages')).items.some(({ name }) => name === 'large'),
    60_000,
  );
  // Two pieces were under way when they were cut; the rest is messages.
  const more = cable.answered - SIZE;
  assert.ok(more < 3 * MIB, `${cable.answered} octets for a file of ${SIZE}; cut at ${atCut}, killed at ${atKill}`);
  assert.equal(await has(), 0, 'the part is the file now');
  t.diagnostic(`${SIZE} octets, ${cable.answered} carried, cut at ${atCut}, killed at ${atKill}`);
});
