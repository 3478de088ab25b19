import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { PushpointError, raise } from '#base/errors';
import { isSealed, unseal } from './sealed.ts';
import { readTar, type Entry } from './tar.ts';
import { SUMS } from './write.ts';

/** Source is a backup or export to read: a tar file, sealed or not, or a folder. */
export interface Source {
  file: string;
  passphrase?: string | undefined;
}

/** Sums are the SHA-256 of all parts by their names, in their order. */
export type Sums = ReadonlyMap<string, string>;

/** The sums of a million parts are far below this. */
const LARGEST_SUMS = 256 * 1024 * 1024;
/** Names of parts lead nowhere else: letters, digits, dots, hyphens and underscores between single slashes. */
const NAME = /^(?!\.)[A-Za-z0-9._-]+(\/(?!\.)[A-Za-z0-9._-]+)*$/;

const reasons: Record<string, string> = {
  ENOENT: 'it is not there',
  EACCES: 'this user has no right to it',
  EIO: 'the disk cannot read it',
};

function unreadable(file: string, cause: unknown): unknown {
  if (cause instanceof PushpointError || (cause as NodeJS.ErrnoException).syscall === undefined) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  return raise('PP_STORE_BACKUP_READ', { file, why: reasons[code ?? ''] ?? message }, { cause });
}

async function* ofFile({ file, passphrase }: Source): AsyncGenerator<Entry> {
  const handle = await open(file, 'r');
  const head = Buffer.alloc(16);
  try {
    await handle.read(head, 0, head.length, 0);
  } finally {
    await handle.close();
  }
  const bytes: AsyncIterable<Buffer> = createReadStream(file, { highWaterMark: 256 * 1024 });
  if (!isSealed(head)) return yield* readTar(bytes, file);
  if (passphrase === undefined) throw raise('PP_STORE_BACKUP_SEALED', { file });
  yield* readTar(unseal(bytes, passphrase, file), file);
}

/** ofFolder reads the parts that the sums name, in their order, and the sums last, as in a file. */
async function* ofFolder(folder: string): AsyncGenerator<Entry> {
  const text = await readFile(path.join(folder, SUMS)).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'ENOENT' ? raise('PP_STORE_BACKUP_FORMAT', { file: folder }, { cause }) : cause;
  });
  for (const name of parseSums(text.toString('utf8'), folder).keys()) {
    const file = path.join(folder, name);
    const found = await stat(file).catch(() => undefined);
    if (!found?.isFile()) throw raise('PP_STORE_BACKUP_DAMAGED', { file: folder, part: name, why: 'it is not there' });
    yield { name, size: found.size, bytes: createReadStream(file) };
  }
  yield { name: SUMS, size: text.length, bytes: once(text) };
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** entries walks through the parts, whatever holds them. */
async function* entries(source: Source): AsyncGenerator<Entry> {
  try {
    const isFolder = (await stat(source.file)).isDirectory();
    for await (const entry of isFolder ? ofFolder(source.file) : ofFile(source)) {
      if (!NAME.test(entry.name))
        throw raise('PP_STORE_BACKUP_DAMAGED', {
          file: source.file,
          part: entry.name.slice(0, 100),
          why: 'a part is not named so',
        });
      yield entry;
    }
  } catch (error) {
    throw unreadable(source.file, error);
  }
}

function parseSums(text: string, file: string): Map<string, string> {
  const sums = new Map<string, string>();
  for (const line of text.split('\n').slice(0, -1)) {
    const match = /^([0-9a-f]{64}) {2}(\S+)$/.exec(line);
    if (!match || !NAME.test(match[2]!) || sums.has(match[2]!) || match[2] === SUMS)
      throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: SUMS, why: 'a line in it cannot be read' });
    sums.set(match[2]!, match[1]!);
  }
  return sums;
}

/** collect reads a whole part that is known to be small. */
export async function collect(entry: Entry, limit: number, file: string): Promise<Buffer> {
  if (entry.size > limit)
    throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: entry.name, why: 'it is larger than such a part can be' });
  const pieces: Buffer[] = [];
  for await (const piece of entry.bytes) pieces.push(piece);
  return Buffer.concat(pieces);
}

/**
 * checkArchive reads everything once and proves each part by its sum; it gives the sums, and the parts that `keep` wants, whole. A part is
 * given out only when all of the archive was found right.
 */
export async function checkArchive(
  source: Source,
  keep: (name: string) => boolean,
): Promise<{ sums: Sums; kept: Map<string, Buffer>; octets: number }> {
  const { file } = source;
  const found = new Map<string, string>();
  const kept = new Map<string, Buffer>();
  let sums: Map<string, string> | undefined;
  let octets = 0;
  for await (const entry of entries(source)) {
    if (sums) throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: entry.name, why: 'it stands behind the end' });
    if (entry.name === SUMS) {
      sums = parseSums((await collect(entry, LARGEST_SUMS, file)).toString('utf8'), file);
      continue;
    }
    const hash = createHash('sha256');
    if (keep(entry.name)) {
      const bytes = await collect(entry, LARGEST_SUMS, file);
      kept.set(entry.name, bytes);
      hash.update(bytes);
    } else for await (const piece of entry.bytes) hash.update(piece);
    if (found.has(entry.name)) throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: entry.name, why: 'it is there twice' });
    found.set(entry.name, hash.digest('hex'));
    octets += entry.size;
  }
  if (!sums) throw raise('PP_STORE_BACKUP_CUT', { file, part: [...found.keys()].at(-1) ?? 'its beginning' });
  for (const [name, sum] of sums) {
    if (!found.has(name)) throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: name, why: 'it is not there' });
    if (found.get(name) !== sum)
      throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: name, why: 'its SHA-256 is not the one in SHA256SUMS' });
  }
  for (const name of found.keys())
    if (!sums.has(name)) throw raise('PP_STORE_BACKUP_DAMAGED', { file, part: name, why: 'SHA256SUMS does not know it' });
  return { sums, kept, octets };
}

/**
 * readArchive walks through the parts of an archive that was checked, and holds each against its sum once more: the file may have been
 * exchanged since. Who stores a part's bytes as they come learns of a wrong sum at their end.
 */
export async function* readArchive(source: Source, sums: Sums): AsyncGenerator<Entry> {
  for await (const entry of entries(source)) {
    if (entry.name === SUMS) return;
    const hash = createHash('sha256');
    const bytes = (async function* () {
      for await (const piece of entry.bytes) {
        hash.update(piece);
        yield piece;
      }
      if (hash.digest('hex') !== sums.get(entry.name))
        throw raise('PP_STORE_BACKUP_DAMAGED', { file: source.file, part: entry.name, why: 'it changed while it was read' });
    })();
    yield { ...entry, bytes };
  }
}
