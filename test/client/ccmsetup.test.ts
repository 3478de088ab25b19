import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { main } from '#client/ccmsetup';
import { layout } from '#client/host';
import { readMobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';
import { SECRET, SETUP, TCF, payload, pushed } from '#test/target';

const bytes = payload(700_000);
const sha256 = (b: Uint8Array) => createHash('sha256').update(b).digest('hex');
const installedAgent = (machine: Machine) => machine.files.get(layout.agentFile.toLowerCase())?.bytes;
const run = (machine: Machine, args: string[] = [], signal?: AbortSignal) =>
  live(machine, main(machine.program(SETUP, signal ? { signal } : {}), args));

function assertInstalled(machine: Machine, wanted: Uint8Array): void {
  assert.equal(sha256(installedAgent(machine) ?? new Uint8Array()), sha256(wanted));
  assert.equal(machine.serviceState('CcmExec'), 'running');
  assert.equal(machine.serviceState('ccmsetup'), undefined);
  assert.equal(JSON.parse(machine.text(layout.installed)!).sha256, sha256(wanted));
  assert.ok(![...machine.files.keys()].some((path) => path.endsWith('.part') || path.endsWith('.old')));
}

test('ccmsetup downloads, checks, installs, starts, reports, and takes itself away', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  assert.deepEqual(machine.services.get('ccmexec')?.wish, {
    name: 'CcmExec',
    displayName: 'SMS Agent Host',
    binaryPath: layout.agentFile,
    startType: 'auto',
  });
  assert.deepEqual(
    mp.states.map((s) => [s.stateId, s.signed, s.name]),
    [
      [100, true, 'PC042'],
      [400, true, 'PC042'],
    ],
  );
  assert.equal(new Set(mp.states.map((s) => s.topicId)).size, 1);
  assert.equal(readMobileClient(machine.files.get(layout.agentConfig.toLowerCase())!.bytes).registration, undefined);
  assert.equal(machine.registry.get(layout.registryKey)?.['ProductVersion'], '1.0.0');
});

test('the token goes to the agent and stays nowhere else', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  await run(machine);
  assert.match(machine.text(layout.token)!, new RegExp(SECRET));
  machine.files.delete(layout.token.toLowerCase());
  assert.doesNotMatch(machine.everything(), new RegExp(SECRET));
  assert.equal(readMobileClient(machine.files.get(TCF.toLowerCase())!.bytes).site, 'P01');
});

test('ccmsetup.log is in the format of client logs and ends with the return code', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  await run(machine);
  const lines = machine.text(layout.setupLog)!.trimEnd().split('\r\n');
  for (const line of lines) {
    assert.match(
      line,
      /^<!\[LOG\[.+\]LOG\]!><time="\d\d:\d\d:\d\d\.\d{3}\+000" date="01-05-2026" component="ccmsetup" context="" type="[123]" thread="1" file="">$/,
    );
  }
  assert.match(lines.at(-1)!, /exiting with return code 0/);
});

test('a download that is cut again and again goes on where it stopped', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  let cuts = 0;
  mp.before = (request, response) => {
    if (request.method !== 'GET' || cuts >= 3) return false;
    cuts++;
    const from = Number(/=(\d+)-/.exec(request.headers.range ?? '=0-')![1]);
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': bytes.length - from,
      ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.write(bytes.subarray(from, from + 100_000), () => response.destroy());
    return true;
  };
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  const ranges = mp.asks('/CCM_Client').map((a) => a.headers.range);
  assert.deepEqual(ranges, [undefined, 'bytes=100000-', 'bytes=200000-', 'bytes=300000-']);
});

test('wrong bytes at one point are thrown away and the next point is asked', async (t) => {
  const machine = new Machine();
  const [liar, honest] = [await HonestMp.start(t, machine.clock), await HonestMp.start(t, machine.clock)];
  const config = pushed(machine, [liar, honest], bytes);
  const { registration } = config;
  liar.files.set(config.payload.file, payload(bytes.length, 'other'));
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  const [asked] = honest.asks('/CCM_Client');
  assert.equal(asked!.headers.range, undefined);
  // So that the site knows whose it is; the token's secret does not travel with it.
  assert.equal(asked!.headers['x-pushpoint-token'], registration!.tokenId);
  assert.ok(!JSON.stringify(asked!.headers).includes(registration!.token));
});

for (const [what, wrong] of [
  ['other bytes of the same size', payload(bytes.length, 'other')],
  ['a longer file', payload(bytes.length + 1)],
  ['a shorter file', bytes.subarray(1)],
] as const) {
  test(`${what} from every point end the run with 10 and nothing installed`, async (t) => {
    const machine = new Machine();
    const mp = await HonestMp.start(t, machine.clock);
    const config = pushed(machine, [mp], bytes);
    mp.files.set(config.payload.file, wrong);
    assert.equal(await run(machine), 10);
    assert.equal(installedAgent(machine), undefined);
    assert.equal(machine.serviceState('CcmExec'), undefined);
    assert.equal(machine.serviceState('ccmsetup'), undefined);
    const last = mp.states.at(-1)!;
    assert.deepEqual([last.stateId, last.exitCode], [325, 10]);
    assert.match(last.logTail!, /does not have the expected hash/);
    assert.doesNotMatch(JSON.stringify(mp.states), new RegExp(SECRET));
  });
}

test('a point that sends without end is cut off at the size of the file', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  let sent = 0;
  mp.before = (request, response) => {
    if (request.method !== 'GET') return false;
    const more = () => {
      sent += 65_536;
      if (!response.destroyed && sent < 500_000_000) response.write(Buffer.alloc(65_536), () => setImmediate(more));
    };
    more();
    return true;
  };
  assert.equal(await run(machine), 10);
  assert.ok(sent < 20_000_000, `${sent} bytes were taken`);
});

test('a dead point and one that does not have the file are passed over', async (t) => {
  const machine = new Machine();
  const empty = await HonestMp.start(t, machine.clock);
  const good = await HonestMp.start(t, machine.clock);
  const config = pushed(machine, ['http://127.0.0.1:1', empty, good], bytes);
  empty.files.delete(config.payload.file);
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  assert.equal(empty.asks('/CCM_Client')[0]!.status, 404);
});

test('where the points of the file give nothing, those that DNS names are asked in the same round', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const other = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes, { properties: 'SMSSITECODE=P01 DNSSUFFIX=corp.example' });
  other.files.set('client-1.0.0.mjs', mp.files.get('client-1.0.0.mjs')!);
  mp.files.clear();
  const asked: string[] = [];
  machine.srv = async (name) => {
    asked.push(name);
    return [mp, other].map(({ url }) => ({ name: '127.0.0.1', port: Number(new URL(url).port) }));
  };
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  assert.deepEqual(asked, ['_mssms_mp_p01._tcp.corp.example']);
  assert.deepEqual([mp.asks('/CCM_Client').length, other.asks('/CCM_Client').length], [1, 1], 'each once');
  assert.match(machine.text(layout.setupLog)!, /DNS names 1 more management point/);
  assert.deepEqual(
    mp.states.map(({ stateId }) => stateId),
    [100, 400],
    'it did not wait',
  );
});

test('when no point has the file it is tried again after ten minutes, and told once that it waits', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const config = pushed(machine, [mp], bytes);
  mp.files.delete(config.payload.file);
  mp.before = (request) => {
    if (request.method === 'GET' && mp.asks('/CCM_Client').length === 3) mp.files.set(config.payload.file, bytes);
    return false;
  };
  assert.equal(await run(machine), 0);
  const times = mp.asks('/CCM_Client').map((a) => a.at.getTime());
  assert.deepEqual([times[1]! - times[0]!, times[2]! - times[1]!], [600_000, 600_000]);
  assert.match(machine.text(layout.setupLog)!, /Next retry in 10 minute\(s\)\.\.\./);
  assert.deepEqual(
    mp.states.map((s) => s.stateId),
    [100, 101, 400],
  );
});

test('the wait and the end of waiting can be set; then the run fails with 6 and state 308', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const config = pushed(machine, [mp], bytes);
  mp.files.delete(config.payload.file);
  assert.equal(await run(machine, ['/retry:2', '/downloadtimeout:7']), 6);
  assert.equal(mp.asks('/CCM_Client').length, 4);
  assert.equal(mp.states.at(-1)!.stateId, 308);
});

for (const status of [429, 503]) {
  test(`a point that answers ${status} is left alone as long as it asks, and no longer`, async (t) => {
    const machine = new Machine();
    const mp = await HonestMp.start(t, machine.clock);
    pushed(machine, [mp], bytes);
    mp.before = (request, response) => {
      if (request.method !== 'GET' || mp.asks('/CCM_Client').length > 2) return false;
      response.writeHead(status, { 'retry-after': '90' }).end();
      return true;
    };
    assert.equal(await run(machine), 0);
    const times = mp.asks('/CCM_Client').map((a) => a.at.getTime());
    assert.deepEqual([times[1]! - times[0]!, times[2]! - times[1]!], [90_000, 90_000]);
  });
}

test('a point that stops sending is left after a minute and the rest comes from the next', async (t) => {
  const machine = new Machine();
  const [slow, good] = [await HonestMp.start(t, machine.clock), await HonestMp.start(t, machine.clock)];
  pushed(machine, [slow, good], bytes);
  slow.before = (request, response) => {
    if (request.method !== 'GET' || request.headers.range) return request.method === 'GET';
    response.writeHead(200, { 'content-length': bytes.length });
    // Once that is sent nothing is under way any more: the clock goes on although the request is open.
    response.write(bytes.subarray(0, 300_000), () => (machine.inFlight = -1000));
    return true;
  };
  good.before = () => {
    machine.inFlight = Math.max(machine.inFlight, 1);
    return false;
  };
  const running = run(machine);
  assert.equal(await running, 0);
  assertInstalled(machine, bytes);
  assert.match(machine.text(layout.setupLog)!, /nothing came for 60 s/);
});

test('a point that sends an octet now and then is left too', async (t) => {
  const machine = new Machine();
  const [slow, good] = [await HonestMp.start(t, machine.clock), await HonestMp.start(t, machine.clock)];
  pushed(machine, [slow, good], bytes);
  let sent = 0;
  slow.before = (request, response) => {
    if (request.method !== 'GET' || request.headers.range) return request.method === 'GET';
    response.writeHead(200, { 'content-length': bytes.length });
    response.on('error', () => {});
    const drip = () => {
      if (response.destroyed || ++sent > 200) return void response.destroy();
      response.write(bytes.subarray(sent - 1, sent), () => {
        machine.inFlight = -1000;
        machine.clock.after(20_000, drip);
      });
    };
    drip();
    return true;
  };
  good.before = () => {
    machine.inFlight = Math.max(machine.inFlight, 1);
    return false;
  };
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  assert.ok(sent < 20, `${sent} octets were waited for`);
});

test('a disk without room is found before the download: 9 and state 312', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  machine.free = 5_000_000;
  assert.equal(await run(machine), 9);
  assert.equal(mp.asks('/CCM_Client').length, 0);
  assert.deepEqual([mp.states.at(-1)!.stateId, mp.states.at(-1)!.exitCode], [312, 9]);
});

test('a disk that fills up meanwhile ends the run, and the next one goes on with what is there', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  let filled = false;
  mp.before = (request) => {
    if (request.method === 'GET' && !filled) machine.free = 300_000;
    filled ||= request.method === 'GET';
    return false;
  };
  assert.equal(await run(machine), 9);
  assert.equal(mp.states.at(-1)!.stateId, 312);
  machine.free = 1_000_000_000;
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  assert.match(mp.asks('/CCM_Client').at(-1)!.headers.range!, /^bytes=\d{6}-$/);
});

test('https with the right pin installs; with another pin nothing is sent at all', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock, 'https');
  pushed(machine, [mp], bytes, { certificatePins: ['ab'.repeat(32), 'cd'.repeat(32)] });
  assert.equal(await run(machine), 6);
  assert.equal(mp.asked.length, 0);
  assert.match(machine.text(layout.setupLog)!, /another certificate/);
  pushed(machine, [mp], bytes, { certificatePins: [mp.certificate!.pin] });
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  assert.deepEqual(
    mp.states.map((s) => s.stateId),
    [100, 400],
  );
});

test('https without a pin asks for a certificate that the machine trusts', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock, 'https');
  pushed(machine, [mp], bytes);
  assert.equal(await run(machine, ['/downloadtimeout:1']), 6);
  assert.equal(mp.asked.length, 0);
});

test('a second run downloads nothing and is a success', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  await run(machine);
  pushed(machine, [mp], bytes);
  machine.services.get('ccmexec')!.state = 'stopped';
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
  assert.equal(mp.asks('/CCM_Client').length, 1);
  assert.equal(await run(machine, ['/forceinstall']), 0);
  assert.equal(mp.asks('/CCM_Client').length, 2);
});

test('while one runs, another ends with 8 and disturbs nothing', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  machine.mutexes.add(layout.setupMutex);
  assert.equal(await run(machine), 8);
  assert.equal(mp.asked.length, 0);
  assert.equal(machine.serviceState('ccmsetup'), 'running');
});

test('a newer version replaces an older one; one that does not start leaves the older one running', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  await run(machine);
  const second = payload(300_000, 'second');
  pushed(machine, [mp], second, {}, '2.0.0');
  const broken = sha256(second);
  machine.onStart = (m) => (sha256(installedAgent(m)!) === broken ? 'dies' : 'runs');
  assert.equal(await run(machine), 6);
  assert.deepEqual([mp.states.at(-1)!.stateId, sha256(installedAgent(machine)!)], [313, sha256(bytes)]);
  assert.equal(machine.serviceState('CcmExec'), 'running');
  assert.equal(JSON.parse(machine.text(layout.installed)!).version, '1.0.0');
  machine.onStart = () => 'runs';
  pushed(machine, [mp], second, {}, '2.0.0');
  assert.equal(await run(machine), 0);
  assertInstalled(machine, second);
});

test('killed after any number of steps, the next run makes it whole', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const older = payload(5_000, 'older');
  const newer = payload(6_000, 'newer');
  let deaths = 0;
  for (let dieAfter = 1; ; dieAfter++) {
    const one = new Machine(machine.clock);
    pushed(one, [mp], older);
    if (dieAfter % 2 === 0) await run(one);
    pushed(one, [mp], newer, {}, '2.0.0');
    const host = one.program(SETUP, { dieAfter });
    const code = await live(
      one,
      main(host, []).catch(() => 'killed'),
    );
    if (code === 0) break;
    deaths++;
    // What a killed run leaves is never a half file under the name of the agent that counts as installed.
    const note = one.text(layout.installed);
    if (note) assert.equal(sha256(installedAgent(one)!), JSON.parse(note).sha256, `after ${dieAfter}`);
    one.mutexes.clear();
    if (!one.services.has('ccmsetup')) pushed(one, [mp], newer, {}, '2.0.0');
    assert.equal(await run(one), 0, `after ${dieAfter}`);
    assertInstalled(one, newer);
  }
  assert.ok(deaths > 30, `${deaths} deaths`);
});

test('told to stop while it waits, it ends at once and its service stays for the next start', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const config = pushed(machine, [mp], bytes);
  mp.files.delete(config.payload.file);
  const stop = new AbortController();
  const running = main(machine.program(SETUP, { signal: stop.signal }), []);
  await live(machine, running, () => /Next retry/.test(machine.text(layout.setupLog) ?? ''));
  stop.abort();
  assert.equal(await running, 6);
  assert.equal(machine.serviceState('ccmsetup'), 'running');
  assert.deepEqual(
    mp.states.map((s) => s.stateId),
    [100, 101],
  );
});

test('a wrong command line is state 307 and 6; a missing or damaged file is 6', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  for (const args of [
    ['/instal'],
    ['SMS"=P01'],
    ['/uninstall:x'],
    ['/BITSPriority:SOON'],
    ['/skipprereq:'],
    ['/regtoken:x'],
    ['/retry:0'],
    ['/retry:x'],
    ['/mp:ftp://x'],
    ['/config:'],
  ]) {
    pushed(machine, [mp], bytes);
    assert.equal(await run(machine, args), 6, args.join(' '));
    assert.equal(mp.states.at(-1)!.stateId, 307);
  }
  assert.equal(mp.asks('/CCM_Client').length, 0);
  machine.put(TCF, '[Site]\r\nMP=');
  assert.equal(await run(machine), 6);
  machine.files.delete(TCF.toLowerCase());
  assert.equal(await run(machine), 6);
  assert.match(machine.text(layout.setupLog)!, /mobileclient\.tcf is not there/);
});

test('a token made for another machine is not used; messages then go to the fallback status point', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes, {
    fallbackStatusPoint: mp.url,
    registration: { machine: 'PC043', tokenId: 'token-0043', token: SECRET, expires: '2099-01-01T00:00:00.000Z' },
  });
  assert.equal(await run(machine), 0);
  assert.equal(machine.files.has(layout.token.toLowerCase()), false);
  assert.deepEqual(
    mp.states.map((s) => [s.stateId, s.signed]),
    [
      [100, false],
      [400, false],
    ],
  );
});

test('points that take no state message do not hold the installation up', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  pushed(machine, [mp], bytes);
  mp.before = (request, response) => {
    if (request.method === 'POST') response.writeHead(500).end('<html>no</html>');
    return request.method === 'POST';
  };
  assert.equal(await run(machine), 0);
  assertInstalled(machine, bytes);
});

for (const [code, exit, state] of [
  [0, 0, 400],
  [3010, 7, 401],
  [1641, 7, 401],
  [1603, 6, 313],
] as const) {
  test(`a command of the package that ends with ${code} is return code ${exit} and state ${state}`, async (t) => {
    const machine = new Machine();
    const mp = await HonestMp.start(t, machine.clock);
    const config = pushed(machine, [mp], bytes);
    pushed(machine, [mp], bytes, { payload: { ...config.payload, command: 'msiexec /i client-1.0.0.mjs /qn' } });
    const ran: string[] = [];
    machine.run = async (command, { folder }) => {
      ran.push(`${folder}> ${command}`);
      assert.ok(machine.files.has(`${layout.setupFolder}\\client-1.0.0.mjs`.toLowerCase()));
      return code;
    };
    assert.equal(await run(machine), exit);
    assert.deepEqual(ran, ['C:\\Windows\\ccmsetup> msiexec /i client-1.0.0.mjs /qn']);
    assert.equal(mp.states.at(-1)!.stateId, state);
    assert.equal(machine.text(layout.installed) !== undefined, exit !== 6);
  });
}

test('a command on a machine that runs none is refused with 9', async (t) => {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  const config = pushed(machine, [mp], bytes);
  pushed(machine, [mp], bytes, { payload: { ...config.payload, command: 'setup.exe' } });
  assert.equal(await run(machine), 9);
  assert.equal(mp.states.at(-1)!.stateId, 320);
});
