import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode, Malformed, PushpointError, Refused } from '#base/errors';
import { AV, Challenge, decodeToken, encodeInit, encodeResponse, NTLM_FLAG, OID, withPair } from '#wire/auth';
import { concat, toUtf16 } from '#wire/bytes';
import { STATUS, statusName } from '#wire/status';
import { hostAcceptor, logOn, pushAuthenticator, type Step } from '#test/logon';

const steps: Step[] = ['init', 'challenge', 'authenticate', 'completed'];

/** tokensOf records the four tokens of a good logon. */
async function tokensOf(): Promise<Record<Step, Uint8Array>> {
  const tokens = {} as Record<Step, Uint8Array>;
  await logOn(pushAuthenticator(), hostAcceptor(), (token, step) => (tokens[step] = token));
  return tokens;
}

/** tried runs a logon with one token changed and gives the refusal; anything but Malformed or Refused is a failure of the test. */
async function tried(step: Step, change: (token: Uint8Array) => Uint8Array): Promise<PushpointError | number> {
  const client = pushAuthenticator();
  try {
    const answer = await logOn(client, hostAcceptor(), (token, at) => (at === step ? change(token) : token));
    if (answer.status === STATUS.SUCCESS) assert.deepEqual(client.sessionKey(), answer.sessionKey);
    return answer.status;
  } catch (error) {
    if (error instanceof Malformed || error instanceof Refused) return error;
    throw error;
  }
}

test('every message cut at every length is refused, with nothing worse than a malformed or refused error', async () => {
  const tokens = await tokensOf();
  for (const step of steps) {
    for (let length = 0; length < tokens[step].length; length++) {
      const outcome = await tried(step, (token) => token.slice(0, length));
      assert.notEqual(outcome, STATUS.SUCCESS, `${step} cut to ${length}`);
      const expected =
        length === 0 && step === 'challenge'
          ? 'PP_AUTH_INCOMPLETE'
          : length === 0 && step === 'completed'
            ? 'PP_AUTH_UNPROVEN'
            : 'PP_WIRE_MALFORMED';
      assert.ok(isCode(outcome, expected), `${step} cut to ${length}: ${String(outcome)}`);
    }
  }
});

test('every NTLM message cut at every length inside a whole SPNEGO token never logs on', async () => {
  const tokens = await tokensOf();
  for (const step of ['challenge', 'authenticate'] as const) {
    const whole = decodeToken(tokens[step]);
    assert.ok(whole.kind === 'response');
    for (let length = 0; length < whole.token!.length; length++) {
      const outcome = await tried(step, (token) => {
        const now = decodeToken(token);
        assert.ok(now.kind === 'response');
        return encodeResponse({ ...now, token: now.token!.slice(0, length) });
      });
      assert.ok(isCode(outcome, 'PP_WIRE_MALFORMED'), `${step} cut to ${length}: ${String(outcome)}`);
    }
  }
});

test('a bit flipped anywhere inside the three NTLM messages never leaves both sides logged on', async () => {
  const tokens = await tokensOf();
  for (const step of ['init', 'challenge', 'authenticate'] as const) {
    const inner = decodeToken(tokens[step]).token!;
    const start = tokens[step].length - inner.length - (step === 'authenticate' ? 20 : 0);
    assert.deepEqual(tokens[step].slice(start, start + inner.length), inner, 'where the NTLM message stands');
    for (let at = 0; at < inner.length; at++) {
      const outcome = await tried(step, (token) => token.map((octet, i) => (i === start + at ? octet ^ (1 << (at % 8)) : octet)));
      assert.notEqual(outcome, STATUS.SUCCESS, `${step}, octet ${at}`);
    }
  }
});

test('a bit flipped in the wrapping never raises anything unknown, and never gives the sides different keys', async () => {
  const tokens = await tokensOf();
  for (const step of steps) {
    for (let at = 0; at < tokens[step].length; at++)
      for (const bit of [1, 0x20, 0x80]) await tried(step, (token) => token.map((octet, i) => (i === at ? octet ^ bit : octet)));
  }
});

test('a flipped bit in the proof, the MIC or the mechListMIC of the client is told apart by the status', async () => {
  const flip = (find: (token: Uint8Array) => number) => (token: Uint8Array) => {
    const at = find(token);
    return token.map((octet, i) => (i === at ? octet ^ 4 : octet));
  };
  const ntlmAt = (token: Uint8Array) =>
    token.findIndex((_, i) => token[i] === 0x4e && token[i + 1] === 0x54 && token[i + 6] === 0x50);
  const proofAt = (token: Uint8Array) => {
    const at = ntlmAt(token);
    return at + new DataView(token.buffer, token.byteOffset).getUint32(at + 24, true);
  };
  const rows: [string, (token: Uint8Array) => number, string][] = [
    ['proof', proofAt, 'STATUS_LOGON_FAILURE'],
    ['MIC', (token) => ntlmAt(token) + 72, 'STATUS_INVALID_PARAMETER'],
    ['mechListMIC', (token) => token.length - 10, 'STATUS_INVALID_PARAMETER'],
  ];
  for (const [what, find, status] of rows) {
    const outcome = await tried('authenticate', flip(find));
    assert.equal(statusName(outcome as number), status, what);
  }
});

test('a server whose mechListMIC is wrong or missing, or that does not close the logon, is refused', async () => {
  const changes: [string, (token: Uint8Array) => Uint8Array][] = [
    ['wrong', (token) => token.map((octet, i) => (i === token.length - 9 ? octet ^ 1 : octet))],
    ['sequence number wrong', (token) => token.map((octet, i) => (i === token.length - 1 ? octet ^ 1 : octet))],
    ['missing', () => encodeResponse({ state: 0 })],
    ['no token at all', () => new Uint8Array(0)],
    ['not closed', (token) => encodeResponse({ ...decodeToken(token), state: 1 })],
    ['no state', (token) => encodeResponse({ ...decodeToken(token), state: undefined })],
  ];
  for (const [what, change] of changes) assert.ok(isCode(await tried('completed', change), 'PP_AUTH_UNPROVEN'), what);
  const more: [string, (token: Uint8Array) => Uint8Array][] = [
    ['one more word of the mechanism', (token) => encodeResponse({ ...decodeToken(token), token: Uint8Array.of(1) })],
    ['octets behind the token', (token) => concat(token, new Uint8Array(1))],
    ['a first token', () => encodeInit([OID.ntlm], new Uint8Array(8))],
  ];
  for (const [what, change] of more) assert.ok(isCode(await tried('completed', change), 'PP_WIRE_MALFORMED'), what);
});

test('a server that reflects the client’s own mechListMIC is refused', async () => {
  let mine: Uint8Array = new Uint8Array(0);
  const client = pushAuthenticator();
  await assert.rejects(
    logOn(client, hostAcceptor(), (token, step) => {
      const decoded = decodeToken(token);
      if (step === 'authenticate' && decoded.kind === 'response') mine = decoded.mic!;
      return step === 'completed' ? encodeResponse({ state: 0, mic: concat(mine) }) : token;
    }),
    (error) => isCode(error, 'PP_AUTH_UNPROVEN'),
  );
  assert.throws(
    () => client.sessionKey(),
    (error) => isCode(error, 'PP_AUTH_INCOMPLETE'),
  );
});

/** challenged gives the initiator a challenge that was changed by `change`. */
function challenged(change: (message: Challenge) => void): Promise<PushpointError | number> {
  return tried('challenge', (token) => {
    const whole = decodeToken(token);
    assert.ok(whole.kind === 'response');
    const message = Challenge.decode(whole.token!);
    change(message);
    return encodeResponse({ ...whole, token: Challenge.encode(message) });
  });
}

test('a challenge that takes back what a safe logon needs is refused before anything is computed from the password', async () => {
  for (const flag of ['unicode', 'extendedSessionSecurity', 'key128', 'keyExchange', 'sign', 'targetInfo'] as const) {
    const outcome = await challenged((m) => (m.flags = (m.flags & ~NTLM_FLAG[flag]) >>> 0));
    assert.ok(isCode(outcome, 'PP_AUTH_WEAK'), flag);
    assert.match(outcome.message, /^cifs\/pc7\.corp\.example would take a weaker logon/);
  }
  const nameless = await challenged((m) => (m.targetInfo = []));
  assert.ok(isCode(nameless, 'PP_AUTH_WEAK'), 'no target information');
});

test('a server that wants another mechanism, rejects ours, or calls the logon finished at once is refused', async () => {
  const kerberos = Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2);
  const answer = (parts: Parameters<typeof encodeResponse>[0]) =>
    tried('challenge', (token) => encodeResponse({ ...decodeToken(token), ...parts }));
  assert.ok(isCode(await answer({ mechanism: kerberos }), 'PP_AUTH_MECHANISM'));
  assert.ok(isCode(await answer({ state: 2 }), 'PP_AUTH_MECHANISM'));
  assert.ok(isCode(await answer({ state: 0 }), 'PP_AUTH_INCOMPLETE'));
  assert.ok(isCode(await answer({ state: 0, token: undefined }), 'PP_WIRE_MALFORMED'));
  assert.ok(isCode(await tried('challenge', () => new Uint8Array(0)), 'PP_AUTH_INCOMPLETE'));
});

test('target information that is too long, doubled or without an end is malformed', async () => {
  const raw = (change: (message: Uint8Array) => Uint8Array<ArrayBuffer>) =>
    tried('challenge', (token) => {
      const whole = decodeToken(token);
      assert.ok(whole.kind === 'response');
      return encodeResponse({ ...whole, token: change(whole.token!) });
    });
  const long = await challenged((m) => (m.targetInfo = withPair(m.targetInfo, 99, new Uint8Array(17_000))));
  assert.ok(isCode(long, 'PP_WIRE_MALFORMED'));
  const doubled = await challenged((m) => m.targetInfo.push({ id: AV.dnsComputer, value: toUtf16('other.corp.example') }));
  assert.ok(isCode(doubled, 'PP_WIRE_MALFORMED'));
  // One pair less than its length says: MsvAvEOL is cut off.
  const endless = await raw((message) => {
    const octets = new Uint8Array(message);
    const view = new DataView(octets.buffer);
    view.setUint16(40, view.getUint16(40, true) - 4, true);
    return octets;
  });
  assert.ok(isCode(endless, 'PP_WIRE_MALFORMED'));
  const short = await challenged((m) => (m.targetInfo = withPair(m.targetInfo, AV.timestamp, new Uint8Array(7))));
  assert.ok(isCode(short, 'PP_WIRE_MALFORMED'));
  const large = await challenged((m) => (m.targetInfo = withPair(m.targetInfo, AV.timestamp, new Uint8Array(9))));
  assert.ok(isCode(large, 'PP_WIRE_MALFORMED'));
  const hugeOffset = await raw((message) => {
    const octets = new Uint8Array(message);
    new DataView(octets.buffer).setUint32(44, 0xfffffff0, true);
    return octets;
  });
  assert.ok(isCode(hugeOffset, 'PP_WIRE_MALFORMED'));
});

test('a server without MsvAvTimestamp gets our time and still a MIC', async () => {
  const client = pushAuthenticator();
  const first = hostAcceptor().accept(await client.start());
  const whole = decodeToken(first.token!);
  assert.ok(whole.kind === 'response');
  const message = Challenge.decode(whole.token!);
  message.targetInfo = message.targetInfo.filter((pair) => pair.id !== AV.timestamp);
  const last = decodeToken((await client.next(encodeResponse({ ...whole, token: Challenge.encode(message) })))!);
  assert.ok(last.kind === 'response' && last.mic?.length === 16);
  assert.equal(client.peer?.timestamp, undefined);
});

test('lengths in DER that lie are malformed, not allocated', async () => {
  for (const token of ['a1847fffffff3000', 'a180', 'a18500000000003000', '60820fff', 'a1063004a0020a00', 'a103a00100'])
    assert.throws(
      () => decodeToken(Uint8Array.from(token.match(/../g)!, (pair) => Number.parseInt(pair, 16))),
      (error) => isCode(error, 'PP_WIRE_MALFORMED'),
      token,
    );
});
