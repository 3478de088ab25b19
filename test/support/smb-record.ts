import { readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { ManualClock, systemClock, type Clock } from '#base/clock';
import { silentLog } from '#base/log';
import type { Random } from '#base/random';
import { concat, fromHex, toHex, type Bytes } from '#wire/bytes';
import { ntlmCredential } from '#wire/auth';
import { connectTcp } from '#wire/tcp';
import {
  openSession,
  PREFIX,
  SocketTransport,
  type SmbOptions,
  type SmbSession,
  type Transport,
  type TransportEvents,
} from '#wire/smb';
import { startSmbd } from './smbd.ts';

/** Line is one frame of a record, without its length prefix, and who sent it. */
export interface Line {
  from: 'client' | 'server';
  frame: Bytes;
}

/** RECORDS are the sessions with smbd that stand in test/golden/smb, and how each was negotiated. */
export const RECORDS = {
  '202-signed': { dialects: [0x202] },
  '302-sealed': { dialects: [0x300, 0x302] },
  '311-signed': { encryption: 'off' },
  '311-sealed': {},
} as const satisfies Record<string, Partial<SmbOptions>>;
export type RecordName = keyof typeof RECORDS;

const HOST = 'PPSMBD';
const file = (name: RecordName) => new URL(`../golden/smb/${name}.txt`, import.meta.url);

/** countedRandom gives the same octets in each run, so that a recorded session can be played again octet for octet. */
export function countedRandom(): Random {
  let count = 0;
  const block = () => createHash('sha256').update(String(count++)).digest();
  return {
    bytes(length) {
      const blocks = Array.from({ length: Math.ceil(length / 32) }, block);
      return new Uint8Array(Buffer.concat(blocks).subarray(0, length));
    },
    uuid: () => '00000000-0000-4000-8000-000000000000',
    fraction: () => 0.5,
  };
}

/** recordedOptions are those that a record was made with; only the transport is missing. */
export function recordedOptions(name: RecordName, clock: Clock = new ManualClock()): SmbOptions {
  const random = countedRandom();
  const credential = ntlmCredential({ username: 'Administrator', domain: '', password: 'Lab-Only-7!', clock, random });
  return { host: HOST, address: '127.0.0.1', credential, clock, random, log: silentLog, ...RECORDS[name] };
}

/** walk does one of everything, always in the same order. */
export async function walk(session: SmbSession): Promise<void> {
  const tree = await session.tree('ADMIN$');
  await tree.mkdir('ccmsetup');
  await tree.mkdir('deep\\down');
  const data = Uint8Array.from({ length: 300 }, (_, i) => i % 251);
  await tree.writeFile('ccmsetup\\ccmsetup.exe', data);
  await tree.createNew('lock', Uint8Array.of(1));
  await tree.createNew('lock', Uint8Array.of(2));
  if (toHex(await tree.readFile('ccmsetup\\ccmsetup.exe', { maxBytes: 300 })) !== toHex(data))
    throw new Error('read is not what was written');
  await tree.list('', '*c*');
  await tree.stat('ccmsetup');
  await tree.stat('none');
  await tree.freeBytes();
  await tree.rename('lock', 'lock2', { replace: true });
  await tree.remove('lock2');
  await tree.remove('deep\\down');
  await session.echo();
  const pipe = await (await session.tree('IPC$')).openPipe('srvsvc');
  const bind =
    '05000b03100000004800000001000000b810b810000000000100000000000100c84f324b7016d30112785a47bf6ee18803000000045d888aeb1cc9119fe808002b10486002000000';
  await pipe.transact(fromHex(bind), 16);
  await pipe.read(4096);
  await pipe.close();
  await session.logoff();
}

/** readRecord reads a record as it stands in test/golden/smb. */
export function readRecord(name: RecordName): Line[] {
  const lines = readFileSync(file(name), 'utf8').split('\n');
  return lines
    .filter((line) => /^[<>]/.test(line))
    .map((line) => ({ from: line.startsWith('>') ? 'client' : 'server', frame: fromHex(line.slice(1)) }));
}

/** Recorder listens to another transport. */
class Recorder implements Transport {
  readonly lines: Line[] = [];
  readonly #inner: Transport;
  constructor(inner: Transport) {
    this.#inner = inner;
  }
  get address(): string {
    return this.#inner.address;
  }
  get port(): number {
    return this.#inner.port;
  }
  get limit(): number {
    return this.#inner.limit;
  }
  set limit(value: number) {
    this.#inner.limit = value;
  }
  open(events: TransportEvents): void {
    this.#inner.open({
      closed: (error) => events.closed(error),
      frame: (frame) => {
        this.lines.push({ from: 'server', frame: frame.slice() });
        events.frame(frame);
      },
    });
  }
  send(parts: readonly Bytes[]): void {
    this.lines.push({ from: 'client', frame: concat(...parts).subarray(PREFIX) });
    this.#inner.send(parts);
  }
  close(gently?: boolean): void {
    this.#inner.close(gently);
  }
}

/** record makes the records anew from a private smbd: `node test/support/smb-record.ts`, as root, with Samba installed. */
async function record(): Promise<void> {
  for (const name of Object.keys(RECORDS) as RecordName[]) {
    const smbd = await startSmbd();
    const { address, port } = smbd;
    try {
      const socket = await connectTcp({ address, port, timeoutMs: 2_000, clock: systemClock });
      const recorder = new Recorder(new SocketTransport(socket, address, port, 1 << 20));
      await walk(await openSession(recorder, recordedOptions(name, systemClock)));
      const lines = recorder.lines.map(({ from, frame }) => `${from === 'client' ? '>' : '<'} ${toHex(frame)}\n`);
      const head =
        '# A session with smbd 4.17, one frame a line: > from the client, < from the server. Made by test/support/smb-record.ts.\n';
      writeFileSync(file(name), head + lines.join(''));
    } finally {
      await smbd.stop();
    }
  }
}

if (import.meta.main) await record();
