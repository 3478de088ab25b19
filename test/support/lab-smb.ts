import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock, type Clock } from '#base/clock';
import { silentLog, type Log } from '#base/log';
import { systemRandom } from '#base/random';
import { Disk } from '#lab/disk';
import { SmbServer, type Limits, type PipeEnd, type Point, type SmbBackend, type Speech } from '#lab/smb';
import { ntHash, ntlmCredential, SpnegoAcceptor, type PeerNames } from '#wire/auth';
import { connectSmb, type SmbOptions, type SmbSession } from '#wire/smb';
import { STATUS } from '#wire/status';

const names: PeerNames = { netbiosComputer: 'LAB1', netbiosDomain: 'LAB1', dnsComputer: 'lab1' };
const PASSWORDS: Record<string, string> = { administrator: 'Admin-Only-1!', ordinary: 'Ordinary-1!' };

/** LabSmb is a lab SMB server alone, with one disk and one pipe that answers with what it was sent, upside down. */
export interface LabSmb {
  address: string;
  port: number;
  disk: Disk;
  server: SmbServer;
  points: Point[];
  /** complaints are what the server logged as its own failures; a test must find none. */
  complaints: unknown[];
  connect(options?: Partial<SmbOptions> & { as?: 'administrator' | 'ordinary'; password?: string }): Promise<SmbSession>;
}

/** echoPipe answers a message with its octets in reverse; one that begins with 0xFF is never answered. */
function echoPipe(): PipeEnd {
  return {
    take: (message) => (message[0] === 0xff ? new Promise(() => {}) : Promise.resolve([message.slice().reverse()])),
    close() {},
  };
}

export interface LabSmbOptions {
  speech?: Partial<Speech>;
  limits?: Partial<Limits>;
  clock?: Clock;
  freeBytes?: number;
  encryptShare?: boolean;
  delay?: SmbBackend['delay'];
}

/** startLabSmb starts one on a free port; the test ends it. */
export async function startLabSmb(t: TestContext, options: LabSmbOptions = {}): Promise<LabSmb> {
  const clock = options.clock ?? systemClock;
  const home = await mkdtemp(join(tmpdir(), 'lab-smb-'));
  const free = options.freeBytes === undefined ? {} : { freeBytes: options.freeBytes };
  const disk = new Disk({ folder: join(home, 'c'), clock, ...free });
  const points: Point[] = [];
  const complaints: unknown[] = [];
  const log: Log = { ...silentLog, error: (event, fields) => void complaints.push({ event, ...fields }) };
  const acceptor = (seen: { username: string }) =>
    new SpnegoAcceptor({
      names,
      clock,
      random: systemRandom,
      lookup(username) {
        seen.username = username.toLowerCase();
        const password = PASSWORDS[seen.username];
        return password === undefined ? undefined : { ntHash: ntHash(password) };
      },
    });
  const backend: SmbBackend = {
    hint: () => acceptor({ username: '' }).hint(),
    logon() {
      const seen = { username: '' };
      const desk = acceptor(seen);
      return {
        async accept(token) {
          const step = desk.accept(token);
          const { username } = seen;
          return { ...step, identity: { username, domain: 'LAB1', administrator: username === 'administrator' } };
        },
      };
    },
    async share(name, identity) {
      const encrypt = options.encryptShare ?? false;
      if (name.toUpperCase() === 'IPC$') return { kind: 'pipe' };
      if (name.toUpperCase() !== 'ADMIN$') return STATUS.BAD_NETWORK_NAME;
      return identity.administrator ? { kind: 'disk', disk, root: ['Windows'], encrypt } : STATUS.ACCESS_DENIED;
    },
    pipe: async (name) => (name === 'echo' ? echoPipe() : STATUS.OBJECT_NAME_NOT_FOUND),
    pipeExists: (name) => name === 'echo',
    delay: options.delay ?? (async () => {}),
    reached: (point) => void points.push(point),
  };
  await disk.open(['Windows'], { access: 1, share: 7, disposition: 3, wants: 'directory' }).then((folder) => folder.close());
  const server = new SmbServer({
    backend,
    clock,
    random: systemRandom,
    log,
    speech: options.speech ?? {},
    limits: options.limits ?? {},
  });
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    server.serve(socket);
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  t.after(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    listener.close();
    await once(listener, 'close');
    await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  });
  return {
    address: '127.0.0.1',
    port,
    disk,
    server,
    points,
    complaints,
    connect: ({ as = 'administrator', password = PASSWORDS[as]!, ...more } = {}) =>
      connectSmb({
        host: 'LAB1',
        address: '127.0.0.1',
        port,
        credential: ntlmCredential({ username: as, domain: 'LAB1', password, clock: systemClock, random: systemRandom }),
        clock: systemClock,
        random: systemRandom,
        log: silentLog,
        ...more,
      }),
  };
}
