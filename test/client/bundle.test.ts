import assert from 'node:assert/strict';
import { builtinModules } from 'node:module';
import { test } from 'node:test';
import { MARK, buildBundle } from '#client/bundle';
import { layout, type TargetHost } from '#client/host';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';
import { SETUP, pushed } from '#test/target';

type Main = (host: TargetHost, args: string[]) => Promise<number>;

async function program(bytes: Uint8Array): Promise<Main> {
  const module = (await import(`data:text/javascript;base64,${Buffer.from(bytes).toString('base64')}`)) as { main: Main };
  return module.main;
}

for (const name of ['ccmsetup', 'agent'] as const) {
  test(`the bundle of ${name} is one file with its mark, the same bytes each time, and imports nothing but Node`, async () => {
    const bytes = await buildBundle(name);
    const text = Buffer.from(bytes).toString('utf8');
    assert.ok(text.startsWith(`${MARK}\n`));
    assert.equal(await buildBundle(name), bytes);
    const fresh = (await import(`${import.meta.resolve('#client/bundle')}?again`)) as { buildBundle: typeof buildBundle };
    assert.deepEqual(Buffer.from(await fresh.buildBundle(name)), Buffer.from(bytes));
    const imports = [...text.matchAll(/(?:from|import)\s*"([^"]+)"/g)].map((m) => m[1]!);
    assert.ok(
      imports.every((i) => builtinModules.includes(i.replace(/^node:/, ''))),
      imports.join(),
    );
    assert.ok(imports.includes('node:crypto'));
    assert.ok(
      !imports.some((i) => /^node:(?:fs|net|http|https|tls|child_process|os)/.test(i)),
      'only the seam touches the machine',
    );
    assert.ok(!text.includes(new URL('../..', import.meta.url).pathname), 'no path of the build machine');
  });
}

test('the pushed bundle installs the agent bundle, which registers with the token and reports', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const [setup, agent] = await Promise.all([buildBundle('ccmsetup').then(program), buildBundle('agent')]);
  pushed(machine, [mp], agent);
  const stop = new AbortController();
  const ends: Promise<number>[] = [];
  machine.onStart = (m, service) => {
    // As a service manager does: it runs the file that lies at the path of the service.
    const path = m.services.get(service.toLowerCase())!.wish.binaryPath;
    ends.push(program(m.files.get(path.toLowerCase())!.bytes).then((main) => main(m.program(path, { signal: stop.signal }), [])));
    return 'runs';
  };
  assert.equal(await live(machine, setup(machine.program(SETUP), [])), 0);
  await live(machine, Promise.all(ends), () => mp.heartbeats.length === 1);
  stop.abort();
  assert.deepEqual(await Promise.all(ends), [0]);
  assert.equal(mp.registrations[0]!.tokenId, 'token-1_0_0');
  assert.equal(mp.heartbeats[0]!.clientVersion, '1.0.0');
  const states = mp.states.map((s) => [s.stateId, s.signed] as const);
  assert.deepEqual(
    states.toSorted((a, b) => a[0] - b[0]),
    [
      [100, true],
      [400, true],
      [700, true],
    ],
  );
  assert.equal(machine.files.has(layout.token.toLowerCase()), false);
});
