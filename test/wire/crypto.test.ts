import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { concat, fromHex, toHex } from '#wire/bytes';
import { aesCmac, gmac, hmacMd5, kdfCounter, md4, md5, nonceLength, open, Rc4, seal, type AeadName } from '#wire/crypto';

const ascii = (text: string) => new TextEncoder().encode(text);
const run = (first: number, count: number) => Uint8Array.from({ length: count }, (_, i) => first + i);

test('MD4 passes the suite of RFC 1320 A.5', () => {
  const suite: [string, string][] = [
    ['', '31d6cfe0d16ae931b73c59d7e0c089c0'],
    ['a', 'bde52cb31de33e46245e05fbdbd6fb24'],
    ['abc', 'a448017aaf21d8525fc10ae87aa6729d'],
    ['message digest', 'd9130a8164549fe818874806e1c7014b'],
    ['abcdefghijklmnopqrstuvwxyz', 'd79e1c308aa5bbcdeea8ed63df412da9'],
    ['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', '043f8582f241db351ce627e153e7f0e4'],
    ['1234567890'.repeat(8), 'e33b4ddc9c38f2199c3e7b164fcc0536'],
  ];
  for (const [text, digest] of suite) assert.equal(toHex(md4(ascii(text))), digest, text);
});

test('MD4 pads right around the block boundary', () => {
  // Digests of n times 'x' by PyCryptodome.
  const digests: [number, string][] = [
    [55, '92f32bb82c95ad10e8f87ae58ab06807'],
    [56, '374d5f08103b7092c83b4626ebceffab'],
    [63, '2870452596e98fffd48332289b3472b9'],
    [64, 'b1abf956a5ae6f3221e5fe85e300fbb0'],
    [65, 'afc1a3308fc176a53238a09aeddec2e6'],
    [119, 'b55ae15e41e55643b0c3daad5e05c905'],
    [120, 'd8f9adfc41ec43552619606c70cfd287'],
  ];
  for (const [length, digest] of digests) assert.equal(toHex(md4(ascii('x'.repeat(length)))), digest, `${length} octets`);
});

test('RC4 gives the key streams of RFC 6229 and keeps its state between calls', () => {
  const short = new Rc4(run(1, 5)).apply(new Uint8Array(4112));
  assert.equal(toHex(short.subarray(0, 32)), 'b2396305f03dc027ccc3524a0a1118a86982944f18fc82d589c403a47a0d0919');
  assert.equal(toHex(short.subarray(4096)), 'ff25b58995996707e51fbdf08b34d875');
  const long = new Rc4(run(1, 16));
  const stream = concat(long.apply(new Uint8Array(7)), long.apply(new Uint8Array(25)));
  assert.equal(toHex(stream), '9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c');
});

test('HMAC-MD5 and MD5 fit RFC 2202 and RFC 1321', () => {
  assert.equal(toHex(hmacMd5(new Uint8Array(16).fill(0x0b), ascii('Hi '), ascii('There'))), '9294727a3638bb1c13f48ef8158bfc9d');
  assert.equal(toHex(md5(ascii('message '), ascii('digest'))), 'f96b697d7cb7938d525a2f31aaf161d0');
});

test('AES-CMAC passes the four examples of RFC 4493', () => {
  const key = fromHex('2b7e151628aed2a6abf7158809cf4f3c');
  const message = fromHex(
    '6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51 30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710',
  );
  const examples: [number, string][] = [
    [0, 'bb1d6929e95937287fa37d129b756746'],
    [16, '070a16b46b4d4144f79bdd9dd04a287c'],
    [40, 'dfa66747de9ae63030ca32611497c827'],
    [64, '51f0bebf7e3b9d92fc49741779363cfe'],
  ];
  for (const [length, tag] of examples) assert.equal(toHex(aesCmac(key, message.subarray(0, length))), tag, `${length} octets`);
});

test('GMAC fits a NIST GCM vector without plaintext', () => {
  const tag = gmac(
    fromHex('77be63708971c4e240d1cb79e8d77feb'),
    fromHex('e0e00f19fed7ba0136a797f3'),
    fromHex('7a43ec1d9c0a5a78a0b16533a6213cab'),
  );
  assert.equal(toHex(tag), '209fcc8d3675ed938e9c7166709dd946');
});

test('the key derivation gives the keys that Microsoft publishes for SMB 3.0 and 3.1.1', () => {
  const key = fromHex('7CD451825D0450D235424E44BA6E78CC');
  assert.equal(toHex(kdfCounter(key, 'SMB2AESCMAC', 'SmbSign')), '0b7e9c5cac36c0f6ea9ab275298cedce');
  assert.equal(toHex(kdfCounter(key, 'SMB2AESCCM', 'ServerIn ')), 'fad27796665b313ebb578f388632b4f7');
  assert.equal(toHex(kdfCounter(key, 'SMB2AESCCM', 'ServerOut')), 'b0f0427f7ceb416d1d9dcc0cd4f99447');
  const key311 = fromHex('270E1BA896585EEB7AF3472D3B4C75A7');
  const hash = fromHex(`0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79
    28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01`);
  assert.equal(toHex(kdfCounter(key311, 'SMBSigningKey', hash)), '73fe7a9a77bef0bde49c650d8ccb5f76');
  assert.equal(toHex(kdfCounter(key311, 'SMBC2SCipherKey', hash)), '629bcbc54422a0f572b97f45989b6073');
  assert.equal(toHex(kdfCounter(key311, 'SMBS2CCipherKey', hash)), 'e2af0dcefac68da71a0dfbd0d1350d74');
  assert.equal(kdfCounter(key311, 'SMBC2SCipherKey', hash, 256).length, 32);
});

test('the CMAC signature of a published SMB 3.1.1 session setup response verifies', () => {
  // The final response of Microsoft's example, its Signature field (offset 48) zeroed.
  const response = fromHex(`FE534D4240000100000000000100800009000000000000000300000000000000FFFE000000000000
    190000000010000000000000000000000000000000000000
    0900000048001D00A11B3019A0030A0100A3120410010000003B453CDC3524164200000000`);
  const tag = aesCmac(fromHex('73FE7A9A77BEF0BDE49C650D8CCB5F76'), response);
  assert.equal(toHex(tag), 'ebe146da120ba25fc3376a49dfe31bc1');
});

test('GCM fits cases 4 and 16 of the GCM specification', () => {
  const plain = fromHex(`d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39`);
  const aad = fromHex('feedfacedeadbeeffeedfacedeadbeefabaddad2');
  const nonce = fromHex('cafebabefacedbaddecaf888');
  const key = fromHex('feffe9928665731c6d6a8f9467308308');
  const short = seal('aes-128-gcm', key, nonce, aad, plain);
  assert.equal(toHex(short.ciphertext.subarray(0, 16)), '42831ec2217774244b7221b784d0d49c');
  assert.equal(toHex(short.tag), '5bc94fbc3221a5db94fae95ae7121a47');
  assert.equal(toHex(seal('aes-256-gcm', concat(key, key), nonce, aad, plain).tag), '76fc6ece0f4e1768cddf8853bb2d551b');
});

test('CCM with an 11-octet nonce and a 16-octet tag gives what PyCryptodome gives', () => {
  const sealed = (name: AeadName, length: number) => {
    const { ciphertext, tag } = seal(name, run(0x40, length), run(0x10, 11), run(0, 20), run(0x20, 24));
    return `${toHex(ciphertext)} ${toHex(tag)}`;
  };
  assert.equal(sealed('aes-128-ccm', 16), 'd6d28b1b24b85b4ffbe0998809dab62e35428a3cca41bdc8 c8b439bff187669acf5b3a26ab35e946');
  assert.equal(sealed('aes-256-ccm', 32), '05be4fa985289932bcf824709a4950dd790fa62950bfbf50 759010dec21ca39646208d49dfbca277');
});

test('every cipher opens what it sealed and nothing that was changed', () => {
  for (const name of ['aes-128-ccm', 'aes-128-gcm', 'aes-256-ccm', 'aes-256-gcm'] as const) {
    const key = run(1, name.includes('256') ? 32 : 16);
    const nonce = run(9, nonceLength(name));
    const aad = run(100, 32);
    for (const length of [0, 1, 16, 17, 70_000]) {
      const plain = new Uint8Array(length).map((_, i) => i * 7);
      const { ciphertext, tag } = seal(name, key, nonce, aad, plain);
      assert.deepEqual(open(name, key, nonce, aad, ciphertext, tag), plain, `${name} ${length}`);
      const flipped = (octets: Uint8Array) => octets.map((octet, i) => (i === octets.length - 1 ? octet ^ 1 : octet));
      if (length > 0) assert.equal(open(name, key, nonce, aad, flipped(ciphertext), tag), undefined);
      assert.equal(open(name, key, nonce, aad, ciphertext, flipped(tag)), undefined);
      assert.equal(open(name, key, nonce, flipped(aad), ciphertext, tag), undefined);
      assert.equal(open(name, key, flipped(nonce), aad, ciphertext, tag), undefined);
      assert.equal(open(name, key, nonce, aad, ciphertext, tag.subarray(0, 4)), undefined, 'a short tag is no tag');
    }
    assert.throws(() => seal(name, key.subarray(1), nonce, aad, aad), RangeError);
    assert.throws(() => seal(name, key, nonce.subarray(1), aad, aad), RangeError);
  }
});

test('an RC4 key stream does not show its state', () => {
  assert.equal(inspect(new Rc4(run(1, 5)), { showHidden: true, depth: 5 }), 'Rc4 {}');
});
