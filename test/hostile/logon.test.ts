import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startLabSmb, type LabSmb } from '#test/lab-smb';
import { assertNoSecret, ofCatalogue } from '#test/liar';
import { systemClock } from '#base/clock';
import { isCode, type Code, type PushpointError } from '#base/errors';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { Challenge, decodeToken, encodeResponse, ntlmCredential } from '#wire/auth';
import { concat, toHex, toUtf16, type Bytes } from '#wire/bytes';
import * as smb from '#wire/smb';
import { STATUS } from '#wire/status';
import { connectTcp } from '#wire/tcp';

/** Somebody between us and a real logon with NTLM: what they change is noticed, and they learn nothing. */

const { COMMAND, FLAG } = smb;
const ACCOUNT = { username: 'administrator', domain: 'LAB1', password: 'Admin-Only-1!' };
/** Nothing here is waited for longer than this. */
const SHORT = { connectMs: 2_000, negotiateMs: 2_000, logonMs: 2_000, operationMs: 2_000 };

/** Meddler sits on the line: it may change each frame of either side, or hold it back. */
class Meddler implements smb.Transport {
  readonly sent: Bytes[] = [];
  readonly #inner: smb.SocketTransport;
  readonly #fromServer: (frame: Bytes, index: number) => Bytes[];
  readonly #fromClient: (frame: Bytes, index: number) => Bytes;
  #heard = 0;

  constructor(inner: smb.SocketTransport, o: Meddling) {
    this.#inner = inner;
    this.#fromServer = o.fromServer ?? ((frame) => [frame]);
    this.#fromClient = o.fromClient ?? ((frame) => frame);
  }
  get address(): string {
    return this.#inner.address;
  }
  get port(): number {
    return this.#inner.port;
  }
  get limit(): number {
    return this.#inner.limit;
  }
  set limit(value: number) {
    this.#inner.limit = value;
  }
  open(events: smb.TransportEvents): void {
    this.#inner.open({
      closed: (error) => events.closed(error),
      frame: (frame) => {
        for (const one of this.#fromServer(frame.slice(), this.#heard++)) events.frame(one);
      },
    });
  }
  send(parts: readonly Bytes[]): void {
    const octets = concat(...parts);
    const frame = octets.slice(smb.PREFIX);
    const changed = this.#fromClient(frame, this.sent.length);
    this.sent.push(octets.slice(smb.PREFIX));
    const out = new Uint8Array(smb.PREFIX + changed.length);
    out.set(changed, smb.PREFIX);
    this.#inner.send([out]);
  }
  close(gently?: boolean): void {
    this.#inner.close(gently);
  }
}

interface Meddling {
  fromServer?: (frame: Bytes, index: number) => Bytes[];
  fromClient?: (frame: Bytes, index: number) => Bytes;
}

async function meddled(lab: LabSmb, what: string, o: Meddling, more: Partial<smb.SmbOptions> = {}) {
  const { address, port } = lab;
  const socket = await connectTcp({ address, port, timeoutMs: 2_000, clock: systemClock });
  const line = new Meddler(new smb.SocketTransport(socket, address, port, 1 << 20), o);
  const credential = ntlmCredential({ ...ACCOUNT, clock: systemClock, random: systemRandom });
  const options = {
    host: 'LAB1',
    address,
    credential,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    timeouts: SHORT,
  };
  let error: PushpointError | undefined;
  try {
    const session = await smb.openSession(line, { ...options, ...more });
    const admin = await session.tree('ADMIN$');
    await admin.writeFile('x.bin', new Uint8Array(5_000));
    await admin.list('');
    await session.echo();
    await session.logoff();
  } catch (thrown) {
    error = ofCatalogue(thrown, what);
  } finally {
    line.close();
  }
  assertNoSecret(what, { octets: line.sent, error: error ?? new Error('none') }, ACCOUNT);
  return { error, sent: line.sent };
}

const is = (frame: Bytes, command: number) => frame[0] === 0xfe && smb.Header.decode(frame).command === command;
const body = (frame: Bytes) => new DataView(frame.buffer, frame.byteOffset + smb.HEADER_SIZE);
const isFinal = (frame: Bytes) => is(frame, COMMAND.SESSION_SETUP) && smb.Header.decode(frame).status === STATUS.SUCCESS;

/** One lie on the line, once; it must end in one of the codes. */
const lies: [what: string, Meddling, ...codes: Code[]][] = [
  [
    'the last word of the logon without a signature',
    { fromServer: (f) => (isFinal(f) ? [((f[16]! &= ~FLAG.SIGNED), f)] : [f]) },
    'PP_SMB_NOT_PROTECTED',
  ],
  [
    'the last word with a signature of zeros',
    { fromServer: (f) => [isFinal(f) ? f.fill(0, 48, 64) : f] },
    'PP_SMB_NOT_PROTECTED',
  ],
  [
    'a guest',
    { fromServer: (f) => (isFinal(f) ? [(body(f).setUint16(2, smb.SESSION_FLAG.IS_GUEST, true), f)] : [f]) },
    'PP_LOGON_GUEST',
  ],
  [
    'nobody',
    { fromServer: (f) => (isFinal(f) ? [(body(f).setUint16(2, smb.SESSION_FLAG.IS_NULL, true), f)] : [f]) },
    'PP_LOGON_GUEST',
  ],
  [
    'the flag that asks for encryption added',
    { fromServer: (f) => (isFinal(f) ? [(body(f).setUint16(2, smb.SESSION_FLAG.ENCRYPT_DATA, true), f)] : [f]) },
    'PP_SMB_NOT_PROTECTED',
  ],
  ['another session id', { fromServer: (f) => (isFinal(f) ? [((f[40]! ^= 1), f)] : [f]) }, 'PP_SMB_NOT_PROTECTED'],
  [
    'success instead of a challenge',
    { fromServer: (f, i) => (i === 1 ? [(new DataView(f.buffer, f.byteOffset).setUint32(8, 0, true), f)] : [f]) },
    'PP_AUTH_INCOMPLETE',
    'PP_SMB_NOT_PROTECTED',
  ],
  ['our greeting without encryption', { fromClient: (f, i) => (i === 0 ? withoutContext(f, 2) : f) }, 'PP_SMB_NOT_PROTECTED'],
  ['our greeting without signing', { fromClient: (f, i) => (i === 0 ? withoutContext(f, 8) : f) }, 'PP_SMB_NOT_PROTECTED'],
  [
    'our greeting without 3.1.1',
    { fromClient: (f, i) => (i === 0 ? withDialects(f, [0x302, 0x302, 0x302, 0x302, 0x302]) : f) },
    'PP_SMB_DOWNGRADED',
    'PP_NET_CLOSED',
    'PP_SMB_NOT_PROTECTED',
  ],
  [
    'our greeting with nothing above 2.1',
    { fromClient: (f, i) => (i === 0 ? withDialects(f, [0x202, 0x202, 0x210, 0x210, 0x210]) : f) },
    'PP_SMB_DOWNGRADED',
    'PP_NET_CLOSED',
    'PP_SMB_NOT_PROTECTED',
  ],
  [
    'the greeting answered with 2.1',
    { fromServer: (f, i) => (i === 0 ? [(body(f).setUint16(4, 0x210, true), f)] : [f]) },
    'PP_SMB_NOT_PROTECTED',
  ],
  [
    'the greeting answered with a dialect that was not offered',
    { fromServer: (f, i) => (i === 0 ? [(body(f).setUint16(4, 0x2ff, true), f)] : [f]) },
    'PP_SMB_DIALECT',
  ],
  [
    'a larger greeting than there is',
    { fromServer: (f, i) => (i === 0 ? [(body(f).setUint32(60, 0xffff_fff0, true), f)] : [f]) },
    'PP_WIRE_MALFORMED',
  ],
];

/** withDialects writes others into our greeting, as many as there were. */
function withDialects(frame: Bytes, dialects: number[]): Bytes {
  dialects.forEach((dialect, i) => body(frame).setUint16(36 + 2 * i, dialect, true));
  return frame;
}

/** withoutContext turns a context of our greeting into one of a type that nobody knows. */
function withoutContext(frame: Bytes, type: number): Bytes {
  const view = new DataView(frame.buffer, frame.byteOffset);
  let at = body(frame).getUint32(28, true);
  for (let left = body(frame).getUint16(32, true); left > 0; left--) {
    if (view.getUint16(at, true) === type) view.setUint16(at, 0x4fff, true);
    at += 8 + view.getUint16(at + 2, true);
    at += (8 - (at % 8)) % 8;
  }
  return frame;
}

describe('a logon with somebody on the line', () => {
  test('nobody meddles', async (t) => {
    assert.equal((await meddled(await startLabSmb(t), 'honest', {})).error, undefined);
  });

  for (const [what, meddling, ...codes] of lies) {
    test(what, async (t) => {
      const { error } = await meddled(await startLabSmb(t), what, meddling);
      assert.ok(isCode(error, ...codes), String(error));
    });
  }

  for (const encryption of ['off', 'offered'] as const) {
    test(`after the logon each message unprotected, in turn; encryption ${encryption}`, async (t) => {
      const lab = await startLabSmb(t);
      // Behind these comes the answer to LOGOFF, of which nothing hangs any more.
      for (let index = 3; index < 7; index++) {
        let isDone = false;
        const fromServer = (frame: Bytes, at: number) => {
          if (at !== index) return [frame];
          isDone = true;
          if (frame[0] === 0xfd) frame.set([0xfe, 0x53, 0x4d, 0x42, 64, 0]);
          else frame[16]! &= ~FLAG.SIGNED;
          return [frame];
        };
        const { error } = await meddled(lab, `message ${index}`, { fromServer }, { encryption });
        if (isDone) assert.ok(error && isCode(error, 'PP_SMB_NOT_PROTECTED', 'PP_WIRE_MALFORMED'), `${index}: ${String(error)}`);
        else assert.fail(`there was no message ${index}`);
      }
    });
  }
});

/** named writes another name into the challenge; the NTLM message keeps its length. */
function named(frame: Bytes, from: string, to: string): Bytes {
  const [old, now] = [toUtf16(from), toUtf16(to)];
  for (let at = 0; at + old.length <= frame.length; at++) {
    if (toHex(frame.subarray(at, at + old.length)) === toHex(old)) frame.set(now, at);
  }
  return frame;
}

const NONE = new Uint8Array(0);

/** paired writes other target information into the challenge, with every length around it right. */
function paired(frame: Bytes, change: (pairs: Challenge['targetInfo']) => Challenge['targetInfo']): Bytes {
  const message = { header: smb.Header.decode(frame), octets: frame };
  const value = smb.decodeBody(message, smb.SessionSetupResponse);
  const token = decodeToken(value.token);
  assert.ok(token.kind === 'response');
  const challenge = Challenge.decode(token.token!);
  const inner = Challenge.encode({ ...challenge, targetInfo: change(challenge.targetInfo) });
  const other = { ...value, token: encodeResponse({ ...token, token: inner }) };
  return smb.encodeMessage(message.header, smb.SessionSetupResponse, other);
}

describe('the machine that answers is another one', () => {
  const challenges: [what: string, change: (frame: Bytes) => Bytes, ...codes: Code[]][] = [
    ['another name', (f) => named(named(f, 'LAB1', 'EVIL'), 'lab1', 'evil'), 'PP_LOGON_WRONG_HOST'],
    ['a name with a line break', (f) => named(f, 'LAB1', 'LA\n1'), 'PP_WIRE_MALFORMED'],
    ['a name with a NUL', (f) => named(f, 'lab1', 'lab\0'), 'PP_WIRE_MALFORMED'],
    ['a name that is written backwards', (f) => named(f, 'LAB1', '\u202e1BA'), 'PP_WIRE_MALFORMED'],
    ['a name with a letter that is not seen', (f) => named(f, 'LAB1', 'LA\u200b1'), 'PP_WIRE_MALFORMED'],
    ['half a character', (f) => named(f, 'lab1', 'la\ud8001'), 'PP_WIRE_MALFORMED'],
    [
      'a letter that only looks the same',
      (f) => named(named(f, 'LAB1', 'L\u0410B1'), 'lab1', 'l\u0430b1'),
      'PP_LOGON_WRONG_HOST',
    ],
    ['no names at all', (f) => paired(f, (pairs) => pairs.filter(({ id }) => id > 5)), 'PP_LOGON_WRONG_HOST'],
    [
      'names of no letters',
      (f) => paired(f, (pairs) => pairs.map((p) => (p.id > 5 ? p : { ...p, value: NONE }))),
      'PP_LOGON_WRONG_HOST',
    ],
    [
      'the names of its domain only',
      (f) => paired(f, (pairs) => pairs.filter(({ id }) => id !== 1 && id !== 3)),
      'PP_LOGON_WRONG_HOST',
    ],
    [
      'the wanted name, and another one behind it',
      (f) => paired(f, (pairs) => [...pairs, pairs.find(({ id }) => id === 3)!]),
      'PP_WIRE_MALFORMED',
    ],
    ['the time twice', (f) => paired(f, (pairs) => [...pairs, pairs.find(({ id }) => id === 7)!]), 'PP_WIRE_MALFORMED'],
    [
      'a time of three octets',
      (f) => paired(f, (pairs) => pairs.map((p) => (p.id === 7 ? { ...p, value: new Uint8Array(3) } : p))),
      'PP_WIRE_MALFORMED',
    ],
    [
      'a list of 5,000 pairs',
      (f) => paired(f, (pairs) => [...Array.from({ length: 5_000 }, (_, i) => ({ id: 100 + i, value: NONE })), ...pairs]),
      'PP_WIRE_MALFORMED',
    ],
    [
      'a name of 20,000 letters',
      (f) => paired(f, (pairs) => pairs.map((p) => (p.id === 3 ? { ...p, value: new Uint8Array(15_000).fill(0x61) } : p))),
      'PP_WIRE_MALFORMED',
    ],
  ];
  for (const [what, change, ...codes] of challenges) {
    test(`${what}: after the challenge nothing is sent at all`, async (t) => {
      const fromServer = (frame: Bytes, at: number) => [at === 1 ? change(frame) : frame];
      const { error, sent } = await meddled(await startLabSmb(t), what, { fromServer });
      assert.ok(isCode(error, ...codes), String(error));
      assert.equal(sent.length, 2, 'the greeting and the first word of the logon');
      assert.deepEqual(
        sent.map((frame) => smb.Header.decode(frame).command),
        [COMMAND.NEGOTIATE, COMMAND.SESSION_SETUP],
      );
    });
  }

  test('a challenge that asks for NTLMv1 or weak keys gets no answer', async (t) => {
    const lab = await startLabSmb(t);
    for (const flag of [0x0008_0000, 0x2000_0000, 0x4000_0000, 0x10, 0x1]) {
      const fromServer = (frame: Bytes, at: number) => {
        if (at !== 1) return [frame];
        const message = { header: smb.Header.decode(frame), octets: frame };
        const value = smb.decodeBody(message, smb.SessionSetupResponse);
        const token = decodeToken(value.token);
        const inner = token.token!.slice();
        assert.ok(Challenge.decode(inner).flags & flag);
        const view = new DataView(inner.buffer);
        view.setUint32(20, (view.getUint32(20, true) & ~flag) >>> 0, true);
        const weak = { ...value, token: encodeResponse({ ...token, token: inner }) };
        return [smb.encodeMessage(message.header, smb.SessionSetupResponse, weak)];
      };
      const { error, sent } = await meddled(lab, `flag ${flag}`, { fromServer });
      assert.ok(isCode(error, 'PP_AUTH_WEAK'), `${flag.toString(16)}: ${String(error)}`);
      assert.equal(sent.length, 2);
    }
  });
});
