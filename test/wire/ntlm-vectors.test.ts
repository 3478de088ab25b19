import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AV,
  AV_FLAG_MIC,
  Authenticate,
  AuthenticateHead,
  avFlags,
  avPair,
  Challenge,
  ClientChallenge,
  decodeToken,
  encodeInit,
  encodeResponse,
  exchangeKey,
  mechListOf,
  messageMic,
  MIC_OFFSET,
  namesOf,
  ntHash,
  NtlmSigner,
  ntowfV2,
  ntProof,
  OID,
  sessionBaseKey,
} from '#wire/auth';
import { concat, fromHex, fromUtf16, toHex, toUtf16 } from '#wire/bytes';

test('the NT hash and NTOWFv2 are those of [MS-NLMP] 4.2.2 and 4.2.4', () => {
  assert.equal(toHex(ntHash('Password')), 'a4f49c406510bdcab6824ee7c30fd852');
  assert.equal(toHex(ntHash('')), '31d6cfe0d16ae931b73c59d7e0c089c0');
  assert.equal(toHex(ntowfV2(ntHash('Password'), 'User', 'Domain')), '0c868a403bfd7a93a3001ef22ef02e3f');
  assert.equal(toHex(ntowfV2(ntHash('Password'), 'uSER', 'Domain')), '0c868a403bfd7a93a3001ef22ef02e3f');
  assert.notEqual(toHex(ntowfV2(ntHash('Password'), 'User', 'DOMAIN')), '0c868a403bfd7a93a3001ef22ef02e3f');
});

test('the NTLMv2 response, session base key and wrapped session key are those of [MS-NLMP] 4.2.4', () => {
  const ntowf = ntowfV2(ntHash('Password'), 'User', 'Domain');
  const blob = ClientChallenge.encode({
    timestamp: 0n,
    challenge: fromHex('aaaaaaaaaaaaaaaa'),
    pairs: [
      { id: AV.netbiosDomain, value: toUtf16('Domain') },
      { id: AV.netbiosComputer, value: toUtf16('Server') },
    ],
  });
  const proof = ntProof(ntowf, fromHex('0123456789abcdef'), concat(blob, new Uint8Array(4)));
  assert.equal(toHex(proof), '68cd0ab851e51c96aabc927bebef6a1c');
  const base = sessionBaseKey(ntowf, proof);
  assert.equal(toHex(base), '8de40ccadbc14a82f15cb0ad0de95ca3');
  assert.equal(toHex(exchangeKey(base, new Uint8Array(16).fill(0x55))), 'c5dad2544fc9799094ce1ce90bc9d03e');
});

// The SMB 3.1.1 logon that Microsoft publishes with its keys ("SMB 2 and SMB 3 security in Windows 10: the anatomy of signing and
// cryptographic keys"): client and server are both Windows.
const windows = {
  init: fromHex(`604806062B0601050502A03E303CA00E300C060A2B06010401823702020AA22A04284E544C4D5353500001000000978208E2
    00000000000000000000000000000000060380250000000F`),
  challenge: fromHex(`A181B03081ADA0030A0101A10C060A2B06010401823702020AA281970481944E544C4D53535000020000000C000C0038000000
    15828AE20D1D8BA31179D008000000000000000050005000440000000A0092270000000F530055005400330031003100
    02000C00530055005400330031003100 01000C00530055005400330031003100 04000C00530055005400330031003100
    03000C00530055005400330031003100 07000800A1A1F5ADCBAED00100000000`),
  authenticate: fromHex(`A18201CB308201C7A0030A0101A28201AA048201A64E544C4D53535000030000
    001800180090000000EE00EE00A80000000C000C00580000001A001A0064000000120012007E0000
    001000100096010000158288E2060380250000000FECAC77A5F385A8BF9C38C706EEEDDCD3530055
    005400330031003100610064006D0069006E006900730074007200610074006F0072004400520049
    0056004500520033003100310000000000000000000000000000000000000000000000000063078E
    B639FE03E20A231C3AE3BF23080101000000000000A1A1F5ADCBAED001BC4AD05F223CC90F000000
    0002000C0053005500540033003100310001000C0053005500540033003100310004000C00530055
    00540033003100310003000C0053005500540033003100310007000800A1A1F5ADCBAED001060004
    00020000000800300030000000000000000000000000300000B61FEFCAA857EA57BF1EDCEBF8974B
    8E0EBA5A6DFD9D07A31D11B548F8C9D0CC0A00100000000000000000000000000000000000090016
    0063006900660073002F005300550054003300310031000000000000000000000000003B9BDFF38F
    5EE8F9663F11A0F4C03A78A31204100100000063775A9A5FD97F0600000000`),
  completed: fromHex('A11B3019A0030A0100A3120410010000003B453CDC3524164200000000'),
  baseKey: fromHex('B4CF22566926B1C069ACD80E4D73C814'),
  sessionKey: fromHex('270E1BA896585EEB7AF3472D3B4C75A7'),
};

function tokens() {
  const init = decodeToken(windows.init);
  const challenge = decodeToken(windows.challenge);
  const authenticate = decodeToken(windows.authenticate);
  const completed = decodeToken(windows.completed);
  assert.ok(
    init.kind === 'init' && challenge.kind === 'response' && authenticate.kind === 'response' && completed.kind === 'response',
  );
  return { init, challenge, authenticate, completed };
}

test('the SPNEGO tokens of a Windows logon read right and are written octet by octet as Windows writes them', () => {
  const { init, challenge, authenticate, completed } = tokens();
  assert.deepEqual(init.mechanisms, [OID.ntlm]);
  assert.equal(toHex(init.mechList), '300c060a2b06010401823702020a');
  assert.deepEqual(init.mechList, mechListOf([OID.ntlm]));
  assert.deepEqual(encodeInit([OID.ntlm], init.token!), windows.init);
  assert.deepEqual(challenge.mechanism, OID.ntlm);
  assert.equal(challenge.state, 1);
  for (const [parts, octets] of [
    [challenge, windows.challenge],
    [authenticate, windows.authenticate],
    [completed, windows.completed],
  ] as const)
    assert.deepEqual(encodeResponse(parts), octets);
});

test('the CHALLENGE of a Windows server names it, and is written as Windows writes it', () => {
  const { challenge } = tokens();
  const message = Challenge.decode(challenge.token!);
  assert.equal(message.targetName, 'SUT311');
  assert.deepEqual(message.version, { major: 10, minor: 0, build: 10130, revision: 15 });
  const names = namesOf(message.targetInfo);
  assert.equal(names.netbiosComputer, 'SUT311');
  assert.equal(names.dnsComputer, 'SUT311');
  assert.equal(names.timestamp?.toISOString(), '2015-06-24T22:18:21.389Z');
  assert.deepEqual(Challenge.encode(message), challenge.token);
});

test('the AUTHENTICATE of a Windows client reads right and is written as Windows writes it', () => {
  const { authenticate } = tokens();
  const message = Authenticate.decode(authenticate.token!);
  assert.deepEqual([message.domain, message.username, message.workstation], ['SUT311', 'administrator', 'DRIVER311']);
  assert.equal(toHex(message.mic), 'ecac77a5f385a8bf9c38c706eeeddcd3');
  const blob = ClientChallenge.decode(message.ntResponse.subarray(16));
  assert.equal(avFlags(blob.pairs), AV_FLAG_MIC);
  assert.equal(fromUtf16(avPair(blob.pairs, AV.targetName)!), 'cifs/SUT311');
  assert.deepEqual(avPair(blob.pairs, AV.channelBindings), new Uint8Array(16));
  assert.deepEqual(Authenticate.encode(message), authenticate.token);
  assert.equal(AuthenticateHead.decode(authenticate.token!).username, 'administrator');
});

test('session key, MIC and both mechListMICs of a Windows logon come out of our functions', () => {
  const { init, challenge, authenticate, completed } = tokens();
  const message = Authenticate.decode(authenticate.token!);
  assert.deepEqual(exchangeKey(windows.baseKey, message.encryptedSessionKey), windows.sessionKey);
  const unsigned = concat(authenticate.token!);
  unsigned.fill(0, MIC_OFFSET, MIC_OFFSET + 16);
  assert.deepEqual(messageMic(windows.sessionKey, init.token!, challenge.token!, unsigned), message.mic);
  assert.deepEqual(new NtlmSigner(windows.sessionKey, 'client-to-server').sign(init.mechList), authenticate.mic);
  assert.ok(new NtlmSigner(windows.sessionKey, 'server-to-client').verify(init.mechList, completed.mic!));
  assert.ok(!new NtlmSigner(windows.sessionKey, 'client-to-server').verify(init.mechList, completed.mic!));
});

test('each signature moves the key stream and the sequence number on', () => {
  const signer = new NtlmSigner(windows.sessionKey, 'client-to-server');
  const message = fromHex('00');
  const [first, second] = [signer.sign(message), signer.sign(message)];
  assert.notEqual(toHex(first), toHex(second));
  assert.equal(toHex(second.subarray(12)), '01000000');
});
