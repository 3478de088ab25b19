import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isCode } from '#base/errors';
import { fromHex, toHex } from '#wire/bytes';
import { lsarpc, srvsvc, svcctl, winreg, type Message, type Operation } from '#wire/rpc';

/** Stubs that other people's programs made; what is stored is what they sent (of impacket with zeros as padding). */
interface Stub {
  peer: string;
  interface: string;
  opnum: number;
  name: string;
  direction: 'request' | 'response';
  hex: string;
}

const stubs = JSON.parse(readFileSync(new URL('../golden/rpc/stubs.json', import.meta.url), 'utf8')) as Stub[];
const rooms: Record<string, object> = { svcctl, winreg, srvsvc, lsarpc };

function operationsOf(room: object): Operation<unknown, unknown>[] {
  return Object.values(room).filter(
    (one): one is Operation<unknown, unknown> => typeof one === 'object' && one !== null && 'opnum' in one,
  );
}

function messageOf(stub: Stub): Message<unknown> {
  const found = operationsOf(rooms[stub.interface]!).find((one) => one.opnum === stub.opnum);
  assert.ok(found, `${stub.interface} ${stub.opnum}`);
  return found[stub.direction];
}

const title = (stub: Stub) => `${stub.interface} ${stub.opnum} ${stub.name} ${stub.direction} of ${stub.peer}`;

/** words are the 32-bit words of octets, since nothing that differs between two peers is smaller. */
function words(octets: Uint8Array): number[] {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  return Array.from({ length: octets.length >> 2 }, (_, i) => view.getUint32(4 * i, true));
}

/** otherwise are the stubs in which a counted string says no more than ours, but in other octets. */
const otherwise = new Map([
  ['lsarpc 7 response of Samba 4.17.12 rpcd', 'room for a NUL that is not sent'],
  ['lsarpc 68 response of Samba 4.17.12 rpcd', 'room for a NUL that is not sent'],
  ['winreg 9 request of Samba 4.17.12 net, rpcclient', 'an empty name with its NUL'],
  ['winreg 9 response of Samba 4.17.12 rpcd', 'an empty class with its NUL'],
  ['winreg 10 request of Samba 4.17.12 net, rpcclient', 'an empty name with its NUL'],
  ['winreg 16 response of Samba 4.17.12 rpcd', 'an empty class with its NUL'],
]);
const isOtherwise = (stub: Stub) => otherwise.has(`${stub.interface} ${stub.opnum} ${stub.direction} of ${stub.peer}`);

for (const stub of stubs) {
  test(`decodes and writes again: ${title(stub)}`, () => {
    const message = messageOf(stub);
    const theirs = fromHex(stub.hex);
    const value = message.decode(theirs);
    const ours = message.encode(value);
    assert.deepEqual(message.decode(ours), value);
    if (isOtherwise(stub)) return;
    // Padding behind the last parameter belongs to nobody; a referent identifier is any number but zero.
    assert.match(toHex(theirs.subarray(ours.length)), /^0{0,14}$/);
    const expected = words(theirs);
    words(ours).forEach((word, at) => {
      const pointer = word >>> 16 === 2 && expected[at] !== 0;
      assert.ok(word === expected[at] || pointer, `octet ${4 * at}: ${toHex(ours)}`);
    });
  });
}

test('every opnum was met in both directions by somebody else', () => {
  const missing: string[] = [];
  for (const [name, room] of Object.entries(rooms)) {
    for (const { opnum } of operationsOf(room)) {
      for (const direction of ['request', 'response']) {
        const met = stubs.some((one) => one.interface === name && one.opnum === opnum && one.direction === direction);
        if (!met) missing.push(`${name} ${opnum} ${direction}`);
      }
    }
  }
  assert.deepEqual(missing, []);
});

function onlyMalformed(message: Message<unknown>, octets: Uint8Array, what: string): void {
  try {
    message.decode(octets);
  } catch (error) {
    assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), `${what}: ${(error as Error).stack}`);
  }
}

test('a stub cut anywhere is malformed or complete, nothing else', () => {
  for (const stub of stubs) {
    const message = messageOf(stub);
    const whole = fromHex(stub.hex);
    const needed = message.encode(message.decode(whole)).length;
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.slice(0, length);
      if (length < needed)
        assert.throws(
          () => message.decode(cut),
          (error) => isCode(error, 'PP_WIRE_MALFORMED'),
          `${title(stub)} at ${length}`,
        );
      else onlyMalformed(message, cut, title(stub));
    }
  }
});

/** A small generator of numbers whose whole course follows from the seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

test('a stub with octets changed is malformed or decodes, nothing else, and asks for no memory it does not have', () => {
  const next = numbers(20260105);
  const extremes = [0x00, 0x01, 0x7f, 0x80, 0xff];
  for (const stub of stubs) {
    const message = messageOf(stub);
    const whole = fromHex(stub.hex);
    for (let round = 0; round < 200; round++) {
      const changed = whole.slice();
      for (let hits = 1 + (next() % 4); hits > 0; hits--) changed[next() % changed.length] = extremes[next() % extremes.length]!;
      onlyMalformed(message, changed, `${title(stub)} round ${round}`);
    }
  }
});
