import type { FetchInit, TargetHost } from '#client/host';
import { PushpointError, isCode, raise, type Code } from '#base/errors';
import { Problem, matches, signRequest, type Signer } from '#messages';
import { retryAfterMs } from './retry-after.ts';

const ANSWER_LIMIT_MS = 30_000;
const LARGEST_ANSWER = 262_144;
/**
 * How far a point that nothing proves may set the clock forward: whatever is signed for a time to come could be sent again then. Back it may be
 * set as far as it likes, and from a time before this release, which is certainly wrong, too (native/wire/contact.c has the same rule).
 */
const FARTHEST_MS = 24 * 3_600_000;
const RELEASE = new Date('2026-11-01T00:00:00Z');

/**
 * Ask is one request: a POST with a message, which is made when it is sent, because the time in it must be the one that is signed; or a GET,
 * where there is no message. Signed where there is a signer.
 */
export interface Ask {
  path: string;
  message?: (now: Date) => unknown;
  signer?: Signer;
  /** The revision that is here already; the answer is then `unchanged` where the point has no other. */
  etag?: string;
}

/** Answer is what a point said with 2xx, or with 304 to somebody who has it already. */
export interface Answer {
  url: string;
  value: unknown;
  unchanged: boolean;
  /** The body as it came. */
  text: string;
  headers: Headers;
  /** The nonce of the question, where it was signed. */
  nonce: string;
}

/**
 * ContactWatch is told of each point that was asked whether it answered at all, says of which points an answer proves that it is the site's, and
 * has the log. Without its word https proves it, because then all points are those of the installation.
 */
export interface ContactWatch {
  heard?: (point: string, answered: boolean) => void;
  proves?: (point: string) => boolean;
  warn?: (line: string) => void;
}

/** Unheard is the end of asking all points: why each failed, and how long they ask to wait. */
export class Unheard extends Error {
  override name = 'Unheard';
  readonly reasons: PushpointError[];
  readonly waitMs: number | undefined;

  constructor(reasons: PushpointError[], waitMs: number | undefined) {
    super(reasons.map((reason) => reason.message).join('; ') || 'no management point may be asked yet');
    this.reasons = reasons;
    this.waitMs = waitMs;
  }
}

/**
 * Contact asks management points in order, each at most once, until one says yes. It remembers what each asked of it: a point that
 * answered 429 or 503 with Retry-After is left alone until then. The site's clock, where it differs, is kept for all later signatures.
 */
export class Contact {
  readonly #host: TargetHost;
  readonly #pins: readonly string[] | undefined;
  readonly #watch: ContactWatch;
  readonly #notBefore = new Map<string, number>();
  #offsetMs = 0;

  constructor(host: TargetHost, pins: readonly string[] | undefined, watch: ContactWatch = {}) {
    this.#host = host;
    this.#pins = pins;
    this.#watch = watch;
  }

  /** siteNow is the time as the site has it, as far as known. */
  siteNow(): Date {
    return new Date(this.#host.clock.now().getTime() + this.#offsetMs);
  }

  /** ask goes through the points; `final` tells which refusals no other point will judge otherwise, and those are thrown at once. */
  async ask(points: readonly string[], ask: Ask, final: (error: PushpointError) => boolean): Promise<Answer> {
    const reasons: PushpointError[] = [];
    for (const point of points) {
      if (this.#left(point) > 0) continue;
      try {
        return await this.#askOne(point, ask, true);
      } catch (error) {
        this.#host.signal.throwIfAborted();
        if (!(error instanceof PushpointError) || final(error)) throw error;
        reasons.push(error);
      }
    }
    const waits = points.map((point) => this.#left(point)).filter((ms) => ms > 0);
    throw new Unheard(reasons, waits.length === points.length || reasons.length === 0 ? Math.min(...waits) : undefined);
  }

  #left(point: string): number {
    return (this.#notBefore.get(point) ?? 0) - this.#host.clock.monotonic();
  }

  async #askOne(point: string, ask: Ask, mayCorrect: boolean): Promise<Answer> {
    const url = `${point.replace(/\/+$/, '')}${ask.path}`;
    const now = this.siteNow();
    const { message, signer, etag } = ask;
    const method = message ? 'POST' : 'GET';
    const body = new TextEncoder().encode(message ? JSON.stringify(message(now)) : '');
    const headers: Record<string, string> = { accept: 'application/json' };
    if (message) headers['content-type'] = 'application/json';
    if (etag !== undefined) headers['if-none-match'] = `"${etag}"`;
    const nonce = Buffer.from(this.#host.random.bytes(16)).toString('base64url');
    if (signer) {
      const { pathname, search } = new URL(url);
      Object.assign(headers, signRequest({ method, path: pathname + search, body }, signer, { time: now, nonce }));
    }
    const { response, text } = await this.#send(point, url, { method, headers, ...(message && { body }) });
    const value = parsed(text);
    if (response.ok || response.status === 304) {
      const { headers: answered, status } = response;
      return { url: point, value, unchanged: status === 304, text, headers: answered, nonce };
    }
    const problem = matches(Problem, value) ? value : undefined;
    if (problem?.code === 'PP_MSG_TIME_OFF' && mayCorrect && this.#corrected(point, problem.serverTime))
      return this.#askOne(point, ask, false);
    const wait = retryAfterMs(response.headers.get('retry-after'), this.#host.clock.now());
    if (wait !== undefined && (response.status === 429 || response.status === 503)) {
      this.#notBefore.set(point, this.#host.clock.monotonic() + wait);
    }
    if (problem?.code === 'PP_MP_CERTIFICATE') throw raise('PP_CLIENT_CERTIFICATE', { url, why: this.#unproven(problem) });
    throw raise('PP_CLIENT_MP_ANSWERED', { url, status: response.status, code: problem?.code ?? '' });
  }

  /** unproven is what the point says of the certificate of this machine, and what the machine knows itself. */
  #unproven({ detail = 'it is not accepted' }: Problem): string {
    const own = this.#host.unproven?.();
    // It goes into logs, and a point that is none may say anything.
    const said = detail.replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, 256);
    return own === undefined ? said : `${said}; ${own}`;
  }

  /** corrected takes the clock of a site over; false where it is farther off than may be believed. */
  #corrected(point: string, time: string | undefined): boolean {
    const site = new Date(time ?? '').getTime();
    const own = this.#host.clock.now().getTime();
    if (Number.isNaN(site)) return false;
    const proves = this.#watch.proves ?? ((one) => one.startsWith('https:'));
    if (site > own + FARTHEST_MS && own > RELEASE.getTime() && !proves(point)) {
      this.#watch.warn?.(
        `${point} says that it is ${time}; the clock of this machine is not set forward that far by a point that nothing proves`,
      );
      return false;
    }
    this.#offsetMs = site - own;
    return true;
  }

  async #send(point: string, url: string, init: FetchInit): Promise<{ response: Response; text: string }> {
    const limit = new AbortController();
    const disarm = this.#host.clock.after(ANSWER_LIMIT_MS, () =>
      limit.abort(new Error(`no answer within ${ANSWER_LIMIT_MS / 1000} s`)),
    );
    try {
      const signal = AbortSignal.any([limit.signal, this.#host.signal]);
      const pins = this.#pins !== undefined && { pins: this.#pins };
      const response = await this.#host.fetch(url, { ...init, signal, ...pins });
      const text = await bounded(response);
      this.#watch.heard?.(point, response.status < 500);
      return { response, text };
    } catch (cause) {
      if (!this.#host.signal.aborted) this.#watch.heard?.(point, false);
      if (isCode(cause, 'PP_CLIENT_PIN')) throw cause;
      throw raise(
        'PP_CLIENT_MP_UNREACHABLE',
        { url, why: because(limit.signal.aborted ? limit.signal.reason : cause) },
        { cause },
      );
    } finally {
      disarm();
    }
  }
}

/** saidNo tells whether a point refused with one of these codes. */
export function saidNo(error: unknown, ...codes: Code[]): boolean {
  return isCode(error, 'PP_CLIENT_MP_ANSWERED') && codes.some((code) => code === error.params['code']);
}

async function bounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > LARGEST_ANSWER) throw new Error(`the answer is longer than ${LARGEST_ANSWER} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** because finds the sentence in a failed fetch: undici hides it in the cause. */
export function because(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const deeper = error.cause instanceof Error ? error.cause : undefined;
  const code = (deeper as { code?: unknown } | undefined)?.code ?? (error as { code?: unknown }).code;
  return [
    deeper?.message || error.message,
    typeof code === 'string' && !(deeper ?? error).message.includes(code) ? `(${code})` : '',
  ]
    .join(' ')
    .trim();
}
