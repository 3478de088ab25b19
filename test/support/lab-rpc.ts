import { systemClock, type Clock } from '#base/clock';
import { systemRandom } from '#base/random';
import { Registry, RpcServer, Services, Win32Refusal, type LabService, type RunningProgram } from '#lab/rpc';
import type { Log } from '#base/log';
import { openRpc, srvsvc, type RpcClient, type RpcInterface, type RpcOptions, type RpcPipe } from '#wire/rpc';
import { WIN32 } from '#wire/status';

/** Started is one run of a program of the lab: a test sees its arguments and ends it. */
export interface Started {
  service: string;
  args: string[];
  end(code: number | { win32: number; specific: number }): void;
  told: boolean;
}

/** LabRpc is a lab RPC server alone, on a machine of which a test decides everything. */
export interface LabRpc {
  server: RpcServer;
  services: Services;
  registry: Registry;
  missing: Set<string>;
  /** started are the programs that were run, oldest first. */
  started: Started[];
  /** complaints are what the server logged as its own failures; a test must find none. */
  complaints: unknown[];
}

/** GONE is a program that is not there. */
export const GONE = 'C:\\Windows\\gone.exe';

/** labRpc makes one; every program but GONE can be run, and runs until it is told to stop. */
export function labRpc(
  options: { clock?: Clock; connected?: Promise<void>; missing?: string[]; obedient?: boolean } = {},
): LabRpc {
  const clock = options.clock ?? systemClock;
  const started: Started[] = [];
  const run = async (service: LabService, args: string[]): Promise<RunningProgram> => {
    if (service.binaryPath.startsWith(GONE)) throw new Win32Refusal(WIN32.FILE_NOT_FOUND);
    const { promise, resolve } = Promise.withResolvers<number | { win32: number; specific: number }>();
    const one: Started = { service: service.name, args, end: resolve, told: false };
    started.push(one);
    const stop = () => {
      one.told = true;
      if (options.obedient !== false) resolve(0);
    };
    return { stop, exited: promise, ...(options.connected && { connected: options.connected }) };
  };
  const services = new Services({ clock, run });
  const registry = new Registry();
  const missing = new Set(options.missing);
  const complaints: unknown[] = [];
  const complain = (event: string, fields?: unknown) => void complaints.push({ event, fields });
  const log: Log = { debug() {}, info() {}, warn() {}, error: complain, with: () => log };
  const shares = [
    { name: 'ADMIN$', type: srvsvc.ShareType.SPECIAL, remark: 'Remote Admin', path: 'C:\\Windows' },
    { name: 'C$', type: srvsvc.ShareType.SPECIAL, remark: 'Default share', path: 'C:\\' },
    { name: 'IPC$', type: srvsvc.ShareType.SPECIAL + srvsvc.ShareType.IPC, remark: 'Remote IPC', path: '' },
  ];
  const facts = { name: 'LAB1', comment: 'a lab', major: 10, minor: 0, type: 0x1003, platformId: 500, shares };
  const server = new RpcServer({
    host: {
      clock,
      random: systemRandom,
      log,
      services,
      registry,
      server: () => facts,
      domain: () => ({ name: 'LAB1', domain: 'LAB', dnsDomain: 'lab.example' }),
      missing: () => missing,
    },
  });
  return { server, services, registry, missing, started, complaints };
}

/** ADMINISTRATOR and ORDINARY are who may open a pipe. */
export const ADMINISTRATOR = { username: 'administrator', domain: 'LAB1', administrator: true };
export const ORDINARY = { username: 'ordinary', domain: 'LAB1', administrator: false };

/** memoryPipe is a named pipe in message mode without a network: at most `most` octets come at a time. */
export function memoryPipe(
  end: { take(octets: Uint8Array): Promise<Uint8Array[]>; close(): void },
  most = Infinity,
): RpcPipe & { written: Uint8Array[] } {
  const waiting: Uint8Array[] = [];
  const written: Uint8Array[] = [];
  const write = async (data: Uint8Array) => {
    written.push(data);
    waiting.push(...(await end.take(data)));
  };
  const read = async (max: number) => {
    const message = waiting.shift();
    if (!message) return new Uint8Array(0);
    const size = Math.min(max, most);
    if (message.length > size) waiting.unshift(message.subarray(size));
    return message.slice(0, size);
  };
  return {
    written,
    write,
    read,
    transact: async (request, max) => {
      await write(request);
      return read(max);
    },
    close: async () => end.close(),
  };
}

/** callLab binds a client to a pipe of a lab RPC server, in memory. */
export async function callLab(
  lab: LabRpc,
  wanted: RpcInterface,
  o: { as?: typeof ADMINISTRATOR; most?: number; serverFragment?: number } & RpcOptions = {},
): Promise<RpcClient & { pipe: ReturnType<typeof memoryPipe> }> {
  const end = lab.server.pipe(wanted.pipe, o.as ?? ADMINISTRATOR, o.serverFragment);
  if (!end) throw new Error(`no pipe ${wanted.pipe}`);
  const pipe = memoryPipe(end, o.most);
  return Object.assign(await openRpc(pipe, wanted, o), { pipe });
}
