import { createHash } from 'node:crypto';
import { isCode, PushpointError, raise } from '#base/errors';
import { because, retryAfterMs } from '#client/contact';
import { joinPath, layout, type FetchInit, type TargetHost } from '#client/host';
import type { ClientLog } from '#client/log';
import type { MobileClient } from '#messages';

/** A point that sends less than this in so long is left for the next one: octet by octet, it would hold the client for ever. */
const STALL_MS = 60_000;
const LEAST_IN_STALL = 4_096;
/** Pause before a cut download is taken up again at the same point. */
const RESUME_MS = 5_000;
const MOST_RESUMES = 50;
const WRITE_AT = 262_144;

export interface DownloadRules {
  points: readonly string[];
  /** published gives the points that DNS names; they are asked where the others gave nothing. */
  published?: () => Promise<readonly string[]>;
  retryMinutes: number;
  downloadMinutes: number;
  pins: readonly string[] | undefined;
  /** The headers by which the client names itself, unsigned: the site may refuse its files to one that it has blocked. */
  names?: Record<string, string>;
  /** Called once when the first round brought nothing and the wait begins. */
  onWait: () => Promise<void>;
}

/**
 * Download fetches the payload from the management points in their order. What has come is kept in a `.part` file that is named after the
 * hash, so that a cut connection, a restart of the machine or a second run goes on where it stopped (Range), and another version never
 * mixes in. Nothing is given out before the whole file on the disk has the size and the SHA-256 of mobileclient.tcf.
 */
export class Download {
  readonly #host: TargetHost;
  readonly #log: ClientLog;
  readonly #payload: MobileClient['payload'];
  readonly #rules: DownloadRules;
  readonly #part: string;
  readonly #notBefore = new Map<string, number>();
  #have = 0;

  constructor(host: TargetHost, log: ClientLog, payload: MobileClient['payload'], rules: DownloadRules) {
    this.#host = host;
    this.#log = log;
    this.#payload = payload;
    this.#rules = rules;
    this.#part = joinPath(layout.setupFolder, `${payload.file}.${payload.sha256.slice(0, 16)}.part`);
  }

  /** isRight tells whether bytes are exactly the file that is meant. */
  static isRight(bytes: Uint8Array, { size, sha256 }: MobileClient['payload']): boolean {
    return bytes.length === size && createHash('sha256').update(bytes).digest('hex') === sha256;
  }

  /** clear takes away what was kept for a download that is done. */
  async clear(): Promise<void> {
    await this.#again();
  }

  /** run gives the verified bytes. */
  async run(): Promise<Uint8Array> {
    const { clock, signal } = this.#host;
    const end = clock.monotonic() + this.#rules.downloadMinutes * 60_000;
    this.#have = (await this.#host.readFile(this.#part))?.length ?? 0;
    for (let round = 1; ; round++) {
      const bytes = (await this.#round(this.#rules.points)) ?? (await this.#round(await this.#published()));
      if (bytes) return bytes;
      if (round === 1) await this.#rules.onWait();
      const wait = this.#wait();
      if (clock.monotonic() + wait > end)
        throw raise('PP_SETUP_DOWNLOAD', { file: this.#payload.file, minutes: this.#rules.downloadMinutes });
      this.#log.warn(`Next retry in ${Math.ceil(wait / 60_000)} minute(s)...`);
      await clock.sleep(wait, signal);
    }
  }

  /** wait is until the next round: ten minutes by default, or as long as every point asks for. */
  #wait(): number {
    const now = this.#host.clock.monotonic();
    const normal = this.#rules.retryMinutes * 60_000;
    return Math.max(
      1000,
      Math.min(...this.#rules.points.map((point) => (this.#notBefore.has(point) ? this.#notBefore.get(point)! - now : normal))),
    );
  }

  /** published gives the points that DNS names and nobody else did. Whoever answers there, the hash judges what he gives. */
  async #published(): Promise<string[]> {
    const found = (await this.#rules.published?.()) ?? [];
    const more = found.filter((point) => !this.#rules.points.includes(point));
    if (more.length > 0) this.#log.info(`DNS names ${more.length} more management point(s)`);
    return more;
  }

  async #round(points: readonly string[]): Promise<Uint8Array | undefined> {
    let wrong: PushpointError | undefined;
    for (const point of points) {
      if ((this.#notBefore.get(point) ?? -Infinity) > this.#host.clock.monotonic()) continue;
      this.#notBefore.delete(point);
      try {
        await this.#from(point);
        return await this.#verified();
      } catch (error) {
        this.#host.signal.throwIfAborted();
        if (!(error instanceof PushpointError) || error.code === 'PP_SETUP_DISK_FULL') throw error;
        this.#log.warn(error.message);
        // Another certificate or other bytes than the trust anchor says do not get better by waiting; another point may be right.
        if (error.code === 'PP_SETUP_HASH' || error.code === 'PP_CLIENT_PIN') wrong = error;
      }
    }
    if (wrong) throw wrong;
    return undefined;
  }

  async #verified(): Promise<Uint8Array> {
    const bytes = await this.#host.readFile(this.#part);
    if (bytes && Download.isRight(bytes, this.#payload)) {
      this.#log.info(`Hash of ${this.#payload.file} is right: ${this.#payload.sha256}`);
      return bytes;
    }
    await this.#again();
    throw raise('PP_SETUP_HASH', { file: this.#payload.file });
  }

  async #again(): Promise<void> {
    await this.#host.remove(this.#part);
    this.#have = 0;
  }

  /**
   * from downloads from one point: by the hash, which names exactly this content, and where the point does not know that, by the plain name.
   */
  async #from(point: string): Promise<void> {
    const { file, sha256, size } = this.#payload;
    if (this.#have >= size) return;
    const folder = `${point.replace(/\/+$/, '')}/CCM_Client`;
    try {
      await this.#whole(point, `${folder}/${sha256}/${file}`);
    } catch (error) {
      if (!isCode(error, 'PP_CLIENT_MP_ANSWERED') || error.params['status'] !== 404) throw error;
      await this.#whole(point, `${folder}/${file}`);
    }
  }

  /** whole takes a cut connection up again as long as each try brings something. */
  async #whole(point: string, url: string): Promise<void> {
    for (let resumes = 0; this.#have < this.#payload.size; resumes++) {
      const before = this.#have;
      try {
        await this.#piece(point, url);
      } catch (error) {
        const cut = isCode(error, 'PP_CLIENT_MP_UNREACHABLE') && this.#have > before && resumes < MOST_RESUMES;
        if (!cut) throw error;
        this.#log.warn(`Download was cut at ${this.#have} of ${this.#payload.size} bytes: ${error.message}`);
        await this.#host.clock.sleep(RESUME_MS, this.#host.signal);
      }
    }
  }

  async #piece(point: string, url: string): Promise<void> {
    const stall = new AbortController();
    const arm = () =>
      this.#host.clock.after(STALL_MS, () => stall.abort(new Error(`next to nothing came for ${STALL_MS / 1000} s`)));
    let disarm = arm();
    try {
      // No content coding: sizes and ranges must be those of the file.
      const headers: Record<string, string> = { 'accept-encoding': 'identity', ...this.#rules.names };
      if (this.#have > 0) headers['range'] = `bytes=${this.#have}-`;
      const init: FetchInit = { headers, signal: AbortSignal.any([stall.signal, this.#host.signal]) };
      if (this.#rules.pins !== undefined) init.pins = this.#rules.pins;
      this.#log.info(`Downloading ${url} from byte ${this.#have}`);
      const response = await this.#host.fetch(url, init);
      await this.#accept(point, url, response);
      let since = 0;
      await this.#receive(response, (octets) => {
        since += octets;
        if (since < LEAST_IN_STALL) return;
        since = 0;
        disarm();
        disarm = arm();
      });
      if (this.#have < this.#payload.size) throw new Error('the connection ended early');
    } catch (cause) {
      if (cause instanceof PushpointError) throw cause;
      throw raise(
        'PP_CLIENT_MP_UNREACHABLE',
        { url, why: because(stall.signal.aborted ? stall.signal.reason : cause) },
        { cause },
      );
    } finally {
      disarm();
      stall.abort();
    }
  }

  /** accept decides by the head of the answer whether its body belongs at the end of what is there. */
  async #accept(point: string, url: string, response: Response): Promise<void> {
    const length = Number(response.headers.get('content-length') ?? Number.NaN);
    if (response.status === 206) {
      const range = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(response.headers.get('content-range') ?? '');
      const fits = range && Number(range[1]) === this.#have && (range[3] === '*' || Number(range[3]) === this.#payload.size);
      if (fits) return;
      await this.#again();
      throw raise('PP_SETUP_HASH', { file: this.#payload.file });
    }
    if (response.status === 200) {
      if (this.#have > 0) await this.#again();
      if (Number.isNaN(length) || length === this.#payload.size) return;
      throw raise('PP_SETUP_HASH', { file: this.#payload.file });
    }
    if (response.status === 416) await this.#again();
    const wait = retryAfterMs(response.headers.get('retry-after'), this.#host.clock.now());
    if (wait !== undefined && (response.status === 429 || response.status === 503)) {
      this.#notBefore.set(point, this.#host.clock.monotonic() + wait);
    }
    throw raise('PP_CLIENT_MP_ANSWERED', { url, status: response.status, code: '' });
  }

  async #receive(response: Response, alive: (octets: number) => void): Promise<void> {
    let parts: Uint8Array[] = [];
    let waiting = 0;
    const write = async () => {
      if (waiting === 0) return;
      const bytes = parts.length === 1 ? parts[0]! : new Uint8Array(Buffer.concat(parts));
      parts = [];
      waiting = 0;
      await this.#append(bytes);
    };
    try {
      for await (const part of response.body ?? []) {
        alive(part.length);
        if (this.#have + waiting + part.length > this.#payload.size) {
          parts = [];
          waiting = 0;
          await this.#again();
          throw raise('PP_SETUP_HASH', { file: this.#payload.file });
        }
        parts.push(part);
        waiting += part.length;
        if (waiting >= WRITE_AT) await write();
      }
    } finally {
      await write();
    }
  }

  async #append(bytes: Uint8Array): Promise<void> {
    try {
      await this.#host.appendFile(this.#part, bytes);
      this.#have += bytes.length;
    } catch (cause) {
      // How much of it was written is not known: ask the disk.
      this.#have = (await this.#host.readFile(this.#part))?.length ?? 0;
      if ((cause as { code?: unknown }).code !== 'ENOSPC') throw cause;
      throw raise(
        'PP_SETUP_DISK_FULL',
        { free: await this.#host.freeBytes(), needed: this.#payload.size - this.#have },
        { cause },
      );
    }
  }
}
