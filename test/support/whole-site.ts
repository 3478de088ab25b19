import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemClock } from '#base/clock';
import { createSite, joinSite, runSite, type RunningSite } from '#executive';
import { labPackage } from '#lab/fleet';
import { scratch } from '#test/scratch';

/** Step is a step of a timeline as the API shows it. */
export interface Step {
  name: string;
  outcome: string;
  detail?: string;
  code?: string;
  win32?: number;
}

/** Shown is a CCR as the API shows it. */
export interface Shown {
  id: number;
  name: string;
  state: string;
  forced: boolean;
  source: string;
  attempts: number;
  requestCount: number;
  lastErrorCode?: number;
  lastError?: string;
  lastErrorText?: string;
  nextAttemptAt?: string;
  finishedAt?: string;
  proof?: string;
  account?: string;
  attempt?: { number: number; outcome?: string; dialect?: string; signing?: string; encryption?: string };
  steps: Step[];
  history: { number: number; outcome?: string; steps: Step[] }[];
}

/** Answer is what the API or a point answered. */
export interface Answer<T = unknown> {
  status: number;
  body: T;
  text: string;
}

const COMMAND = fileURLToPath(new URL('../../bin/pushpoint', import.meta.url));
const VERDICT = ['complete', 'skipped', 'failed', 'cancelled', 'retry', 'waiting'];

/** freePort gives a port that nobody listens on just now, for sites that keep theirs over a restart. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** How long a machine with much else to do may take for what an idle one does in a second. */
const PATIENCE_MS = 90_000;

/** eventually looks again and again, up to `ms`, until something is so. */
export async function eventually(what: string, look: () => Promise<boolean> | boolean, ms = PATIENCE_MS): Promise<void> {
  const until = systemClock.monotonic() + ms;
  for (let pause = 5; !(await look()); pause = Math.min(pause * 1.5, 150)) {
    if (systemClock.monotonic() > until) throw new Error(`waited ${ms} ms in vain for ${what}`);
    await systemClock.sleep(pause);
  }
}

/**
 * WholeSite is the product as an administrator has it: a data folder with its own PostgreSQL, run by the executive in this process or by the
 * command in a child, and spoken to over HTTP only.
 */
export class WholeSite {
  readonly code: string;
  /** folder holds the data folder and whatever a test puts beside it. */
  readonly folder: string;
  readonly data: string;
  #here: RunningSite | undefined;
  #child: ChildProcess | undefined;
  #killed = false;
  /** said is what the process of `spawn` wrote to its outputs. */
  said = '';
  points = '';
  console = '';
  #token = '';

  constructor(code = 'P01') {
    this.code = code;
    this.folder = mkdtempSync(join(scratch, 'pushpoint-e2e-'));
    // Started by root, PostgreSQL runs as another user, who must come through.
    chmodSync(this.folder, 0o711);
    this.data = join(this.folder, code);
  }

  /** create makes the site; nobody serves it yet. `listen` is where its points are each time it runs, else any free port. */
  async create(listen = '127.0.0.1:0'): Promise<this> {
    await createSite({ code: this.code, data: this.data, listen, console: '127.0.0.1:0' });
    this.useToken();
    return this;
  }

  /** join makes it a secondary, or a child primary, of a site that runs, reached at `url` where that is said; nobody serves it yet. */
  async join(
    parent: WholeSite,
    { primary = false, url = parent.points, listen = '127.0.0.1:0' }: { primary?: boolean; url?: string; listen?: string } = {},
  ): Promise<this> {
    const tokenFile = join(this.folder, 'join.token');
    writeFileSync(tokenFile, JSON.stringify(await parent.send('POST', '/sites/tokens')), { mode: 0o600 });
    const at = { listen, console: '127.0.0.1:0' };
    await joinSite({ code: this.code, data: this.data, parent: url, tokenFile, primary, ...at });
    this.useToken();
    return this;
  }

  /** useToken takes the token that stands in the folder now. */
  useToken(): void {
    this.#token = readFileSync(join(this.data, 'run', 'console.token'), 'utf8').trim();
  }

  /** run serves it in this process. */
  async run(): Promise<this> {
    this.#here = await runSite({ data: this.data, signals: false });
    this.#serves(this.#here.ready);
    return this;
  }

  /** spawn serves it in a process of its own, as `pushpoint up` does. */
  async spawn(more: readonly string[] = []): Promise<this> {
    const child = spawn(COMMAND, ['up', '--data', this.data, '--json', ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.#killed = false;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (octets: Buffer) => (this.said += octets.toString('utf8')));
    const lines = createInterface({ input: child.stdout });
    const first = await Promise.race([
      once(lines, 'line').then(([line]) => String(line)),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`up ended with ${code}: ${this.said}`))),
    ]);
    const told = JSON.parse(first) as { ready?: boolean; points: string; console: string };
    if (told.ready !== true) throw new Error(`up did not start: ${this.said}`);
    this.#serves(told);
    return this;
  }

  /** kill ends that process as a power cut does. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    this.#killed = true;
    child.kill('SIGKILL');
    await gone;
  }

  get child(): ChildProcess | undefined {
    return this.#child;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  #serves(ready: { points?: string | undefined; console?: string | undefined }): void {
    this.points = ready.points!;
    this.console = ready.console!;
  }

  /** prepare tells the site what an administrator would: where its MP is, the machines, the account, the package. */
  async prepare(o: { csv: string; account?: { username: string; password: string } }): Promise<void> {
    await this.send('PUT', '/points/mp', { address: this.points });
    await this.importCsv(o.csv);
    if (o.account) await this.send('POST', '/accounts', { name: 'push', ...o.account, scope: { kind: 'site' } });
    const { definition, files } = await labPackage();
    const stored = [];
    for (const { name, bytes } of files)
      stored.push({ ...(await this.#sent<object>('POST', '/content', Buffer.from(bytes), 'application/octet-stream')), name });
    await this.send('POST', '/packages', { definition, files: stored });
  }

  async importCsv(csv: string): Promise<void> {
    const { rejected } = await this.#sent<{ rejected: unknown[] }>('POST', '/devices/import', csv, 'text/csv');
    if (rejected.length > 0) throw new Error(`rows were rejected: ${JSON.stringify(rejected)}`);
  }

  /** call asks the API; any answer is an answer. */
  async call<T>(method: string, path: string, body?: string | Buffer<ArrayBuffer>, type?: string): Promise<Answer<T>> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.#token}` };
    if (type !== undefined) headers['content-type'] = type;
    const answer = await fetch(`${this.console}/api/v1${path}`, { method, headers, ...(body !== undefined && { body }) });
    const text = await answer.text();
    return { status: answer.status, text, body: (text === '' ? undefined : JSON.parse(text)) as T };
  }

  async #sent<T>(method: string, path: string, body?: string | Buffer<ArrayBuffer>, type?: string): Promise<T> {
    const answer = await this.call<T>(method, path, body, type);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  }

  get<T>(path: string): Promise<T> {
    return this.#sent<T>('GET', path);
  }

  send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body: unknown = {}): Promise<T> {
    return this.#sent<T>(method, path, JSON.stringify(body), 'application/json');
  }

  /** push asks for machines as the wizard does. */
  async push(names: string | string[], wish: Record<string, boolean> = {}): Promise<void> {
    const { items } = await this.send<{ items: { name: string; decision: string; reason?: string }[] }>('POST', '/push', {
      names: [names].flat(),
      ...wish,
    });
    const refused = items.filter(({ decision }) => decision !== 'push');
    if (refused.length > 0) throw new Error(`not pushed: ${JSON.stringify(refused)}`);
  }

  /** act retries, cancels, pauses or resumes. */
  act(action: 'retry' | 'cancel' | 'pause' | 'resume', names: string | string[]) {
    return this.send<{ items: { name: string; done: boolean; reason?: string }[] }>('POST', `/ccrs/${action}`, {
      names: [names].flat(),
    });
  }

  show(name: string): Promise<Shown> {
    return this.get<Shown>(`/ccrs/${encodeURIComponent(name)}`);
  }

  /** until waits until the CCR of a machine is in one of these states, or has any verdict. */
  async until(name: string, ...states: string[]): Promise<Shown> {
    const wanted = states.length > 0 ? states : VERDICT;
    let last: Shown | undefined;
    await eventually(`${name} to be ${wanted.join(' or ')}`, async () =>
      wanted.includes((last = await this.show(name)).state),
    ).catch((cause: unknown) => {
      throw new Error(`${String(cause)}; it is ${last?.state}: ${JSON.stringify(last?.steps, undefined, 1)}`, { cause });
    });
    return last!;
  }

  /** end stops the process of `spawn` in order and gives its exit code; 0 where none runs. */
  async end(): Promise<number | null> {
    // What a killed process left running, its database, is ended by the next one.
    if (this.#killed && !this.#child) await this.spawn();
    const child = this.#child;
    if (!child) return 0;
    return endInOrder(child);
  }

  /** close stops it in order, and removes everything unless it is to be looked at. */
  async close(keep = false): Promise<void> {
    await this.#here?.stop();
    await this.end();
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** endInOrder asks a process to end and gives its exit code; one that hangs is killed after a minute and has none. */
export async function endInOrder(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const patience = systemClock.after(60_000, () => child.kill('SIGKILL'));
  await gone;
  patience();
  return child.exitCode;
}

/** brief is a timeline in one line, for comparison and for messages. */
export function brief(steps: readonly Step[]): string {
  return steps.map(({ name, outcome }) => (outcome === 'ok' ? name : `${name}:${outcome}`)).join(' ');
}
