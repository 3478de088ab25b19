import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readRecord } from '#test/smb-record';
import { isCode } from '#base/errors';
import { concat, fromHex, toHex, type Bytes, type Struct } from '#wire/bytes';
import * as smb from '#wire/smb';
import { STATUS } from '#wire/status';

const { COMMAND, FILE_INFO, FS_INFO, INFO_TYPE } = smb;

type AnyStruct = Struct<unknown>;
const any = <T>(codec: Struct<T>) => codec as unknown as AnyStruct;

/** What each command's request and response are. */
const bodies = new Map<number, [request: AnyStruct, response: AnyStruct]>([
  [COMMAND.NEGOTIATE, [any(smb.NegotiateRequest), any(smb.NegotiateResponse)]],
  [COMMAND.SESSION_SETUP, [any(smb.SessionSetupRequest), any(smb.SessionSetupResponse)]],
  [COMMAND.LOGOFF, [any(smb.Logoff), any(smb.Logoff)]],
  [COMMAND.TREE_CONNECT, [any(smb.TreeConnectRequest), any(smb.TreeConnectResponse)]],
  [COMMAND.TREE_DISCONNECT, [any(smb.TreeDisconnect), any(smb.TreeDisconnect)]],
  [COMMAND.CREATE, [any(smb.CreateRequest), any(smb.CreateResponse)]],
  [COMMAND.CLOSE, [any(smb.CloseRequest), any(smb.CloseResponse)]],
  [COMMAND.FLUSH, [any(smb.FlushRequest), any(smb.FlushResponse)]],
  [COMMAND.READ, [any(smb.ReadRequest), any(smb.ReadResponse)]],
  [COMMAND.WRITE, [any(smb.WriteRequest), any(smb.WriteResponse)]],
  [COMMAND.IOCTL, [any(smb.IoctlRequest), any(smb.IoctlResponse)]],
  [COMMAND.ECHO, [any(smb.Echo), any(smb.Echo)]],
  [COMMAND.QUERY_DIRECTORY, [any(smb.QueryDirectoryRequest), any(smb.QueryDirectoryResponse)]],
  [COMMAND.QUERY_INFO, [any(smb.QueryInfoRequest), any(smb.QueryInfoResponse)]],
  [COMMAND.SET_INFO, [any(smb.SetInfoRequest), any(smb.SetInfoResponse)]],
]);

const FINE: number[] = [STATUS.SUCCESS, STATUS.MORE_PROCESSING_REQUIRED, STATUS.BUFFER_OVERFLOW];

function bodyOf(header: smb.Header): AnyStruct {
  const isResponse = (header.flags & smb.FLAG.SERVER_TO_REDIR) !== 0;
  if (isResponse && !FINE.includes(header.status)) return any(smb.ErrorResponse);
  const pair = bodies.get(header.command);
  if (!pair) return any(smb.Echo);
  return pair[isResponse ? 1 : 0];
}

/** readAll decodes a frame as far down as there are structs for it: header, body, contexts, information classes. */
function readAll(frame: Bytes): { message: smb.Message; body: AnyStruct; value: unknown }[] {
  return smb.splitCompound(frame).map((message) => {
    const body = bodyOf(message.header);
    const value = smb.decodeBody(message, body);
    const contexts = (value as { contexts?: smb.NegotiateContext[] }).contexts;
    if (message.header.command === COMMAND.NEGOTIATE && contexts) smb.unpackContexts(contexts);
    const output = (value as { output?: Bytes }).output;
    if (message.header.command === COMMAND.QUERY_DIRECTORY && output) smb.IdBothDirectoryList.decode(output);
    if (message.header.command === COMMAND.QUERY_INFO && output) smb.FileFsFullSizeInformation.decode(output);
    return { message, body, value };
  });
}

const recorded = [...readRecord('311-signed'), ...readRecord('202-signed')];

/** Small whole-number generator, so that a failure can be had again from the seed that is printed (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function onlyMalformed(frame: Bytes, what: string): boolean {
  try {
    readAll(frame);
    return false;
  } catch (error) {
    assert.ok(
      isCode(error, 'PP_WIRE_MALFORMED'),
      `${what}: ${error instanceof Error ? error.stack : String(error)}\n${toHex(frame)}`,
    );
    return true;
  }
}

describe('SMB2 messages', () => {
  test('every command of a push is in the record', () => {
    const seen = new Set(recorded.flatMap((line) => smb.splitCompound(line.frame)).map(({ header }) => header.command));
    const wanted = [...bodies.keys()].filter((command) => command !== COMMAND.FLUSH && command !== COMMAND.TREE_DISCONNECT);
    assert.deepEqual(
      wanted.filter((command) => !seen.has(command)),
      [],
    );
  });

  test('what smbd and we said reads, and writes as the same octets', () => {
    for (const { frame, from } of recorded) {
      for (const { message, body, value } of readAll(frame)) {
        const again = smb.encodeMessage(message.header, body, value);
        const isOurs = from === 'client';
        // In a chain the padding up to the next message is part of the one before.
        const padded = concat(
          again,
          new Uint8Array(isOurs && message.header.nextCommand ? message.octets.length - again.length : 0),
        );
        if (isOurs) assert.equal(toHex(padded), toHex(message.octets), body.name);
        else assert.deepEqual(smb.decodeBody({ header: message.header, octets: again }, body), value, body.name);
      }
    }
  });

  test('cut off after any octet, a message is malformed, or whole as far as it goes', () => {
    let refused = 0;
    for (const { frame } of recorded) {
      for (let length = 0; length < frame.length; length++) {
        if (onlyMalformed(frame.slice(0, length), `cut at ${length}`)) refused++;
        else assert.ok(length >= smb.HEADER_SIZE + 4, `${length} octets were taken for a message`);
      }
    }
    assert.ok(refused > 5_000, `only ${refused} cuts were refused`);
  });

  test('two thousand changed messages raise nothing but PP_WIRE_MALFORMED', (t) => {
    const seed = Number(process.env['PP_SEED'] ?? 20261121);
    t.diagnostic(`PP_SEED=${seed}`);
    const below = numbers(seed);
    let refused = 0;
    for (let round = 0; round < 2_000; round++) {
      const octets = recorded[below(recorded.length)]!.frame.slice();
      for (let change = 0; change <= below(4); change++)
        octets[below(octets.length)] = below(2) ? below(256) : [0, 0xff, 0x7f, 0x80][below(4)]!;
      if (onlyMalformed(octets, `round ${round} of seed ${seed}`)) refused++;
    }
    assert.ok(refused > 100, `only ${refused} of 2000 were refused`);
  });

  test('a header in its async form keeps its async id', () => {
    const value = smb.header({
      command: COMMAND.READ,
      flags: smb.FLAG.ASYNC_COMMAND,
      asyncId: 0x1122334455667788n,
      messageId: 7n,
    });
    const octets = smb.Header.encode(value);
    assert.equal(toHex(octets.subarray(32, 40)), '8877665544332211');
    assert.equal(smb.Header.decode(octets).asyncId, 0x1122334455667788n);
  });

  test('compounds: joined 8-aligned, split where NextCommand says', () => {
    const one = smb.encodeMessage(smb.header({ command: COMMAND.ECHO, messageId: 1n }), smb.Echo, {});
    const two = smb.encodeMessage(smb.header({ command: COMMAND.LOGOFF, messageId: 2n }), smb.Logoff, {});
    const frame = smb.joinCompound([one, two]);
    const split = smb.splitCompound(frame);
    assert.deepEqual(
      split.map((message) => [message.header.command, message.header.messageId, message.octets.length]),
      [
        [COMMAND.ECHO, 1n, 72],
        [COMMAND.LOGOFF, 2n, 68],
      ],
    );
    for (const next of [1, 8, 60, 68, 80, 0xffff_fff8]) {
      const wrong = frame.slice();
      new DataView(wrong.buffer).setUint32(20, next, true);
      assert.throws(
        () => smb.splitCompound(wrong),
        (error) => isCode(error, 'PP_WIRE_MALFORMED'),
        String(next),
      );
    }
  });

  test('negotiate contexts stand ascending, 8-aligned, the last without padding, as laid out by hand from [MS-SMB2] 2.2.3', () => {
    const contexts = smb.packContexts({
      signings: [2, 1],
      netName: 'ab',
      ciphers: [2],
      preauth: { hashes: [1], salt: fromHex('aabbcc') },
    });
    const value = { securityMode: 3, capabilities: 0, clientGuid: new Uint8Array(16), dialects: [0x311], contexts };
    const octets = smb.encodeMessage(smb.header({ command: COMMAND.NEGOTIATE }), smb.NegotiateRequest, value);
    assert.equal(
      toHex(octets.subarray(64)),
      `2400010003000000000000000000000000000000000000000000000068000000040000001103` + // …offset 0x68, four contexts, 3.1.1
        '0000' + // to 8
        '0100090000000000' +
        '01000300' +
        '0100' +
        'aabbcc' +
        '00000000000000' + // PREAUTH
        '0200040000000000' +
        '01000200' +
        '00000000' + // ENCRYPTION
        '0500040000000000' +
        '61006200' +
        '00000000' + // NETNAME
        '0800060000000000' +
        '0200' +
        '0200' +
        '0100', // SIGNING
    );
  });

  test('create contexts go round, with and without data', () => {
    const contexts = [
      { name: 'MxAc', data: new Uint8Array(0) },
      { name: 'DH2Q', data: fromHex('0102030405') },
      { name: 'QFid', data: new Uint8Array(32) },
    ];
    const value = {
      oplockLevel: 0,
      impersonationLevel: 2,
      desiredAccess: 1,
      fileAttributes: 0,
      shareAccess: 7,
      createDisposition: 1,
      createOptions: 0,
      name: 'a',
      contexts,
    };
    const octets = smb.encodeMessage(smb.header({ command: COMMAND.CREATE }), smb.CreateRequest, value);
    const [message] = smb.splitCompound(octets);
    assert.deepEqual(smb.decodeBody(message!, smb.CreateRequest), value);
  });

  test('an empty buffer still has the one octet that its StructureSize counts', () => {
    const value = {
      infoType: INFO_TYPE.FILE,
      infoClass: FILE_INFO.BASIC,
      outputBufferLength: 40,
      additionalInformation: 0,
      flags: 0,
    };
    const octets = smb.encodeMessage(smb.header({ command: COMMAND.QUERY_INFO }), smb.QueryInfoRequest, {
      ...value,
      fileId: smb.NO_FILE,
      input: new Uint8Array(0),
    });
    assert.equal(octets.length, 64 + 41);
  });

  test('every directory class goes round', () => {
    const base = {
      fileIndex: 0,
      creationTime: 1n,
      lastAccessTime: 2n,
      lastWriteTime: 3n,
      changeTime: 4n,
      endOfFile: 5n,
      allocationSize: 8n,
      fileAttributes: 0x20,
    };
    const short = { eaSize: 0, shortNameLength: 0, shortName: new Uint8Array(24) };
    const named = ['.', 'ccmsetup.exe', 'ä'].map((fileName) => ({ ...base, fileName }));
    assert.deepEqual(smb.DirectoryList.decode(smb.DirectoryList.encode(named)), named);
    const full = named.map((one) => ({ ...one, eaSize: 0 }));
    assert.deepEqual(smb.FullDirectoryList.decode(smb.FullDirectoryList.encode(full)), full);
    const idFull = full.map((one) => ({ ...one, fileId: 9n }));
    assert.deepEqual(smb.IdFullDirectoryList.decode(smb.IdFullDirectoryList.encode(idFull)), idFull);
    const both = named.map((one) => ({ ...one, ...short }));
    assert.deepEqual(smb.BothDirectoryList.decode(smb.BothDirectoryList.encode(both)), both);
    const idBoth = both.map((one) => ({ ...one, reserved2: 0, fileId: 9n }));
    assert.deepEqual(smb.IdBothDirectoryList.decode(smb.IdBothDirectoryList.encode(idBoth)), idBoth);
    const names = [{ fileIndex: 0, fileName: 'x' }];
    assert.deepEqual(smb.NamesList.decode(smb.NamesList.encode(names)), names);
  });

  test('FILETIME: 2026-01-05T08:00:00Z', () => {
    const date = new Date('2026-01-05T08:00:00Z');
    assert.equal(smb.fileTimeOfDate(date), 134120736000000000n);
    assert.deepEqual(smb.dateOfFileTime(134120736000000000n), date);
    assert.equal(FS_INFO.FULL_SIZE, 7);
  });
});
