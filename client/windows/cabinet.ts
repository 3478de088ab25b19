import { deflateRawSync } from 'node:zlib';

const BLOCK = 32_768;
const MSZIP = 1;
const HEADER = 36;
const FOLDER = 8;
/** 2020-01-01, so that the same files give the same bytes. */
const DATE = (40 << 9) | (1 << 5) | 1;
const ARCHIVE = 0x20;

/** checksum is that of [MS-CAB] 3.1: 32-bit words XORed, what is left over as if it were written the other way round. */
function checksum(bytes: Buffer, seed: number): number {
  const whole = bytes.length & ~3;
  let sum = seed;
  for (let at = 0; at < whole; at += 4) sum ^= bytes.readUInt32LE(at);
  const rest = bytes.length - whole;
  if (rest > 0) sum ^= bytes.readUIntBE(whole, rest);
  return sum >>> 0;
}

/** blocksOf compresses as MSZIP does ([MS-MCI]): each block is a whole deflate stream that knows the block before it. */
function blocksOf(content: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < content.length; at += BLOCK) {
    const plain = content.subarray(at, at + BLOCK);
    const dictionary = at === 0 ? undefined : content.subarray(at - BLOCK, at);
    const packed = deflateRawSync(plain, { level: 9, memLevel: 9, ...(dictionary && { dictionary }) });
    const sizes = Buffer.alloc(4);
    sizes.writeUInt16LE(packed.length + 2, 0);
    sizes.writeUInt16LE(plain.length, 2);
    const data = Buffer.concat([Buffer.from('CK'), packed]);
    const sum = Buffer.alloc(4);
    sum.writeUInt32LE(checksum(sizes, checksum(data, 0)), 0);
    blocks.push(Buffer.concat([sum, sizes, data]));
  }
  return blocks;
}

/**
 * cabinet packs one file as a Windows cabinet ([MS-CAB]), which every Windows unpacks by its own expand.exe: others of its tools for archives came
 * with later versions. The same file gives the same bytes.
 */
export function cabinet(name: string, content: Buffer): Buffer {
  const blocks = blocksOf(content);
  if (blocks.length === 0 || blocks.length > 0xff_ff) throw new Error(`a cabinet of ${content.length} bytes is none of ours`);
  const entry = Buffer.alloc(16 + name.length + 1);
  entry.writeUInt32LE(content.length, 0);
  entry.writeUInt16LE(DATE, 10);
  entry.writeUInt16LE(ARCHIVE, 14);
  entry.write(name, 16, 'latin1');
  const beforeData = HEADER + FOLDER + entry.length;
  const head = Buffer.alloc(HEADER + FOLDER);
  head.write('MSCF', 0, 'latin1');
  head.writeUInt32LE(
    blocks.reduce((sum, block) => sum + block.length, beforeData),
    8,
  );
  head.writeUInt32LE(HEADER + FOLDER, 16);
  // Version 1.3, one folder, one file.
  head.writeUInt16LE(0x0103, 24);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(1, 28);
  head.writeUInt32LE(beforeData, HEADER);
  head.writeUInt16LE(blocks.length, HEADER + 4);
  head.writeUInt16LE(MSZIP, HEADER + 6);
  return Buffer.concat([head, entry, ...blocks]);
}
