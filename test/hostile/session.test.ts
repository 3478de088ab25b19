import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ending, ofCatalogue } from '#test/liar';
import { countedRandom } from '#test/smb-record';
import { fixedCredential, TinySmb, type Request, type TinyOptions } from '#test/tiny-smb';
import { ManualClock } from '#base/clock';
import { isCode, type Code } from '#base/errors';
import { silentLog } from '#base/log';
import { concat, type Bytes } from '#wire/bytes';
import * as smb from '#wire/smb';
import { STATUS } from '#wire/status';

/** A server that has the session key and uses it to lie: about sizes, lists, credits, time and what was asked. */

const { COMMAND, FLAG } = smb;
type Handle = NonNullable<TinyOptions['handle']>;

interface End {
  server: TinySmb;
  error: ReturnType<typeof ofCatalogue>;
  ms: number;
}

/** lied runs `work` on a session whose server answers as `tiny` says, and gives the error of the catalogue that it ends with. */
async function lied(
  what: string,
  tiny: TinyOptions,
  work: (tree: smb.SmbTree) => Promise<unknown>,
  mostMs = 125_000,
): Promise<End> {
  const clock = new ManualClock();
  const server = new TinySmb(tiny);
  const options = {
    host: 'TINY',
    address: '127.0.0.1',
    credential: fixedCredential(),
    clock,
    random: countedRandom(),
    log: silentLog,
  };
  const all = smb.openSession(server, options).then(async (session) => work(await session.tree('ADMIN$')));
  const { error, ms } = await ending(all, clock, { mostMs, activity: () => server.heard.length, what });
  assert.ok(error, `${what}: it was taken`);
  return { server, error: ofCatalogue(error, what), ms };
}

const on =
  (command: number, act: (request: Request, server: TinySmb) => void): Handle =>
  (request, server) => {
    if (request.message.header.command !== command) return false;
    act(request, server);
    return true;
  };

const say = (server: TinySmb, octets: Bytes) => server.deliver(server.protect(octets));
const mebi = (bytes: number) => Math.round(bytes / 2 ** 20);

const LISTED = {
  fileIndex: 0,
  creationTime: 0n,
  lastAccessTime: 0n,
  lastWriteTime: 0n,
  changeTime: 0n,
  endOfFile: 0n,
  allocationSize: 0n,
  fileAttributes: 0x80,
  eaSize: 0,
  shortNameLength: 0,
  shortName: new Uint8Array(24),
  reserved2: 0,
  fileId: 0n,
};

describe('folders', () => {
  const folder = (entries: number, name: string, size?: number) => {
    const list = smb.IdBothDirectoryList.encode(Array.from({ length: entries }, () => ({ ...LISTED, fileName: name })));
    const output = size === undefined ? list : new Uint8Array(size);
    return on(COMMAND.QUERY_DIRECTORY, (request, server) =>
      say(server, server.reply(request, smb.QueryDirectoryResponse, { output })),
    );
  };
  const lists: [what: string, handle: Handle][] = [
    ['500 files in each answer, for ever', folder(500, 'a')],
    ['one file with a name of 30,000 characters in each answer, for ever', folder(1, 'n'.repeat(30_000))],
    ['one file in each answer, for ever', folder(1, 'a')],
    ['nothing but dots, for ever', folder(2, '..')],
    ['nothing at all, for ever', folder(0, '')],
    ['more octets than were asked for', folder(0, '', 200_000)],
  ];
  for (const [what, handle] of lists) {
    test(what, async () => {
      const before = process.memoryUsage().heapUsed;
      const { error, server } = await lied(what, { handle }, (tree) => tree.list(''));
      assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), error.code);
      const grown = mebi(process.memoryUsage().heapUsed - before);
      assert.ok(grown < 96, `${grown} MiB`);
      assert.ok(server.heard.length < 2_100);
    });
  }

  test('entries that lead back to themselves', async () => {
    for (const next of [1, 4, 8, 0x68, 0xffff_fff8]) {
      const output = smb.IdBothDirectoryList.encode([
        { ...LISTED, fileName: 'a' },
        { ...LISTED, fileName: 'b' },
      ]).slice();
      new DataView(output.buffer, output.byteOffset).setUint32(0, next, true);
      const handle = on(COMMAND.QUERY_DIRECTORY, (request, server) =>
        say(server, server.reply(request, smb.QueryDirectoryResponse, { output })),
      );
      const { error } = await lied(`next ${next}`, { handle }, (tree) => tree.list(''));
      assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), error.code);
    }
  });
});

describe('files', () => {
  const read = (data: (length: number) => number) =>
    on(COMMAND.READ, (request, server) => {
      const { length } = smb.decodeBody(request.message, smb.ReadRequest);
      say(server, server.reply(request, smb.ReadResponse, { dataRemaining: 0, flags: 0, data: new Uint8Array(data(length)) }));
    });
  const written = (count: number) =>
    on(COMMAND.WRITE, (request, server) => say(server, server.reply(request, smb.WriteResponse, { count, remaining: 0 })));
  const sized =
    (endOfFile: bigint, handle: Handle = () => false): Handle =>
    (request, server) => {
      if (request.message.header.command !== COMMAND.CREATE) return handle(request, server);
      const octets = server.respond(request);
      new DataView(octets.buffer, octets.byteOffset).setBigUint64(64 + 48, endOfFile, true);
      say(server, octets);
      return true;
    };
  const take = (tree: smb.SmbTree) => tree.readFile('x', { maxBytes: 4_096 });
  const put = (tree: smb.SmbTree) => tree.writeFile('x', new Uint8Array(100));
  const rows: [what: string, handle: Handle, work: (tree: smb.SmbTree) => Promise<unknown>, ...codes: Code[]][] = [
    [
      'READ with one octet more than asked',
      sized(
        100n,
        read((n) => n + 1),
      ),
      take,
      'PP_WIRE_MALFORMED',
    ],
    [
      'READ with 100,000 octets more',
      sized(
        100n,
        read((n) => n + 100_000),
      ),
      take,
      'PP_WIRE_MALFORMED',
    ],
    [
      'READ with one octet more, as the size of the file says',
      sized(
        4_097n,
        read(() => 4_097),
      ),
      take,
      'PP_WIRE_MALFORMED',
    ],
    ['a file that says it is larger than it may be', sized(4_097n), take, 'PP_SMB_TOO_BIG'],
    ['a file of 2^63 octets', sized(1n << 63n), take, 'PP_SMB_TOO_BIG'],
    ['a file of 2^64 - 1 octets', sized((1n << 64n) - 1n), take, 'PP_SMB_TOO_BIG'],
    ['WRITE of nothing', written(0), put, 'PP_WIRE_MALFORMED'],
    ['WRITE of more than was sent', written(101), put, 'PP_WIRE_MALFORMED'],
    ['WRITE of 2^32 - 1 octets', written(0xffff_ffff), put, 'PP_WIRE_MALFORMED'],
  ];
  for (const [what, handle, work, ...codes] of rows) {
    test(what, async () => {
      const { error } = await lied(what, { handle }, work);
      assert.ok(isCode(error, ...codes), error.code);
    });
  }
});

describe('time', () => {
  const pending = (asyncId: bigint, count: number) =>
    on(COMMAND.CREATE, (request, server) => {
      for (let i = 0; i < count; i++)
        server.deliver(server.error(request, STATUS.PENDING, { flags: FLAG.ASYNC_COMMAND, asyncId }));
    });

  test('"the answer comes later", and no answer: four times an operation and no longer', async () => {
    const { error, ms } = await lied('pending', { handle: pending(9n, 1) }, (tree) => tree.stat('x'));
    assert.ok(isCode(error, 'PP_NET_TIMEOUT'), error.code);
    assert.ok(ms <= 120_001, `${ms} ms`);
  });

  test('"the answer comes later", a thousand times', async () => {
    const { error, ms } = await lied('pending', { handle: pending(9n, 1_000) }, (tree) => tree.stat('x'));
    assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), error.code);
    assert.equal(ms, 0);
  });

  test('a logon that is pending for ever', async () => {
    const handle = on(COMMAND.SESSION_SETUP, (request, server) =>
      server.deliver(server.error(request, STATUS.PENDING, { flags: FLAG.ASYNC_COMMAND, asyncId: 1n })),
    );
    const { error, server } = await lied('logon', { handle }, (tree) => tree.stat('x'));
    assert.ok(isCode(error, 'PP_NET_TIMEOUT'), error.code);
    assert.ok(server.isClosed);
  });

  test('a logon that always wants one more leg', async () => {
    const handle = on(COMMAND.SESSION_SETUP, (request, server) => {
      const value = { sessionFlags: 0, token: Uint8Array.of(1) };
      const more = { status: STATUS.MORE_PROCESSING_REQUIRED, sessionId: 5n };
      server.deliver(server.reply(request, smb.SessionSetupResponse, value, more));
    });
    const { error, server } = await lied('legs', { handle }, (tree) => tree.stat('x'));
    assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), error.code);
    assert.ok(server.heard.length < 12);
  });
});

describe('credits', () => {
  test('none: the next request ends in its time', async () => {
    const grants = (header: smb.Header) => (header.command === COMMAND.TREE_CONNECT ? 0 : 1);
    const { error } = await lied('credits', { grants }, (tree) => tree.stat('x'));
    assert.ok(isCode(error, 'PP_NET_TIMEOUT'), error.code);
  });

  test('65535 with each answer: a file goes in no larger pieces and no more at a time', async () => {
    let under = 0;
    let most = 0;
    const handle: Handle = (request, server) => {
      if (request.message.header.command !== COMMAND.WRITE) return false;
      most = Math.max(most, ++under);
      const { data } = smb.decodeBody(request.message, smb.WriteRequest);
      assert.ok(data.length <= 8 * 65_536);
      setImmediate(() => {
        under--;
        say(server, server.reply(request, smb.WriteResponse, { count: data.length, remaining: 0 }));
      });
      return true;
    };
    const work = async (tree: smb.SmbTree) => {
      await tree.writeFile('x', new Uint8Array(6 << 20));
      await tree.readFile('x', { maxBytes: 1 });
      throw new Error('not reached: the file is larger');
    };
    const size: Handle = (request, server) => {
      if (request.message.header.command !== COMMAND.CREATE) return handle(request, server);
      const octets = server.respond(request);
      new DataView(octets.buffer, octets.byteOffset).setBigUint64(64 + 48, 6n << 20n, true);
      say(server, octets);
      return true;
    };
    const { error } = await lied('credits', { grants: () => 0xffff, handle: size }, work);
    assert.ok(isCode(error, 'PP_SMB_TOO_BIG'), error.code);
    assert.ok(most <= 4, `${most} at a time`);
  });
});

describe('what nobody asked for', () => {
  const flood = (make: (server: TinySmb, request: Request, i: number) => Bytes) =>
    on(COMMAND.CREATE, (request, server) => {
      for (let i = 0; i < 5_000; i++) server.deliver(make(server, request, i));
    });
  const response = (server: TinySmb, request: Request, i: number) =>
    server.protect(server.error(request, STATUS.SUCCESS, { messageId: BigInt(1_000 + i) }));

  test('responses to requests that were not made end the session at the first', async () => {
    const { error, server } = await lied('flood', { handle: flood(response) }, (tree) => tree.stat('x'));
    assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), error.code);
    assert.ok(server.isClosed);
  });

  test('5,000 breaks of oplocks that we do not have prolong nothing', async () => {
    const breaks = (server: TinySmb, request: Request) =>
      server.error(request, 0, { command: COMMAND.OPLOCK_BREAK, messageId: 0xffff_ffff_ffff_ffffn, sessionId: 0n, credits: 0 });
    const { error, ms } = await lied('breaks', { handle: flood(breaks) }, (tree) => tree.stat('x'));
    assert.ok(isCode(error, 'PP_NET_TIMEOUT'), error.code);
    assert.ok(ms <= 30_001);
  });

  test('compounds that lead backwards, into their own header, behind their end, or are 5,000 long', async () => {
    const shapes: [what: string, make: (one: Bytes) => Bytes][] = [
      ...[1, 8, 63, 0x7fff_ffff, 0x8000_0000, 0xffff_ffc0].map((next): [string, (one: Bytes) => Bytes] => [
        `next ${next}`,
        (one) => {
          new DataView(one.buffer, one.byteOffset).setUint32(20, next, true);
          return concat(one, one);
        },
      ]),
      ['5,000 times the same', (one) => smb.joinCompound(Array.from({ length: 5_000 }, () => one))],
      ['a second message of nothing', (one) => smb.joinCompound([one, new Uint8Array(64)])],
    ];
    for (const [what, make] of shapes) {
      const handle = on(COMMAND.CREATE, (request, server) => {
        const frame = make(server.respond(request)).slice();
        // Signed as the first message of the frame is cut out, where it can be.
        const next = new DataView(frame.buffer).getUint32(20, true);
        if (next >= 64 && next <= frame.length) server.protect(frame.subarray(0, next));
        server.deliver(frame);
      });
      const { error } = await lied(what, { handle }, async (tree) => {
        await tree.stat('x');
        await tree.stat('y');
      });
      assert.ok(isCode(error, 'PP_WIRE_MALFORMED', 'PP_SMB_NOT_PROTECTED'), `${what}: ${error.code}`);
    }
  });
});

describe('an encrypted session', () => {
  const sealed: TinyOptions = { cipher: 'AES-128-GCM' };
  const rows: [what: string, act: (request: Request, server: TinySmb) => void][] = [
    ['an answer in clear', (request, server) => server.deliver(server.respond(request))],
    ['an answer in clear, signed', (request, server) => server.deliver(server.protect(server.respond(request), false))],
    ['sealed twice', (request, server) => server.deliver(server.protect(server.protect(server.respond(request))))],
    ['sealed nothing', (_, server) => server.deliver(server.protect(new Uint8Array(0)))],
    [
      'a header of a seal and nothing behind it',
      (request, server) => server.deliver(server.protect(server.respond(request)).slice(0, 52)),
    ],
    ['a seal cut short', (request, server) => server.deliver(server.protect(server.respond(request)).slice(0, 40))],
    [
      'a size that is not that of what follows',
      (request, server) => {
        const frame = server.protect(server.respond(request)).slice();
        new DataView(frame.buffer).setUint32(36, 0xffff_ffff, true);
        server.deliver(frame);
      },
    ],
    [
      'another session in front',
      (request, server) => {
        const frame = server.protect(server.respond(request)).slice();
        frame[44]! ^= 1;
        server.deliver(frame);
      },
    ],
    [
      'the same sealed answer twice',
      (request, server) => {
        const frame = server.protect(server.respond(request));
        server.deliver(frame.slice());
        server.deliver(frame.slice());
      },
    ],
    ['compressed', (request, server) => server.deliver(concat(Uint8Array.of(0xfc, 0x53, 0x4d, 0x42), server.respond(request)))],
  ];
  for (const [what, act] of rows) {
    test(what, async () => {
      let isFirst = true;
      const handle: Handle = (request, server) => {
        if (!isFirst || request.message.header.command !== COMMAND.CREATE) return false;
        isFirst = false;
        act(request, server);
        return true;
      };
      const { error, server } = await lied(what, { ...sealed, handle }, async (tree) => {
        await tree.stat('x');
        await tree.stat('y');
      });
      assert.ok(isCode(error, 'PP_WIRE_MALFORMED', 'PP_SMB_NOT_PROTECTED'), error.code);
      assert.ok(server.isClosed);
    });
  }
});

describe('sent on to somewhere else', () => {
  // STATUS_PATH_NOT_COVERED (DFS), STATUS_STOPPED_ON_SYMLINK, STATUS_REPARSE, STATUS_IO_REPARSE_TAG_NOT_HANDLED, and what says "there is more".
  const statuses = [0xc000_0257, 0x8000_002d, 0x0000_0104, 0xc000_0279, STATUS.BUFFER_OVERFLOW, STATUS.MORE_PROCESSING_REQUIRED];
  const symlink = new TextEncoder().encode('\\??\\UNC\\EVIL\\share\\x'.repeat(50));
  for (const command of [COMMAND.TREE_CONNECT, COMMAND.CREATE]) {
    for (const status of statuses) {
      test(`command ${command}, 0x${status.toString(16)}: it is refused, and nothing is opened instead`, async () => {
        let asked = 0;
        const handle = on(command, (request, server) => {
          asked++;
          const value = { contextCount: 0, data: new Uint8Array(symlink) };
          say(server, server.reply(request, smb.ErrorResponse, value, { status }));
        });
        const { error } = await lied('elsewhere', { handle }, (tree) => tree.stat('x'));
        assert.equal(error.origin, 'refused', error.code);
        assert.equal(asked, 1);
      });
    }
  }
});
