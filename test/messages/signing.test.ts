import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { ManualClock } from '#base/clock';
import { isCode, type Code } from '#base/errors';
import {
  Nonces,
  publicKeyOf,
  readClaim,
  readPublicKey,
  signRequest,
  tokenKeyOf,
  tokenProof,
  tokenProofHolds,
  verifyRequest,
  verifyRequestAside,
  type Signer,
} from '#messages';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const publicKey = publicKeyOf(privateKey);
const client = 'GUID:0F8FAD5B-D9CB-469F-A165-70867728950E';
const at = new Date('2026-01-05T08:00:00.000Z');
const nonce = 'n'.repeat(22);
const body = new Uint8Array(Buffer.from('{"a":1}'));
const request = { method: 'POST', path: '/ccm_system/heartbeat?x=1', body };
const code = (wanted: Code) => (error: unknown) => isCode(error, wanted);
const signed = (signer: Signer) => signRequest(request, signer, { time: at, nonce });

test('a request signed by a client, by a new key and by a token verifies with the right key only', () => {
  const other = publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const tokenKey = tokenKeyOf('secret-of-the-push');
  const cases: [Signer, Parameters<typeof verifyRequest>[2], Parameters<typeof verifyRequest>[2]][] = [
    [{ client, privateKey }, { publicKey }, { publicKey: other }],
    [{ privateKey }, { publicKey }, { tokenKey }],
    [{ token: 'token-0001', tokenKey }, { tokenKey }, { tokenKey: tokenKeyOf('another') }],
  ];
  for (const [signer, right, wrong] of cases) {
    const claim = readClaim(signed(signer));
    verifyRequest(request, claim, right, at);
    assert.throws(() => verifyRequest(request, claim, wrong, at), code('PP_MSG_SIGNATURE'));
  }
});

test('a change to any part of the request breaks the signature', () => {
  const claim = readClaim(signed({ client, privateKey }));
  const changed = [
    [{ ...request, method: 'PUT' }, claim],
    [{ ...request, path: '/ccm_system/state' }, claim],
    [{ ...request, body: new Uint8Array(Buffer.from('{"a":2}')) }, claim],
    [request, { ...claim, nonce: 'm'.repeat(22) }],
    [request, { ...claim, time: '2026-01-05T08:00:00.001Z' }],
    [request, { ...claim, signature: claim.signature.map((b, i) => (i === 63 ? b ^ 1 : b)) }],
    [request, { ...claim, signature: new Uint8Array(64) }],
    [request, { ...claim, signature: claim.signature.slice(1) }],
  ] as const;
  for (const [r, c] of changed) assert.throws(() => verifyRequest(r, c, { publicKey }, at), code('PP_MSG_SIGNATURE'));
});

test('a signature whose numbers begin with zeros, or with a set bit, is read as the number it is', async () => {
  const key = { publicKey: readPublicKey(publicKey) };
  const wanted = new Set(['zero', 'set']);
  for (let tries = 0; wanted.size > 0; tries++) {
    assert.ok(tries < 20_000, `no signature of the kinds ${[...wanted].join(', ')} in ${tries}`);
    const claim = readClaim(signRequest(request, { client, privateKey }, { time: at, nonce: String(tries).padStart(22, 'n') }));
    const [first] = [claim.signature[0]!, claim.signature[32]!].toSorted((a, b) => a - b);
    const kind = first === 0 ? 'zero' : claim.signature[0]! > 127 ? 'set' : '';
    if (!wanted.delete(kind)) continue;
    verifyRequest(request, claim, { publicKey }, at);
    await verifyRequestAside(request, claim, key, at);
    const wrong = { ...claim, signature: claim.signature.map((octet, i) => (i === 40 ? octet ^ 1 : octet)) };
    await assert.rejects(verifyRequestAside(request, wrong, key, at), code('PP_MSG_SIGNATURE'));
  }
  for (const signature of [new Uint8Array(64), new Uint8Array(64).fill(255), new Uint8Array(0), new Uint8Array(65)])
    await assert.rejects(
      verifyRequestAside(request, { ...readClaim(signed({ client, privateKey })), signature }, key, at),
      code('PP_MSG_SIGNATURE'),
    );
});

test('the time window is fifteen minutes either way', () => {
  const claim = readClaim(signed({ client, privateKey }));
  for (const minutes of [-15, 15]) verifyRequest(request, claim, { publicKey }, new Date(at.getTime() + minutes * 60_000));
  for (const ms of [-900_001, 900_001]) {
    assert.throws(() => verifyRequest(request, claim, { publicKey }, new Date(at.getTime() + ms)), code('PP_MSG_TIME_OFF'));
  }
});

test('headers that are missing, doubled or misshapen are an unsigned request', () => {
  const good = signed({ client, privateKey });
  const bad: Record<string, string | string[] | undefined>[] = [
    {},
    { ...good, 'x-pushpoint-signature': undefined },
    { ...good, 'x-pushpoint-time': 'yesterday' },
    { ...good, 'x-pushpoint-nonce': 'short' },
    { ...good, 'x-pushpoint-client': 'GUID:none' },
    { ...good, 'x-pushpoint-client': [client, client] },
    { ...good, 'x-pushpoint-token': 'token-0001' },
    { ...good, 'x-pushpoint-signature': '' },
    { ...good, 'x-pushpoint-time': '9999-99-99T99:99:99Z' },
    { ...good, 'x-pushpoint-time': '0000-01-01T00:00:00Z' },
  ];
  for (const headers of bad) assert.throws(() => readClaim(headers), code('PP_MSG_UNSIGNED'), JSON.stringify(headers));
  const noDay = readClaim({ ...good, 'x-pushpoint-time': '2026-02-31T08:00:00Z' });
  assert.throws(() => verifyRequest(request, noDay, { publicKey }, at), code('PP_MSG_SIGNATURE'));
});

test('only canonical P-256 keys are public keys', () => {
  assert.equal(publicKeyOf(readPublicKey(publicKey)), publicKey);
  const p384 = publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey);
  const ed = publicKeyOf(generateKeyPairSync('ed25519').privateKey);
  for (const text of [p384, ed, '', 'AAAA', `${publicKey} `, publicKey.slice(4)])
    assert.throws(() => readPublicKey(text), code('PP_MSG_MALFORMED'));
});

test('a nonce is good once, until its window is over', () => {
  const clock = new ManualClock(at);
  const nonces = new Nonces(clock, 3);
  const claim = readClaim(signed({ client, privateKey }));
  nonces.use(claim);
  assert.throws(() => nonces.use(claim), code('PP_MSG_REPLAYED'));
  nonces.use({ ...claim, client: 'GUID:0F8FAD5B-D9CB-469F-A165-70867728950F' });
  clock.jump(new Date(at.getTime() + 31 * 60_000));
  nonces.use({ ...claim, nonce: 'o'.repeat(22) });
  assert.equal(nonces.size, 1);
  for (const letter of 'abcdef') nonces.use({ ...claim, nonce: letter.repeat(22) });
  assert.equal(nonces.size, 3);
});

test('the proof of a token holds for one key and one time', () => {
  const key = tokenKeyOf('secret-of-the-push');
  const proof = tokenProof(key, publicKey, at.toISOString());
  assert.equal(proof.length, 44);
  assert.ok(tokenProofHolds(key, publicKey, at.toISOString(), proof));
  assert.ok(!tokenProofHolds(key, publicKey, '2026-01-05T08:00:00.001Z', proof));
  assert.ok(!tokenProofHolds(key, `${publicKey.slice(0, -2)}x=`, at.toISOString(), proof));
  assert.ok(!tokenProofHolds(tokenKeyOf('other'), publicKey, at.toISOString(), proof));
  assert.ok(!tokenProofHolds(key, publicKey, at.toISOString(), ''));
});
