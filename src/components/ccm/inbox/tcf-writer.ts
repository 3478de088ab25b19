import { mkdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { PushpointError } from '#base/errors';
import { writeMobileClient } from '#messages';
import { removeDrafts, writeAtomic } from '#store/inbox';
import type { InboxParts } from './parts.ts';

/** Channels that tell that mobileclient.tcf may have to change. */
const CHANNELS = ['site_settings', 'package'] as const;
const LOOK_MS = 60_000;

/**
 * TcfWriter keeps <data>/bin/mobileclient.tcf, the master of what each push lays on a machine (D0): rewritten when settings, points or packages
 * change. A site without a management point or package has none, because a client could not use it.
 */
export class TcfWriter {
  readonly #parts: InboxParts;
  readonly #file: string;
  #ends: (() => Promise<void>)[] = [];
  #cancel: () => void = () => {};
  #writing: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: InboxParts) {
    this.#parts = parts;
    this.#file = join(parts.bin, 'mobileclient.tcf');
  }

  async start(): Promise<void> {
    await mkdir(this.#parts.bin, { recursive: true, mode: 0o700 });
    await removeDrafts(this.#parts.bin);
    for (const channel of CHANNELS) {
      this.#ends.push(
        await this.#parts.database.listen(channel, () => {
          this.#parts.surroundings.forget();
          this.#rewrite();
        }),
      );
    }
    this.#rewrite();
    this.#again();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    for (const end of this.#ends.splice(0)) await end();
    await this.#writing;
  }

  #again(): void {
    this.#cancel = this.#parts.clock.after(LOOK_MS, () => {
      this.#rewrite();
      if (!this.#stopped) this.#again();
    });
  }

  #rewrite(): void {
    this.#writing = this.#writing
      .then(() => this.#write())
      .catch((error: unknown) => this.#parts.log.error('mobileclient.tcf cannot be written', { error }));
  }

  async #write(): Promise<void> {
    const { surroundings, log } = this.#parts;
    let bytes: Uint8Array;
    try {
      bytes = writeMobileClient(await surroundings.settingsFile(await surroundings.packageFor({ package: undefined })));
    } catch (error) {
      if (!(error instanceof PushpointError) || error.origin !== 'misconfigured') throw error;
      const had = await unlink(this.#file).then(
        () => true,
        () => false,
      );
      if (had) log.warn('mobileclient.tcf was taken away', { why: error.message });
      return;
    }
    const old = await readFile(this.#file).catch(() => undefined);
    if (old?.equals(bytes)) return;
    await writeAtomic(this.#file, bytes, 0o644);
    log.info('mobileclient.tcf written', { file: this.#file });
  }
}
