import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { raise } from '#base/errors';

/**
 * A sealed archive, version 1:
 *   octets 0-7    "PPSEAL1\n"
 *   octet  8      log2 of scrypt's N
 *   octet  9      scrypt's r
 *   octet  10     scrypt's p
 *   octets 11-26  salt
 *   octets 27-33  first part of every nonce
 *   then          chunks of 65,536 octets of plain text (the last one shorter, or empty), each AES-256-GCM with its tag of 16 behind it
 * The nonce of a chunk is the first part, its number (4 octets) and 1 if it is the last one, else 0: a chunk that is altered, moved, left
 * out or cut off at the end does not open (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015). The head is
 * authenticated with each chunk. The key is scrypt (RFC 7914) of the passphrase.
 */
const MAGIC = Buffer.from('PPSEAL1\n', 'latin1');
const HEAD = 34;
const CHUNK = 65_536;
const TAG = 16;
const COST = { log2n: 16, r: 8, p: 1 };
/** A head that asks for more was not written by us, and would only eat the memory of who reads it. */
const MOST = { log2n: 20, r: 16, p: 4, octets: 256 * 2 ** 20 };

/** isSealed looks at the first octets of a file. */
export function isSealed(head: Uint8Array): boolean {
  return MAGIC.equals(head.subarray(0, MAGIC.length));
}

function keyOf(passphrase: string, salt: Uint8Array, cost: typeof COST): Promise<Buffer> {
  const N = 2 ** cost.log2n;
  return new Promise((resolve, reject) => {
    const options = { N, r: cost.r, p: cost.p, maxmem: 256 * N * cost.r };
    scrypt(passphrase.normalize('NFC'), salt, 32, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

function nonceOf(prefix: Uint8Array, number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.set(prefix, 0);
  nonce.writeUInt32BE(number, 7);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

/** wrongCost tells what is wrong with the cost that a head names, before any memory is taken for it: scrypt works in 128 times N times r octets. */
function wrongCost({ log2n, r, p }: typeof COST): string | undefined {
  if (log2n < 10 || log2n > MOST.log2n || r < 1 || r > MOST.r || p < 1 || p > MOST.p)
    return 'it names a cost that is out of bounds';
  const octets = 128 * 2 ** log2n * r;
  if (octets <= MOST.octets) return undefined;
  return `it asks for ${octets / 2 ** 20} MiB of memory to open it, and no backup of ours asks for more than ${MOST.octets / 2 ** 20}`;
}

/** chunks cuts a stream into pieces of one length; only the last one, which is always given, is shorter. */
async function* chunks(source: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<{ piece: Buffer; isLast: boolean }> {
  let have: Buffer[] = [];
  let size = 0;
  for await (const part of source) {
    have.push(Buffer.from(part.buffer, part.byteOffset, part.length));
    size += part.length;
    // A whole piece stays here until something follows it: it may be the last one.
    if (size <= length) continue;
    let all = Buffer.concat(have);
    for (; all.length > length; all = all.subarray(length)) yield { piece: all.subarray(0, length), isLast: false };
    have = [all];
    size = all.length;
  }
  yield { piece: Buffer.concat(have), isLast: true };
}

/** seal encrypts a stream with a passphrase. */
export async function* seal(source: AsyncIterable<Uint8Array>, passphrase: string): AsyncGenerator<Buffer> {
  const head = Buffer.alloc(HEAD);
  head.set(MAGIC);
  head.set([COST.log2n, COST.r, COST.p], 8);
  head.set(randomBytes(HEAD - 11), 11);
  const key = await keyOf(passphrase, head.subarray(11, 27), COST);
  yield head;
  let number = 0;
  for await (const { piece, isLast } of chunks(source, CHUNK)) {
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(head.subarray(27), number++, isLast), { authTagLength: TAG });
    cipher.setAAD(head);
    yield Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]);
  }
}

/** unseal decrypts what seal made; nothing of a chunk is given out before it is proven whole. */
export async function* unseal(source: AsyncIterable<Uint8Array>, passphrase: string, file: string): AsyncGenerator<Buffer> {
  const damaged = (part: string, why: string) => raise('PP_STORE_BACKUP_DAMAGED', { file, part, why });
  let head: Buffer | undefined;
  const rest = (async function* () {
    let first: Buffer = Buffer.alloc(0);
    for await (const part of source) {
      if (head) yield part;
      else {
        first = Buffer.concat([first, part]);
        if (first.length < HEAD) continue;
        head = first.subarray(0, HEAD);
        yield first.subarray(HEAD);
      }
    }
  })();
  let key: Buffer | undefined;
  let number = 0;
  for await (const { piece, isLast } of chunks(rest, CHUNK + TAG)) {
    if (!head) throw raise('PP_STORE_BACKUP_CUT', { file, part: 'its beginning' });
    const cost = { log2n: head[8]!, r: head[9]!, p: head[10]! };
    const wrong = wrongCost(cost);
    if (wrong) throw damaged('the head of its seal', wrong);
    key ??= await keyOf(passphrase, head.subarray(11, 27), cost);
    if (piece.length < TAG)
      throw raise('PP_STORE_BACKUP_CUT', { file, part: `its first ${HEAD + number * (CHUNK + TAG)} octets` });
    const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(head.subarray(27), number, isLast), { authTagLength: TAG });
    decipher.setAAD(head);
    decipher.setAuthTag(piece.subarray(-TAG));
    let plain: Buffer;
    try {
      plain = Buffer.concat([decipher.update(piece.subarray(0, -TAG)), decipher.final()]);
    } catch {
      if (number === 0) throw raise('PP_STORE_BACKUP_PASSPHRASE', { file });
      const at = HEAD + number * (CHUNK + TAG);
      throw damaged(
        `the sealed chunk ${number + 1}, at octet ${at}`,
        isLast ? 'it was altered, or the file is cut off there' : 'it was altered',
      );
    }
    number++;
    yield plain;
  }
}
