import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import { systemClock } from '#base/clock';
import { isCode, type Code } from '#base/errors';
import { silentLog } from '#base/log';
import { openDatabase, type Database } from '#store/database';
import { testDatabase, type TestDatabase } from '#test/database';

const CANARY = 'Canary-Correct-Horse-9';
const dataDir = mkdtempSync(path.join(tmpdir(), 'pushpoint external '));
after(() => rmSync(dataDir, { recursive: true }));

let own: TestDatabase;
before(async () => {
  own = await testDatabase({ records: [] });
});
after(() => own?.close());

function open(url: string): Promise<Database> {
  return openDatabase({ dataDir, url, clock: systemClock, log: silentLog });
}

async function refused(url: string, code: Code, message?: RegExp): Promise<void> {
  await assert.rejects(open(url), (error) => {
    assert.ok(isCode(error, code), `${inspect(error)} is not ${code}`);
    if (message) assert.match(error.message, message);
    assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(CANARY), 'the error shows the password');
    return true;
  });
}

function changed(change: (url: URL) => void): string {
  const url = new URL(own.url);
  change(url);
  return url.href;
}

/** message frames one message of a PostgreSQL server (protocol 3.0, section "Message Formats"). */
function message(kind: string, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  const head = Buffer.alloc(5);
  head.write(kind);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function short(n: number): Buffer {
  const octets = Buffer.alloc(2);
  octets.writeInt16BE(n);
  return octets;
}

function long(n: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeInt32BE(n);
  return octets;
}

/** scripted is a server that lets everybody in and answers each question with `answer`. */
async function scripted(t: TestContext, login: Buffer, answer: Buffer): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(login);
      socket.on('data', (data) => data[0] === 0x51 && socket.write(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

const IDLE = message('Z', 'I');
const WELCOME = Buffer.concat([message('R', long(0)), IDLE]);

function failure(code: string, text: string): Buffer {
  return message('E', `SFATAL\0VFATAL\0C${code}\0M${text}\0\0`);
}

function row(values: Record<string, string>): Buffer {
  const columns = Object.keys(values).flatMap((name) => [
    `${name}\0`,
    long(0),
    short(0),
    long(25),
    short(-1),
    long(-1),
    short(0),
  ]);
  const cells = Object.values(values).flatMap((value) => [long(value.length), value]);
  const count = short(Object.keys(values).length);
  return Buffer.concat([message('T', count, ...columns), message('D', count, ...cells), message('C', 'SELECT 1\0'), IDLE]);
}

test('an external database works like a managed one, and its URL is shown without the password', async () => {
  const url = changed((u) => {
    u.searchParams.set('password', CANARY);
  });
  const db = await open(url);
  assert.equal(db.kind, 'external');
  assert.ok(db.url.startsWith('postgresql:///test_') && !db.url.includes(CANARY), db.url);
  assert.ok(!inspect(db, { depth: 3 }).includes(CANARY));
  assert.equal(await db.count('create table t as select 1'), 1);
  await db.close();
});

test('a text that is no PostgreSQL URL is refused without being repeated', async () => {
  await refused(`postgresql://user:${CANARY}@[bad/db`, 'PP_STORE_URL');
  await refused(`mysql://user:${CANARY}@host/db`, 'PP_STORE_URL');
  await refused(CANARY, 'PP_STORE_URL');
});

test('a server that is not there, or hangs up, is unreachable', async (t) => {
  const port = await scripted(t, WELCOME, WELCOME);
  const closed = net.createServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  const free = (closed.address() as net.AddressInfo).port;
  await new Promise((resolve) => closed.close(resolve));
  await refused(
    `postgresql://u:${CANARY}@127.0.0.1:${free}/db`,
    'PP_STORE_UNREACHABLE',
    new RegExp(`127\\.0\\.0\\.1:${free}/db`),
  );
  assert.notEqual(port, free);
  await refused(
    changed((u) => u.searchParams.set('host', '/nonexistent')),
    'PP_STORE_UNREACHABLE',
  );
  const starting = await scripted(t, failure('57P03', 'the database system is starting up'), IDLE);
  await refused(`postgresql://u:${CANARY}@127.0.0.1:${starting}/db`, 'PP_STORE_UNREACHABLE');
});

test('a wrong password, a missing database and too many connections are told apart', async (t) => {
  const cases: [string, Code][] = [
    ['28P01', 'PP_STORE_PASSWORD'],
    ['28000', 'PP_STORE_PASSWORD'],
    ['53300', 'PP_STORE_BUSY'],
  ];
  for (const [sqlstate, code] of cases) {
    const port = await scripted(t, failure(sqlstate, 'no'), IDLE);
    await refused(`postgresql://u:${CANARY}@127.0.0.1:${port}/db`, code);
  }
  await refused(
    changed((u) => (u.pathname = '/nowhere')),
    'PP_STORE_NO_DATABASE',
  );
});

test('a server that is too old is refused with its version', async (t) => {
  const port = await scripted(t, WELCOME, row({ number: '140012', version: '14.12', may: 't' }));
  await refused(`postgresql://u:${CANARY}@127.0.0.1:${port}/db`, 'PP_STORE_TOO_OLD', /14\.12/);
});

test('a user who may not make tables is refused', async () => {
  const admin = await open(changed((u) => u.searchParams.set('user', 'postgres')));
  const guest = `guest_${process.pid}`;
  await admin.query(`create role ${guest} login`);
  try {
    await refused(
      changed((u) => u.searchParams.set('user', guest)),
      'PP_STORE_NO_RIGHTS',
      /no tables may be created/,
    );
  } finally {
    await admin.query(`drop role ${guest}`);
    await admin.close();
  }
});
