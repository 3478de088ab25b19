import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Identity } from '#lab/smb';
import type { RpcEndpoint } from './endpoint.ts';

/**
 * Samba's named-pipe socket protocol ("named pipe auth"): for each pipe that a client of smbd opens, smbd connects to the unix socket
 * `<folder>/<pipe>`, tells who the client is, and from then on passes messages. So a real smbd carries our RPC server.
 */

/** The account of the session stands in the identity blob as text that ends with a NUL; nothing else of it is needed. */
function accountIn(blob: Uint8Array, names: readonly string[]): string | undefined {
  const text = new TextDecoder('latin1').decode(blob);
  return names.find((name) => text.includes(`${name}\0`));
}

const FILE_TYPE_MESSAGE = 2;
const DEVICE_STATE = 0x05ff;
const MAGIC = 0x4e50414d; // NPAM

/** answerTo is the reply to smbd's identity blob: the level echoed twice, message mode, no error. */
function answerTo(level: number): Buffer {
  const reply = Buffer.alloc(36);
  reply.writeUInt32BE(32, 0);
  reply.writeUInt32BE(MAGIC, 4);
  reply.writeUInt32LE(level, 8);
  reply.writeUInt32LE(level, 12);
  reply.writeUInt16LE(FILE_TYPE_MESSAGE, 16);
  reply.writeUInt16LE(DEVICE_STATE, 18);
  reply.writeBigUInt64LE(4096n, 24);
  return reply;
}

/** PipeEnd answers the messages of one pipe: an RPC server of ours, or whoever passes them on to another machine. */
type PipeEnd = Pick<RpcEndpoint, 'take' | 'close'>;

interface Front {
  administrators: readonly string[];
  open(pipe: string, identity: Identity): PipeEnd | undefined;
}

/** serve talks one pipe of one client of smbd to its end. */
function serve(socket: Socket, pipe: string, front: Front): void {
  let waiting = Buffer.alloc(0);
  let endpoint: PipeEnd | undefined;
  let turn: Promise<void> = Promise.resolve();
  const hello = (): boolean => {
    if (waiting.length < 12) return false;
    const length = waiting.readUInt32BE(0);
    if (length > 1024 * 1024 || waiting.readUInt32BE(4) !== MAGIC) {
      socket.destroy();
      return false;
    }
    if (waiting.length < 4 + length) return false;
    const account = accountIn(waiting.subarray(4, 4 + length), front.administrators);
    const level = waiting.readUInt32LE(8);
    waiting = waiting.subarray(4 + length);
    endpoint = front.open(pipe, { username: account ?? 'somebody', domain: '', administrator: account !== undefined });
    if (!endpoint) {
      socket.destroy();
      return false;
    }
    socket.write(answerTo(level));
    return true;
  };
  const messages = () => {
    while (waiting.length >= 2) {
      const length = waiting.readUInt16LE(0);
      if (waiting.length < 2 + length) return;
      const message = Uint8Array.from(waiting.subarray(2, 2 + length));
      waiting = waiting.subarray(2 + length);
      turn = turn.then(async () => {
        for (const answer of await endpoint!.take(message)) {
          const head = Buffer.alloc(2);
          head.writeUInt16LE(answer.length);
          socket.write(Buffer.concat([head, answer]));
        }
      });
      turn.catch(() => socket.destroy());
    }
  };
  socket.on('data', (data) => {
    waiting = Buffer.concat([waiting, data]);
    if (endpoint || hello()) messages();
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => endpoint?.close());
}

/** serveNamedPipes listens on the sockets in `folder` (smbd's `<ncalrpc dir>/np`) until the returned function is called. */
export async function serveNamedPipes(o: { folder: string; pipes: readonly string[] } & Front): Promise<() => Promise<void>> {
  mkdirSync(o.folder, { recursive: true, mode: 0o700 });
  // smbd refuses a folder that others could put sockets into.
  chmodSync(o.folder, 0o700);
  const sockets = new Set<Socket>();
  const servers: Server[] = [];
  for (const pipe of o.pipes) {
    const path = join(o.folder, pipe);
    rmSync(path, { force: true });
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      serve(socket, pipe, o);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    servers.push(server);
  }
  return async () => {
    for (const socket of sockets) socket.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  };
}
