import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { systemClock } from '#base/clock';

const BIN = fileURLToPath(new URL('../../bin/pushpoint', import.meta.url));

/** Ran is what became of one command. */
export interface Ran {
  code: number | null;
  out: string;
  err: string;
  /** json is standard output as the one JSON document that it must be. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says which shape it expects
  json: <T = Record<string, unknown>>() => T;
}

export interface How {
  input?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  /** Another command file than the checkout's own. */
  bin?: string;
}

/** No command takes so long; one that does is killed, and its test is told what it has said so far. A test of its own has 150 s. */
const COMMAND_MS = 140_000;
const READY_MS = 90_000;
const END_MS = 60_000;

/** within gives what a command does, or kills it after some time and raises with what is known of it. */
async function within<T>(ms: number, child: ChildProcess, what: string, said: () => string, work: Promise<T>): Promise<T> {
  let late = (_error: Error) => {};
  const limit = new Promise<never>((_resolve, reject) => (late = reject));
  const cancel = systemClock.after(ms, () => {
    child.kill('SIGKILL');
    late(new Error(`${what} after ${ms / 1000} s, and was killed. It said: ${said().slice(-4000) || 'nothing'}`));
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    cancel();
  }
}

/** The environment of the tests says nothing of a site; what a person has set must not leak in. */
function environment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { PUSHPOINT_DATA: _d, PUSHPOINT_SERVER: _s, PUSHPOINT_TOKEN_FILE: _t, ...rest } = process.env;
  return { ...rest, ...more };
}

/** pushpoint runs the real command as a shell would, with its input closed unless some is given. */
export async function pushpoint(args: readonly string[], how: How = {}): Promise<Ran> {
  const child = spawn('sh', [how.bin ?? BIN, ...args], { env: environment(how.env), cwd: how.cwd, stdio: 'pipe' });
  child.stdin.on('error', () => {});
  child.stdin.end(how.input);
  const [out, err] = [child.stdout, child.stderr].map((stream) => {
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    return parts;
  }) as [Buffer[], Buffer[]];
  const said = () => `${Buffer.concat(err).toString()}${Buffer.concat(out).toString()}`;
  const closed = once(child, 'close') as Promise<[number | null]>;
  const [code] = await within(COMMAND_MS, child, `pushpoint ${args.join(' ')} was not done`, said, closed);
  const text = Buffer.concat(out).toString();
  return { code, out: text, err: Buffer.concat(err).toString(), json: () => JSON.parse(text) };
}

/** Running is a command that stays up: `up` or `lab up`, with the line that it printed when it was ready. */
export class Running<Ready = Record<string, unknown>> {
  readonly ready: Ready;
  readonly child: ChildProcess;
  err = '';

  private constructor(child: ChildProcess, ready: Ready) {
    this.child = child;
    this.ready = ready;
  }

  /** start runs a command with --json and waits for its first line. */
  static async start<Ready>(args: readonly string[]): Promise<Running<Ready>> {
    const child = spawn('sh', [BIN, ...args, '--json'], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    let err = '';
    child.stderr.on('data', (part: Buffer) => {
      err += part.toString();
      if (running) running.err = err;
    });
    let running: Running<Ready> | undefined;
    const lines = createInterface({ input: child.stdout });
    const first = Promise.race([
      once(lines, 'line').then(([text]) => text as string),
      once(child, 'exit').then(([code]) => {
        throw new Error(`${args.join(' ')} ended with ${code}: ${err}`);
      }),
    ]);
    const line = await within(READY_MS, child, `${args.join(' ')} was not ready`, () => err, first);
    running = new Running<Ready>(child, JSON.parse(line) as Ready);
    running.err = err;
    return running;
  }

  /** stop sends a signal and gives the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const closed = once(this.child, 'close') as Promise<[number | null]>;
    this.child.kill(signal);
    const [code] = await within(END_MS, this.child, `it had not ended by ${signal}`, () => this.err, closed);
    return code;
  }
}
