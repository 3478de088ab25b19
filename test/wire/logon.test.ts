import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { isCode, PushpointError } from '#base/errors';
import {
  Authenticate,
  AV,
  avFlags,
  avPair,
  Challenge,
  ClientChallenge,
  decodeToken,
  encodeResponse,
  ntHash,
  ntlmCredential,
  NTLM_FLAG,
  ntowfV2,
  type PeerNames,
} from '#wire/auth';
import { fromUtf16, toHex, toUtf16 } from '#wire/bytes';
import { STATUS, statusName } from '#wire/status';
import { canary, clock, countingRandom, hostAcceptor, hostNames, logOn, pushAuthenticator } from '#test/logon';

test('a right password logs on, and both sides have the same session key', async () => {
  const client = pushAuthenticator();
  const answer = await logOn(client, hostAcceptor());
  assert.equal(statusName(answer.status), 'STATUS_SUCCESS');
  assert.deepEqual(answer.account, { username: 'push', domain: 'CORP' });
  assert.equal(answer.sessionKey?.length, 16);
  assert.deepEqual(client.sessionKey(), answer.sessionKey);
  assert.equal(client.mechanism, 'ntlm');
});

test('the host tells its names, its time and its version before the account is used', async () => {
  const seen: PeerNames[] = [];
  const client = pushAuthenticator({}, { checkPeer: (peer) => void seen.push(peer) });
  await logOn(client, hostAcceptor());
  assert.deepEqual(seen, [{ ...hostNames, timestamp: clock.now() }]);
  assert.deepEqual(client.peer, seen[0]);
});

test('when checkPeer throws, no AUTHENTICATE is made and no session key is given out', async () => {
  const refusal = new Error('not the wanted host');
  const host = hostAcceptor();
  const drawn: number[] = [];
  const random = countingRandom();
  const credential = ntlmCredential({
    username: 'push',
    domain: 'CORP',
    password: canary,
    clock,
    random: { ...random, bytes: (length) => (drawn.push(length), random.bytes(length)) },
  });
  const client = credential.authenticator({
    target: 'cifs/other.corp.example',
    checkPeer: (peer) => {
      assert.equal(peer.dnsComputer, 'pc7.corp.example');
      throw refusal;
    },
  });
  const challenge = host.accept(await client.start());
  await assert.rejects(client.next(challenge.token!), (error) => error === refusal);
  assert.deepEqual(drawn, [], 'neither a client challenge nor a session key was made');
  assert.equal(client.peer?.netbiosComputer, 'PC7');
  assert.throws(
    () => client.sessionKey(),
    (error) => isCode(error, 'PP_AUTH_INCOMPLETE'),
  );
});

test('every state of an account has its own status, shown only to who knows the password', async () => {
  const rows: [string, string, number][] = [
    ['push', 'wrong', 0xc000006d],
    ['nobody', canary, 0xc000006d],
    ['disabled', canary, 0xc0000072],
    ['disabled', 'wrong', 0xc000006d],
    ['locked', canary, 0xc0000234],
    ['locked', 'wrong', 0xc0000234],
    ['password-expired', canary, 0xc0000071],
    ['password-must-change', canary, 0xc0000224],
    ['expired', canary, 0xc0000193],
    ['barred', canary, 0xc000015b],
    ['Guest', canary, 0xc0000072],
    ['GUEST', 'wrong', 0xc0000072],
  ];
  for (const [username, password, status] of rows) {
    const answer = await logOn(pushAuthenticator({ username, password }), hostAcceptor());
    assert.equal(statusName(answer.status), statusName(status), `${username} ${password}`);
    assert.equal(answer.done, true);
    assert.equal(answer.sessionKey, undefined);
    assert.equal(answer.account, undefined);
  }
});

async function authenticateOf(names = hostNames) {
  const client = pushAuthenticator();
  const answer = hostAcceptor(names).accept(await client.start());
  const token = decodeToken((await client.next(answer.token!))!);
  assert.ok(token.kind === 'response');
  const message = Authenticate.decode(token.token!);
  return { token, message, pairs: ClientChallenge.decode(message.ntResponse.subarray(16)).pairs };
}

test('the AUTHENTICATE says what a strict Windows wants: MIC, SPN, channel bindings, the host’s own time, no LM response', async () => {
  const { token, message, pairs } = await authenticateOf();
  assert.equal(avFlags(pairs) & 2, 2);
  assert.equal(fromUtf16(avPair(pairs, AV.targetName)!), 'cifs/pc7.corp.example');
  assert.deepEqual(avPair(pairs, AV.channelBindings), new Uint8Array(16));
  assert.equal(fromUtf16(avPair(pairs, AV.dnsComputer)!), 'pc7.corp.example');
  assert.deepEqual(message.lmResponse, new Uint8Array(24));
  assert.notDeepEqual(message.mic, new Uint8Array(16));
  assert.equal(token.mic?.length, 16, 'our mechListMIC goes along with it');
  const wanted = NTLM_FLAG.key128 | NTLM_FLAG.keyExchange | NTLM_FLAG.sign | NTLM_FLAG.seal | NTLM_FLAG.extendedSessionSecurity;
  assert.equal((message.flags & wanted) >>> 0, wanted);
  assert.deepEqual([message.domain, message.username, message.workstation], ['CORP', 'push', 'SITE1']);
});

test('the proof is made with the time that the host gave, not with ours', async () => {
  const hostTime = new Date('2025-12-31T23:00:00Z');
  const { message, pairs } = await authenticateOf({ ...hostNames, timestamp: hostTime });
  const blob = ClientChallenge.decode(message.ntResponse.subarray(16));
  assert.equal(blob.timestamp, BigInt(hostTime.getTime()) * 10_000n + 116_444_736_000_000_000n);
  assert.equal(new DataView(avPair(pairs, AV.timestamp)!.slice().buffer).getBigUint64(0, true), blob.timestamp);
});

test('a client that sends bare NTLM without SPNEGO logs on as well', async () => {
  const client = pushAuthenticator();
  const host = hostAcceptor();
  const unwrap = (token: Uint8Array) => decodeToken(token).token!;
  const challenge = host.accept(unwrap(await client.start()));
  assert.equal(challenge.token![0], 0x4e, 'the answer is bare too');
  const last = host.accept(unwrap((await client.next(encodeResponse({ state: 1, token: challenge.token! })))!));
  assert.equal(last.status, STATUS.SUCCESS);
  assert.equal(last.token, undefined);
  assert.equal(last.sessionKey?.length, 16);
});

test('a client whose first choice is another mechanism is brought to NTLM', async () => {
  const client = pushAuthenticator();
  const host = hostAcceptor();
  const negotiate = decodeToken(await client.start()).token!;
  const kerberos = '2a864886f712010202';
  // negTokenInit with Kerberos before NTLM and an optimistic Kerberos token.
  const init = `6030 06062b0601050502 a026 3024 a019 3017 0609${kerberos} 060a2b06010401823702020a a207 0405 0102030405`;
  const octets = Uint8Array.from(init.replaceAll(' ', '').match(/../g)!, (pair) => Number.parseInt(pair, 16));
  const chosen = host.accept(octets);
  assert.equal(chosen.status, STATUS.MORE_PROCESSING_REQUIRED);
  const answer = decodeToken(chosen.token!);
  assert.ok(answer.kind === 'response' && answer.state === 3 && answer.token === undefined);
  const challenge = host.accept(encodeResponse({ token: negotiate }));
  assert.equal(challenge.status, STATUS.MORE_PROCESSING_REQUIRED);
  assert.equal(Challenge.decode(decodeToken(challenge.token!).token!).targetName, 'CORP');
});

test('a client that forgets its mechListMIC is asked for it, as Server 2025 does, and gets in with a right one only', async () => {
  for (const right of [true, false]) {
    const client = pushAuthenticator();
    const host = hostAcceptor();
    const challenge = host.accept(await client.start());
    const last = decodeToken((await client.next(challenge.token!))!);
    assert.ok(last.kind === 'response');
    const asked = host.accept(encodeResponse({ state: 1, token: last.token! }));
    assert.equal(asked.status, STATUS.MORE_PROCESSING_REQUIRED);
    const demand = decodeToken(asked.token!);
    assert.ok(demand.kind === 'response' && demand.state === 1 && demand.mic?.length === 16);
    const mic = last.mic!.map((octet, i) => (i === 5 && !right ? octet ^ 1 : octet));
    const end = host.accept(encodeResponse({ mic }));
    assert.equal(statusName(end.status), right ? 'STATUS_SUCCESS' : 'STATUS_INVALID_PARAMETER');
  }
});

test('a challenge is answered once: a second AUTHENTICATE is refused', async () => {
  const client = pushAuthenticator();
  const host = hostAcceptor();
  const challenge = host.accept(await client.start());
  const authenticate = (await client.next(challenge.token!))!;
  assert.equal(host.accept(authenticate).status, STATUS.SUCCESS);
  assert.equal(host.accept(authenticate).status, STATUS.INVALID_PARAMETER);
});

test('NTLMv1, LM and nobody are refused', async () => {
  const changes: ((message: ReturnType<typeof Authenticate.decode>) => void)[] = [
    (m) => (m.ntResponse = new Uint8Array(24)),
    (m) => ((m.ntResponse = new Uint8Array(0)), (m.lmResponse = new Uint8Array(24).fill(1))),
    (m) => ((m.username = ''), (m.ntResponse = new Uint8Array(0)), (m.lmResponse = new Uint8Array(1))),
    (m) => (m.username = ''),
  ];
  for (const change of changes) {
    const answer = await logOn(pushAuthenticator(), hostAcceptor(), (token, step) => {
      if (step !== 'authenticate') return token;
      const last = decodeToken(token);
      assert.ok(last.kind === 'response');
      const message = Authenticate.decode(last.token!);
      change(message);
      return encodeResponse({ ...last, token: Authenticate.encode(message) });
    });
    assert.equal(statusName(answer.status), 'STATUS_LOGON_FAILURE');
  }
});

test('a NEGOTIATE that offers too little gets no challenge', async () => {
  for (const flag of ['key128', 'keyExchange', 'sign', 'extendedSessionSecurity', 'unicode'] as const) {
    const client = pushAuthenticator();
    const negotiate = new Uint8Array(decodeToken(await client.start()).token!);
    const view = new DataView(negotiate.buffer);
    view.setUint32(12, view.getUint32(12, true) & ~NTLM_FLAG[flag], true);
    const answer = hostAcceptor().accept(negotiate);
    assert.equal(statusName(answer.status), 'STATUS_NOT_SUPPORTED', flag);
    assert.equal(answer.token, undefined);
  }
});

test('account names that cannot be are refused before any connection', () => {
  const make = (username: string, domain = 'CORP') =>
    ntlmCredential({ username, domain, password: canary, clock, random: countingRandom() });
  for (const [username, domain] of [
    ['', 'CORP'],
    ['a\\b', 'CORP'],
    ['a', 'CORP\\x'],
    ['a\n', ''],
    ['a'.repeat(257), ''],
  ])
    assert.throws(
      () => make(username!, domain),
      (error) => isCode(error, 'PP_AUTH_ACCOUNT_NAME'),
    );
  assert.equal(make('push').label, 'CORP\\push');
  assert.equal(make('push@corp.example', '').label, 'push@corp.example');
});

test('neither the password nor a key made of it shows in a credential, an authenticator or an error', async () => {
  const credential = ntlmCredential({ username: 'push', domain: 'CORP', password: canary, clock, random: countingRandom() });
  const before = credential.authenticator({ target: 'cifs/pc7' });
  const client = pushAuthenticator();
  const answer = await logOn(client, hostAcceptor());
  const errors: unknown[] = [];
  await logOn(pushAuthenticator(), hostAcceptor(), (token, step) => (step === 'completed' ? token.slice(0, 9) : token)).catch(
    (e) => errors.push(e),
  );
  await logOn(pushAuthenticator(), hostAcceptor(), (token, step) => (step === 'challenge' ? token.slice(0, 99) : token)).catch(
    (e) => errors.push(e),
  );
  assert.equal(errors.length, 2);
  assert.throws(() => {
    try {
      ntlmCredential({ username: '', domain: 'CORP', password: canary, clock, random: countingRandom() });
    } catch (error) {
      errors.push(error);
      throw error;
    }
  }, PushpointError);
  const hash = ntHash(canary);
  const secrets = [hash, ntowfV2(hash, 'push', 'CORP'), answer.sessionKey!, toUtf16(canary)];
  const needles = [
    canary,
    // inspect breaks an array over lines, JSON writes it with its indexes: both are compared as bare runs of numbers.
    ...secrets.flatMap((s) => [
      toHex(s),
      s.join(','),
      [...s].flatMap((v, i) => [i, v]).join(','),
      Buffer.from(s).toString('base64'),
    ]),
  ];
  for (const thing of [credential, before, client, ...errors]) {
    const stack = thing instanceof Error ? thing.stack : '';
    const shown = `${inspect(thing, { showHidden: true, depth: 12, getters: true })}\n${JSON.stringify(thing)}\n${String(thing)}\n${stack}`;
    const numbers = `${shown}\n${shown.replace(/[^0-9]+/g, ',')}`;
    for (const needle of needles) assert.ok(!numbers.includes(needle), shown.slice(0, 400));
  }
});
