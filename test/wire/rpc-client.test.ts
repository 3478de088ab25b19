import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock';
import { isCode, PushpointError, type Code } from '#base/errors';
import { concat, fromHex, toHex } from '#wire/bytes';
import {
  openRegistry,
  openRpc,
  openServiceManager,
  pdu,
  serverInfo,
  serverTime,
  shareInfo,
  srvsvc,
  svcctl,
  winreg,
  type RpcPipe,
} from '#wire/rpc';
import { FAULT, WIN32 } from '#wire/status';
import { callLab, GONE, labRpc, memoryPipe, ORDINARY } from '#test/lab-rpc';

/** The RPC client over pipes in memory: fragments, sizes, faults, refusals, and peers that lie. */

const wanted = {
  name: 'ccmsetup',
  displayName: 'SMS setup',
  binaryPath: 'C:\\Windows\\ccmsetup\\ccmsetup.exe',
  startType: 'demand',
} as const;
const code =
  (...codes: Code[]) =>
  (error: unknown) =>
    isCode(error, ...codes);

test('bind goes out as [C706] 12.6.4.3 has it, octet by octet', async () => {
  const lab = labRpc();
  const { pipe } = await callLab(lab, svcctl.SVCCTL);
  assert.equal(
    toHex(pipe.written[0]!),
    '05000b03100000004800000001000000' + // version 5.0, bind, first and last, little-endian, 72 octets, no authentication, call 1
      'b810b81000000000' + // 4280 octets both ways, a new association
      '0100000000000100' + // one context, number 0, one transfer syntax
      '81bb7a364498f135ad3298f03800100302000000' + // svcctl 2.0
      '045d888aeb1cc9119fe808002b10486002000000', // NDR 2.0
  );
});

test('the life of a service: create, start, look, stop, change, delete', async () => {
  const lab = labRpc();
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  assert.equal(await manager.open('ccmsetup'), undefined);
  const service = await manager.create(wanted);
  assert.deepEqual(await service.status(), {
    state: 'stopped',
    win32ExitCode: 1077,
    serviceExitCode: 0,
    checkPoint: 0,
    waitHintMs: 0,
    controlsAccepted: 0,
  });
  await service.start(['SMSSITECODE=P01', 'two words']);
  assert.equal((await service.status()).state, 'start-pending');
  const running = await service.settled(systemClock, 10_000);
  assert.equal(running.state, 'running');
  assert.ok(running.pid! > 0);
  assert.deepEqual(lab.started[0]?.args, ['SMSSITECODE=P01', 'two words']);
  await service.stop();
  assert.equal((await service.settled(systemClock, 10_000)).state, 'stopped');
  await service.change({ startType: 'auto', displayName: 'Another name' });
  const config = await service.config();
  assert.deepEqual(
    [config.startType, config.displayName, config.binaryPath, config.account],
    ['auto', 'Another name', wanted.binaryPath, 'LocalSystem'],
  );
  await service.start();
  await service.settled(systemClock, 10_000);
  lab.started[1]!.end({ win32: 1066, specific: 7 });
  const ended = await service.settled(systemClock, 10_000);
  assert.deepEqual([ended.state, ended.win32ExitCode, ended.serviceExitCode, ended.pid], ['stopped', 1066, 7, undefined]);
  await service.delete();
  await assert.rejects(service.start(), code('PP_SERVICE_MARKED_FOR_DELETE'));
  await service.close();
  assert.equal(await manager.open('ccmsetup'), undefined);
  assert.deepEqual(lab.complaints, []);
});

test('fragments of any size, and any number of octets at a time, carry 300 arguments there and 60 KB of services back', async () => {
  const args = Array.from({ length: 300 }, (_, i) => `argument ${i} ${'x'.repeat(i % 7)}`);
  const names = Array.from({ length: 600 }, (_, i) => `service-${String(i).padStart(3, '0')}`);
  const shapes = [
    {},
    { most: 64 },
    { readSize: 64 },
    { maxFragment: 1432 },
    { maxFragment: 1432, serverFragment: 200 },
    { maxFragment: 97, most: 13 },
    { serverFragment: 64, readSize: 1024 },
  ];
  for (const shape of shapes) {
    const lab = labRpc();
    for (const name of names) lab.services.adopt({ name, displayName: `Display name of ${name}`, binaryPath: 'C:\\x.exe' });
    const rpc = await callLab(lab, svcctl.SVCCTL, shape);
    const manager = await openServiceManager(rpc);
    const service = await manager.create(wanted);
    await service.start(args);
    assert.deepEqual(lab.started[0]?.args, args);
    const listed = await manager.list();
    assert.equal(listed.length, 601);
    assert.deepEqual(
      listed.map((one) => one.name).filter((name) => name !== 'ccmsetup'),
      names,
    );
    assert.equal(listed.find((one) => one.name === 'service-007')?.displayName, 'Display name of service-007');
    const most = Math.min(shape.maxFragment ?? 4280, shape.serverFragment ?? 4280);
    for (const one of rpc.pipe.written) {
      const header = pdu.PduHeader.decode(one);
      assert.equal(header.fragmentLength, one.length);
      if (header.type !== pdu.PduType.REQUEST) continue;
      assert.ok(one.length <= most, `${one.length} octets, ${most} agreed`);
      if (!(header.flags & pdu.PduFlag.LAST)) assert.equal((one.length - 24) % 8, 0);
    }
  }
});

test('calls on one pipe wait for each other', async () => {
  const lab = labRpc();
  const rpc = await callLab(lab, svcctl.SVCCTL, { most: 50 });
  const manager = await openServiceManager(rpc);
  const names = Array.from({ length: 40 }, (_, i) => `s${i}`);
  for (const name of names) lab.services.adopt({ name, displayName: name, binaryPath: 'x' });
  const opened = await Promise.all(names.map((name) => manager.open(name)));
  assert.deepEqual(
    opened.map((one) => one?.name),
    names,
  );
});

const refusals: [number, number, Code][] = [
  [12, 5, 'PP_SERVICE_ACCESS_DENIED'],
  [12, 1055, 'PP_SERVICE_DATABASE_LOCKED'],
  [12, 1072, 'PP_SERVICE_MARKED_FOR_DELETE'],
  [12, 1073, 'PP_SERVICE_EXISTS'],
  [12, 1078, 'PP_SERVICE_NAME_DUPLICATE'],
  [12, 1115, 'PP_TARGET_SHUTTING_DOWN'],
  [12, 1450, 'PP_TARGET_RESOURCES'],
  [12, 1722, 'PP_RPC_UNAVAILABLE'],
  [12, 4711, 'PP_TARGET_ERROR'],
  [19, 2, 'PP_SERVICE_BINARY_MISSING'],
  [19, 3, 'PP_SERVICE_BINARY_MISSING'],
  [19, 193, 'PP_SERVICE_BINARY_WRONG'],
  [19, 225, 'PP_SERVICE_BINARY_BLOCKED'],
  [19, 577, 'PP_SERVICE_BINARY_BLOCKED'],
  [19, 1053, 'PP_SERVICE_START_TIMEOUT'],
  [19, 1056, 'PP_SERVICE_ALREADY_RUNNING'],
  [19, 1058, 'PP_SERVICE_DISABLED'],
  [19, 1060, 'PP_SERVICE_UNKNOWN'],
  [19, 1068, 'PP_SERVICE_DEPENDENCY'],
  [19, 1069, 'PP_SERVICE_LOGON'],
];

test('what the service manager refuses is told by its own row, with the Win32 code kept', async () => {
  const lab = labRpc();
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  const ready = await manager.create({ ...wanted, name: 'ready', displayName: 'ready' });
  for (const [opnum, win32, expected] of refusals) {
    lab.server.interference.inject({ interface: 'svcctl', opnum, win32, times: 1 });
    const attempt = opnum === 12 ? manager.create(wanted) : ready.start();
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof PushpointError);
      assert.deepEqual([error.code, error.win32], [expected, win32]);
      assert.doesNotMatch(`${error.message} ${error.reason} ${error.remedy}`, /\{\w+\}/);
      return true;
    });
  }
  lab.server.interference.inject({ interface: 'svcctl', opnum: 1, win32: 1061, times: 1 });
  await assert.rejects(ready.stop(), code('PP_SERVICE_BUSY'));
  await assert.rejects(ready.stop(), code('PP_SERVICE_NOT_RUNNING'));
  assert.equal(lab.started.length, 0);
});

test('a fault ends its call and leaves the pipe as good as before', async () => {
  const lab = labRpc();
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  const faults: [number, Code, number][] = [
    [FAULT.op_rng_error, 'PP_RPC_INTERFACE_UNKNOWN', 1745],
    [FAULT.unk_if, 'PP_RPC_INTERFACE_UNKNOWN', 1717],
    [5, 'PP_RPC_ACCESS_DENIED', 5],
    [FAULT.fault_context_mismatch, 'PP_RPC_HANDLE_LOST', 6],
    [FAULT.server_too_busy, 'PP_RPC_BUSY', 1723],
    [1726, 'PP_RPC_FAILED', 1726],
    [FAULT.fault_unspec, 'PP_RPC_FAULT', 1726],
    [1783, 'PP_RPC_FAULT', 1783],
  ];
  for (const [fault, expected, win32] of faults) {
    lab.server.interference.inject({ interface: 'svcctl', opnum: 16, fault, times: 1 });
    await assert.rejects(manager.open('x'), (error) => isCode(error, expected) && error.win32 === win32, expected);
    assert.equal(await manager.open('x'), undefined);
  }
});

test('status falls back to the older call, for this service from then on', async () => {
  for (const order of [{ fault: FAULT.op_rng_error }, { win32: WIN32.CALL_NOT_IMPLEMENTED }, { win32: WIN32.RPC_S_UNKNOWN_IF }]) {
    const lab = labRpc();
    const rpc = await callLab(lab, svcctl.SVCCTL);
    const service = await (await openServiceManager(rpc)).create(wanted);
    lab.server.interference.inject({ interface: 'svcctl', opnum: 40, ...order });
    assert.equal((await service.status()).state, 'stopped');
    const before = rpc.pipe.written.length;
    assert.equal((await service.status()).state, 'stopped');
    assert.equal(rpc.pipe.written.length - before, 1);
  }
  const lab = labRpc();
  const service = await (await openServiceManager(await callLab(lab, svcctl.SVCCTL))).create(wanted);
  lab.server.interference.inject({ interface: 'svcctl', opnum: 40, win32: 5, times: 1 });
  await assert.rejects(service.status(), code('PP_SERVICE_ACCESS_DENIED'));
});

test('a pipe that breaks in the middle ends all calls, those that wait as well', async () => {
  const lab = labRpc();
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  lab.server.interference.inject({ interface: 'svcctl', opnum: 16, drop: 'before', times: 1 });
  const results = await Promise.allSettled([manager.open('a'), manager.open('b')]);
  assert.deepEqual(
    results.map((one) => one.status),
    ['rejected', 'rejected'],
  );
  await assert.rejects(manager.open('c'));
});

test('settled looks again at the pace the service hints at, and gives up in time', async () => {
  const clock = new ManualClock();
  const lab = labRpc({ clock });
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  const service = await manager.create(wanted);
  const stuck = lab.services.adopt({ name: 'stuck', displayName: 'stuck', binaryPath: 'x' }, { stoppable: false });
  const opened = (await manager.open('stuck'))!;
  stuck.state = 'stop-pending';
  stuck.waitHintMs = 20_000;
  const waiting = opened.settled(clock, 5_000);
  await clock.advance(4_900);
  stuck.state = 'stopped';
  await clock.advance(100);
  assert.equal((await waiting).state, 'stopped');
  stuck.state = 'stop-pending';
  const vain = opened.settled(clock, 5_000);
  await clock.advance(5_000);
  assert.equal((await vain).state, 'stop-pending');
  await service.close();
});

test('the registry is read: texts, numbers, absent things, values larger than the first guess, lists', async () => {
  const lab = labRpc();
  const key = 'SOFTWARE\\Microsoft\\SMS\\Mobile Client';
  lab.registry.seed(key, 'ProductVersion', '2.50.4253.3000');
  lab.registry.seed(key, 'Long', 'y'.repeat(5000));
  lab.registry.seed(key, 'Number', 0xfffffffe);
  lab.registry.seed(key, '', 'default');
  lab.registry.seed(`${key}\\A`, 'x', 1);
  lab.registry.seed(`${key}\\${'k'.repeat(255)}`, 'x', 1);
  const registry = openRegistry(await callLab(lab, winreg.WINREG));
  const opened = (await registry.key('HKLM', key.toUpperCase()))!;
  assert.equal(await opened.string('productversion'), '2.50.4253.3000');
  assert.equal(await opened.string('Long'), 'y'.repeat(5000));
  assert.equal(await opened.string(''), 'default');
  assert.equal(await opened.dword('Number'), 0xfffffffe);
  assert.equal(await opened.string('Number'), undefined);
  assert.equal(await opened.value('None'), undefined);
  assert.deepEqual(await opened.subkeys(), ['A', 'k'.repeat(255)]);
  assert.deepEqual(
    (await opened.values()).map((one) => one.name),
    ['ProductVersion', 'Long', 'Number', ''],
  );
  await opened.close();
  assert.equal(await registry.key('HKLM', 'SOFTWARE\\None'), undefined);
  assert.equal(await registry.key('HKU', 'S-1-5-18'), undefined);
  const ordinary = openRegistry(await callLab(lab, winreg.WINREG, { as: ORDINARY }));
  await assert.rejects(ordinary.key('HKLM', key), code('PP_REGISTRY_ACCESS_DENIED'));
});

test('the server service tells of the machine, of a share and of its clock', async () => {
  const clock = new ManualClock('2026-03-04T05:06:07.890Z');
  const lab = labRpc({ clock });
  const rpc = await callLab(lab, srvsvc.SRVSVC);
  assert.deepEqual(await serverInfo(rpc, 'LAB1'), {
    name: 'LAB1',
    platformId: 500,
    major: 10,
    minor: 0,
    type: 0x1003,
    comment: 'a lab',
  });
  assert.deepEqual(await shareInfo(rpc, 'LAB1', 'admin$'), {
    name: 'ADMIN$',
    path: 'C:\\Windows',
    type: 0x80000000,
    remark: 'Remote Admin',
  });
  assert.equal(await shareInfo(rpc, 'LAB1', 'none'), undefined);
  assert.equal((await serverTime(rpc, 'LAB1')).toISOString(), '2026-03-04T05:06:07.890Z');
  const ordinary = await callLab(lab, srvsvc.SRVSVC, { as: ORDINARY });
  assert.equal((await serverInfo(ordinary, 'LAB1')).name, 'LAB1');
  await assert.rejects(shareInfo(ordinary, 'LAB1', 'ADMIN$'), code('PP_RPC_ACCESS_DENIED'));
});

test('an ordinary user may not open the service manager', async () => {
  const rpc = await callLab(labRpc(), svcctl.SVCCTL, { as: ORDINARY });
  await assert.rejects(openServiceManager(rpc), code('PP_SERVICE_ACCESS_DENIED'));
});

test('a program that is not there is told as such', async () => {
  const manager = await openServiceManager(await callLab(labRpc(), svcctl.SVCCTL));
  const service = await manager.create({ ...wanted, binaryPath: GONE });
  await assert.rejects(service.start(), code('PP_SERVICE_BINARY_MISSING'));
  assert.equal((await service.status()).win32ExitCode, 2);
});

test('an interface that is not offered is refused at bind, and the pipe closed', async () => {
  const end = labRpc().server.pipe('svcctl', ORDINARY)!;
  let closed = false;
  const pipe: RpcPipe = { ...memoryPipe(end), close: async () => void (closed = true) };
  await assert.rejects(openRpc(pipe, { ...winreg.WINREG }), code('PP_RPC_BIND_REFUSED'));
  assert.equal(closed, true);
});

/** lying is a pipe whose server's messages pass through a hand of ours, from the nth on. */
async function lying(change: (message: Uint8Array) => Uint8Array, from: number): Promise<RpcPipe> {
  const end = labRpc().server.pipe('svcctl', { username: 'a', domain: '', administrator: true })!;
  let count = 0;
  return memoryPipe({
    take: async (octets) => (await end.take(octets)).map((one) => (count++ >= from ? change(one) : one)),
    close: () => end.close(),
  });
}

const patched = (at: number, hex: string) => (message: Uint8Array) => {
  const changed = message.slice();
  changed.set(fromHex(hex), at);
  return changed;
};

test('answers that break the rules of RPC are malformed', async () => {
  const lies: [string, (message: Uint8Array) => Uint8Array][] = [
    ['version 4', patched(0, '04')],
    ['big-endian', patched(4, '00')],
    ['another call id', patched(12, '99000000')],
    ['an authentication trailer', patched(10, '0800')],
    ['a fragment of 3 octets', patched(8, '0300')],
    ['an answer that is a request', patched(2, '00')],
    ['not the first fragment', patched(3, '02')],
    ['shorter than its own head', (message) => concat(patched(8, '1400')(message).subarray(0, 20))],
    ['an empty fragment that is not the last', (message) => patched(3, '01')(patched(8, '1800')(message).subarray(0, 24))],
  ];
  for (const [what, change] of lies) {
    const rpc = await openRpc(await lying(change, 1), svcctl.SVCCTL);
    await assert.rejects(openServiceManager(rpc), code('PP_WIRE_MALFORMED'), what);
    await assert.rejects(openServiceManager(rpc)); // what comes out of that pipe means nothing any more
  }
  const silent = await openRpc(await lying((message) => message.subarray(0, 10), 1), svcctl.SVCCTL);
  await assert.rejects(openServiceManager(silent), code('PP_RPC_FAILED'));
});

test('an endless answer is cut off', async () => {
  const part = new Uint8Array(4000);
  const head = pdu.Response.encode({ allocationHint: 0, contextId: 0, cancelCount: 0, stub: new Uint8Array(0) });
  let sent = 0;
  const end = labRpc().server.pipe('svcctl', ORDINARY)!;
  let bound = false;
  const endless = (first: boolean) => {
    sent++;
    return pdu.encodePdu(pdu.PduType.RESPONSE, 2, concat(head, part), first ? pdu.PduFlag.FIRST : 0);
  };
  const pipe: RpcPipe = {
    transact: async (request) => {
      if (bound) return endless(true);
      bound = true;
      return (await end.take(request))[0]!;
    },
    write: async () => {},
    read: async () => endless(false),
    close: async () => end.close(),
  };
  const rpc = await openRpc(pipe, svcctl.SVCCTL);
  await assert.rejects(openServiceManager(rpc), code('PP_WIRE_MALFORMED'));
  assert.ok(sent < 1100, `${sent} fragments taken`);
});

test('every answer of a push cut anywhere or changed is malformed, refused or taken, nothing else', async () => {
  let state = 4711;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  const allowed = (error: unknown) => assert.ok(error instanceof PushpointError, String((error as Error).stack));
  for (let round = 0; round < 600; round++) {
    const from = next() % 7;
    const change = (message: Uint8Array) => {
      const changed = message.slice();
      if (next() % 3 === 0) return changed.subarray(0, next() % changed.length);
      for (let hits = 1 + (next() % 3); hits > 0; hits--) changed[next() % changed.length] = next() % 256;
      return changed;
    };
    try {
      const manager = await openServiceManager(await openRpc(await lying(change, from), svcctl.SVCCTL));
      const service = await manager.create(wanted);
      await service.start();
      await service.status();
      await service.config();
      await manager.list();
    } catch (error) {
      allowed(error);
    }
  }
});
