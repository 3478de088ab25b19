import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readRecord, recordedOptions, RECORDS, walk, type RecordName } from '#test/smb-record';
import { Replay } from '#test/smb-replay';
import { isCode, PushpointError } from '#base/errors';
import type { Bytes } from '#wire/bytes';
import { Header, openSession } from '#wire/smb';
import { STATUS } from '#wire/status';

const names = Object.keys(RECORDS) as RecordName[];

async function play(name: RecordName, o: ConstructorParameters<typeof Replay>[1] = {}): Promise<Replay> {
  const replay = new Replay(readRecord(name), o);
  await walk(await openSession(replay, recordedOptions(name)));
  return replay;
}

const FLAGS_AT = 16;
const SIGNATURE_AT = 48;

describe('recorded sessions with smbd', () => {
  for (const name of names) {
    test(`${name}: the client says the same octets again and accepts the answers`, async () => {
      assert.ok((await play(name)).isDone);
    });

    for (const piece of [1, 3, 1447]) {
      test(`${name}: answers arrive ${piece} octets at a time`, async () => {
        assert.ok((await play(name, { piece })).isDone);
      });
    }
  }
});

/** Every answer from the end of the logon on is protected; the first three are NEGOTIATE and the two legs of SESSION_SETUP. */
const FIRST_PROTECTED = 2;

async function refusal(name: RecordName, at: number, alter: (frame: Bytes) => Bytes[]): Promise<Error> {
  const outcome = play(name, { alter: (frame, index) => (index === at ? alter(frame) : [frame]) });
  return outcome.then(
    () => assert.fail(`${name}: answer ${at} was taken`),
    (error: Error) => error,
  );
}

describe('answers that somebody touched', () => {
  for (const name of names) {
    const answers = readRecord(name).filter((line) => line.from === 'server');

    test(`${name}: one bit turned anywhere in any protected answer is noticed`, async () => {
      for (let index = FIRST_PROTECTED; index < answers.length - 1; index++) {
        const { frame } = answers[index]!;
        const isSealed = frame[0] === 0xfd;
        // Nobody signs an interim response, and nothing but time hangs on it.
        if (!isSealed && Header.decode(frame).status === STATUS.PENDING) continue;
        // Inside what is authenticated: the signature or tag itself, the flags, the status, the last octet.
        for (const at of isSealed ? [4, 20, 44, 52, frame.length - 1] : [SIGNATURE_AT, 8, frame.length - 1]) {
          const error = await refusal(name, index, (octets) => {
            octets[at]! ^= 0x10;
            return [octets];
          });
          // A logon that is refused has no key to protect its answer with, so a forged refusal is taken for one; its token is SPNEGO's.
          const isLogon = index === FIRST_PROTECTED && error instanceof PushpointError;
          const isNoticed = isLogon || isCode(error, 'PP_SMB_NOT_PROTECTED', 'PP_WIRE_MALFORMED');
          assert.ok(isNoticed, `answer ${index}, octet ${at}: ${String(error)}`);
        }
      }
    });

    test(`${name}: an answer without its protection is refused`, async () => {
      const index = FIRST_PROTECTED + 1;
      const error = await refusal(name, index, (octets) => {
        if (octets[0] === 0xfd) octets.set(answers[FIRST_PROTECTED]!.frame.subarray(0, 64)); // signed, but in clear
        else octets[FLAGS_AT]! &= ~8;
        return [octets];
      });
      assert.ok(isCode(error, 'PP_SMB_NOT_PROTECTED', 'PP_WIRE_MALFORMED'), String(error));
    });

    test(`${name}: an answer that comes twice is refused`, async () => {
      const error = await refusal(name, FIRST_PROTECTED + 2, (octets) => [octets, octets.slice()]);
      assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), String(error));
    });

    test(`${name}: an answer of before comes again later and is refused`, async () => {
      const error = await refusal(name, FIRST_PROTECTED + 4, (octets) => [answers[FIRST_PROTECTED + 1]!.frame.slice(), octets]);
      assert.ok(isCode(error, 'PP_WIRE_MALFORMED'), String(error));
    });
  }

  test('a changed greeting is noticed at the end of a 3.1.1 logon', async () => {
    const error = await refusal('311-signed', 0, (octets) => {
      octets[64 + 40]! ^= 1; // the system time, which nobody looks at
      return [octets];
    });
    assert.ok(isCode(error, 'PP_SMB_NOT_PROTECTED'), String(error));
  });

  test('below 3.1.1 a changed greeting is noticed when it is asked for again', async () => {
    const error = await refusal('302-sealed', 0, (octets) => {
      octets[64 + 24]! ^= 1; // a capability
      return [octets];
    });
    assert.ok(isCode(error, 'PP_SMB_DOWNGRADED', 'PP_SMB_NOT_PROTECTED'), String(error));
  });
});
