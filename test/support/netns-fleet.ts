/**
 * The machines of a test's own network: `node netns-fleet.ts` with a Fleet as JSON on standard input. Each listens on its own addresses,
 * tells its names in SMB or its identification in SSH, and refuses the ports it has not. It writes `ready`, and ends with SIGTERM.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { SmbServer, type SmbBackend } from '#lab/smb';
import { dnsAnswer, type Zone } from '#test/tiny-dns';
import { SpnegoAcceptor, type PeerNames } from '#wire/auth';
import { STATUS } from '#wire/status';

/** Machine has addresses, and what it says there. */
export interface Machine {
  addresses: string[];
  smb?: PeerNames;
  ssh?: string;
}

/** Fleet is what answers in a network. */
export interface Fleet {
  machines: Machine[];
  /** What DNS says, and where it listens. */
  zone?: Zone;
  nameServer?: string;
}

function smbServer(names: PeerNames): SmbServer {
  const acceptor = () => new SpnegoAcceptor({ names, clock: systemClock, random: systemRandom, lookup: () => undefined });
  const nothing = async () => STATUS.ACCESS_DENIED;
  const backend: SmbBackend = {
    hint: () => acceptor().hint(),
    logon() {
      const desk = acceptor();
      return { accept: async (token) => desk.accept(token) };
    },
    share: nothing,
    pipe: nothing,
    pipeExists: () => false,
    delay: async () => {},
    reached: () => {},
  };
  return new SmbServer({ backend, clock: systemClock, random: systemRandom, log: silentLog, speech: {}, limits: {} });
}

const servers: Server[] = [];

async function open(port: number, address: string, server: Server): Promise<void> {
  servers.push(server);
  server.listen({ port, host: address, backlog: 64 });
  await once(server, 'listening');
}

async function serve({ addresses, smb, ssh }: Machine): Promise<void> {
  const speaker = smb && smbServer(smb);
  for (const address of addresses) {
    if (speaker)
      await open(
        445,
        address,
        createServer((socket) => speaker.serve(socket)),
      );
    if (ssh !== undefined)
      await open(
        22,
        address,
        createServer((socket) => socket.on('error', () => {}).write(`${ssh}\r\n`)),
      );
  }
}

async function main(): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part as Buffer);
  const fleet = JSON.parse(Buffer.concat(parts).toString()) as Fleet;
  for (const machine of fleet.machines) await serve(machine);
  if (fleet.nameServer !== undefined) {
    const dns = createSocket('udp4');
    dns.on('message', (question, from) => {
      const answer = dnsAnswer(question, fleet.zone ?? {});
      if (answer) dns.send(answer, from.port, from.address);
    });
    dns.bind(53, fleet.nameServer);
    await once(dns, 'listening');
  }
  process.on('SIGTERM', () => process.exit(0));
  process.stdout.write('ready\n');
}

if (process.argv[1] === import.meta.filename) await main();
