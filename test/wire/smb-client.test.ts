import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { countedRandom } from '#test/smb-record';
import { fixedCredential, TinySmb, type TinyOptions } from '#test/tiny-smb';
import { ManualClock } from '#base/clock';
import { isCode, type Code } from '#base/errors';
import { silentLog } from '#base/log';
import { concat, toUtf16, type Bytes } from '#wire/bytes';
import * as smb from '#wire/smb';
import { STATUS } from '#wire/status';

const { COMMAND, FLAG } = smb;

interface Set {
  server: TinySmb;
  clock: ManualClock;
  options: smb.SmbOptions;
}

function set(tiny: TinyOptions = {}, more: Partial<smb.SmbOptions> = {}): Set {
  const clock = new ManualClock();
  const options = {
    host: 'TINY',
    address: '127.0.0.1',
    credential: fixedCredential(),
    clock,
    random: countedRandom(),
    log: silentLog,
    ...more,
  };
  return { server: new TinySmb(tiny), clock, options };
}

async function session(tiny: TinyOptions = {}, more: Partial<smb.SmbOptions> = {}) {
  const one = set(tiny, more);
  return { ...one, session: await smb.openSession(one.server, one.options) };
}

async function tree(tiny: TinyOptions = {}, more: Partial<smb.SmbOptions> = {}) {
  const one = await session(tiny, more);
  return { ...one, tree: await one.session.tree('ADMIN$') };
}

const as =
  (...codes: Code[]) =>
  (error: unknown) =>
    isCode(error, ...codes) || assert.fail(`${codes.join()} wanted, not ${error instanceof Error ? error.stack : String(error)}`);

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
}

const is = (command: number) => (request: { message: smb.Message }) => request.message.header.command === command;

describe('SMB credits', () => {
  const one = { grants: (request: smb.Header) => Math.max(1, request.creditCharge) };

  test('a server that never grants more than it took: large files go in small chunks, calls wait in line', async () => {
    const { tree: admin, server, session: s } = await tree(one);
    const data = Uint8Array.from({ length: 300_000 }, (_, i) => i % 253);
    await admin.writeFile('big', data);
    assert.deepEqual(server.files.get('big'), data);
    assert.deepEqual(await admin.readFile('big', { maxBytes: 300_000 }), data);
    const writes = server.heard.filter((header) => header.command === COMMAND.WRITE);
    assert.deepEqual(
      writes.map((header) => header.creditCharge),
      [1, 1, 1, 1, 1],
    );
    await Promise.all(Array.from({ length: 20 }, () => s.echo()));
    await s.logoff();
  });

  test('with room, a file goes in large chunks that pay by size, and ids move on by what was paid', async () => {
    const { tree: admin, server } = await tree();
    await admin.writeFile('big', new Uint8Array(2 << 20));
    const writes = server.heard.filter((header) => header.command === COMMAND.WRITE);
    assert.deepEqual(
      writes.map((header) => header.creditCharge),
      [8, 8, 8, 8],
    );
    for (let i = 1; i < writes.length; i++) assert.equal(writes[i]!.messageId - writes[i - 1]!.messageId, 8n);
  });

  test('2.0.2 has no charges', async () => {
    const { tree: admin, server } = await tree({ dialect: 0x202, signing: 'HMAC-SHA256' }, { dialects: [0x202] });
    await admin.writeFile('big', new Uint8Array(150_000));
    const writes = server.heard.filter((header) => header.command === COMMAND.WRITE);
    assert.deepEqual(
      writes.map((header) => [header.creditCharge, header.messageId - writes[0]!.messageId]),
      [
        [0, 0n],
        [0, 1n],
        [0, 2n],
      ],
    );
  });

  test('a server that grants nothing any more: the call ends in its time', async () => {
    const { clock, session: s } = await session({ grants: (request) => (request.command === COMMAND.ECHO ? 0 : 1) });
    await s.echo();
    const waiting = assert.rejects(s.echo(), as('PP_NET_TIMEOUT'));
    await clock.advance(30_000);
    await waiting;
  });
});

describe('SMB time limits', () => {
  test('a silent server: negotiating, logging on and an operation each have their own', async () => {
    const timeouts = { negotiateMs: 100, logonMs: 2_000, operationMs: 30_000 };
    for (const [command, ms] of [[COMMAND.NEGOTIATE, 100] as const, [COMMAND.SESSION_SETUP, 2_000] as const]) {
      const { server, clock, options } = set({ handle: is(command) }, { timeouts });
      const attempt = assert.rejects(smb.openSession(server, options), (error) => {
        assert.ok(isCode(error, 'PP_NET_TIMEOUT'));
        assert.equal(error.params['ms'], ms);
        return true;
      });
      await settle();
      await clock.advance(ms);
      await attempt;
      assert.ok(server.isClosed);
    }
  });

  test('an operation given up is cancelled, its late answer is taken, the session lives on', async () => {
    let held: Parameters<NonNullable<TinyOptions['handle']>>[0] | undefined;
    const {
      server,
      clock,
      tree: admin,
      session: s,
    } = await tree({
      handle: (request) => {
        if (held || !is(COMMAND.CREATE)(request)) return false;
        held = request;
        return true;
      },
    });
    const waiting = assert.rejects(admin.stat('x'), as('PP_NET_TIMEOUT'));
    await settle();
    await clock.advance(30_000);
    await waiting;
    await settle();
    const cancel = server.heard.at(-1)!;
    assert.deepEqual([cancel.command, cancel.messageId], [COMMAND.CANCEL, held!.message.header.messageId]);
    server.answer(held!);
    await s.echo();
    assert.ok(await admin.stat('x'));
  });

  test('"the answer comes later" prolongs an operation, but not for ever; the CANCEL names the async id', async () => {
    let asked = 0;
    const {
      server,
      clock,
      tree: admin,
    } = await tree({
      handle: (request, tiny) => {
        if (!is(COMMAND.CREATE)(request)) return false;
        asked++;
        tiny.deliver(tiny.error(request, STATUS.PENDING, { flags: FLAG.ASYNC_COMMAND, asyncId: 77n }));
        return true;
      },
    });
    let isOver = false;
    const waiting = assert.rejects(admin.stat('x'), as('PP_NET_TIMEOUT')).finally(() => (isOver = true));
    await settle();
    assert.equal(asked, 1);
    await clock.advance(119_000);
    assert.equal(isOver, false, 'it is longer than the 30 s of an operation');
    await clock.advance(1_000);
    await settle();
    assert.equal(isOver, true, 'four times as long is the bound');
    await waiting;
    const cancel = server.heard.at(-1)!;
    assert.deepEqual(
      [cancel.command, cancel.flags & FLAG.ASYNC_COMMAND, cancel.asyncId],
      [COMMAND.CANCEL, FLAG.ASYNC_COMMAND, 77n],
    );
  });

  test('a signal cancels what is under way and hangs up', async () => {
    const stop = new AbortController();
    const { server, tree: admin } = await tree({ handle: is(COMMAND.CREATE) }, { signal: stop.signal });
    const waiting = assert.rejects(admin.stat('x'), /enough/);
    await settle();
    stop.abort(new Error('enough'));
    await waiting;
    await assert.rejects(admin.stat('y'), /enough/);
    assert.ok(server.isClosed);
  });
});

type Handle = NonNullable<TinyOptions['handle']>;

/** The server handles the first CREATE as told; everything else as it should. */
function onCreate(act: (request: Parameters<Handle>[0], server: TinySmb) => void): TinyOptions {
  let isDone = false;
  return {
    handle: (request, server) => {
      if (isDone || !is(COMMAND.CREATE)(request)) return false;
      isDone = true;
      act(request, server);
      return true;
    },
  };
}

const SEALED: TinyOptions = { cipher: 'AES-128-GCM' };

describe('SMB answers that are not as they must be', () => {
  const cases: [what: string, Code, TinyOptions, (request: Parameters<Handle>[0], server: TinySmb) => void][] = [
    ['unsigned', 'PP_SMB_NOT_PROTECTED', {}, (request, server) => server.deliver(server.respond(request))],
    [
      'unsigned, saying that the session is gone',
      'PP_SMB_NOT_PROTECTED',
      {},
      (request, server) => server.deliver(server.error(request, STATUS.USER_SESSION_DELETED)),
    ],
    [
      'in clear, signed, though the session is encrypted',
      'PP_SMB_NOT_PROTECTED',
      SEALED,
      (request, server) => server.deliver(server.protect(server.respond(request), false)),
    ],
    [
      'an interim one in clear though the session is encrypted',
      'PP_SMB_NOT_PROTECTED',
      SEALED,
      (request, server) => server.deliver(server.error(request, STATUS.PENDING, { flags: FLAG.ASYNC_COMMAND, asyncId: 1n })),
    ],
    [
      'pending, unsigned, without being asynchronous',
      'PP_SMB_NOT_PROTECTED',
      {},
      (request, server) => server.deliver(server.error(request, STATUS.PENDING)),
    ],
    [
      'of another session',
      'PP_SMB_NOT_PROTECTED',
      {},
      (request, server) => server.deliver(server.protect(server.error(request, STATUS.ACCESS_DENIED, { sessionId: 5n }))),
    ],
    [
      'to a request that was never made',
      'PP_WIRE_MALFORMED',
      {},
      (request, server) => server.deliver(server.protect(server.error(request, STATUS.ACCESS_DENIED, { messageId: 999n }))),
    ],
    [
      'to another command',
      'PP_WIRE_MALFORMED',
      {},
      (request, server) => server.deliver(server.protect(server.error(request, STATUS.ACCESS_DENIED, { command: COMMAND.READ }))),
    ],
    [
      'a second interim one',
      'PP_WIRE_MALFORMED',
      {},
      (request, server) => {
        for (const asyncId of [1n, 1n])
          server.deliver(server.error(request, STATUS.PENDING, { flags: FLAG.ASYNC_COMMAND, asyncId }));
      },
    ],
    [
      'final with another async id',
      'PP_WIRE_MALFORMED',
      {},
      (request, server) => {
        const flags = FLAG.ASYNC_COMMAND;
        server.deliver(server.error(request, STATUS.PENDING, { flags, asyncId: 1n }));
        server.deliver(server.protect(server.error(request, STATUS.ACCESS_DENIED, { flags, asyncId: 2n })));
      },
    ],
    ['empty', 'PP_WIRE_MALFORMED', {}, (_, server) => server.deliver(new Uint8Array(0))],
    ['a request of its own', 'PP_WIRE_MALFORMED', {}, (request, server) => server.deliver(request.message.octets)],
  ];
  for (const [what, code, tiny, act] of cases) {
    test(`${what}: ${code}, and the connection is over`, async () => {
      const { server, tree: admin } = await tree({ ...tiny, ...onCreate(act) });
      await assert.rejects(admin.stat('x'), as(code));
      assert.ok(server.isClosed);
    });
  }

  test('a share whose id cannot stand in an asynchronous answer', async () => {
    const handle: Handle = (request, tiny) => {
      if (request.message.header.command !== COMMAND.TREE_CONNECT) return false;
      const octets = tiny.respond(request);
      octets[16]! |= FLAG.ASYNC_COMMAND;
      tiny.deliver(tiny.error(request, STATUS.PENDING, { flags: FLAG.ASYNC_COMMAND, asyncId: 1n }));
      octets.set([1, 0, 0, 0, 0, 0, 0, 0], 32);
      tiny.deliver(tiny.protect(octets));
      return true;
    };
    const { server, session: s } = await session({ handle });
    await assert.rejects(s.tree('ADMIN$'), as('PP_WIRE_MALFORMED'));
    assert.ok(server.isClosed);
  });

  test('a share that demands encryption of a session that has none', async () => {
    const { session: s } = await session({ shareFlags: smb.SHARE_FLAG.ENCRYPT_DATA });
    await assert.rejects(s.tree('ADMIN$'), as('PP_SMB_NO_ENCRYPTION'));
  });

  test('the line goes down: everybody is told what it was doing', async () => {
    const { server, tree: admin } = await tree({ handle: is(COMMAND.CREATE) });
    const both = [admin.stat('a'), admin.stat('b')].map((one) =>
      assert.rejects(one, (error) => {
        assert.ok(isCode(error, 'PP_NET_CLOSED'));
        assert.match(String(error.params['doing']), /^opening ADMIN\$\\[ab]$/);
        return true;
      }),
    );
    await settle();
    server.hangUp();
    await Promise.all(both);
    await assert.rejects(admin.stat('c'), as('PP_NET_CLOSED'));
  });
});

describe('SMB answers that are unusual but right', () => {
  test('an interim one, then the final one', async () => {
    const flags = FLAG.ASYNC_COMMAND;
    const later = onCreate((request, server) => {
      server.deliver(server.error(request, STATUS.PENDING, { flags, asyncId: 9n }));
      server.deliver(server.protect(server.error(request, STATUS.SHARING_VIOLATION, { flags, asyncId: 9n, credits: 0 })));
    });
    const { tree: admin } = await tree(later);
    await assert.rejects(admin.stat('x'), as('PP_SMB_SHARING_VIOLATION'));
  });

  test('two answers in one frame', async () => {
    const waiting: Parameters<Handle>[0][] = [];
    const { tree: admin } = await tree({
      handle: (request, server) => {
        if (!is(COMMAND.CREATE)(request)) return false;
        waiting.push(request);
        if (waiting.length < 2) return true;
        const [a, b] = waiting.map((one) => server.respond(one)) as [Bytes, Bytes];
        const frame = smb.joinCompound([a, b]);
        const second = (a.length + 7) & ~7; // what is signed is the message with its padding
        server.protect(frame.subarray(0, second));
        server.protect(frame.subarray(second));
        server.deliver(frame);
        return true;
      },
    });
    const stats = await Promise.all([admin.stat('a'), admin.stat('b')]);
    assert.equal(stats.filter(Boolean).length, 2);
  });

  test('an oplock break means nothing here', async () => {
    const { tree: admin } = await tree(
      onCreate((request, server) => {
        const more = { command: COMMAND.OPLOCK_BREAK, messageId: 0xffff_ffff_ffff_ffffn, sessionId: 0n, credits: 0 };
        server.deliver(server.error(request, STATUS.SUCCESS, more));
        server.answer(request);
      }),
    );
    assert.ok(await admin.stat('x'));
  });

  test('everything sealed, with each cipher', async () => {
    for (const cipher of ['AES-128-GCM', 'AES-128-CCM', 'AES-256-GCM', 'AES-256-CCM'] as const) {
      const { tree: admin, session: s, server } = await tree({ cipher });
      assert.equal(s.encrypted, true);
      await admin.writeFile('x', Uint8Array.of(1, 2, 3));
      assert.deepEqual(server.files.get('x'), Uint8Array.of(1, 2, 3));
      await s.logoff();
    }
  });

  test('answers to reads that are shorter than asked for are put together', async () => {
    const { tree: admin, server } = await tree({
      handle: (request, tiny) => {
        if (!is(COMMAND.READ)(request)) return false;
        const { offset, length } = smb.decodeBody(request.message, smb.ReadRequest);
        const data = tiny.files.get('x')!.slice(Number(offset), Number(offset) + Math.min(length, 64));
        tiny.deliver(tiny.protect(tiny.reply(request, smb.ReadResponse, { dataRemaining: 0, flags: 0, data })));
        return true;
      },
    });
    const data = Uint8Array.from({ length: 1_000 }, (_, i) => i % 256);
    server.files.set('x', data);
    assert.deepEqual(await admin.readFile('x', { maxBytes: 1_000 }), data);
  });
});

describe('SMB greeting and logon', () => {
  async function greeting(act: (request: Parameters<Handle>[0], server: TinySmb) => void, more: Partial<smb.SmbOptions> = {}) {
    const { server, options } = set(
      {
        handle: (request, tiny) => {
          if (!is(COMMAND.NEGOTIATE)(request)) return false;
          act(request, tiny);
          return true;
        },
      },
      more,
    );
    return smb.openSession(server, options);
  }

  test('SMB 1 only', async () => {
    const answer = concat(Uint8Array.of(0xff, 0x53, 0x4d, 0x42, 0x72), new Uint8Array(30));
    await assert.rejects(
      greeting((_, server) => server.deliver(answer)),
      (error) => isCode(error, 'PP_SMB_ONLY_SMB1') && error.again === 'wait' && error.origin === 'refused',
    );
  });

  test('something that is not SMB at all', async () => {
    await assert.rejects(
      greeting((_, server) => server.deliver(toUtf16('HTTP/1.1 400 Bad Request\r\n\r\n'.repeat(4)))),
      as('PP_WIRE_MALFORMED'),
    );
  });

  test('hangs up on the greeting', async () => {
    await assert.rejects(
      greeting((_, server) => server.hangUp()),
      as('PP_SMB_NOT_SPOKEN'),
    );
  });

  test('no dialect in common', async () => {
    await assert.rejects(
      greeting((request, server) => server.deliver(server.error(request, STATUS.NOT_SUPPORTED))),
      (error) => isCode(error, 'PP_SMB_DIALECT') && error.ntstatus === STATUS.NOT_SUPPORTED,
    );
  });

  test('a dialect that was not offered', async () => {
    const { server, options } = set({ dialect: 0x300, signing: 'AES-CMAC' }, { dialects: [0x210, 0x311] });
    await assert.rejects(smb.openSession(server, options), as('PP_SMB_DIALECT'));
  });

  test('a cipher, a signing that were not offered', async () => {
    const cipher = set({ cipher: 'AES-256-CCM' }, { ciphers: ['AES-128-GCM'] });
    await assert.rejects(smb.openSession(cipher.server, cipher.options), as('PP_WIRE_MALFORMED'));
    const signing = set({ signing: 'HMAC-SHA256' }, { signings: ['AES-GMAC'] });
    await assert.rejects(smb.openSession(signing.server, signing.options), as('PP_WIRE_MALFORMED'));
  });

  test('encryption required of a server that has none', async () => {
    const { server, options } = set({}, { encryption: 'required' });
    await assert.rejects(smb.openSession(server, options), as('PP_SMB_NO_ENCRYPTION'));
    assert.ok(!server.heard.some((header) => header.command === COMMAND.SESSION_SETUP), 'no credential was used');
  });

  test('guests and nobodies are no administrators', async () => {
    for (const sessionFlags of [smb.SESSION_FLAG.IS_GUEST, smb.SESSION_FLAG.IS_NULL]) {
      const { server, options } = set({ sessionFlags });
      await assert.rejects(smb.openSession(server, options), as('PP_LOGON_GUEST'));
    }
  });

  test('a server that does not know the session key', async () => {
    const { server, options } = set({}, { credential: fixedCredential(new Uint8Array(16)) });
    await assert.rejects(smb.openSession(server, options), as('PP_SMB_NOT_PROTECTED'));
  });

  test('a server of 3.0 must repeat its greeting under the session', async () => {
    const fields = {
      capabilities: smb.CAPABILITY.LARGE_MTU as number,
      guid: new Uint8Array(16).fill(9),
      securityMode: 3,
      dialect: 0x300,
    };
    const answers: [what: string, Code | undefined, Partial<typeof fields> | number][] = [
      ['the same', undefined, {}],
      ['other capabilities', 'PP_SMB_DOWNGRADED', { capabilities: 0x7f }],
      ['another guid', 'PP_SMB_DOWNGRADED', { guid: new Uint8Array(16) }],
      ['another mode', 'PP_SMB_DOWNGRADED', { securityMode: 1 }],
      ['another dialect', 'PP_SMB_DOWNGRADED', { dialect: 0x311 }],
      ['no answer to that', 'PP_SMB_DOWNGRADED', STATUS.NOT_SUPPORTED],
    ];
    for (const [what, code, answer] of answers) {
      const { session: s } = await session({
        dialect: 0x300,
        signing: 'AES-CMAC',
        handle: (request, server) => {
          if (!is(COMMAND.IOCTL)(request)) return false;
          const { fileId, ctlCode } = smb.decodeBody(request.message, smb.IoctlRequest);
          const body = () => {
            if (typeof answer === 'number') return server.error(request, answer);
            const output = smb.ValidateNegotiateResponse.encode({ ...fields, ...answer });
            return server.reply(request, smb.IoctlResponse, { ctlCode, fileId, flags: 0, input: new Uint8Array(0), output });
          };
          server.deliver(server.protect(body()));
          return true;
        },
      });
      if (code) await assert.rejects(s.tree('ADMIN$'), as(code), what);
      else assert.ok(await s.tree('ADMIN$'), what);
    }
  });

  test('a server of 2.1 may not know the question', async () => {
    const { session: s } = await session({ dialect: 0x210, signing: 'HMAC-SHA256' });
    assert.ok(await s.tree('ADMIN$'));
  });

  test('what a machine says to an account has a code, a Win32 number and a hint whether to try again', async () => {
    const rows: [status: number, Code, win32: number, again: string][] = [
      [STATUS.LOGON_FAILURE, 'PP_LOGON_FAILURE', 1326, 'wait'],
      [STATUS.ACCOUNT_RESTRICTION, 'PP_LOGON_RESTRICTED', 1327, 'wait'],
      [STATUS.PASSWORD_EXPIRED, 'PP_LOGON_PASSWORD_EXPIRED', 1330, 'wait'],
      [STATUS.PASSWORD_MUST_CHANGE, 'PP_LOGON_PASSWORD_CHANGE', 1907, 'wait'],
      [STATUS.ACCOUNT_DISABLED, 'PP_LOGON_ACCOUNT_DISABLED', 1331, 'wait'],
      [STATUS.ACCOUNT_EXPIRED, 'PP_LOGON_ACCOUNT_EXPIRED', 1793, 'wait'],
      [STATUS.ACCOUNT_LOCKED_OUT, 'PP_LOGON_ACCOUNT_LOCKED', 1909, 'wait'],
      [STATUS.LOGON_TYPE_NOT_GRANTED, 'PP_LOGON_TYPE', 1385, 'wait'],
      [STATUS.TRUSTED_RELATIONSHIP_FAILURE, 'PP_LOGON_TRUST', 1789, 'retry'],
      [STATUS.NO_LOGON_SERVERS, 'PP_LOGON_NO_SERVER', 1311, 'retry'],
      [STATUS.TIME_DIFFERENCE_AT_DC, 'PP_LOGON_CLOCK', 1398, 'retry'],
      [STATUS.NTLM_BLOCKED, 'PP_LOGON_NTLM_BLOCKED', 1937, 'wait'],
      [STATUS.NOT_SUPPORTED, 'PP_LOGON_NTLM_BLOCKED', 50, 'wait'],
      [STATUS.INSUFF_SERVER_RESOURCES, 'PP_SMB_RESOURCES', 1130, 'retry'],
      [STATUS.REQUEST_NOT_ACCEPTED, 'PP_SMB_RESOURCES', 71, 'retry'],
      [STATUS.ACCESS_DENIED, 'PP_LOGON_DENIED', 5, 'retry'],
    ];
    for (const [status, code, win32, again] of rows) {
      const { server, options } = set({
        handle: (request, tiny) => {
          if (!is(COMMAND.SESSION_SETUP)(request)) return false;
          tiny.deliver(tiny.error(request, status));
          return true;
        },
      });
      await assert.rejects(smb.openSession(server, options), (error) => {
        assert.ok(isCode(error, code), `${code}: ${String(error)}`);
        assert.deepEqual([error.win32, error.again, error.ntstatus], [win32, again, status >>> 0], code);
        return true;
      });
    }
  });

  test('what a machine says to a share, a file or a pipe too', async () => {
    const rows: [command: number, status: number, Code, win32: number][] = [
      [COMMAND.TREE_CONNECT, STATUS.ACCESS_DENIED, 'PP_SMB_NOT_ADMIN', 5],
      [COMMAND.TREE_CONNECT, STATUS.BAD_NETWORK_NAME, 'PP_SMB_NO_SHARE', 67],
      [COMMAND.CREATE, STATUS.ACCESS_DENIED, 'PP_SMB_ACCESS_DENIED', 5],
      [COMMAND.CREATE, STATUS.SHARING_VIOLATION, 'PP_SMB_SHARING_VIOLATION', 32],
      [COMMAND.CREATE, STATUS.DISK_FULL, 'PP_SMB_DISK_FULL', 112],
      [COMMAND.CREATE, STATUS.OBJECT_NAME_NOT_FOUND, 'PP_SMB_NO_FILE', 2],
      [COMMAND.CREATE, STATUS.OBJECT_PATH_NOT_FOUND, 'PP_SMB_NO_PATH', 3],
      [COMMAND.CREATE, STATUS.NETWORK_SESSION_EXPIRED, 'PP_SMB_SESSION_ENDED', 59],
      [COMMAND.CREATE, STATUS.VIRUS_INFECTED, 'PP_SMB_VIRUS', 225],
      [COMMAND.WRITE, STATUS.DISK_FULL, 'PP_SMB_DISK_FULL', 112],
      [COMMAND.WRITE, 0xc0ff_ffee, 'PP_SMB_REFUSED', 59],
    ];
    for (const [command, status, code, win32] of rows) {
      const { session: s } = await session({
        handle: (request, server) => {
          if (!is(command)(request)) return false;
          server.deliver(server.protect(server.error(request, status)));
          return true;
        },
      });
      const attempt = s.tree('ADMIN$').then((admin) => admin.writeFile('x', Uint8Array.of(1)));
      await assert.rejects(attempt, (error) => {
        assert.ok(isCode(error, code), `${code}: ${String(error)}`);
        assert.deepEqual([error.win32, error.ntstatus], [win32, status >>> 0], code);
        return true;
      });
    }
  });

  test('a pipe whose service is just starting is tried again', async () => {
    let refusals = 2;
    const { session: s, clock } = await session({
      handle: (request, server) => {
        if (!is(COMMAND.CREATE)(request) || refusals-- <= 0) return false;
        server.deliver(server.protect(server.error(request, STATUS.PIPE_NOT_AVAILABLE)));
        return true;
      },
    });
    const opening = s.tree('IPC$').then((ipc) => ipc.openPipe('winreg'));
    for (let i = 0; i < 2; i++) {
      await settle();
      await clock.advance(1_000);
    }
    assert.equal((await opening).name, 'winreg');
  });
});

describe('names', () => {
  test('the machine that answers must be the wanted one', () => {
    const same: [wanted: string, peer: Parameters<ReturnType<typeof smb.expectHost>>[0]][] = [
      ['PC042', { netbiosComputer: 'PC042' }],
      ['pc042.corp.example', { netbiosComputer: 'PC042', dnsComputer: 'PC042.corp.example' }],
      ['pc042.corp.example.', { dnsComputer: 'pc042.corp.example' }],
      ['pc042', { dnsComputer: 'pc042.corp.example' }],
      ['pc042.corp.example', { netbiosComputer: 'PC042', dnsComputer: 'pc042' }],
      ['averyveryverylongname', { netbiosComputer: 'AVERYVERYVERYLO' }],
      ['192.0.2.7', { netbiosComputer: 'ANY' }],
    ];
    for (const [wanted, peer] of same) assert.doesNotThrow(() => smb.expectHost(wanted)(peer), wanted);
    const other: typeof same = [
      ['PC042', { netbiosComputer: 'PC043' }],
      ['pc042.corp.example', { netbiosComputer: 'PC042', dnsComputer: 'pc042.lab.example' }],
      ['pc042', {}],
    ];
    for (const [wanted, peer] of other) assert.throws(() => smb.expectHost(wanted)(peer), as('PP_LOGON_WRONG_HOST'), wanted);
  });
});

describe('frames', () => {
  test('a length that is too large is refused before room is made for it', () => {
    const framer = new smb.Framer(1_000, () => assert.fail('no frame'));
    assert.throws(() => framer.feed(Uint8Array.of(0, 0, 3, 0xe9)), as('PP_WIRE_MALFORMED'));
    assert.throws(() => framer.feed(Uint8Array.of(0x47, 0x45, 0x54, 0x20)), as('PP_WIRE_MALFORMED'));
  });

  test('however the stream is cut, the frames are the same', () => {
    const stream = Uint8Array.of(0, 0, 0, 3, 1, 2, 3, 0x85, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 2, 7, 8);
    for (let cut = 0; cut <= stream.length; cut++) {
      for (let second = cut; second <= stream.length; second++) {
        const frames: number[][] = [];
        const framer = new smb.Framer(10, (frame) => frames.push([...frame]));
        for (const piece of [stream.slice(0, cut), stream.slice(cut, second), stream.slice(second)]) framer.feed(piece);
        assert.deepEqual(frames, [[1, 2, 3], [9], [7, 8]], `cut at ${cut} and ${second}`);
      }
    }
  });
});
