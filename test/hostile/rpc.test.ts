import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { callLab, labRpc, memoryPipe, ORDINARY } from '#test/lab-rpc';
import { ofCatalogue } from '#test/liar';
import { isCode } from '#base/errors';
import { concat, toUtf16, type Bytes } from '#wire/bytes';
import { openRegistry, openRpc, openServiceManager, pdu, serverInfo, srvsvc, svcctl, winreg, type RpcPipe } from '#wire/rpc';
import { FAULT, WIN32 } from '#wire/status';

/** Services behind pipes that lie: without end, in crumbs, about sizes, about handles. */

const { PduFlag, PduType } = pdu;
const HEAD = pdu.Response.encode({ allocationHint: 0, contextId: 0, cancelCount: 0, stub: new Uint8Array(0) });
const callOf = (request: Uint8Array) => pdu.PduHeader.decode(request).callId;
const typeOf = (request: Uint8Array) => pdu.PduHeader.decode(request).type;
const opnumOf = (request: Uint8Array) => new DataView(request.buffer, request.byteOffset).getUint16(22, true);

function response(request: Uint8Array, stub: Uint8Array, flags: number = PduFlag.FIRST | PduFlag.LAST): Bytes {
  return pdu.encodePdu(PduType.RESPONSE, callOf(request), concat(HEAD, stub), flags);
}

interface Liar {
  pipe: RpcPipe;
  /** reads is how often the pipe was read, beside the calls. */
  reads: number;
}

/** liar binds honestly; then `lie` answers calls, or gives undefined to let the lab answer; `more` is what every further read brings. */
function liar(o: {
  lie: (request: Uint8Array) => Uint8Array | undefined;
  more?: (request: Uint8Array) => Uint8Array;
  interface?: string;
}): Liar {
  const end = labRpc().server.pipe(o.interface ?? 'svcctl', { ...ORDINARY, administrator: true })!;
  const honest = memoryPipe(end);
  let last: Uint8Array = new Uint8Array(0);
  let isLie = false;
  const one: Liar = {
    reads: 0,
    pipe: {
      write: (data) => honest.write(data),
      transact: async (request, max) => {
        last = request;
        const told = typeOf(request) === PduType.REQUEST ? o.lie(request) : undefined;
        isLie = told !== undefined;
        return told ?? honest.transact(request, max);
      },
      read: async (max) => {
        one.reads++;
        if (!isLie) return honest.read(max);
        return o.more?.(last) ?? new Uint8Array(0);
      },
      close: () => honest.close(),
    },
  };
  return one;
}

async function told(one: Liar): Promise<unknown> {
  return openServiceManager(await openRpc(one.pipe, svcctl.SVCCTL)).then(
    () => assert.fail('it was taken'),
    (error: unknown) => ofCatalogue(error, 'svcctl'),
  );
}

describe('answers without end', () => {
  test('fragments with one octet each: bounded in number, and so in memory', async () => {
    const before = process.memoryUsage().heapUsed;
    const one = liar({
      lie: (request) => response(request, Uint8Array.of(1), PduFlag.FIRST),
      more: (request) => response(request, Uint8Array.of(1), 0),
    });
    assert.ok(isCode(await told(one), 'PP_WIRE_MALFORMED'));
    assert.ok(one.reads < 20_000, `${one.reads} fragments taken`);
    assert.ok(process.memoryUsage().heapUsed - before < 64 << 20);
  });

  test('large fragments: 4 MiB and no more', async () => {
    const stub = new Uint8Array(60_000);
    const one = liar({
      lie: (request) => response(request, stub, PduFlag.FIRST),
      more: (request) => response(request, stub, 0),
    });
    assert.ok(isCode(await told(one), 'PP_WIRE_MALFORMED'));
    assert.ok(one.reads < 100, `${one.reads} fragments taken`);
  });

  test('a fragment that claims 65535 octets and comes one at a time ends with its last', async () => {
    const head = response(requestOf(2), new Uint8Array(0));
    new DataView(head.buffer, head.byteOffset).setUint16(8, 0xffff, true);
    const one = liar({
      lie: (request) => {
        new DataView(head.buffer, head.byteOffset).setUint32(12, callOf(request), true);
        return head.subarray(0, 10);
      },
      more: () => Uint8Array.of(0),
    });
    await told(one);
    assert.ok(one.reads < 66_000);
  });

  test('a pipe with nothing in it, for ever', async () => {
    assert.ok(isCode(await told(liar({ lie: () => new Uint8Array(0) })), 'PP_RPC_FAILED'));
  });

  test('a first fragment after the first', async () => {
    const stub = new Uint8Array(8);
    const again = (request: Uint8Array) => response(request, stub, PduFlag.FIRST);
    assert.ok(isCode(await told(liar({ lie: again, more: again })), 'PP_WIRE_MALFORMED'));
  });
});

/** A request PDU of nothing but its head, to take a call's id from. */
function requestOf(callId: number): Bytes {
  return pdu.encodePdu(PduType.REQUEST, callId, new Uint8Array(8));
}

describe('faults and handles', () => {
  test('each fault there is has a code', async () => {
    const statuses = [...Object.values(FAULT), 5, 1717, 1745, 0, 0xffff_ffff].filter((one) => typeof one === 'number');
    for (const status of statuses) {
      const one = liar({
        lie: (request) => {
          const body = { allocationHint: 32, contextId: 0, cancelCount: 0, status, tail: new Uint8Array(4) };
          return pdu.encodePdu(PduType.FAULT, callOf(request), pdu.Fault.encode(body));
        },
      });
      const error = ofCatalogue(await told(one), `fault ${status}`);
      assert.equal(error.origin, 'refused', `fault 0x${status.toString(16)}: ${error.code}`);
    }
  });

  test('a handle that belongs to another pipe, or to nobody, opens nothing', async () => {
    const lab = labRpc();
    const first = await callLab(lab, svcctl.SVCCTL);
    const { manager } = await first.call(svcctl.openSCManager, { machineName: null, databaseName: null, desiredAccess: 0x7 });
    for (const handle of [manager, new Uint8Array(20), new Uint8Array(20).fill(0xff)]) {
      const request = { manager: handle, serviceName: 'x', desiredAccess: 1 };
      const second = await callLab(lab, svcctl.SVCCTL);
      const outcome = await second.call(svcctl.openService, request).then(
        (answer) => answer.status,
        (error: unknown) => ofCatalogue(error, 'a handle of others').code,
      );
      assert.ok(outcome === WIN32.INVALID_HANDLE || outcome === 'PP_RPC_HANDLE_LOST', String(outcome));
    }
  });

  test('a handle of zeros in place of the one that was asked for is used for nothing but what it is', async () => {
    const one = liar({
      lie: (request) => {
        if (opnumOf(request) !== svcctl.openSCManager.opnum) return undefined;
        return response(request, svcctl.openSCManager.response.encode({ manager: new Uint8Array(20), status: 0 }));
      },
    });
    const manager = await openServiceManager(await openRpc(one.pipe, svcctl.SVCCTL));
    const error = ofCatalogue(await manager.open('ccmsetup').catch((e: unknown) => e), 'open');
    assert.ok(isCode(error, 'PP_RPC_HANDLE_LOST'), error.code);
  });
});

describe('lists and sizes', () => {
  /** A buffer in which every entry points at one long text. */
  function overlapping(size: number, count: number): Uint8Array {
    const buffer = new Uint8Array(size);
    const view = new DataView(buffer.buffer);
    buffer.fill(0x41, count * 36, size - 2);
    for (let i = 0; i < count; i++) {
      view.setUint32(i * 36, count * 36, true);
      view.setUint32(i * 36 + 4, count * 36, true);
    }
    return buffer;
  }

  async function listed(answer: (bufferSize: number) => { buffer: Uint8Array; servicesReturned: number; status: number }) {
    let rounds = 0;
    const one = liar({
      lie: (request) => {
        if (opnumOf(request) !== svcctl.enumServicesStatus.opnum) return undefined;
        rounds++;
        const { bufferSize } = svcctl.enumServicesStatus.request.decode(request.subarray(24));
        const { buffer, servicesReturned, status } = answer(bufferSize);
        const value = { buffer, bytesNeeded: 200_000, servicesReturned, resumeIndex: 0, status };
        const stub = svcctl.enumServicesStatus.response.encode(value);
        parts = pdu.fragments(PduType.RESPONSE, callOf(request), stub, 60_000, () => HEAD);
        return parts.shift();
      },
      more: () => parts.shift() ?? new Uint8Array(0),
    });
    let parts: Bytes[] = [];
    const manager = await openServiceManager(await openRpc(one.pipe, svcctl.SVCCTL));
    const from = performance.now();
    const error = ofCatalogue(await manager.list().catch((e: unknown) => e), 'list');
    return { error, rounds, ms: performance.now() - from };
  }

  test('thousands of services that all point at one endless name cost no time', async () => {
    const { error, ms } = await listed((size) =>
      size === 0
        ? { buffer: new Uint8Array(0), servicesReturned: 0, status: WIN32.MORE_DATA }
        : { buffer: overlapping(size, Math.floor(size / 72)), servicesReturned: Math.floor(size / 72), status: 0 },
    );
    assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), error.code);
    assert.ok(ms < 2_000, `${ms} ms`);
  });

  test('more octets than there was room for, more services than fit, a list that never ends', async () => {
    const large = await listed(() => ({ buffer: new Uint8Array(100_000), servicesReturned: 0, status: WIN32.MORE_DATA }));
    assert.ok(isCode(large.error, 'PP_WIRE_MALFORMED'));
    const many = await listed((size) => ({ buffer: new Uint8Array(size), servicesReturned: 1_000_000, status: 0 }));
    assert.ok(isCode(many.error, 'PP_WIRE_MALFORMED'));
    const endless = await listed((size) => ({ buffer: new Uint8Array(size), servicesReturned: 0, status: WIN32.MORE_DATA }));
    assert.ok(endless.rounds <= 64, `${endless.rounds} rounds`);
    // Zeroed entries are services without a name: 5,000 a round are too many soon.
    const flood = await listed((size) => {
      return { buffer: new Uint8Array(size), servicesReturned: Math.floor(size / 36), status: WIN32.MORE_DATA };
    });
    assert.ok(isCode(flood.error, 'PP_WIRE_MALFORMED') && flood.rounds < 8, `${flood.rounds} rounds`);
  });

  async function value(answer: (room: number) => { octets: Uint8Array; status: number; needed: number }) {
    let rounds = 0;
    const one = liar({
      interface: 'winreg',
      lie: (request) => {
        const opnum = opnumOf(request);
        const key = Uint8Array.from({ length: 20 }, (_, i) => i);
        if (opnum === winreg.openLocalMachine.opnum)
          return response(request, winreg.openLocalMachine.response.encode({ key, status: 0 }));
        if (opnum === winreg.openKey.opnum) return response(request, winreg.openKey.response.encode({ result: key, status: 0 }));
        if (opnum !== winreg.queryValue.opnum) return undefined;
        rounds++;
        const { dataSize } = winreg.queryValue.request.decode(request.subarray(24));
        const { octets, status, needed } = answer(dataSize ?? 0);
        const data = { capacity: Math.max(octets.length, dataSize ?? 0), octets };
        const stub = winreg.queryValue.response.encode({ type: 1, data, dataSize: needed, dataLength: octets.length, status });
        return response(request, stub);
      },
    });
    const registry = openRegistry(await openRpc(one.pipe, winreg.WINREG));
    const opened = (await registry.key('HKLM', 'SOFTWARE'))!;
    const error = ofCatalogue(await opened.value('x').catch((e: unknown) => e), 'value');
    return { error, rounds };
  }

  test('a value that always needs one octet more is given up soon', async () => {
    const { rounds } = await value((room) => ({ octets: new Uint8Array(0), status: WIN32.MORE_DATA, needed: room + 1 }));
    assert.ok(rounds < 16, `${rounds} rounds`);
  });

  test('a value of more octets than were asked for', async () => {
    const { error } = await value((room) => ({ octets: new Uint8Array(room + 9), status: 0, needed: room + 9 }));
    assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), error.code);
  });
});

describe('binding', () => {
  const nothing: RpcPipe = {
    write: async () => {},
    transact: async () => new Uint8Array(0),
    read: async () => new Uint8Array(0),
    close: async () => {},
  };
  const accepted = { result: 0, reason: 0, transfer: pdu.NDR };
  const ack = { maxTransmit: 4280, maxReceive: 4280, associationGroup: 1, secondaryAddress: '\\PIPE\\x', results: [accepted] };
  const lies: [what: string, Partial<typeof ack>][] = [
    ['no result', { results: [] }],
    ['refused', { results: [{ ...accepted, result: 2, reason: 1 }] }],
    ['another transfer syntax', { results: [{ ...accepted, transfer: { ...pdu.NDR, uuid: srvsvc.SRVSVC.uuid } }] }],
    ['fragments of 8 octets', { maxReceive: 8 }],
  ];
  for (const [what, more] of lies) {
    test(what, async () => {
      const octets = pdu.encodePdu(PduType.BIND_ACK, 1, pdu.BindAck.encode({ ...ack, ...more }));
      const opening = openRpc({ ...nothing, transact: async () => octets }, srvsvc.SRVSVC);
      const error = ofCatalogue(await opening.catch((e: unknown) => e), what);
      assert.ok(isCode(error, 'PP_WIRE_MALFORMED', 'PP_RPC_BIND_REFUSED'), error.code);
    });
  }

  test('a server that says of itself what is no text', async () => {
    const name = String.fromCharCode(0xd800, 0x202e, 7);
    const one = liar({
      interface: 'srvsvc',
      lie: (request) => {
        const info = { platformId: 500, name, versionMajor: 10, versionMinor: 0, type: 3, comment: 'x'.repeat(20_000) };
        return response(request, srvsvc.serverGetInfo.response.encode({ info: { level: 101, info }, status: 0 }));
      },
    });
    const said = await serverInfo(await openRpc(one.pipe, srvsvc.SRVSVC), 'LAB1');
    assert.ok(said.name.isWellFormed(), 'it can be stored and shown');
    assert.equal(toUtf16(said.name).length, 6);
  });
});
