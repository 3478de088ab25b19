import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, type Clock } from '#base/clock';
import { layout } from '#client/host';
import { both, furnish, guidOf, lives, service, statusOf } from '#test/agent-run';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';

const forever = new Promise<never>(() => {});
const FILES = ['agentConfig', 'key', 'siteKey', 'memory', 'status', 'identity', 'token', 'installed'] as const;

/** damages are what a disk does to a file: a write that was cut, sectors of zeros, somebody else's text, an error at reading. */
const damages: Record<string, (bytes: Uint8Array) => Uint8Array | 'unreadable'> = {
  empty: () => new Uint8Array(),
  half: (bytes) => bytes.slice(0, bytes.length >> 1),
  zeros: (bytes) => new Uint8Array(bytes.length),
  text: () => Buffer.from('{"guid": 7, "sequence": "x"}'),
  long: () => new Uint8Array(300_000).fill(0x20),
  unreadable: () => 'unreadable',
};

test('no file of the client that is damaged or cannot be read stops it, and it stays one client', async (t) => {
  for (const name of FILES)
    for (const [damage, spoil] of Object.entries(damages)) {
      const { machine, mp } = await both(t);
      await lives(machine, () => mp.heartbeats.length === 1);
      const file = machine.files.get(layout[name].toLowerCase());
      const bytes = spoil(file?.bytes ?? Buffer.from('{}'));
      if (bytes === 'unreadable') machine.unreadable.add(layout[name].toLowerCase());
      else machine.put(layout[name], bytes);
      const before = mp.heartbeats.length;
      await lives(machine, () => mp.heartbeats.length > before);
      // Without SMSCFG.INI nobody can tell it from an image that somebody prepared, so that one becomes new.
      if (name !== 'identity') assert.equal(mp.clients.size, 1, `${name} ${damage}`);
      assert.equal(
        (await statusOf(machine))?.state ?? 'unreadable',
        damage === 'unreadable' && name === 'status' ? 'unreadable' : 'stopped',
      );
      machine.unreadable.clear();
    }
});

test('a disk without room does not silence a client', async (t) => {
  const { machine, mp } = await both(t);
  const stop = await service(machine, () => mp.heartbeats.length === 1);
  machine.free = -1;
  await live(machine, forever, () => mp.heartbeats.length === 4);
  machine.free = 1_000_000;
  await live(machine, forever, () => mp.heartbeats.length === 5);
  assert.deepEqual(
    mp.heartbeats.map((h) => h.sequence),
    [1, 2, 3, 4, 5],
  );
  await stop();
  await lives(machine, () => mp.heartbeats.length === 6);
  assert.equal(mp.clients.size, 1);
});

/** Jumping is a machine's calendar that somebody sets; its timers go on as before. */
class Jumping extends ManualClock {
  off = 0;

  override now(): Date {
    return new Date(super.now().getTime() + this.off);
  }
  override nextAt(): Date | undefined {
    const next = super.nextAt();
    return next && new Date(next.getTime() + this.off);
  }
  /** real is the time of everybody else. */
  real(): Clock {
    const clock = new Proxy(this, {
      get: (target, key) => {
        if (key === 'now') return () => new Date(target.now().getTime() - target.off);
        const value = Reflect.get(target, key, target) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    return clock;
  }
}

for (const [what, years] of [
  ['forward', 10],
  ['back', -10],
] as const)
  test(`a calendar that is set ${years} years ${what} loses no heartbeat and causes no storm of them`, async (t) => {
    const clock = new Jumping();
    const machine = new Machine(clock);
    const real = clock.real();
    const mp = await HonestMp.start(t, real);
    mp.heartbeatMinutes = 600;
    furnish(machine, [mp.url], { token: false });
    const stop = await service(machine, () => mp.heartbeats.length === 1);
    const from = real.now().getTime();
    clock.off = years * 365 * 86_400_000;
    await live(machine, forever, () => mp.heartbeats.length === 6);
    const hours = (real.now().getTime() - from) / 3_600_000;
    assert.ok(hours > 30 && hours <= 50.1, `${hours} hours`);
    clock.off = 0;
    const back = real.now().getTime();
    await live(machine, forever, () => mp.heartbeats.length === 8);
    assert.ok((real.now().getTime() - back) / 3_600_000 <= 20.1);
    await stop();
  });

test('a machine that slept a week tells that it lives within minutes of waking', async (t) => {
  const clock = new Jumping();
  const machine = new Machine(clock);
  const mp = await HonestMp.start(t, clock);
  mp.heartbeatMinutes = 1440;
  furnish(machine, [mp.url], { token: false });
  const stop = await service(machine, () => mp.heartbeats.length === 1);
  const beat = clock.now().getTime();
  await live(machine, forever, () => clock.now().getTime() > beat);
  // Its timers stood still while its calendar went on.
  clock.off = 7 * 86_400_000;
  const woke = clock.now().getTime();
  await live(machine, forever, () => mp.heartbeats.length === 2);
  const minutes = (clock.now().getTime() - woke) / 60_000;
  assert.ok(minutes <= 15, `${minutes} minutes`);
  await stop();
});

test('a machine that is set back to an older copy of its disk goes on as the same client', async (t) => {
  const { machine, mp } = await both(t);
  await lives(machine, () => mp.heartbeats.length === 2);
  const copy = new Map(machine.files);
  await lives(machine, () => mp.heartbeats.length === 6);
  machine.files.clear();
  for (const [key, file] of copy) machine.files.set(key, file);
  mp.knowsSequence = true;
  await lives(machine, () => mp.heartbeats.length === 7);
  assert.equal(mp.clients.size, 1);
  assert.ok(mp.heartbeats[6]!.sequence > mp.heartbeats[5]!.sequence);
});

test('a disk that was copied to another machine gives two clients, and the first stays what it was', async (t) => {
  const { machine, mp } = await both(t);
  await lives(machine, () => mp.heartbeats.length === 1);
  const copy = new Machine(machine.clock);
  for (const [key, file] of machine.files) copy.files.set(key, file);
  Object.assign(copy, { name: 'PC043', hardwareId: '2:COPY' });
  const guid = guidOf(machine);
  await lives(copy, () => mp.heartbeats.length === 2);
  await lives(machine, () => mp.heartbeats.length === 3);
  assert.deepEqual([guidOf(machine) === guid, guidOf(copy) === guid, mp.clients.size], [true, false, 2]);
  assert.deepEqual(
    mp.heartbeats.map((h) => h.guid === guid),
    [true, false, true],
  );
});
