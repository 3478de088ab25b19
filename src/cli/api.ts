import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { PushpointError, raise } from '#base/errors';
import { ApiFailure, type Failure } from './failure.ts';
import { note } from './output.ts';
import { otherVersion } from './version.ts';

type Query = Record<string, string | number | boolean | undefined>;

/** Page is one page of a list of the API. */
interface Page<T> {
  items: T[];
  next?: string;
}

/** Listed is a list as the command prints it. */
interface Listed<T> {
  items: T[];
  next: string | null;
}

const PAGE = 500;

/** whyOf says in words why nothing answered; fetch hides the reason inside its own error. */
function whyOf(error: unknown): string {
  const { code, message } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'nobody listens there';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'its name is not known';
  if (code === 'ECONNRESET' || code === 'UND_ERR_SOCKET') return 'it hung up';
  if (code && /CERT|SIGNED|TLS|SSL/.test(code))
    return `its certificate is not trusted (${code}); NODE_EXTRA_CA_CERTS names more authorities`;
  return message;
}

/** Api is the HTTP API as the command uses it; every verb but `site create`, `up`, `lab` and `ccr generate` goes through it. */
export class Api {
  readonly #base: string;
  readonly #token: string;
  readonly #end: () => Promise<void>;
  /** Whether a site server runs there; without one the API is served by this very command, and nobody works CCRs off. */
  readonly isServed: boolean;
  #compared = false;

  constructor(base: string, token: string, isServed: boolean, end: () => Promise<void> = async () => {}) {
    this.#base = base.replace(/\/+$/, '');
    this.#token = token;
    this.isServed = isServed;
    this.#end = end;
  }

  async #call(method: string, path: string, body: RequestInit['body'], type: string | undefined): Promise<unknown> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.#token}`, accept: 'application/json' };
    if (type) headers['content-type'] = type;
    let status: number;
    let text: string;
    let served: string | null;
    try {
      // A redirect is not followed: the token is for this server alone.
      const stream: RequestInit = body instanceof ReadableStream ? { duplex: 'half' } : {};
      const answer = await fetch(`${this.#base}/api/v1${path}`, { method, headers, body, redirect: 'manual', ...stream });
      status = answer.status;
      served = answer.headers.get('pushpoint-version');
      text = await answer.text();
    } catch (cause) {
      throw this.#unreachable(cause);
    }
    const said = readJson(text);
    if (status >= 200 && status < 300 && said !== undefined) {
      this.#compare(served);
      return said;
    }
    const refusal = this.#refusal(status, said);
    if (refusal instanceof ApiFailure) this.#compare(served);
    throw refusal;
  }

  /** #compare tells once, and before anything else is said, that the other end is of another version. */
  #compare(served: string | null): void {
    const other = this.#compared ? undefined : otherVersion(served);
    this.#compared = true;
    if (other !== undefined) note(`pushpoint: warning: ${other}`);
  }

  #unreachable(cause: unknown): Error {
    return raise('PP_CLI_SERVER_UNREACHABLE', { url: this.#base, why: whyOf(cause) }, { cause });
  }

  #refusal(status: number, said: unknown): Error {
    const { code, detail, cause, remedy } = (said ?? {}) as Partial<Failure> & { detail?: string };
    if (typeof code !== 'string' || typeof detail !== 'string')
      return raise('PP_CLI_NOT_A_SITE', { url: this.#base, why: `it answered ${status}, and not in the form of the API` });
    // A management point says this of everything that it does not serve.
    if (code === 'PP_MP_NOT_HERE')
      return raise('PP_CLI_NOT_A_SITE', { url: this.#base, why: 'it is a point, and the console listens elsewhere' });
    return new ApiFailure({ code, message: detail, cause, remedy }, status);
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#call('GET', `${path}${tailOf(query)}`, undefined, undefined) as Promise<T>;
  }

  send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body: unknown = {}, query: Query = {}): Promise<T> {
    return this.#call(method, `${path}${tailOf(query)}`, JSON.stringify(body), 'application/json') as Promise<T>;
  }

  /** text sends a document as it is (a CSV or JSON list of machines). */
  text<T>(path: string, body: Uint8Array<ArrayBuffer>, type: string, query: Query = {}): Promise<T> {
    return this.#call('POST', `${path}${tailOf(query)}`, body, type) as Promise<T>;
  }

  /** file gives a document that is no JSON, part by part as it comes. */
  async *file(path: string, query: Query = {}): AsyncGenerator<string> {
    const headers = { authorization: `Bearer ${this.#token}` };
    try {
      const answer = await fetch(`${this.#base}/api/v1${path}${tailOf(query)}`, { headers, redirect: 'manual' });
      if (answer.status !== 200 || !answer.body) throw this.#refusal(answer.status, readJson(await answer.text()));
      // A part may end inside a letter.
      const letters = new TextDecoder();
      for await (const part of answer.body) yield letters.decode(part, { stream: true });
    } catch (cause) {
      throw cause instanceof ApiFailure || cause instanceof PushpointError ? cause : this.#unreachable(cause);
    }
  }

  /** upload streams a file of any size. */
  upload<T>(path: string, file: string): Promise<T> {
    const stream = Readable.toWeb(createReadStream(file)) as unknown as ReadableStream;
    return this.#call('POST', path, stream, 'application/octet-stream') as Promise<T>;
  }

  /** all walks the pages of a list. */
  async *all<T>(path: string, query: Query = {}): AsyncGenerator<T> {
    let cursor: string | undefined;
    do {
      const page: Page<T> = await this.get(path, { ...query, cursor, limit: PAGE });
      yield* page.items;
      cursor = page.next;
    } while (cursor);
  }

  /** list gives a whole list, or one page of it where the caller sets a limit or goes on from a cursor; `next` is null at its end. */
  async list<T>(path: string, query: Query, page: { limit?: number; cursor?: string }): Promise<Listed<T>> {
    if (page.limit !== undefined || page.cursor !== undefined) {
      const { items, next } = await this.get<Page<T>>(path, { ...query, limit: page.limit ?? PAGE, cursor: page.cursor });
      return { items, next: next ?? null };
    }
    const items: T[] = [];
    for await (const item of this.all<T>(path, query)) items.push(item);
    return { items, next: null };
  }

  /** close ends what was started for this command. */
  close(): Promise<void> {
    return this.#end();
  }
}

function tailOf(query: Query): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return search.size ? `?${search.toString()}` : '';
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
