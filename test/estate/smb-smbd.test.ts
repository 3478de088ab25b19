import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { need } from '#test/need';
import { startSmbd, type Smbd } from '#test/smbd';
import { systemClock as clock } from '#base/clock';
import { isCode, type Code } from '#base/errors';
import { silentLog } from '#base/log';
import { systemRandom as random } from '#base/random';
import { ntlmCredential } from '#wire/auth';
import { connectSmb, type CipherName, type SigningName, type SmbOptions, type SmbSession } from '#wire/smb';

const peers = need('smbd', 'root');

function options(smbd: Smbd, more: Partial<SmbOptions> & { password?: string } = {}): SmbOptions {
  const { host, address, port, username } = smbd;
  const { password = smbd.password, ...rest } = more;
  const credential = ntlmCredential({ username, domain: '', password, clock, random });
  return { host, address, port, credential, clock, random, log: silentLog, ...rest };
}

async function withSession<T>(smbd: Smbd, more: Partial<SmbOptions>, fn: (session: SmbSession) => Promise<T>): Promise<T> {
  const session = await connectSmb(options(smbd, more));
  try {
    return await fn(session);
  } finally {
    await session.logoff();
  }
}

const sha = (octets: Uint8Array) => createHash('sha256').update(octets).digest('hex');
const refusedAs = (code: Code) => (error: unknown) => isCode(error, code) || assert.fail(`${code} wanted, not ${String(error)}`);

async function roundTrip(session: SmbSession, folder: string, name: string): Promise<void> {
  const tree = await session.tree('ADMIN$');
  const data = randomFillSync(new Uint8Array(100_000));
  await tree.writeFile(name, data);
  assert.equal(sha(readFileSync(join(folder, name))), sha(data));
  assert.equal(sha(await tree.readFile(name, { maxBytes: 100_000 })), sha(data));
  assert.equal(await tree.remove(name), true);
}

const DIALECTS = [0x202, 0x210, 0x300, 0x302, 0x311];
const SIGNINGS: SigningName[] = ['AES-GMAC', 'AES-CMAC', 'HMAC-SHA256'];
const CIPHERS: CipherName[] = ['AES-128-GCM', 'AES-128-CCM', 'AES-256-GCM', 'AES-256-CCM'];

describe('SMB against smbd, signing mandatory', peers, () => {
  let smbd: Smbd;
  before(async () => (smbd = await startSmbd()));
  after(() => smbd.stop());

  for (const dialect of DIALECTS) {
    test(`dialect 0x${dialect.toString(16)} alone, signed`, async () => {
      await withSession(smbd, { dialects: [dialect], encryption: 'off' }, async (session) => {
        assert.equal(session.dialect, dialect);
        assert.equal(session.encrypted, false);
        await roundTrip(session, smbd.folder, `d${dialect}`);
      });
    });
  }

  for (const highest of [0x302, 0x210]) {
    test(`a server that stops at 0x${highest.toString(16)} proves its negotiation`, async () => {
      const dialects = DIALECTS.filter((one) => one <= highest || one === 0x300);
      await withSession(smbd, { dialects }, async (session) => {
        assert.ok(session.dialect < 0x311);
        await roundTrip(session, smbd.folder, `v${highest}`);
      });
    });
  }

  for (const signing of SIGNINGS) {
    test(`3.1.1 signed with ${signing}`, async () => {
      await withSession(smbd, { signings: [signing], encryption: 'off' }, async (session) => {
        assert.equal(session.signing, signing);
        assert.equal(session.encrypted, false);
        await roundTrip(session, smbd.folder, signing);
      });
    });
  }

  for (const cipher of CIPHERS) {
    test(`3.1.1 encrypted with ${cipher}`, async () => {
      await withSession(smbd, { ciphers: [cipher], encryption: 'required' }, async (session) => {
        assert.deepEqual([session.cipher, session.encrypted], [cipher, true]);
        await roundTrip(session, smbd.folder, cipher);
      });
    });
  }

  for (const dialect of [0x300, 0x302]) {
    test(`0x${dialect.toString(16)} encrypted with the one cipher it has`, async () => {
      await withSession(smbd, { dialects: [dialect], encryption: 'required' }, async (session) => {
        assert.equal(session.cipher, 'AES-128-CCM');
        await roundTrip(session, smbd.folder, `e${dialect}`);
      });
    });
  }

  test('what is preferred is taken: GMAC, AES-128-GCM, encryption on without being asked for', async () => {
    await withSession(smbd, {}, async (session) => {
      assert.deepEqual(
        [session.dialect, session.signing, session.cipher, session.encrypted],
        [0x311, 'AES-GMAC', 'AES-128-GCM', true],
      );
      assert.equal(session.peer.netbiosComputer, smbd.host);
      assert.ok(session.serverTime && Math.abs(session.serverTime.getTime() - clock.now().getTime()) < 60_000);
      assert.match(session.serverGuid, /^[0-9a-f]{32}$/);
      await session.echo();
    });
  });

  test('2.1 cannot encrypt: refused before the password is used', async () => {
    const attempt = connectSmb(options(smbd, { dialects: [0x202, 0x210], encryption: 'required' }));
    await assert.rejects(attempt, refusedAs('PP_SMB_NO_ENCRYPTION'));
  });

  test('a wrong password is 1326, to wait for a human', async () => {
    await assert.rejects(connectSmb(options(smbd, { password: 'no-such-password' })), (error) => {
      assert.ok(isCode(error, 'PP_LOGON_FAILURE'));
      assert.deepEqual([error.win32, error.ntstatus, error.again], [1326, 0xc000006d, 'wait']);
      assert.doesNotMatch(JSON.stringify(error) + String(error.stack), /no-such-password/);
      return true;
    });
  });

  test('another machine at that address gets no credential', async () => {
    await assert.rejects(connectSmb(options(smbd, { host: 'WS-0815' })), (error) => {
      assert.ok(isCode(error, 'PP_LOGON_WRONG_HOST'));
      assert.equal(error.win32, 1396);
      return true;
    });
  });

  test('files of 0, 1, 250 Ki and 9 Mi octets arrive as they left, both ways', async () => {
    for (const more of [{}, { encryption: 'off' as const }, { dialects: [0x202] }]) {
      await withSession(smbd, more, async (session) => {
        const tree = await session.tree('ADMIN$');
        for (const size of [0, 1, 250 * 1024, 9 * 1024 * 1024]) {
          const data = randomFillSync(new Uint8Array(size));
          await tree.writeFile('put.bin', data);
          assert.equal(sha(readFileSync(join(smbd.folder, 'put.bin'))), sha(data), `put ${size}`);
          assert.equal(sha(await tree.readFile('put.bin', { maxBytes: size })), sha(data), `get ${size}`);
        }
        await assert.rejects(tree.readFile('put.bin', { maxBytes: 9 * 1024 * 1024 - 1 }), refusedAs('PP_SMB_TOO_BIG'));
      });
    }
  });

  test('folders: made with those above, listed, told about, renamed, removed', async () => {
    await withSession(smbd, {}, async (session) => {
      const tree = await session.tree('ADMIN$');
      await tree.mkdir('ccmsetup\\logs\\deep');
      await tree.mkdir('ccmsetup\\logs\\deep');
      assert.ok(statSync(join(smbd.folder, 'ccmsetup/logs/deep')).isDirectory());
      for (let i = 0; i < 700; i++)
        writeFileSync(join(smbd.folder, 'ccmsetup', `a rather long name to fill the buffer ${i}`), 'x');
      const listed = await tree.list('ccmsetup');
      assert.equal(listed.length, 701);
      assert.deepEqual(listed.find((one) => one.name === 'logs')?.isDirectory, true);
      assert.deepEqual((await tree.list('ccmsetup', '*buffer 69?')).map((one) => one.name).sort().length, 10);
      assert.deepEqual(await tree.list('ccmsetup', 'nothing*'), []);
      const stat = await tree.stat('ccmsetup\\logs');
      assert.equal(stat?.isDirectory, true);
      assert.equal(await tree.stat('ccmsetup\\none'), undefined);
      assert.equal(await tree.stat('none\\none'), undefined);
      await assert.rejects(tree.remove('ccmsetup\\logs'), refusedAs('PP_SMB_EXISTS'));
      assert.equal(await tree.remove('ccmsetup\\logs\\deep'), true);
      assert.equal(await tree.remove('ccmsetup\\logs\\deep'), false);
      assert.equal(await tree.remove('nowhere\\file'), false);
      await tree.rename('ccmsetup\\logs', 'old', { replace: false });
      assert.ok(readdirSync(smbd.folder).includes('old'));
    });
  });

  test('rename replaces only when told to', async () => {
    await withSession(smbd, {}, async (session) => {
      const tree = await session.tree('ADMIN$');
      await tree.writeFile('one', Uint8Array.of(1));
      await tree.writeFile('two', Uint8Array.of(2));
      await assert.rejects(tree.rename('one', 'two', { replace: false }), refusedAs('PP_SMB_EXISTS'));
      await tree.rename('one', 'two', { replace: true });
      assert.deepEqual([...(await tree.readFile('two', { maxBytes: 9 }))], [1]);
    });
  });

  test('a lock file belongs to one of those who make it at the same time', async () => {
    await withSession(smbd, {}, async (session) => {
      const tree = await session.tree('ADMIN$');
      const made = await Promise.all(
        Array.from({ length: 8 }, (_, i) => tree.createNew('SMSClientInstall.P01', Uint8Array.of(i))),
      );
      assert.equal(made.filter(Boolean).length, 1);
    });
  });

  test('free room on the disk is told', async () => {
    await withSession(smbd, {}, async (session) => {
      const free = await (await session.tree('ADMIN$')).freeBytes();
      assert.ok(free !== undefined && free > 0n);
    });
  });

  test('what is not there is said by the right code', async () => {
    await withSession(smbd, {}, async (session) => {
      await assert.rejects(session.tree('C$'), refusedAs('PP_SMB_NO_SHARE'));
      const tree = await session.tree('ADMIN$');
      await assert.rejects(tree.readFile('none', { maxBytes: 9 }), refusedAs('PP_SMB_NO_FILE'));
      await assert.rejects(tree.writeFile('none\\none', new Uint8Array(1)), refusedAs('PP_SMB_NO_PATH'));
      mkdirSync(join(smbd.folder, 'folder'), { recursive: true });
      await assert.rejects(tree.writeFile('folder', new Uint8Array(1)), refusedAs('PP_SMB_EXISTS'));
      for (const bad of ['..\\x', 'a\\\\b', '\\x', 'a/b', 'a:b', 'x.', 'x ', 'x*']) {
        await assert.rejects(tree.stat(bad), refusedAs('PP_SMB_BAD_PATH'));
      }
    });
  });

  test('a pipe opens, takes a message, gives the answer in as many pieces as asked for', async () => {
    await withSession(smbd, {}, async (session) => {
      const ipc = await session.tree('IPC$');
      await assert.rejects(ipc.openPipe('nosuchpipe'), refusedAs('PP_SMB_NO_PIPE'));
      const pipe = await ipc.openPipe('srvsvc');
      // [C706] bind to srvsvc with NDR: answered by a bind_ack (packet type 12)
      const bind = Buffer.from(
        '05000b03100000004800000001000000b810b810000000000100000000000100c84f324b7016d30112785a47bf6ee18803000000045d888aeb1cc9119fe808002b10486002000000',
        'hex',
      );
      const first = await pipe.transact(bind, 16);
      assert.equal(first.length, 16);
      assert.equal(first[2], 12);
      let left = (first[8]! | (first[9]! << 8)) - 16;
      while (left > 0) {
        const part = await pipe.read(16);
        assert.ok(part.length > 0 && part.length <= 16);
        left -= part.length;
      }
      await pipe.close();
    });
  });

  test('two hundred requests at once share the credits there are', async () => {
    await withSession(smbd, {}, async (session) => {
      const tree = await session.tree('ADMIN$');
      await Promise.all(Array.from({ length: 200 }, (_, i) => tree.writeFile(`many-${i}`, new Uint8Array(1000).fill(i))));
      const read = await Promise.all(Array.from({ length: 200 }, (_, i) => tree.readFile(`many-${i}`, { maxBytes: 1000 })));
      read.forEach((octets, i) => assert.ok(octets.every((one) => one === i % 256)));
    });
  });

  test('a signal hangs up and tells its reason', async () => {
    const stop = new AbortController();
    const session = await connectSmb(options(smbd, { signal: stop.signal }));
    const ipc = await session.tree('IPC$');
    const pipe = await ipc.openPipe('srvsvc');
    const waiting = pipe.read(100); // nobody has asked anything: it would wait for ever
    stop.abort(new Error('the push was cancelled'));
    await assert.rejects(waiting, /the push was cancelled/);
    await session.logoff();
  });

  test('an operation that hangs is given up in its time, and the session lives on', async () => {
    await withSession(smbd, { timeouts: { operationMs: 300 } }, async (session) => {
      const pipe = await (await session.tree('IPC$')).openPipe('srvsvc');
      await assert.rejects(pipe.read(100), refusedAs('PP_NET_TIMEOUT'));
      await session.echo();
      assert.ok(await (await session.tree('ADMIN$')).freeBytes());
    });
  });

  test('one push costs one connection and few turn-arounds', async () => {
    await withSession(smbd, {}, async (session) => {
      const [admin] = await Promise.all([session.tree('ADMIN$'), session.tree('IPC$')]);
      assert.equal(session.stats.turnArounds, 4);
      await admin.mkdir('push');
      assert.equal(session.stats.turnArounds, 5);
      await Promise.all([
        admin.writeFile('push\\a.exe', new Uint8Array(250 * 1024)),
        admin.writeFile('push\\b.tcf', new Uint8Array(2000)),
      ]);
      // Opening, writing and closing go in one frame.
      assert.equal(session.stats.turnArounds, 6);
      assert.equal(session.stats.connections, 1);
    });
  });
});

describe('SMB against smbd that requires encryption and 3.1.1', peers, () => {
  let smbd: Smbd;
  before(async () => (smbd = await startSmbd({ encrypt: 'required' })));
  after(() => smbd.stop());

  for (const cipher of CIPHERS) {
    test(cipher, async () => {
      await withSession(smbd, { ciphers: [cipher] }, async (session) => {
        assert.deepEqual([session.dialect, session.cipher], [0x311, cipher]);
        await roundTrip(session, smbd.folder, cipher);
      });
    });
  }

  test('a client of 2.1 is told that no dialect is left', async () => {
    await assert.rejects(connectSmb(options(smbd, { dialects: [0x202, 0x210] })), refusedAs('PP_SMB_DIALECT'));
  });

  test('a client that may not encrypt says so', async () => {
    const attempt = connectSmb(options(smbd, { encryption: 'off' }));
    await assert.rejects(attempt, (error) => isCode(error, 'PP_SMB_NO_ENCRYPTION', 'PP_LOGON_DENIED'));
  });
});
