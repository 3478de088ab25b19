import assert from 'node:assert/strict';
import { test } from 'node:test';
import { main } from '#client/agent';
import { layout } from '#client/host';
import { TOKEN, both, furnish, guidOf, lives, service, statusOf } from '#test/agent-run';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';
import { SECRET } from '#test/target';

test('the agent registers with its own key and the proof of the token, and sends heartbeats at the interval of the site', async (t) => {
  const { machine, mp } = await both(t);
  const stop = await service(machine, () => mp.heartbeats.length === 3);
  assert.equal(await stop(), 0);
  assert.equal(mp.registrations.length, 1);
  assert.equal(mp.registrations[0]!.tokenId, TOKEN);
  assert.equal(guidOf(machine), 'GUID:00000000-0000-0000-0000-000000000001');
  assert.deepEqual(
    mp.heartbeats.map((h) => h.sequence),
    [1, 2, 3],
  );
  const times = mp.asked.filter((a) => /registration|heartbeat/.test(a.path)).map((a) => a.at.getTime());
  for (let i = 1; i < times.length; i++) {
    const minutes = (times[i]! - times[i - 1]!) / 60_000;
    assert.ok(minutes >= 57 && minutes <= 60, `${minutes} minutes between two contacts`);
  }
});

test('after it registered neither the token nor the private key stands where it can be read', async (t) => {
  const { machine, mp } = await both(t);
  await lives(machine, () => mp.heartbeats.length === 1);
  assert.equal(machine.files.has(layout.token.toLowerCase()), false);
  assert.doesNotMatch(machine.everything(), new RegExp(SECRET));
  const key = Buffer.from(machine.files.get(layout.key.toLowerCase())!.bytes);
  const others = [...machine.files.values()].filter((f) => f.path !== layout.key).map((f) => Buffer.from(f.bytes));
  assert.ok(
    others.every((file) => !file.includes(key.subarray(36, 68)) && !file.includes(key.subarray(36, 68).toString('base64'))),
  );
});

test('a registration whose answer is lost goes out again as the same one and gives one client', async (t) => {
  const { machine, mp } = await both(t);
  let lost = 0;
  mp.before = (request, response) => {
    if (request.url === '/ccm_system/registration' && lost++ < 2)
      response.end = (() => response.destroy()) as typeof response.end;
    return false;
  };
  await lives(machine, () => mp.heartbeats.length === 1);
  assert.equal(mp.registrations.length, 3);
  assert.equal(new Set(mp.registrations.map((r) => r.requestId)).size, 1);
  assert.equal(mp.clients.size, 1);
});

test('killed after any number of steps, it is one client in the end', async (t) => {
  let deaths = 0;
  for (let dieAfter = 1; ; dieAfter++) {
    const { machine, mp } = await both(t);
    const stop = new AbortController();
    let died = false;
    const onDeath = () => {
      died = true;
    };
    const running = main(machine.program(layout.agentFile, { dieAfter, onDeath, signal: stop.signal }), []);
    await live(machine, running, () => died || mp.heartbeats.length === 1);
    stop.abort();
    await running;
    deaths += Number(died);
    await lives(machine, () => mp.heartbeats.length > 1);
    assert.equal(mp.clients.size, 1, `after ${dieAfter}`);
    assert.equal(guidOf(machine), [...mp.clients.keys()][0], `after ${dieAfter}`);
    if (!died) break;
  }
  assert.ok(deaths > 12, `${deaths} deaths`);
});

test('a client that lost its key registers anew under its old SMSID', async (t) => {
  const { machine, mp } = await both(t);
  await lives(machine, () => mp.heartbeats.length === 1);
  const [guid, key] = [...mp.clients][0]!;
  for (const damage of [
    () => machine.files.delete(layout.key.toLowerCase()),
    () => machine.put(layout.key, 'rubbish'),
    () => machine.files.delete(layout.memory.toLowerCase()),
  ]) {
    damage();
    const before = mp.registrations.length;
    await lives(machine, () => mp.registrations.length > before);
    assert.equal(mp.registrations.at(-1)!.guid, guid);
  }
  assert.notEqual(mp.clients.get(guid), key);
  assert.equal(mp.clients.size, 1);
});

test('an image without SMSCFG.INI and a copied disk become new clients with new keys', async (t) => {
  const { machine, mp } = await both(t);
  await lives(machine, () => mp.heartbeats.length === 1);
  machine.files.delete(layout.identity.toLowerCase());
  await lives(machine, () => guidOf(machine) !== undefined);
  machine.hardwareId = '2:OTHER';
  await lives(machine, () => /2:OTHER/.test(machine.text(layout.identity)!));
  assert.deepEqual(
    mp.registrations.map((r) => r.guid),
    [undefined, undefined, undefined],
  );
  assert.equal(new Set(mp.registrations.map((r) => r.publicKey)).size, 3);
  assert.equal(mp.clients.size, 3);
});

test('a disk that was copied before the first contact gives clients with different keys', async (t) => {
  const { machine, mp } = await both(t, { token: false });
  mp.before = (_request, response) => Boolean(response.destroy());
  await lives(machine, () => mp.asked.length === 1);
  const copy = new Machine(machine.clock);
  for (const [key, file] of machine.files) copy.files.set(key, file);
  copy.hardwareId = '2:COPY';
  mp.before = () => false;
  for (const one of [machine, copy]) await lives(one, () => guidOf(one) !== undefined);
  assert.equal(mp.clients.size, 2);
  assert.equal(new Set(mp.clients.values()).size, 2);
});

test('points are asked in their order, the site’s list before that of mobileclient.tcf', async (t) => {
  const machine = new Machine();
  const [first, second, third] = [
    await HonestMp.start(t, machine.clock),
    await HonestMp.start(t, machine.clock),
    await HonestMp.start(t, machine.clock),
  ];
  furnish(machine, ['http://127.0.0.1:1', first.url, second.url], { token: false });
  first.managementPoints = [third.url];
  third.managementPoints = [third.url];
  await lives(machine, () => third.heartbeats.length === 1);
  // The dead one is passed over, the next tells of the site, and its own management point takes the client; the last is never needed.
  assert.deepEqual([first.asks('/ccm_system/sites').length, second.asked.length], [1, 0]);
  assert.deepEqual([first.registrations.length, third.registrations.length], [0, 1]);
  assert.equal((await statusOf(machine))?.managementPoint, third.url);
});

test('Retry-After is honoured, and nothing is asked before', async (t) => {
  const { machine, mp } = await both(t);
  mp.before = (_request, response) => {
    if (mp.asked.length > 2) return false;
    response.writeHead(mp.asked.length === 1 ? 503 : 429, { 'retry-after': '120' }).end();
    return true;
  };
  await lives(machine, () => mp.registrations.length === 1);
  const times = mp.asked.map((a) => a.at.getTime());
  for (const i of [1, 2]) {
    const seconds = (times[i]! - times[i - 1]!) / 1000;
    assert.ok(seconds >= 120 && seconds <= 145, `${seconds} s`);
  }
});

test('without any answer it backs off, with jitter, to an hour at most', async (t) => {
  const { machine, mp } = await both(t);
  mp.before = (_request, response) => {
    if (mp.asked.length > 13) return false;
    response.destroy();
    return true;
  };
  await lives(machine, () => mp.registrations.length === 1);
  const waits = mp.asked.slice(1, 13).map((a, i) => (a.at.getTime() - mp.asked[i]!.at.getTime()) / 1000);
  waits.forEach((seconds, i) => {
    const most = Math.min(30 * 2 ** i, 3600);
    assert.ok(seconds >= most / 2 - 1 && seconds <= most + 1, `wait ${i}: ${seconds} s of ${most}`);
  });
});

test('a client that the site forgot registers again with the same key and SMSID', async (t) => {
  const { machine, mp } = await both(t);
  const stop = await service(machine, () => mp.heartbeats.length === 1);
  const guid = guidOf(machine)!;
  mp.clients.clear();
  await live(machine, new Promise(() => {}), () => mp.heartbeats.length === 2);
  await stop();
  assert.equal(mp.registrations.length, 2);
  assert.equal(mp.registrations[1]!.guid, guid);
  assert.equal(mp.registrations[1]!.publicKey, mp.registrations[0]!.publicKey);
  assert.notEqual(mp.registrations[1]!.requestId, mp.registrations[0]!.requestId);
});

test('a blocked client says so and asks on at the normal interval only', async (t) => {
  const { machine, mp } = await both(t);
  const stop = await service(machine, () => mp.heartbeats.length === 1);
  mp.blocked.add(guidOf(machine)!);
  const before = mp.asked.length;
  await live(machine, new Promise(() => {}), () => mp.asked.length === before + 2);
  await live(machine, new Promise(() => {}), () => /blocked/.test(machine.text(layout.status)!));
  assert.equal((await statusOf(machine))?.state, 'blocked');
  const [a, b] = mp.asked.slice(-2).map((x) => x.at.getTime());
  assert.ok(b! - a! >= 57 * 60_000);
  mp.blocked.clear();
  await live(machine, new Promise(() => {}), () => mp.heartbeats.length === 2);
  await stop();
});

test('a machine whose clock is years off registers all the same', async (t) => {
  const { machine } = await both(t);
  const wrong = new Machine();
  const { ManualClock } = await import('#base/clock');
  const mp = await HonestMp.start(t, new ManualClock('2031-07-01T00:00:00Z'));
  mp.tokens.set(TOKEN, { secret: SECRET, used: false });
  furnish(wrong, [mp.url]);
  await lives(wrong, () => mp.heartbeats.length === 1);
  assert.equal(mp.registrations.length, 1);
  assert.match(mp.registrations[0]!.time, /^2031/);
  assert.equal(mp.asks('/ccm_system/registration').length, 2);
  assert.equal(machine.services.size, 0);
});

test('a token that the site refuses is dropped, and the client registers without it', async (t) => {
  const { machine, mp } = await both(t);
  mp.tokens.get(TOKEN)!.used = true;
  await lives(machine, () => mp.registrations.length === 1);
  assert.equal(mp.registrations[0]!.tokenId, undefined);
  assert.equal(machine.files.has(layout.token.toLowerCase()), false);
});

test('a token that is over is not used', async (t) => {
  const { machine, mp } = await both(t);
  machine.put(layout.token, JSON.stringify({ tokenId: TOKEN, token: SECRET, expires: '2020-01-01T00:00:00.000Z' }));
  await lives(machine, () => mp.registrations.length === 1);
  assert.equal(mp.registrations[0]!.tokenId, undefined);
});

test('a new token makes a registered client register again', async (t) => {
  const { machine, mp } = await both(t);
  await lives(machine, () => mp.heartbeats.length === 1);
  mp.tokens.set('token-0002', { secret: SECRET, used: false });
  machine.put(layout.token, JSON.stringify({ tokenId: 'token-0002', token: SECRET, expires: '2099-01-01T00:00:00.000Z' }));
  await lives(machine, () => mp.registrations.length === 2);
  assert.deepEqual([mp.registrations[1]!.tokenId, mp.clients.size], ['token-0002', 1]);
});

test('with pins only https points are asked, and only those with such certificates', async (t) => {
  const pins: string[] = [];
  // The certificate of one, and then of another: each is right, whatever its place in the list.
  for (const place of [0, 1]) {
    const machine = new Machine();
    const [plain, other, right] = [
      await HonestMp.start(t, machine.clock),
      await HonestMp.start(t, machine.clock, 'https'),
      await HonestMp.start(t, machine.clock, 'https'),
    ];
    pins[place] = right.certificate!.pin;
    furnish(machine, [plain.url, other.url, right.url], { token: false, change: { certificatePins: [...pins] } });
    await lives(machine, () => right.heartbeats.length === 1);
    assert.deepEqual([plain.asked.length, other.asked.length, right.registrations.length], [0, 0, 1]);
  }
});

test('told to stop it ends at once with 0, even in the middle of a request, and says that it stopped', async (t) => {
  const { machine, mp } = await both(t);
  mp.before = () => true;
  const stop = await service(machine, () => mp.asked.length === 1);
  assert.equal(await stop(), 0);
  assert.equal((await statusOf(machine))?.state, 'stopped');
});

test('status prints what the agent last said, for people and for programs', async (t) => {
  const { machine, mp } = await both(t);
  assert.equal(await main(machine.program(layout.agentFile), ['status']), 1);
  const stop = await service(machine, () => mp.heartbeats.length === 1 && /lastHeartbeatAt/.test(machine.text(layout.status)!));
  machine.printed.length = 0;
  assert.equal(await main(machine.program(layout.agentFile), ['status', '--json']), 0);
  const said = JSON.parse(machine.printed[0]!);
  assert.deepEqual(
    [said.state, said.guid, said.site, said.managementPoint, said.version],
    ['registered', guidOf(machine), 'P01', mp.url, '1.0.0'],
  );
  await stop();
});

test('without its configuration the agent ends with 2 and says what is missing', async () => {
  const machine = new Machine();
  assert.equal(await live(machine, main(machine.program(layout.agentFile), [])), 2);
  assert.match(machine.text(layout.agentLog)!, /mobileclient\.tcf is missing/);
});

test('a reply that is no reply changes nothing', async (t) => {
  const { machine, mp } = await both(t);
  const bad = ['<html>', '{}', '{"guid":"GUID:1"}', 'x'.repeat(300_000)];
  mp.before = (request, response) => {
    const text = request.url === '/ccm_system/registration' ? bad.pop() : undefined;
    if (text !== undefined) response.end(text);
    return text !== undefined;
  };
  await lives(machine, () => mp.heartbeats.length === 1);
  assert.equal(bad.length, 0);
  assert.equal(mp.registrations.length, 1);
});

test('a thousand agents live in one process and all report', async (t) => {
  const shared = new Machine();
  const mp = await HonestMp.start(t, shared.clock);
  const stop = new AbortController();
  const machines = Array.from({ length: 1000 }, (_, i) =>
    Object.assign(new Machine(shared.clock), { name: `PC${i}`, hardwareId: `2:${i}` }),
  );
  for (const machine of machines) furnish(machine, [mp.url], { token: false });
  const agents = machines.map((machine) => main(machine.program(layout.agentFile, { signal: stop.signal }), []));
  const all = {
    clock: shared.clock,
    get inFlight() {
      return machines.reduce((sum, m) => sum + m.inFlight, 0);
    },
  } as unknown as Machine;
  await live(all, new Promise(() => {}), () => new Set(mp.heartbeats.map((h) => h.guid)).size === 1000);
  stop.abort();
  assert.deepEqual(new Set(await Promise.all(agents)), new Set([0]));
  assert.equal(mp.clients.size, 1000);
  assert.equal(mp.registrations.length, 1000);
});
