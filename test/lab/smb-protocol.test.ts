import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock';
import {
  CancelRequest,
  COMMAND,
  CreateRequest,
  CreateResponse,
  decodeBody,
  DIALECT,
  FLAG,
  FSCTL,
  IoctlRequest,
  IoctlResponse,
  NO_FILE,
  ReadRequest,
  splitCompound,
  ValidateNegotiateRequest,
  ValidateNegotiateResponse,
  WriteRequest,
} from '#wire/smb';
import { STATUS } from '#wire/status';
import { startLabSmb, type LabSmb, type LabSmbOptions } from '#test/lab-smb';
import { RawSmb } from '#test/raw-smb';

async function loggedOn(
  t: Parameters<typeof startLabSmb>[0],
  options: LabSmbOptions = {},
): Promise<{ lab: LabSmb; raw: RawSmb }> {
  const lab = await startLabSmb(t, options);
  const raw = await RawSmb.connect(lab.port);
  t.after(() => raw.close());
  await raw.logOn('administrator', 'Admin-Only-1!');
  await raw.tree('\\\\LAB1\\IPC$');
  return { lab, raw };
}

async function echoPipe(raw: RawSmb) {
  const answer = await raw.ask(
    raw.build(COMMAND.CREATE, CreateRequest, {
      oplockLevel: 0,
      impersonationLevel: 2,
      desiredAccess: 0x0012_019f,
      fileAttributes: 0,
      shareAccess: 7,
      createDisposition: 1,
      createOptions: 0,
      name: 'echo',
      contexts: [],
    }),
  );
  assert.equal(answer?.header.status, STATUS.SUCCESS);
  return decodeBody(answer, CreateResponse).fileId;
}

test('a read of an empty pipe is announced as pending and ends when it is cancelled', async (t) => {
  const clock = new ManualClock();
  const { lab, raw } = await loggedOn(t, { clock });
  const fileId = await echoPipe(raw);
  const io = { fileId, padding: 80, flags: 0, length: 100, offset: 0n, minimumCount: 0, remainingBytes: 0 };
  const read = raw.build(COMMAND.READ, ReadRequest, io);
  raw.write(raw.sign(read));
  const frame = raw.next();
  // The server first gets the request, then its clock moves on.
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(600);
  const [pending] = splitCompound((await frame)!);
  assert.equal(pending!.header.status, STATUS.PENDING);
  assert.ok(pending!.header.flags & FLAG.ASYNC_COMMAND);
  assert.ok(pending!.header.credits > 0, 'the interim answer gives the credits back');
  const { asyncId } = pending!.header;
  raw.write(raw.sign(raw.build(COMMAND.CANCEL, CancelRequest, {}, { flags: FLAG.ASYNC_COMMAND, asyncId, creditCharge: 0 })));
  const [final] = splitCompound((await raw.next())!);
  assert.equal(final!.header.status, STATUS.CANCELLED);
  assert.equal(final!.header.asyncId, asyncId);
  assert.equal(final!.header.credits, 0);
  assert.deepEqual(lab.complaints, []);
});

test('a message of a pipe that does not fit comes with BUFFER_OVERFLOW, in TRANSCEIVE and in READ', async (t) => {
  const { raw } = await loggedOn(t);
  const fileId = await echoPipe(raw);
  const ioctl = { ctlCode: FSCTL.PIPE_TRANSCEIVE, fileId, maxInputResponse: 0, maxOutputResponse: 4, flags: 1 };
  const answer = await raw.ask(
    raw.build(COMMAND.IOCTL, IoctlRequest, { ...ioctl, input: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9) }),
  );
  assert.equal(answer!.header.status, STATUS.BUFFER_OVERFLOW);
  assert.deepEqual([...decodeBody(answer!, IoctlResponse).output], [9, 8, 7, 6]);
  const io = { fileId, padding: 80, flags: 0, offset: 0n, minimumCount: 0, remainingBytes: 0 };
  const again = await raw.ask(raw.build(COMMAND.READ, ReadRequest, { ...io, length: 3 }));
  assert.equal(again!.header.status, STATUS.BUFFER_OVERFLOW);
  const busy = await raw.ask(raw.build(COMMAND.IOCTL, IoctlRequest, { ...ioctl, input: Uint8Array.of(1) }));
  assert.equal(busy!.header.status, STATUS.PIPE_BUSY, 'what was not read yet must be read first');
  const last = await raw.ask(raw.build(COMMAND.READ, ReadRequest, { ...io, length: 100 }));
  assert.equal(last!.header.status, STATUS.SUCCESS);
});

test('VALIDATE_NEGOTIATE_INFO is answered when it fits what was said, and ends the connection when it does not', async (t) => {
  const { raw } = await loggedOn(t);
  const said = { capabilities: 0x44, guid: new Uint8Array(16).fill(7), securityMode: 1, dialects: [DIALECT.SMB210] as number[] };
  const ask = (value: typeof said) =>
    raw.ask(
      raw.build(COMMAND.IOCTL, IoctlRequest, {
        ctlCode: FSCTL.VALIDATE_NEGOTIATE_INFO,
        fileId: NO_FILE,
        maxInputResponse: 0,
        maxOutputResponse: 24,
        flags: 1,
        input: ValidateNegotiateRequest.encode(value),
      }),
    );
  const answer = await ask(said);
  assert.equal(answer!.header.status, STATUS.SUCCESS);
  assert.equal(ValidateNegotiateResponse.decode(decodeBody(answer!, IoctlResponse).output).dialect, DIALECT.SMB210);
  assert.equal(await ask({ ...said, dialects: [DIALECT.SMB210, DIALECT.SMB311] }), undefined);
});

test('what is not paid with credits is refused', async (t) => {
  const { raw } = await loggedOn(t);
  await raw.tree('\\\\LAB1\\ADMIN$');
  const io = { fileId: NO_FILE, offset: 0n, flags: 0, remainingBytes: 0 };
  const read = await raw.ask(raw.build(COMMAND.READ, ReadRequest, { ...io, padding: 80, length: 70_000, minimumCount: 0 }));
  assert.equal(read!.header.status, STATUS.INVALID_PARAMETER);
  const write = await raw.ask(raw.build(COMMAND.WRITE, WriteRequest, { ...io, data: new Uint8Array(70_000) }));
  assert.equal(write!.header.status, STATUS.INVALID_PARAMETER);
  raw.write(
    raw.sign(raw.build(COMMAND.READ, ReadRequest, { ...io, padding: 80, length: 1, minimumCount: 0 }, { messageId: 5000n })),
  );
  assert.equal(await raw.next(), undefined, 'a message id that was never granted ends the connection');
});

test('after a logoff the session is gone, on the connection and for its files', async (t) => {
  const { lab, raw } = await loggedOn(t);
  await echoPipe(raw);
  assert.equal((await raw.ask(raw.logoff()))!.header.status, STATUS.SUCCESS);
  const after = await raw.ask(raw.logoff());
  assert.equal(after!.header.status, STATUS.USER_SESSION_DELETED);
  assert.deepEqual(lab.complaints, []);
});
