import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ending, ofCatalogue } from '#test/liar';
import { countedRandom } from '#test/smb-record';
import { fixedCredential, TinySmb, type Request, type TinyOptions } from '#test/tiny-smb';
import { ManualClock } from '#base/clock';
import { isCode, type Code, type PushpointError } from '#base/errors';
import { silentLog } from '#base/log';
import type { Authenticator, Credential } from '#wire/auth';
import type { Bytes } from '#wire/bytes';
import * as smb from '#wire/smb';
import { STATUS } from '#wire/status';

/** A server that lies before anything is protected, one lie at a time; what was not offered is not taken, whoever offers it. */

const { COMMAND, FLAG, DIALECT } = smb;

interface Met {
  error: PushpointError | undefined;
  server: TinySmb;
}

/** met greets a server and opens a share there. Nothing of it may outlast its phase or leave the line open. */
async function met(what: string, tiny: TinyOptions, more: Partial<smb.SmbOptions> = {}): Promise<Met> {
  const clock = new ManualClock();
  const server = new TinySmb(tiny);
  const common = { host: 'TINY', address: '127.0.0.1', credential: fixedCredential(), clock, random: countedRandom() };
  const work = smb.openSession(server, { ...common, log: silentLog, ...more }).then((session) => session.tree('ADMIN$'));
  const { error } = await ending(work, clock, { mostMs: 125_000, activity: () => server.heard.length, what });
  if (error) assert.ok(server.isClosed || isCode(error, 'PP_SMB_NO_ENCRYPTION'), `${what}: the line is left open`);
  return { error: error ? ofCatalogue(error, what) : undefined, server };
}

const on =
  (command: number, act: (request: Request, server: TinySmb) => void): NonNullable<TinyOptions['handle']> =>
  (request, server) => {
    if (request.message.header.command !== command) return false;
    act(request, server);
    return true;
  };

type Context = smb.NegotiateResponse['contexts'][number];
const PREAUTH = smb.packContexts({ preauth: { hashes: [1], salt: new Uint8Array(32) } })[0]!;
const cipher = (...ids: number[]): Context => smb.packContexts({ ciphers: ids })[0]!;
const signing = (...ids: number[]): Context => smb.packContexts({ signings: ids })[0]!;

const greeting = (contexts: Context[], more: Partial<smb.NegotiateResponse> = {}) =>
  on(COMMAND.NEGOTIATE, (request, server) =>
    server.deliver(
      server.reply(request, smb.NegotiateResponse, {
        securityMode: 3,
        dialect: DIALECT.SMB311,
        serverGuid: new Uint8Array(16),
        capabilities: smb.CAPABILITY.LARGE_MTU,
        maxTransactSize: 1 << 20,
        maxReadSize: 1 << 20,
        maxWriteSize: 1 << 20,
        systemTime: 0n,
        serverStartTime: 0n,
        token: new Uint8Array(0),
        contexts,
        ...more,
      }),
    ),
  );

describe('what was agreed on', () => {
  const GMAC = signing(2);
  const rows: [what: string, contexts: Context[], more?: Partial<smb.SmbOptions>][] = [
    ['nothing at all', []],
    ['no hash', [cipher(2), GMAC]],
    [
      'a hash that nobody knows',
      [{ ...PREAUTH, data: Uint8Array.from(PREAUTH.data, (octet, i) => (i === 4 ? 9 : octet)) }, GMAC],
    ],
    ['two hashes', [smb.packContexts({ preauth: { hashes: [1, 1], salt: new Uint8Array(32) } })[0]!, GMAC]],
    ['two ciphers', [PREAUTH, cipher(2, 1), GMAC]],
    ['a cipher nobody knows', [PREAUTH, cipher(77), GMAC]],
    ['a cipher that was not offered', [PREAUTH, cipher(3), GMAC], { ciphers: ['AES-128-GCM'] }],
    ['a cipher where none was offered', [PREAUTH, cipher(2), GMAC], { encryption: 'off' }],
    ['two ways to sign', [PREAUTH, signing(2, 1)]],
    ['a way to sign nobody knows', [PREAUTH, signing(9)]],
    ['a way to sign that was not offered', [PREAUTH, signing(0)], { signings: ['AES-GMAC'] }],
    ['the hash twice', [PREAUTH, PREAUTH, GMAC]],
    ['the cipher twice', [PREAUTH, cipher(2), cipher(1), GMAC]],
    ['the way to sign twice', [PREAUTH, cipher(2), GMAC, signing(0)]],
    ['33 contexts', [PREAUTH, ...Array.from({ length: 32 }, () => ({ type: 0x4fff, data: new Uint8Array(1) }))]],
    ['a context that is longer than the message', [PREAUTH, { type: 2, data: Uint8Array.of(0xff, 0xff, 2, 0) }]],
  ];
  for (const [what, contexts, more] of rows) {
    test(`${what}: no logon is begun`, async () => {
      const { error, server } = await met(what, { handle: greeting(contexts) }, more);
      assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), String(error));
      assert.deepEqual(
        server.heard.map(({ command }) => command),
        [COMMAND.NEGOTIATE],
      );
    });
  }

  test('sizes that no server may name', async () => {
    for (const field of ['maxTransactSize', 'maxReadSize', 'maxWriteSize'])
      for (const size of [0, 1, 65_535]) {
        const { error } = await met(field, { handle: greeting([PREAUTH, GMAC], { [field]: size }) });
        assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), `${field} ${size}: ${String(error)}`);
      }
  });

  test('every dialect that was not offered, also with the rest right', async () => {
    const dialects = [DIALECT.SMB311];
    for (const dialect of [
      0,
      0x100,
      DIALECT.SMB202,
      DIALECT.SMB210,
      DIALECT.SMB300,
      DIALECT.SMB302,
      0x310,
      0x312,
      0x2ff,
      0xffff,
    ]) {
      const { error, server } = await met('dialect', { handle: greeting([PREAUTH, GMAC], { dialect }) }, { dialects });
      assert.ok(isCode(error, 'PP_SMB_DIALECT', 'PP_WIRE_MALFORMED'), `0x${dialect.toString(16)}: ${String(error)}`);
      assert.equal(server.heard.length, 1);
    }
  });

  test('contexts taken away on the line are missed at the end of the logon, as is a salt that was changed', async () => {
    const rows: [string, (context: Context) => Context[]][] = [
      ['the cipher', (one) => (one.type === 2 ? [] : [one])],
      ['the way to sign', (one) => (one.type === 8 ? [] : [one])],
      [
        'the salt',
        (one) => (one.type === 1 ? [{ ...one, data: Uint8Array.from(one.data, (octet, i) => (i > 8 ? 7 : octet)) }] : [one]),
      ],
    ];
    for (const [what, change] of rows) {
      const server = new TinySmb({ cipher: 'AES-128-GCM' });
      const deliver = server.deliver.bind(server);
      server.deliver = (frame: Bytes) => {
        const header = smb.Header.decode(frame);
        if (header.command !== COMMAND.NEGOTIATE) return deliver(frame);
        const value = smb.decodeBody({ header, octets: frame }, smb.NegotiateResponse);
        deliver(smb.encodeMessage(header, smb.NegotiateResponse, { ...value, contexts: value.contexts.flatMap(change) }));
      };
      const clock = new ManualClock();
      const options = { host: 'TINY', address: '127.0.0.1', credential: fixedCredential(), clock, random: countedRandom() };
      const { error } = await ending(smb.openSession(server, { ...options, log: silentLog }), clock, {
        mostMs: 1,
        activity: () => server.heard.length,
        what,
      });
      assert.ok(isCode(error, 'PP_SMB_NOT_PROTECTED'), `${what}: ${String(error)}`);
    }
  });
});

/** endlessCredential always has one more word to say: what ends such a logon is not the mechanism. */
function endlessCredential(): Credential {
  const authenticator: Authenticator = {
    mechanism: 'ntlm',
    peer: {},
    start: async () => Uint8Array.of(1),
    next: async () => Uint8Array.of(1),
    sessionKey: () => new Uint8Array(16),
  };
  return { label: 'TINY\\endless', authenticator: () => authenticator };
}

describe('the logon', () => {
  const legs = (sessionId: (leg: number) => bigint) => {
    let leg = 0;
    return on(COMMAND.SESSION_SETUP, (request, server) => {
      const value = { sessionFlags: 0, token: Uint8Array.of(1) };
      const more = { status: STATUS.MORE_PROCESSING_REQUIRED, sessionId: sessionId(leg++) };
      server.deliver(server.reply(request, smb.SessionSetupResponse, value, more));
    });
  };
  const credential = endlessCredential();

  test('always one leg more, from both sides: a handful and no more', async () => {
    const { error, server } = await met('legs', { handle: legs(() => 5n) }, { credential });
    assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), String(error));
    assert.ok(server.heard.length <= 9, `${server.heard.length} requests`);
  });

  test('no session, and another session from one leg to the next', async () => {
    const none = await met('none', { handle: legs(() => 0n) }, { credential });
    assert.ok(isCode(none.error, 'PP_WIRE_MALFORMED'), String(none.error));
    assert.equal(none.server.heard.length, 2, 'nothing was said to a session of nobody');
    const other = await met('other', { handle: legs((leg) => BigInt(5 + leg)) }, { credential });
    assert.ok(isCode(other.error, 'PP_WIRE_MALFORMED'), String(other.error));
    assert.equal(other.server.heard.length, 3);
  });

  test('the session or a share wants to be encrypted where no cipher was agreed on', async () => {
    const session = await met('session', { sessionFlags: smb.SESSION_FLAG.ENCRYPT_DATA });
    assert.ok(isCode(session.error, 'PP_SMB_NO_ENCRYPTION'), String(session.error));
    const share = await met('share', { shareFlags: smb.SHARE_FLAG.ENCRYPT_DATA });
    assert.ok(isCode(share.error, 'PP_SMB_NO_ENCRYPTION'), String(share.error));
  });

  test('two answers to one leg of it', async () => {
    const twice = on(COMMAND.SESSION_SETUP, (request, server) => {
      const value = { sessionFlags: 0, token: Uint8Array.of(1) };
      const more = { status: STATUS.MORE_PROCESSING_REQUIRED, sessionId: 5n };
      const octets = server.reply(request, smb.SessionSetupResponse, value, more);
      server.deliver(octets.slice());
      server.deliver(octets.slice());
    });
    const { error } = await met('twice', { handle: twice }, { credential });
    assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), String(error));
  });
});

describe('the question whether the greeting was the one that both sides know', () => {
  const old: TinyOptions[] = [
    { dialect: DIALECT.SMB202, signing: 'HMAC-SHA256' },
    { dialect: DIALECT.SMB210, signing: 'HMAC-SHA256' },
    { dialect: DIALECT.SMB300, signing: 'AES-CMAC' },
    { dialect: DIALECT.SMB302, signing: 'AES-CMAC' },
  ];
  for (const tiny of old) {
    const { dialect } = tiny;
    const name = `0x${dialect!.toString(16)}`;
    const asked = (act: (request: Request, server: TinySmb) => void) => ({ ...tiny, handle: on(COMMAND.IOCTL, act) });

    test(`${name}: it is asked, under the signature, before anything else`, async () => {
      let count = 0;
      const { server } = await met(
        name,
        asked((request, one) => {
          count++;
          assert.ok(request.message.header.flags & FLAG.SIGNED);
          one.deliver(one.protect(one.error(request, STATUS.ACCESS_DENIED)));
        }),
      );
      assert.equal(count, 1);
      assert.deepEqual(
        server.heard.slice(-2).map(({ command }) => command),
        [COMMAND.TREE_CONNECT, COMMAND.IOCTL],
      );
    });

    const errors: [status: number, ...codes: Code[]][] = [
      [STATUS.ACCESS_DENIED, 'PP_SMB_DOWNGRADED'],
      [STATUS.INVALID_PARAMETER, 'PP_SMB_DOWNGRADED'],
      [STATUS.BUFFER_OVERFLOW, 'PP_SMB_DOWNGRADED'],
      [0xc0ff_ffff, 'PP_SMB_DOWNGRADED'],
    ];
    test(`${name}: an error is no answer to it`, async () => {
      for (const [status, ...codes] of errors) {
        const { error } = await met(
          name,
          asked((request, one) => one.deliver(one.protect(one.error(request, status)))),
        );
        assert.ok(isCode(error, ...codes), `0x${status.toString(16)}: ${String(error)}`);
      }
    });

    test(`${name}: "I do not know that question" counts only under the signature, and from nobody above 2.1`, async () => {
      for (const status of [STATUS.FILE_CLOSED, STATUS.INVALID_DEVICE_REQUEST, STATUS.NOT_SUPPORTED]) {
        const bare = await met(
          name,
          asked((request, one) => one.deliver(one.error(request, status))),
        );
        assert.ok(isCode(bare.error, 'PP_SMB_NOT_PROTECTED'), String(bare.error));
        const sure = await met(
          name,
          asked((request, one) => one.deliver(one.protect(one.error(request, status)))),
        );
        if (dialect! >= DIALECT.SMB300) assert.ok(isCode(sure.error, 'PP_SMB_DOWNGRADED'), String(sure.error));
        else assert.equal(sure.error, undefined);
      }
    });

    test(`${name}: silence, and an answer that is cut`, async () => {
      const silent = await met(
        name,
        asked(() => {}),
      );
      assert.ok(isCode(silent.error, 'PP_NET_TIMEOUT'), String(silent.error));
      const cut = await met(
        name,
        asked((request, one) => {
          const { ctlCode, fileId } = smb.decodeBody(request.message, smb.IoctlRequest);
          const value = { ctlCode, fileId, flags: 0, input: new Uint8Array(0), output: new Uint8Array(23) };
          one.deliver(one.protect(one.reply(request, smb.IoctlResponse, value)));
        }),
      );
      assert.ok(isCode(cut.error, 'PP_WIRE_MALFORMED'), String(cut.error));
    });
  }
});
