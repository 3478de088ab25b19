import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { Numbers, fuzzSeed } from '#test/fuzz';
import { assertNoSecret, ending, Liar, ofCatalogue, type Lie } from '#test/liar';
import { readRecord, recordedOptions, RECORDS, walk, type Line, type RecordName } from '#test/smb-record';
import { ManualClock } from '#base/clock';
import { isCode, type PushpointError } from '#base/errors';
import type { Bytes } from '#wire/bytes';
import * as smb from '#wire/smb';

/** Sessions that were recorded with smbd, on a line that belongs to somebody else. */

const names = Object.keys(RECORDS) as RecordName[];
const ACCOUNT = { username: 'Administrator', domain: '', password: 'Lab-Only-7!' };
/** Four times the 30 s of an operation, and what came before it. */
const MOST_MS = 200_000;
const isNight = process.env['PUSHPOINT_FUZZ'] !== undefined;

interface Played {
  error: PushpointError | undefined;
  liar: Liar;
  ms: number;
}

async function play(
  name: RecordName,
  lie: Lie,
  o: { stream?: ConstructorParameters<typeof Liar>[2]; lines?: Line[]; hasKey?: boolean; what: string },
) {
  const clock = new ManualClock();
  const liar = new Liar(o.lines ?? readRecord(name), lie, o.stream);
  const options = recordedOptions(name, clock);
  const work = smb.openSession(liar, options).then((session) => walk(session));
  const { error, ms } = await ending(work, clock, { mostMs: MOST_MS, activity: () => liar.activity, what: o.what });
  assertNoSecret(o.what, { octets: liar.sent, error }, ACCOUNT);
  // Who has the key may say what stands in a file; that it is not what was written is seen by the reader.
  const isContent = o.hasKey && error instanceof Error && error.message === 'read is not what was written';
  const known = error === undefined || isContent ? undefined : ofCatalogue(error, o.what);
  return { error: known, liar, ms } satisfies Played;
}

const honest: Lie = (frame) => [frame];
const answersOf = (name: RecordName) => readRecord(name).filter((line) => line.from === 'server');

/** By day every octet of the logon and the edges of what follows; by night every octet. */
function cutsOf(length: number, index: number): number[] {
  const all = Array.from({ length: length + smb.PREFIX }, (_, i) => i);
  if (isNight || index < 3) return all.filter((at) => isNight || index === 0 || at % 8 === 0 || at > length);
  return [0, 3, 4, 68, length + 3].filter((at) => at < all.length);
}

describe('the line is reset', () => {
  for (const name of names) {
    test(`${name}: after every octet of the server`, async () => {
      const lines = readRecord(name);
      const last = answersOf(name).length - 1;
      for (const [index, { frame }] of answersOf(name).entries()) {
        for (const cut of cutsOf(frame.length, index)) {
          const stream = (octets: Bytes, at: number) => (at === index ? [octets.slice(0, cut), 'reset' as const] : [octets]);
          const { error } = await play(name, honest, { stream, lines, what: `${name}, answer ${index}, octet ${cut}` });
          // The answer to LOGOFF is not missed: there is nothing left to lose.
          if (index < last) assert.ok(isCode(error, 'PP_NET_CLOSED', 'PP_SMB_NOT_SPOKEN'), String(error));
        }
      }
    });

    test(`${name}: before each answer, or there is silence`, async () => {
      const lines = readRecord(name);
      const last = answersOf(name).length - 1;
      for (let index = 0; index < last; index++) {
        const reset = await play(name, (frame, at) => (at === index ? 'reset' : [frame]), { lines, what: `reset ${index}` });
        assert.ok(isCode(reset.error, 'PP_NET_CLOSED', 'PP_SMB_NOT_SPOKEN'), `reset ${index}: ${String(reset.error)}`);
        const silent = await play(name, (frame, at) => (at === index ? 'silence' : [frame]), { lines, what: `silence ${index}` });
        // The two answers that nobody waits for are CLOSE of files that were only looked at.
        assert.ok(
          silent.error === undefined || isCode(silent.error, 'PP_NET_TIMEOUT'),
          `silence ${index}: ${String(silent.error)}`,
        );
        // An answer that was promised ("pending") has four times as long.
        assert.ok(silent.ms <= 125_000, `silence ${index} took ${silent.ms} ms`);
      }
    });
  }

  test('by a real socket, after octets of the client and after octets of the server', async (t) => {
    const lines = readRecord('311-signed');
    const sockets = new Set<Socket>();
    let cut = { from: 'client' as 'client' | 'server', after: 0 };
    const listener = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      let [at, heard, told] = [0, 0, 0];
      const framer = new smb.Framer(1 << 20, () => {
        at++;
        while (lines[at]?.from === 'server') {
          const { frame } = lines[at++]!;
          const whole = Buffer.alloc(smb.PREFIX + frame.length);
          whole.writeUInt32BE(frame.length);
          whole.set(frame, smb.PREFIX);
          const left = cut.from === 'server' ? cut.after - told : Infinity;
          told += whole.length;
          if (left < whole.length) {
            socket.write(whole.subarray(0, Math.max(left, 0)), () => socket.resetAndDestroy());
            return;
          }
          socket.write(whole);
        }
      });
      socket.on('data', (chunk: Buffer) => {
        heard += chunk.length;
        if (cut.from === 'client' && heard >= cut.after) return void socket.resetAndDestroy();
        framer.feed(new Uint8Array(chunk));
      });
    }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    });
    const { port } = listener.address() as AddressInfo;
    for (const from of ['client', 'server'] as const) {
      for (let after = 1; after < 4_000; after += 331) {
        cut = { from, after };
        const attempt = smb.connectSmb({ ...recordedOptions('311-signed'), port }).then((session) => walk(session));
        const error = await attempt.then(
          () => assert.fail(`${from} ${after}: it went through`),
          (reason: unknown) => ofCatalogue(reason, `${from} ${after}`),
        );
        assert.ok(isCode(error, 'PP_NET_CLOSED', 'PP_SMB_NOT_SPOKEN', 'PP_NET_REFUSED'), `${from} ${after}: ${String(error)}`);
      }
    }
  });
});

describe('the line is slow', () => {
  for (const name of names) {
    test(`${name}: one octet a second never holds us longer than a request may take`, async () => {
      for (const index of [0, 1, 2, 5, answersOf(name).length - 4]) {
        const clock = new ManualClock();
        let liar: Liar;
        const waiting: number[] = [];
        const drip = (): void => {
          const octet = waiting.shift();
          if (octet === undefined) return;
          clock.after(1_000, drip);
          liar.feed([Uint8Array.of(octet)]);
        };
        const stream = (octets: Bytes, at: number) => {
          if (at < index) return [octets];
          waiting.push(...octets);
          if (at === index) drip();
          return [];
        };
        liar = new Liar(readRecord(name), honest, stream);
        const work = smb.openSession(liar, recordedOptions(name, clock)).then((session) => walk(session));
        const end = await ending(work, clock, { mostMs: 125_000, activity: () => liar.sent.length, what: `${name} ${index}` });
        // The liar hangs up on a CANCEL of what nobody waits for.
        assert.ok(isCode(end.error, 'PP_NET_TIMEOUT', 'PP_NET_CLOSED'), `${name} ${index}: ${String(end.error)}`);
      }
    });
  }
});

describe('the order of answers', () => {
  for (const name of names) {
    test(`${name}: an answer of before, or of later, in place of one`, async () => {
      const lines = readRecord(name);
      const answers = answersOf(name);
      for (let index = 0; index < answers.length - 1; index++) {
        for (const other of isNight ? [index - 1, index - 2, index + 1, index + 3] : [index - 1, index + 1]) {
          const instead = answers[other]?.frame;
          if (!instead || other < 0) continue;
          const what = `${name}: ${other} in place of ${index}`;
          const { error } = await play(name, (frame, at) => [at === index ? instead.slice() : frame], { lines, what });
          assert.ok(isCode(error, 'PP_WIRE_MALFORMED', 'PP_SMB_NOT_PROTECTED', 'PP_NET_CLOSED'), `${what}: ${String(error)}`);
        }
      }
    });
  }
});

const PREFIXES: [what: string, octets: number[]][] = [
  ['no length', [0, 0, 0, 0]],
  ['16 MiB', [0, 0xff, 0xff, 0xff]],
  ['more than a greeting may have', [0, 1, 0, 1]],
  ['another kind of NetBIOS message', [0x83, 0, 0, 1]],
  ['the sign bit', [0x80, 0, 0, 0x40]],
  ['HTTP', [...Buffer.from('HTTP/1.1 400 Bad Request')]],
  ['TLS', [0x15, 0x03, 0x01, 0, 2, 2, 40]],
];

describe('lengths of frames', () => {
  for (const [what, octets] of PREFIXES) {
    test(`${what}: refused before room is made for it`, async () => {
      for (const index of [0, 1, 2, 10]) {
        if (what.startsWith('more') && index > 0) continue;
        const before = process.memoryUsage().arrayBuffers;
        const stream = (frame: Bytes, at: number) => [at === index ? Uint8Array.from(octets) : frame];
        const { error } = await play('311-signed', honest, { stream, what: `${what}, answer ${index}` });
        assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), `${what}, answer ${index}: ${String(error)}`);
        assert.ok(process.memoryUsage().arrayBuffers - before < 8 << 20);
      }
    });
  }
});

const SIGNATURE_AT = 48;

/** keyOf logs on as in the record and gives the key that both sides sign with: in 2.x it is the session key itself. */
async function keyOf(name: RecordName): Promise<Uint8Array> {
  const options = recordedOptions(name);
  let key: (() => Uint8Array) | undefined;
  const credential: typeof options.credential = {
    label: options.credential.label,
    authenticator(o) {
      const inner = options.credential.authenticator(o);
      key = () => inner.sessionKey();
      return inner;
    },
  };
  const liar = new Liar(readRecord(name), honest);
  await walk(await smb.openSession(liar, { ...options, credential }));
  return key!();
}

/** signAll signs each message of a frame; where the chain of them is broken, the whole of it as one. */
function signAll(key: Uint8Array, frame: Bytes): void {
  let at = 0;
  for (;;) {
    const left = frame.length - at;
    const next = new DataView(frame.buffer, frame.byteOffset + at).getUint32(20, true);
    const isChained = next >= 64 && next % 8 === 0 && next + 64 <= left;
    smb.signMessage('HMAC-SHA256', key, frame.subarray(at, isChained ? at + next : frame.length));
    if (!isChained) return;
    at += next;
  }
}

/** Numbers that a liar would write where a length, an offset or a count stands. */
const WIDE = [0, 1, 0x3f, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fff8, 0x0001_0000];

describe('a server that has the key lies under its signature', () => {
  test('in every place of every answer', async () => {
    const name = '202-signed';
    const key = await keyOf(name);
    const lines = readRecord(name);
    const answers = answersOf(name);
    const seed = fuzzSeed();
    const numbers = new Numbers(seed);
    let refused = 0;
    const rounds = isNight ? 20_000 : 300;
    for (let round = 0; round < rounds; round++) {
      const index = 2 + (round % (answers.length - 2));
      const lie: Lie = (frame, at) => {
        if (at !== index) return [frame];
        const view = new DataView(frame.buffer, frame.byteOffset);
        // Fields of messages stand at even places; the header's protocol, flags and signature are somebody else's test.
        const places = [20, 24, 36, 40, ...Array.from({ length: (frame.length - 64) >> 1 }, (_, i) => 64 + 2 * i)];
        const place = numbers.pick(places.filter((one) => one + 4 <= frame.length));
        if (numbers.below(2)) view.setUint32(place, numbers.pick(WIDE), true);
        else view.setUint16(place, numbers.pick(WIDE) & 0xffff, true);
        signAll(key, frame);
        return [frame];
      };
      const { error } = await play(name, lie, { lines, hasKey: true, what: `seed ${seed}, round ${round}, answer ${index}` });
      if (error) refused++;
    }
    assert.ok(refused > rounds / 10, `only ${refused} of ${rounds} were refused`);
  });

  const HEADER: [what: string, at: number, value: bigint, size: 2 | 4 | 8][] = [
    ['another message id', 24, 0x99n, 8],
    ['another session', 40, 0x1234n, 8],
    ['another command', 12, 0x12n, 2],
    ['a request', 16, 8n, 4],
    ['NextCommand into the header', 20, 8n, 4],
    ['NextCommand to itself', 20, 0n, 4],
    ['NextCommand backwards', 20, 0xffff_ffc0n, 4],
    ['NextCommand behind the end', 20, 0x1000n, 4],
    ['a structure size of 0', 4, 0n, 2],
    ['no credits', 14, 0n, 2],
    ['65535 credits', 14, 0xffffn, 2],
    ['a status nobody knows', 8, 0xe123_4567n, 4],
  ];
  for (const [what, at, value, size] of HEADER) {
    test(`in the header: ${what}`, async () => {
      const name = '202-signed';
      const key = await keyOf(name);
      // What CLOSE of a file says that was only looked at is nobody's business.
      const harmless = ['NextCommand to itself', 'no credits', '65535 credits', 'a status nobody knows'].includes(what);
      for (let index = 2; index < answersOf(name).length - 1; index += 5) {
        const lie: Lie = (frame, i) => {
          if (i !== index) return [frame];
          const view = new DataView(frame.buffer, frame.byteOffset);
          if (size === 8) view.setBigUint64(at, value, true);
          else if (size === 4) view.setUint32(at, Number(value), true);
          else view.setUint16(at, Number(value), true);
          signAll(key, frame);
          return [frame];
        };
        const { error } = await play(name, lie, { hasKey: true, what: `${what}, answer ${index}` });
        if (!harmless) assert.ok(error, `${what}, answer ${index}`);
      }
    });
  }

  for (const [what, change] of [
    ['a signature of zeros', (frame: Bytes) => frame.fill(0, SIGNATURE_AT, SIGNATURE_AT + 16)],
    ['no signature', (frame: Bytes) => ((frame[16]! &= ~8), frame.fill(0, SIGNATURE_AT, SIGNATURE_AT + 16))],
    ['the flag gone, the signature there', (frame: Bytes) => ((frame[16]! &= ~8), frame)],
    ['another key', (frame: Bytes) => (signAll(new Uint8Array(16), frame), frame)],
  ] as const) {
    test(`every signed message in turn: ${what}`, async () => {
      for (const name of ['202-signed', '311-signed'] as const) {
        for (let index = 2; index < answersOf(name).length - 1; index += isNight || index < 8 ? 1 : 3) {
          const { error } = await play(name, (frame, at) => [at === index ? change(frame) : frame], { what: `${name} ${index}` });
          // Nobody signs an interim answer, and nothing but time hangs on it.
          const isInterim = smb.Header.decode(answersOf(name)[index]!.frame).status === 0x103;
          assert.ok(isInterim || isCode(error, 'PP_SMB_NOT_PROTECTED'), `${name}, answer ${index}: ${String(error)}`);
        }
      }
    });
  }
});
