import { raise } from '#base/errors';

/**
 * The POSIX ustar format (IEEE Std 1003.1-2024, pax, "ustar Interchange Format"), as much of it as an archive of plain files needs, so that
 * `tar` can look into a backup: one header of 512 octets a file, its bytes padded to 512, two empty blocks at the end.
 */
const BLOCK = 512;
/** Sizes beyond eleven octal digits are written in base 256, as GNU tar does. */
const OCTAL_LIMIT = 8 ** 11;
const NAME_OCTETS = 100;

/** Entry is one file of an archive; its bytes are read before the next entry is asked for. */
export interface Entry {
  name: string;
  size: number;
  bytes: AsyncIterable<Buffer>;
}

function octal(header: Buffer, value: number, at: number, digits: number): void {
  header.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1');
}

function checksum(header: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i]!;
  return sum;
}

/** tarHeader is the header of a plain file. */
export function tarHeader(name: string, size: number, modified: Date): Buffer {
  if (Buffer.byteLength(name) > NAME_OCTETS) throw new RangeError(`the name ${name} is too long for an archive`);
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0);
  octal(header, 0o600, 100, 7);
  octal(header, 0, 108, 7);
  octal(header, 0, 116, 7);
  if (size < OCTAL_LIMIT) octal(header, size, 124, 11);
  else {
    header[124] = 0x80;
    header.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(header, Math.floor(modified.getTime() / 1000), 136, 11);
  header.write('0', 156);
  header.write('ustar\x0000', 257, 'latin1');
  octal(header, checksum(header), 148, 6);
  header.write(' ', 155);
  return header;
}

/** tarPadding fills a file up to whole blocks. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** tarEnd closes an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK);
}

/** Octets gives out a stream in pieces of wanted lengths. */
class Octets {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #cutOff: () => Error;
  #have: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>, cutOff: () => Error) {
    this.#source = source[Symbol.asyncIterator]();
    this.#cutOff = cutOff;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#source.next();
    if (done === true) return false;
    const next = Buffer.from(value.buffer, value.byteOffset, value.length);
    this.#have = this.#have.length === 0 ? next : Buffer.concat([this.#have, next]);
    return true;
  }

  /** exactly gives that many octets in one piece. */
  async exactly(length: number): Promise<Buffer> {
    while (this.#have.length < length) if (!(await this.#more())) throw this.#cutOff();
    const piece = this.#have.subarray(0, length);
    this.#have = this.#have.subarray(length);
    return piece;
  }

  /** some gives at least one octet and at most that many. */
  async some(most: number): Promise<Buffer> {
    while (this.#have.length === 0) if (!(await this.#more())) throw this.#cutOff();
    const piece = this.#have.subarray(0, most);
    this.#have = this.#have.subarray(piece.length);
    return piece;
  }

  /** isNothing reads what is left, so that a seal behind the last octet is looked at too, and tells whether all of it is zero. */
  async isNothing(): Promise<boolean> {
    do {
      if (this.#have.some((octet) => octet !== 0)) return false;
      this.#have = Buffer.alloc(0);
    } while (await this.#more());
    return true;
  }
}

/** isAsWritten holds a header against the one that this file writes: nothing in it may be another, whether it is used or not. */
function isAsWritten(header: Buffer, name: string, size: number): boolean {
  const seconds = Number.parseInt(header.toString('latin1', 136, 147), 8);
  if (!Number.isSafeInteger(size) || size < 0 || !Number.isSafeInteger(seconds) || name === '') return false;
  return Buffer.byteLength(name) <= NAME_OCTETS && tarHeader(name, size, new Date(seconds * 1000)).equals(header);
}

function damagedBehind(file: string, last: string): Error {
  return raise('PP_STORE_BACKUP_DAMAGED', { file, part: `what follows ${last}`, why: 'it was altered' });
}

function sizeOf(header: Buffer): number {
  if (header[124] === 0x80) return Number(header.readBigUInt64BE(128));
  return Number.parseInt(header.toString('latin1', 124, 136).replace(/[\0 ].*$/, ''), 8);
}

function nameOf(header: Buffer): string {
  const end = header.indexOf(0);
  return header.toString('utf8', 0, end < 0 || end > NAME_OCTETS ? NAME_OCTETS : end);
}

/** readTar walks through the plain files of an archive; `file` is what errors call it. */
export async function* readTar(source: AsyncIterable<Uint8Array>, file: string): AsyncGenerator<Entry> {
  let last = 'its beginning';
  const octets = new Octets(source, () => raise('PP_STORE_BACKUP_CUT', { file, part: last }));
  for (;;) {
    const header = await octets.exactly(BLOCK);
    if (header.every((octet) => octet === 0)) break;
    if (header.toString('latin1', 257, 262) !== 'ustar')
      throw last === 'its beginning' ? raise('PP_STORE_BACKUP_FORMAT', { file }) : damagedBehind(file, last);
    const name = nameOf(header);
    const size = sizeOf(header);
    if (!isAsWritten(header, name, size)) throw damagedBehind(file, last);
    last = name;
    let left = size;
    const bytes = (async function* () {
      while (left > 0) {
        const piece = await octets.some(left);
        left -= piece.length;
        yield piece;
      }
    })();
    yield { name, size, bytes };
    while (left > 0) left -= (await octets.some(left)).length;
    const padding = await octets.exactly(tarPadding(size).length);
    if (padding.some((octet) => octet !== 0)) throw damagedBehind(file, last);
  }
  if (!(await octets.isNothing())) throw damagedBehind(file, last);
}
