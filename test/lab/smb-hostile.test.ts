import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bytes } from '#wire/bytes';
import {
  COMMAND,
  CreateRequest,
  CreateResponse,
  decodeBody,
  Echo,
  FILE_INFO,
  FSCTL,
  IoctlRequest,
  joinCompound,
  QueryDirectoryRequest,
  QueryInfoRequest,
  ReadRequest,
  SetInfoRequest,
  splitCompound,
  WriteRequest,
  CloseRequest,
  FLAG,
  NO_FILE,
  type FileId,
} from '#wire/smb';
import { STATUS } from '#wire/status';
import { startLabSmb, type LabSmb } from '#test/lab-smb';
import { RawSmb } from '#test/raw-smb';

const ADMIN = ['administrator', 'Admin-Only-1!'] as const;

/** seeded gives the same numbers in each run. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function mutated(octets: Bytes, from: number, pick: (below: number) => number): Bytes {
  const changed = new Uint8Array(octets);
  const values = [0, 1, 0x7f, 0x80, 0xff, pick(256)];
  for (let times = 1 + pick(4); times > 0; times--) changed[from + pick(changed.length - from)] = values[pick(values.length)]!;
  return changed;
}

/** fine proves that a session of somebody else still works, and that the server found no failure of its own. */
async function fine(lab: LabSmb): Promise<void> {
  assert.deepEqual(lab.complaints, []);
  const session = await lab.connect();
  const admin = await session.tree('ADMIN$');
  await admin.writeFile('proof', Uint8Array.of(1, 2, 3));
  assert.equal((await admin.stat('proof'))?.size, 3n);
  await session.logoff();
}

const create = (raw: RawSmb, name: string) =>
  raw.build(COMMAND.CREATE, CreateRequest, {
    oplockLevel: 0,
    impersonationLevel: 2,
    desiredAccess: 0x001f_01ff,
    fileAttributes: 0,
    shareAccess: 7,
    createDisposition: 3,
    createOptions: 0,
    name,
    contexts: [{ name: 'MxAc', data: new Uint8Array(0) }],
  });

async function opened(raw: RawSmb, name: string): Promise<FileId> {
  const answer = await raw.ask(create(raw, name));
  assert.equal(answer?.header.status, STATUS.SUCCESS);
  return decodeBody(answer, CreateResponse).fileId;
}

/** requests makes one of each kind of request that carries lengths and offsets. */
function requests(raw: RawSmb, fileId: FileId): (() => Bytes)[] {
  const data = Uint8Array.from({ length: 40 }, (_, i) => i);
  const io = { fileId, offset: 0n, flags: 0, remainingBytes: 0 };
  const info = { infoType: 1, infoClass: FILE_INFO.ALL, additionalInformation: 0, fileId };
  return [
    () => create(raw, 'fuzzed\\name.txt'),
    () => raw.build(COMMAND.READ, ReadRequest, { ...io, padding: 80, length: 40, minimumCount: 0 }),
    () => raw.build(COMMAND.WRITE, WriteRequest, { ...io, data }),
    () =>
      raw.build(COMMAND.QUERY_INFO, QueryInfoRequest, { ...info, outputBufferLength: 500, flags: 0, input: new Uint8Array(0) }),
    () => raw.build(COMMAND.SET_INFO, SetInfoRequest, { ...info, infoClass: FILE_INFO.BASIC, input: data }),
    () =>
      raw.build(COMMAND.QUERY_DIRECTORY, QueryDirectoryRequest, {
        infoClass: FILE_INFO.ID_BOTH_DIRECTORY,
        flags: 1,
        fileIndex: 0,
        fileId,
        outputBufferLength: 4096,
        pattern: '*',
      }),
    () =>
      raw.build(COMMAND.IOCTL, IoctlRequest, {
        ctlCode: FSCTL.PIPE_WAIT,
        fileId,
        maxInputResponse: 0,
        maxOutputResponse: 1024,
        flags: 1,
        input: data,
      }),
    () => raw.build(COMMAND.ECHO, Echo, {}),
  ];
}

test('a NEGOTIATE or SESSION_SETUP cut off at any length ends at most its own connection', async (t) => {
  const lab = await startLabSmb(t);
  const model = await RawSmb.connect(lab.port);
  const negotiate = model.negotiate();
  const setUp = model.setUp(new Uint8Array(40).fill(0x60));
  model.close();
  for (const whole of [negotiate, setUp]) {
    for (let length = 1; length < whole.length; length += 3) {
      const raw = await RawSmb.connect(lab.port);
      if (whole === setUp) await raw.ask(raw.negotiate());
      raw.write(whole.subarray(0, length));
      const frame = await raw.next();
      if (frame) assert.notEqual(splitCompound(frame)[0]!.header.status, STATUS.SUCCESS);
      raw.close();
    }
  }
  await fine(lab);
});

test('changed octets before the logon never break the server', async (t) => {
  const lab = await startLabSmb(t);
  const pick = seeded(20_260_105);
  for (let round = 0; round < 150; round++) {
    const raw = await RawSmb.connect(lab.port);
    raw.write(mutated(raw.negotiate(), round % 2 ? 0 : 64, pick));
    // A cut frame may leave the server waiting for more, so the client does not wait for it for ever.
    raw.socket.end();
    await raw.next();
    raw.close();
  }
  await fine(lab);
});

test('changed octets that are rightly signed never break the server', async (t) => {
  const lab = await startLabSmb(t);
  const bystander = await lab.connect();
  const theirs = await bystander.tree('ADMIN$');
  const pick = seeded(77);
  let raw: RawSmb | undefined;
  let answered = 0;
  for (let round = 0; round < 400; round++) {
    if (!raw || raw.closed) {
      raw = await RawSmb.connect(lab.port);
      await raw.logOn(...ADMIN);
      await raw.tree('\\\\LAB1\\ADMIN$');
    }
    const fileId = await opened(raw, round % 2 ? 'fuzz.txt' : '');
    const make = requests(raw, fileId);
    const answer = await raw.ask(mutated(make[pick(make.length)]!(), 64, pick));
    if (answer) answered++;
    if (round % 50 === 0) await theirs.writeFile('still', Uint8Array.of(round & 255));
    // A changed file id may have hit another open; what is left goes with the connection.
    if (round % 20 === 19) raw.close();
  }
  raw?.close();
  assert.ok(answered > 200, `only ${answered} of 400 were answered at all`);
  await theirs.writeFile('still', Uint8Array.of(1));
  await bystander.logoff();
  await fine(lab);
});

test('what is not signed, wrongly signed, repeated or out of credit is refused', async (t) => {
  const lab = await startLabSmb(t);
  const raw = await RawSmb.connect(lab.port);
  await raw.logOn(...ADMIN);
  await raw.tree('\\\\LAB1\\ADMIN$');
  raw.write(create(raw, 'unsigned.txt'));
  const [unsigned] = splitCompound((await raw.next())!);
  assert.equal(unsigned!.header.status, STATUS.ACCESS_DENIED);
  const wrong = raw.sign(create(raw, 'wrong.txt'));
  wrong[50]! ^= 1;
  raw.write(wrong);
  const [refused] = splitCompound((await raw.next())!);
  assert.equal(refused!.header.status, STATUS.ACCESS_DENIED);
  assert.equal(await lab.disk.find(['Windows', 'unsigned.txt']), undefined);
  const once = raw.sign(create(raw, 'once.txt'));
  raw.write(once);
  assert.equal(splitCompound((await raw.next())!)[0]!.header.status, STATUS.SUCCESS);
  raw.write(once);
  assert.equal(await raw.next(), undefined, 'a replayed message ends the connection');
  await fine(lab);
});

test('a related compound opens, writes and closes in one frame, and a failure is handed on', async (t) => {
  const lab = await startLabSmb(t);
  const raw = await RawSmb.connect(lab.port);
  await raw.logOn(...ADMIN);
  await raw.tree('\\\\LAB1\\ADMIN$');
  const chain = async (name: string) => {
    const related = { flags: FLAG.RELATED_OPERATIONS };
    const write = { fileId: NO_FILE, offset: 0n, flags: 0, remainingBytes: 0, data: Uint8Array.of(1, 2, 3, 4, 5) };
    const parts = [
      create(raw, name),
      raw.build(COMMAND.WRITE, WriteRequest, write, related),
      raw.build(COMMAND.CLOSE, CloseRequest, { flags: 0, fileId: NO_FILE }, related),
    ];
    // Each is signed with its padding and its NextCommand, as it stands in the frame.
    const frame = joinCompound(parts);
    for (const { octets } of splitCompound(frame)) raw.sign(octets);
    raw.write(frame);
    return splitCompound((await raw.next())!).map(({ header }) => header.status);
  };
  assert.deepEqual(await chain('in-one-go.txt'), [STATUS.SUCCESS, STATUS.SUCCESS, STATUS.SUCCESS]);
  assert.equal((await lab.disk.find(['Windows', 'in-one-go.txt']))?.size, 5);
  const gone = STATUS.OBJECT_PATH_NOT_FOUND;
  assert.deepEqual(await chain('no\\way\\there.txt'), [gone, gone, gone]);
  await raw.ask(raw.logoff());
  raw.close();
  await fine(lab);
});

test('a frame longer than anybody needs is not even read', async (t) => {
  const lab = await startLabSmb(t);
  const raw = await RawSmb.connect(lab.port);
  raw.socket.write(Uint8Array.of(0, 0xff, 0xff, 0xff));
  assert.equal(await raw.next(), undefined);
  const other = await RawSmb.connect(lab.port);
  other.socket.write('GET / HTTP/1.1\r\n\r\n');
  assert.equal(await other.next(), undefined);
  await fine(lab);
});
