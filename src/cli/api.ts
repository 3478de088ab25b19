import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { raise } from '#base/errors';
import { readRunning, startConsoleOnly } from '#executive';
import { ApiFailure, type Failure } from './output.ts';

/** Where the command finds the site: a data folder on this machine, or a server somewhere. */
export interface Where {
  data?: string;
  server?: string;
  tokenFile?: string;
}

/** Api is the HTTP API as the command uses it; every verb but `site create`, `up` and `lab` goes through it. */
export class Api {
  readonly #base: string;
  readonly #token: string;
  readonly #end: () => Promise<void>;

  constructor(base: string, token: string, end: () => Promise<void>) {
    this.#base = base.replace(/\/+$/, '');
    this.#token = token;
    this.#end = end;
  }

  async #call(method: string, path: string, body: RequestInit['body'], type: string | undefined): Promise<unknown> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.#token}`, accept: 'application/json' };
    if (type) headers['content-type'] = type;
    let answer: Response;
    try {
      answer = await fetch(`${this.#base}${path}`, {
        method,
        headers,
        body,
        ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
      });
    } catch (cause) {
      throw raise('PP_CLI_SERVER_UNREACHABLE', { url: this.#base }, { cause });
    }
    const text = await answer.text();
    const parsed: unknown = text && /json/.test(answer.headers.get('content-type') ?? '') ? JSON.parse(text) : undefined;
    if (answer.ok) return parsed;
    const problem = (parsed ?? {}) as Partial<Failure> & { title?: string; detail?: string };
    throw new ApiFailure(
      {
        code: problem.code ?? `HTTP_${answer.status}`,
        message: problem.detail ?? problem.title ?? `the server answered ${answer.status}`,
        cause: problem.cause,
        remedy: problem.remedy,
      },
      answer.status,
    );
  }

  get<T>(path: string, query: Record<string, string | number | undefined> = {}): Promise<T> {
    const search = new URLSearchParams();
    for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
    const tail = search.size ? `?${search}` : '';
    return this.#call('GET', `/api/v1${path}${tail}`, undefined, undefined) as Promise<T>;
  }

  send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body: unknown = {}): Promise<T> {
    return this.#call(method, `/api/v1${path}`, JSON.stringify(body), 'application/json') as Promise<T>;
  }

  /** text sends a document as it is (a CSV or JSON list of machines). */
  text<T>(path: string, body: Uint8Array<ArrayBuffer>, type: string): Promise<T> {
    return this.#call('POST', `/api/v1${path}`, body, type) as Promise<T>;
  }

  /** upload streams a file of any size. */
  upload<T>(path: string, file: string): Promise<T> {
    const stream = Readable.toWeb(createReadStream(file)) as unknown as ReadableStream;
    return this.#call('POST', `/api/v1${path}`, stream, 'application/octet-stream') as Promise<T>;
  }

  /** all walks the pages of a list. */
  async *all<T>(path: string, query: Record<string, string | number | undefined> = {}): AsyncGenerator<T> {
    let cursor: string | undefined;
    do {
      const page: { items: T[]; next?: string } = await this.get(path, { ...query, cursor, limit: 500 });
      yield* page.items;
      cursor = page.next;
    } while (cursor);
  }

  close(): Promise<void> {
    return this.#end();
  }
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw raise('PP_CLI_FILE', { file, why: 'the token cannot be read' }, { cause });
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(5000) })).ok;
  } catch {
    return false;
  }
}

async function openFolder(data: string): Promise<Api> {
  if (!existsSync(join(data, 'site.json'))) throw raise('PP_SITE_NOT_HERE', { data });
  const running = readRunning(data);
  if (running && (await answers(running.console))) {
    return new Api(running.console, readToken(join(data, 'run', 'console.token')), async () => {});
  }
  // Nobody serves this folder: serve it ourselves for this one call, so that a site can be prepared before it is up.
  const own = await startConsoleOnly(data);
  return new Api(own.url, own.token, () => own.stop());
}

/** openApi finds the site that the options (or PUSHPOINT_DATA, PUSHPOINT_SERVER, PUSHPOINT_TOKEN_FILE) name. */
export async function openApi(where: Where): Promise<Api> {
  const server = where.server ?? (where.data ? undefined : process.env['PUSHPOINT_SERVER']);
  if (server) {
    if (!/^https?:\/\//.test(server))
      throw raise('PP_CLI_USAGE', { why: `--server wants a URL that begins with http:// or https://, not ${server}` });
    const file = where.tokenFile ?? process.env['PUSHPOINT_TOKEN_FILE'];
    if (!file) throw raise('PP_CLI_USAGE', { why: '--server needs --token-file FILE' });
    return new Api(server, readToken(file), async () => {});
  }
  const data = where.data ?? process.env['PUSHPOINT_DATA'];
  if (!data)
    throw raise('PP_CLI_USAGE', { why: 'say which site: --data DIR (or PUSHPOINT_DATA), or --server URL --token-file FILE' });
  return openFolder(data);
}

/** sizeOf is the size of a file in octets, with a clear error when it cannot be read. */
export function sizeOf(file: string): number {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw raise('PP_CLI_FILE', { file, why: 'it is not a file' });
    return stat.size;
  } catch (cause) {
    if (cause instanceof Error && cause.name === 'Misconfigured') throw cause;
    throw raise('PP_CLI_FILE', { file, why: 'it cannot be read' }, { cause });
  }
}
