import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock';
import { isCode } from '#base/errors';
import { concat, fromHex } from '#wire/bytes';
import { openServiceManager, pdu, svcctl, winreg, type RpcClient } from '#wire/rpc';
import { FAULT, WIN32 } from '#wire/status';
import { ADMINISTRATOR, callLab, labRpc, ORDINARY, type LabRpc } from '#test/lab-rpc';

/** The lab RPC server answers as a Windows does. */

const wanted = {
  name: 'ccmsetup',
  displayName: 'SMS setup',
  binaryPath: 'C:\\Windows\\ccmsetup\\ccmsetup.exe',
  startType: 'demand',
} as const;
const refused = (win32: number) => (error: unknown) => error instanceof Error && 'win32' in error && error.win32 === win32;

async function openManager(rpc: RpcClient, desiredAccess = 7): Promise<Uint8Array> {
  const { manager, status } = await rpc.call(svcctl.openSCManager, { machineName: null, databaseName: null, desiredAccess });
  assert.equal(status, 0);
  return manager;
}

test('a deleted service goes with the last handle, whoever holds it, and blocks its name until then', async () => {
  const lab = labRpc();
  const mine = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  const theirs = await callLab(lab, svcctl.SVCCTL);
  const service = await mine.create(wanted);
  const other = (await (await openServiceManager(theirs)).open('CCMSETUP'))!;
  await service.delete();
  await service.close();
  await assert.rejects(mine.create(wanted), refused(1072));
  await assert.rejects(other.delete(), refused(1072));
  await assert.rejects(other.change({ startType: 'auto' }), refused(1072));
  await theirs.close(); // the handle is run down with its pipe
  const again = await mine.create(wanted);
  await again.close();
});

test('a deleted service that runs goes when it ends', async () => {
  const lab = labRpc();
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  const service = await manager.create(wanted);
  await service.start();
  assert.equal((await service.settled(systemClock, 5_000)).state, 'running');
  await service.delete();
  await service.close();
  const still = (await manager.open('ccmsetup'))!;
  await still.stop();
  assert.equal((await still.settled(systemClock, 5_000)).state, 'stopped');
  await still.close();
  assert.equal(await manager.open('ccmsetup'), undefined);
});

test('a service is START_PENDING before it is RUNNING, and takes no stop until then', async () => {
  const clock = new ManualClock();
  const lab = labRpc({ clock });
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  const service = await manager.create(wanted);
  await service.start();
  const pending = await service.status();
  assert.deepEqual([pending.state, pending.controlsAccepted], ['start-pending', 0]);
  assert.ok(pending.checkPoint > 0 && pending.waitHintMs > 0);
  await assert.rejects(service.stop(), refused(1061));
  await assert.rejects(service.start(), refused(1056));
  await clock.advance(1_000);
  const running = await service.status();
  assert.deepEqual([running.state, running.controlsAccepted & 1, running.checkPoint], ['running', 1, 0]);
  lab.started[0]!.end(1603);
  await clock.advance(0);
  const ended = await service.status();
  assert.deepEqual([ended.state, ended.win32ExitCode], ['stopped', 1603]);
});

test('a program that does not call in in time, or ends before it does, is 1053', async () => {
  const clock = new ManualClock();
  const lab = labRpc({ clock, connected: new Promise<void>(() => {}) });
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  const service = await manager.create(wanted);
  const late = assert.rejects(service.start(), refused(1053));
  await clock.advance(0); // the call has to arrive first
  await clock.advance(30_000);
  await late;
  assert.equal(lab.started[0]?.told, true);
  assert.equal((await service.status()).state, 'stopped');
  const early = assert.rejects(service.start(), refused(1053));
  await clock.advance(0);
  lab.started[1]!.end(0);
  await early;
  assert.equal((await service.status()).win32ExitCode, 1053);
});

test('a handle allows what it was opened for, and is known on its own pipe only', async () => {
  const lab = labRpc();
  const rpc = await callLab(lab, svcctl.SVCCTL);
  const manager = await openManager(rpc, svcctl.ManagerRight.CONNECT);
  lab.services.create({ ...wanted, displayName: wanted.displayName });
  const create = await openServiceManager(rpc, svcctl.ManagerRight.CONNECT);
  await assert.rejects(create.create({ ...wanted, name: 'other', displayName: 'other' }), refused(5));
  await assert.rejects(create.list(), refused(5));
  const { service } = await rpc.call(svcctl.openService, {
    manager,
    serviceName: 'ccmsetup',
    desiredAccess: svcctl.ServiceRight.QUERY_STATUS,
  });
  const started = await rpc.call(svcctl.startService, { service, argumentCount: 0, arguments: null });
  assert.equal(started.status, WIN32.ACCESS_DENIED);
  assert.equal((await rpc.call(svcctl.deleteService, { service })).status, WIN32.ACCESS_DENIED);
  assert.equal((await rpc.call(svcctl.queryServiceStatus, { service })).status, 0);
  assert.equal((await rpc.call(svcctl.queryServiceStatus, { service: manager })).status, WIN32.INVALID_HANDLE);
  const elsewhere = await callLab(lab, svcctl.SVCCTL);
  await assert.rejects(elsewhere.call(svcctl.queryServiceStatus, { service }), (error) => isCode(error, 'PP_RPC_HANDLE_LOST'));
});

test('sizes are answered as Windows does: 122 and 234 with what is needed, lists that go on', async () => {
  const lab = labRpc();
  for (const name of ['a', 'b', 'c', 'd', 'e']) lab.services.adopt({ name, displayName: `display ${name}`, binaryPath: 'x' });
  const rpc = await callLab(lab, svcctl.SVCCTL);
  const manager = await openManager(rpc);
  const ask = { manager, serviceType: 0x30, serviceState: 3, resumeIndex: 0 };
  const nothing = await rpc.call(svcctl.enumServicesStatus, { ...ask, bufferSize: 0 });
  const each = 36 + 2 * 2 + 2 * 10;
  assert.deepEqual([nothing.status, nothing.bytesNeeded, nothing.servicesReturned], [234, 5 * each, 0]);
  const some = await rpc.call(svcctl.enumServicesStatus, { ...ask, bufferSize: 2 * each + 10 });
  assert.deepEqual([some.status, some.servicesReturned, some.resumeIndex, some.bytesNeeded], [234, 2, 2, 3 * each]);
  const last = await rpc.call(svcctl.enumServicesStatus, { ...ask, bufferSize: 3 * each, resumeIndex: 2 });
  assert.deepEqual([last.status, last.servicesReturned, last.resumeIndex], [0, 3, 0]);
  const stopped = await rpc.call(svcctl.enumServicesStatus, { ...ask, serviceState: 2, bufferSize: 1000 });
  assert.equal(stopped.servicesReturned, 0);
  const drivers = await rpc.call(svcctl.enumServicesStatus, { ...ask, serviceType: 0x0b, bufferSize: 1000 });
  assert.equal(drivers.servicesReturned, 0);
  const { service } = await rpc.call(svcctl.openService, { manager, serviceName: 'a', desiredAccess: 0xf01ff });
  const small = await rpc.call(svcctl.queryServiceConfig, { service, bufferSize: 0 });
  assert.equal(small.status, 122);
  const whole = await rpc.call(svcctl.queryServiceConfig, { service, bufferSize: small.bytesNeeded });
  assert.deepEqual([whole.status, whole.config.displayName], [0, 'display a']);
  assert.equal((await rpc.call(svcctl.queryServiceStatusEx, { service, level: 0, bufferSize: 35 })).status, 122);

  lab.registry.seed('SOFTWARE\\T', 'Value', 'twelve chars');
  const registry = await callLab(lab, winreg.WINREG);
  const { key: root } = await registry.call(winreg.openLocalMachine, { serverName: null, desiredAccess: 0x20019 });
  const { result: key } = await registry.call(winreg.openKey, {
    key: root,
    subKey: 'software\\t',
    options: 0,
    desiredAccess: 0x20019,
  });
  const value = { key, valueName: 'value', type: 0, dataLength: 0 };
  const size = await registry.call(winreg.queryValue, { ...value, data: null, dataSize: 0 });
  assert.deepEqual([size.status, size.dataSize, size.type], [0, 26, 1]);
  const tight = { capacity: 25, octets: new Uint8Array(0) };
  const more = await registry.call(winreg.queryValue, { ...value, data: tight, dataSize: 25 });
  assert.deepEqual([more.status, more.dataSize], [234, 26]);
});

test('keys are made, found without regard to case, and removed only when nothing is below them', async () => {
  const lab = labRpc();
  const rpc = await callLab(lab, winreg.WINREG);
  const { key: root } = await rpc.call(winreg.openLocalMachine, { serverName: null, desiredAccess: 0x2000000 });
  const create = (subKey: string) =>
    rpc.call(winreg.createKey, {
      key: root,
      subKey,
      className: '',
      options: 0,
      desiredAccess: 0x2000000,
      securityAttributes: null,
      disposition: 0,
    });
  assert.equal((await create('SOFTWARE\\One\\Two')).disposition, 1);
  const { result, disposition } = await create('software\\ONE');
  assert.equal(disposition, 2);
  assert.equal((await rpc.call(winreg.deleteKey, { key: root, subKey: 'SOFTWARE\\One' })).status, 5);
  assert.equal((await rpc.call(winreg.deleteKey, { key: root, subKey: 'SOFTWARE\\One\\Two' })).status, 0);
  assert.equal((await rpc.call(winreg.deleteKey, { key: root, subKey: 'SOFTWARE\\One' })).status, 0);
  const data = new Uint8Array([1, 0, 0, 0]);
  const set = await rpc.call(winreg.setValue, { key: result, valueName: 'x', type: 4, data, dataSize: 4 });
  assert.equal(set.status, WIN32.KEY_DELETED);
});

test('a call that is dropped after its work has done it', async () => {
  const lab = labRpc();
  const manager = await openServiceManager(await callLab(lab, svcctl.SVCCTL));
  lab.server.interference.inject({ interface: 'svcctl', opnum: 12, drop: 'after', times: 1 });
  await assert.rejects(manager.create(wanted));
  assert.ok(lab.services.get('ccmsetup'));
  const clock = new ManualClock();
  const slow = labRpc({ clock });
  const rpc = await callLab(slow, svcctl.SVCCTL);
  slow.server.interference.inject({ interface: 'svcctl', opnum: 15, delayMs: 3_000 });
  let done = false;
  const opening = openServiceManager(rpc).then(() => (done = true));
  await clock.advance(0); // the call has to arrive first
  await clock.advance(2_999);
  assert.equal(done, false);
  await clock.advance(1);
  await opening;
});

const admin = (lab: LabRpc) => lab.server.pipe('svcctl', ADMINISTRATOR)!;

function bind(transfers: pdu.Syntax[], abstract = { uuid: svcctl.SVCCTL.uuid, version: 2, minorVersion: 0 }): Uint8Array {
  const contexts = [{ contextId: 0, abstract, transfers }];
  return pdu.encodePdu(
    pdu.PduType.BIND,
    1,
    pdu.Bind.encode({ maxTransmit: 4280, maxReceive: 4280, associationGroup: 0, contexts }),
  );
}

function pduOf(octets: Uint8Array): pdu.Pdu {
  const stream = new pdu.PduStream('answer');
  stream.push(octets);
  return stream.next()!;
}

test('binds are answered one context at a time: other interfaces, NDR64, features, authentication', async () => {
  const results = async (message: Uint8Array) => {
    const [answer] = await admin(labRpc()).take(message);
    const ack = pdu.bodyOf(pduOf(answer!), pdu.BindAck);
    return { address: ack.secondaryAddress, ...ack.results[0]! };
  };
  const good = await results(bind([pdu.NDR]));
  assert.deepEqual([good.address, good.result, good.transfer.uuid], ['\\PIPE\\ntsvcs', 0, pdu.NDR.uuid]);
  const ndr64 = { uuid: '71710533-beba-4937-8319-b5dbef9ccc36', version: 1, minorVersion: 0 };
  assert.deepEqual(pickResult(await results(bind([ndr64]))), [2, 2]);
  assert.deepEqual(pickResult(await results(bind([pdu.NDR], { uuid: winreg.WINREG.uuid, version: 1, minorVersion: 0 }))), [2, 1]);
  const features = { uuid: '6cb71c2c-9812-4540-0300-000000000000', version: 1, minorVersion: 0 };
  assert.deepEqual(pickResult(await results(bind([features]))), [3, 0]);
  const authenticated = bind([pdu.NDR]);
  authenticated.set([0x10, 0x00], 10);
  const [nak] = await admin(labRpc()).take(authenticated);
  assert.equal(pduOf(nak!).header.type, pdu.PduType.BIND_NAK);
  assert.equal(pdu.bodyOf(pduOf(nak!), pdu.BindNak).reason, 8);
});

const pickResult = ({ result, reason }: { result: number; reason: number }) => [result, reason];

test('calls that cannot be are faults: unknown opnum, unbound context, a stub that does not decode', async () => {
  const end = admin(labRpc());
  await end.take(bind([pdu.NDR]));
  const call = async (opnum: number, contextId: number, stub: Uint8Array) => {
    const [answer] = await end.take(
      pdu.encodePdu(0, 7, pdu.Request.encode({ allocationHint: 0, contextId, opnum, stub: stub.slice() })),
    );
    const { header } = pduOf(answer!);
    assert.deepEqual([header.type, header.callId], [pdu.PduType.FAULT, 7]);
    return pdu.bodyOf(pduOf(answer!), pdu.Fault).status;
  };
  assert.equal(await call(99, 0, new Uint8Array(0)), FAULT.op_rng_error);
  assert.equal(await call(15, 5, new Uint8Array(0)), FAULT.unk_if);
  assert.equal(await call(16, 0, new Uint8Array(10)), WIN32.RPC_X_BAD_STUB_DATA);
});

test('a request in pieces, several in one message, and one with an object UUID are all taken', async () => {
  const end = admin(labRpc());
  await end.take(bind([pdu.NDR]));
  const stub = svcctl.openSCManager.request.encode({ machineName: 'x', databaseName: null, desiredAccess: 1 });
  const one = (id: number) => pdu.encodePdu(0, id, pdu.Request.encode({ allocationHint: 0, contextId: 0, opnum: 15, stub }));
  const both = concat(one(2), one(3));
  assert.deepEqual(await end.take(both.subarray(0, 30)), []);
  const answers = await end.take(both.subarray(30));
  assert.deepEqual(
    answers.map((answer) => pduOf(answer).header.callId),
    [2, 3],
  );
  const object = concat(new Uint8Array(16), stub);
  const body = pdu.Request.encode({ allocationHint: 0, contextId: 0, opnum: 15, stub: object });
  const [answer] = await end.take(pdu.encodePdu(0, 4, body, 0x83));
  assert.equal(pduOf(answer!).header.type, pdu.PduType.RESPONSE);
});

test('pipes that are not there now cannot be opened', () => {
  const lab = labRpc({ missing: ['winreg'] });
  assert.equal(lab.server.pipe('winreg', ADMINISTRATOR), undefined);
  assert.equal(lab.server.pipe('spoolss', ADMINISTRATOR), undefined);
  assert.ok(lab.server.pipe('SVCCTL', ORDINARY));
  lab.missing.clear();
  assert.ok(lab.server.pipe('winreg', ADMINISTRATOR));
});

test('octets cut or changed at random break the pipe or are answered; the server itself never fails', async () => {
  let state = 99;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  const lab = labRpc();
  const create = svcctl.createService.request.encode({
    manager: fromHex('00000000'.padEnd(40, '1')),
    serviceName: 'x',
    displayName: 'y',
    desiredAccess: 1,
    serviceType: 0x10,
    startType: 3,
    errorControl: 1,
    binaryPathName: 'z',
    loadOrderGroup: null,
    tagId: null,
    dependencies: new Uint8Array(4),
    dependenciesSize: 4,
    serviceStartName: null,
    password: null,
    passwordSize: 0,
  });
  const request = pdu.encodePdu(0, 2, pdu.Request.encode({ allocationHint: 0, contextId: 0, opnum: 12, stub: create }));
  for (let round = 0; round < 2_000; round++) {
    const end = admin(lab);
    for (const message of [bind([pdu.NDR]), request]) {
      const changed = message.slice();
      for (let hits = next() % 4; hits > 0; hits--) changed[next() % changed.length] = next() % 256;
      const cut = next() % 4 === 0 ? changed.subarray(0, next() % changed.length) : changed;
      const answers = await end.take(cut).catch((error: unknown) => {
        assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), String((error as Error).stack));
        return [];
      });
      for (const answer of answers) assert.equal(pduOf(answer).header.fragmentLength, answer.length);
    }
    end.close();
  }
  assert.deepEqual(lab.complaints, []);
});
