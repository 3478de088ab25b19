import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { raise } from '#base/errors';
import { syncFolder } from '#store/inbox';
import { seal } from './sealed.ts';
import { tarEnd, tarHeader, tarPadding } from './tar.ts';

/** The last part: the SHA-256 of every other one, in the form that `sha256sum -c` reads. */
export const SUMS = 'SHA256SUMS';

/** Sink is where parts go: a folder, or a file in the format of tar, sealed or not. */
interface Sink {
  part(name: string, size: number, bytes: AsyncIterable<Uint8Array>): Promise<void>;
  end(): Promise<void>;
  /** drop lets go of what is open, after a failure. */
  drop(): Promise<void>;
}

/** Archive takes the parts of a backup or export one after another and closes with their sums. */
export class Archive {
  readonly #sink: Sink;
  readonly #place: string;
  readonly #sums: string[] = [];
  /** octets is how much was taken in. */
  octets = 0;

  private constructor(sink: Sink, place: string) {
    this.#sink = sink;
    this.#place = place;
  }

  /** inFile writes a new file, which must not be there yet; with a passphrase it is sealed. `wanted` is the name it gets in the end. */
  static async inFile(file: string, o: { passphrase?: string | undefined; madeAt: Date; wanted?: string }): Promise<Archive> {
    const handle = await open(
      file,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    ).catch((cause: unknown) => {
      throw unwritable(o.wanted ?? file, cause);
    });
    return new Archive(new TarSink(handle, o), o.wanted ?? file);
  }

  /** inFolder writes plain files into a folder that is there. */
  static inFolder(folder: string): Archive {
    return new Archive(new FolderSink(folder), folder);
  }

  /** add writes one part. */
  async add(name: string, content: Uint8Array | { size: number; bytes: AsyncIterable<Uint8Array> }): Promise<void> {
    const { size, bytes } = content instanceof Uint8Array ? { size: content.length, bytes: once(content) } : content;
    const hash = createHash('sha256');
    let seen = 0;
    const counted = (async function* () {
      for await (const chunk of bytes) {
        seen += chunk.length;
        if (seen > size) break;
        hash.update(chunk);
        yield chunk;
      }
    })();
    await this.#writing(() => this.#sink.part(name, size, counted));
    if (seen !== size) throw unwritable(this.#place, new Error(`the size of ${name} changed while it was read`));
    this.octets += size;
    this.#sums.push(`${hash.digest('hex')}  ${name}\n`);
  }

  /** end writes the sums and brings everything to the disk. */
  async end(): Promise<void> {
    const sums = Buffer.from(this.#sums.join(''));
    await this.#writing(async () => {
      await this.#sink.part(SUMS, sums.length, once(sums));
      await this.#sink.end();
    });
  }

  async drop(): Promise<void> {
    await this.#sink.drop();
  }

  async #writing(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { syscall } = error as NodeJS.ErrnoException;
      throw syscall === undefined ? error : unwritable(this.#place, error);
    }
  }
}

const reasons: Record<string, string> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of this user is used up',
  EFBIG: 'the file would become larger than this system allows',
  EEXIST: 'something of that name is there already',
  ENOENT: 'its folder is not there',
  EACCES: 'this user has no right to it',
  EROFS: 'the file system is read-only',
};

function unwritable(file: string, cause: unknown): Error {
  const { code, message } = cause as NodeJS.ErrnoException;
  return raise('PP_STORE_BACKUP_WRITE', { file, why: reasons[code ?? ''] ?? message }, { cause });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at, chunk.length - at)).bytesWritten;
}

/**
 * TarSink writes a tar file. The seal wants to pull and the parts are pushed, so between the two stands a queue of one: a push is over when
 * what it pushed is written.
 */
class TarSink implements Sink {
  readonly #handle: FileHandle;
  readonly #madeAt: Date;
  readonly #written: Promise<void>;
  #failed: unknown;
  #next: Uint8Array | 'end' | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(handle: FileHandle, o: { passphrase?: string | undefined; madeAt: Date }) {
    this.#handle = handle;
    this.#madeAt = o.madeAt;
    const plain = this.#pushed();
    this.#written = this.#write(o.passphrase === undefined ? plain : seal(plain, o.passphrase));
    this.#written.catch((error: unknown) => {
      this.#failed = error;
      this.#wakeWriter?.();
    });
  }

  async *#pushed(): AsyncGenerator<Uint8Array> {
    for (;;) {
      while (this.#next === undefined) await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      const chunk = this.#next;
      if (chunk === 'end') return;
      yield chunk;
      this.#next = undefined;
      this.#wakeWriter?.();
    }
  }

  async #write(stream: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of stream) await writeAll(this.#handle, chunk);
  }

  async #push(chunk: Uint8Array | 'end'): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    this.#next = chunk;
    this.#wakeReader?.();
    if (chunk === 'end') return await this.#written;
    while (this.#next !== undefined && this.#failed === undefined)
      await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
    if (this.#failed !== undefined) throw this.#failed;
  }

  async part(name: string, size: number, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#push(tarHeader(name, size, this.#madeAt));
    for await (const chunk of bytes) if (chunk.length > 0) await this.#push(chunk);
    const padding = tarPadding(size);
    if (padding.length > 0) await this.#push(padding);
  }

  async end(): Promise<void> {
    await this.#push(tarEnd());
    await this.#push('end');
    await this.#handle.sync();
    await this.#handle.close();
  }

  async drop(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}

/** FolderSink writes each part as a file of its name. */
class FolderSink implements Sink {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async part(name: string, _size: number, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    const file = path.join(this.#folder, name);
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(file, 'wx', 0o600);
    try {
      for await (const chunk of bytes) await writeAll(handle, chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async end(): Promise<void> {
    await syncFolder(this.#folder);
  }

  async drop(): Promise<void> {}
}
