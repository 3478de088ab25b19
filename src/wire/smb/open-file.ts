import { raise } from '#base/errors';
import { concat, Reader, type Bytes, type Of, type Struct } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { writing, type Call } from './call.ts';
import type { Connection } from './connection.ts';
import { CREDIT_SIZE } from './credits.ts';
import {
  CloseRequest,
  COMMAND,
  CreateRequest,
  CreateResponse,
  decodeBody,
  IMPERSONATION,
  INFO_TYPE,
  QueryInfoRequest,
  QueryInfoResponse,
  ReadRequest,
  ReadResponse,
  SetInfoRequest,
  WriteResponse,
  type FileId,
} from './messages/index.ts';
import type { Answer } from './outstanding.ts';
import { operationRefusal } from './refusal.ts';

/** Sizes are the longest single transfers that NEGOTIATE allows. */
export interface Sizes {
  readonly maxTransact: number;
  readonly maxRead: number;
  readonly maxWrite: number;
}

/** Place is where files are opened: one tree of one connection. */
export interface Place {
  readonly connection: Connection;
  readonly treeId: number;
  readonly sizes: Sizes;
  /** shareName is for messages to people. */
  readonly shareName: string;
}

/** Opening is how a file, folder or pipe is opened; [MS-SMB2] 2.2.13 has the meaning of each. */
export interface Opening {
  access: number;
  share: number;
  disposition: number;
  options: number;
  attributes?: number;
}

/** A chunk that pays eight credits: large enough to fill a line, small enough to be done within a time limit on a slow one. */
const CHUNK = 8 * CREDIT_SIZE;
const IN_FLIGHT = 4;

/** chunkSize is how much one request carries: never more than the server takes or than there are credits for. */
export function chunkSize(connection: Connection, most: number): number {
  const credits = connection.multiCredit ? Math.max(1, Math.floor(connection.creditTotal / IN_FLIGHT)) : 1;
  return Math.min(CHUNK, most, credits * CREDIT_SIZE);
}

/** inFlight runs `step` for 0, 1, 2, … until it says that there is no more, a few at a time; the first failure stops it. */
async function inFlight(step: () => Promise<void> | undefined): Promise<void> {
  let isFailed = false;
  const lane = async () => {
    while (!isFailed) {
      const work = step();
      if (!work) return;
      await work.catch((error: unknown) => {
        isFailed = true;
        throw error;
      });
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: IN_FLIGHT }, lane));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** openFile sends CREATE and gives the open file, or raises what the machine said. */
export async function openFile(place: Place, path: string, opening: Opening): Promise<OpenFile> {
  const call = createCall(place, path, opening);
  const { doing } = call;
  const answer = await place.connection.request(call);
  if (answer.header.status !== STATUS.SUCCESS)
    throw operationRefusal(answer.header.status, { host: place.connection.host, doing });
  return new OpenFile(place, path, decodeBody(answer, CreateResponse));
}

/** openOr gives undefined instead of an error for the statuses in `absent`. */
export async function openOr(
  place: Place,
  path: string,
  opening: Opening,
  absent: readonly number[],
): Promise<OpenFile | undefined> {
  return refusedOr(openFile(place, path, opening), absent);
}

/** refusedOr gives undefined instead of an error for the statuses in `expected`. */
export async function refusedOr<T>(work: Promise<T>, expected: readonly number[]): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    const status = error instanceof Error && 'ntstatus' in error ? error.ntstatus : undefined;
    if (typeof status === 'number' && expected.includes(status)) return undefined;
    throw error;
  });
}

/** createCall is the CREATE of a file, folder or pipe. */
export function createCall(place: Place, path: string, opening: Opening) {
  const value = {
    oplockLevel: 0,
    impersonationLevel: IMPERSONATION.IMPERSONATION,
    desiredAccess: opening.access,
    fileAttributes: opening.attributes ?? 0,
    shareAccess: opening.share,
    createDisposition: opening.disposition,
    createOptions: opening.options,
    name: path,
    contexts: [],
  };
  const doing = `opening ${place.shareName}${path && `\\${path}`}`;
  return { command: COMMAND.CREATE, body: CreateRequest, value, treeId: place.treeId, doing };
}

/** OpenFile is an open file, folder or pipe of one tree. */
export class OpenFile {
  readonly found: Of<typeof CreateResponse>;
  readonly fileId: FileId;
  readonly #place: Place;
  readonly #name: string;

  constructor(place: Place, path: string, found: Of<typeof CreateResponse>) {
    this.#place = place;
    this.#name = `${place.shareName}${path && `\\${path}`}`;
    this.found = found;
    this.fileId = found.fileId;
  }

  /** call sends a request about this file and raises on any status but success and those in `also`. */
  async call<T>(
    o: Pick<Call<T>, 'command' | 'body' | 'value' | 'doing' | 'payload' | 'encode'>,
    also: readonly number[] = [],
  ): Promise<Answer> {
    const doing = `${o.doing} ${this.#name}`;
    const answer = await this.#place.connection.request({ ...o, doing, treeId: this.#place.treeId });
    const { status } = answer.header;
    if (status === STATUS.SUCCESS || also.includes(status)) return answer;
    throw operationRefusal(status, { host: this.#place.connection.host, doing });
  }

  /** readAll reads the first `size` octets, or fewer where the file ends before. */
  async readAll(size: number): Promise<Bytes> {
    const whole = new Uint8Array(size);
    const chunk = chunkSize(this.#place.connection, this.#place.sizes.maxRead);
    let at = 0;
    let end = size;
    await inFlight(() => {
      if (at >= end) return undefined;
      const from = at;
      at = Math.min(at + chunk, end);
      return this.#fill(whole.subarray(from, at), from).then((got) => {
        if (from + got < end && got < Math.min(chunk, size - from)) end = from + got;
      });
    });
    return whole.subarray(0, end);
  }

  /** Servers may answer a read with less than was asked for. */
  async #fill(into: Bytes, from: number): Promise<number> {
    let got = 0;
    while (got < into.length) {
      const part = await this.read(from + got, into.length - got);
      if (part.length === 0) break;
      into.set(part, got);
      got += part.length;
    }
    return got;
  }

  /** read reads once; nothing at the end of the file. `also` are further statuses that come with data. */
  async read(offset: number, length: number, also: readonly number[] = []): Promise<Bytes> {
    const value = {
      padding: 0x50,
      flags: 0,
      length,
      offset: BigInt(offset),
      fileId: this.fileId,
      minimumCount: 0,
      remainingBytes: 0,
    };
    const o = { command: COMMAND.READ, body: ReadRequest, value, doing: 'reading', payload: length };
    const answer = await this.call(o, [STATUS.END_OF_FILE, ...also]);
    if (answer.header.status === STATUS.END_OF_FILE) return new Uint8Array(0);
    const { data } = decodeBody(answer, ReadResponse);
    if (data.length > length)
      throw new Reader(answer.octets, 'READ response').fail(`${data.length} octets, asked were ${length}`);
    return data;
  }

  /** writeAll writes `data` from the beginning of the file on. */
  async writeAll(data: Uint8Array): Promise<void> {
    const chunk = chunkSize(this.#place.connection, this.#place.sizes.maxWrite);
    let at = 0;
    await inFlight(() => {
      if (at >= data.length) return undefined;
      const from = at;
      at = Math.min(at + chunk, data.length);
      return this.write(from, data.subarray(from, at));
    });
  }

  /** write writes at an offset, all of it. */
  async write(offset: number, data: Uint8Array): Promise<void> {
    for (let done = 0; done < data.length;) {
      const part = data.subarray(done) as Bytes;
      const fields = { offset: BigInt(offset + done), fileId: this.fileId, remainingBytes: 0, flags: 0 };
      const answer = await this.call({ ...writing(fields, part), doing: 'writing' });
      const { count } = decodeBody(answer, WriteResponse);
      if (count === 0 || count > part.length) {
        throw raise('PP_WIRE_MALFORMED', {
          message: 'WRITE response',
          field: 'count',
          offset: 68,
          why: `${count} of ${part.length}`,
        });
      }
      done += count;
    }
  }

  /** query asks for one information class of the file or of its file system. */
  async query<T>(infoType: number, infoClass: number, body: Struct<T>, most = 4096): Promise<T> {
    const value = {
      infoType,
      infoClass,
      outputBufferLength: most,
      additionalInformation: 0,
      flags: 0,
      fileId: this.fileId,
      input: new Uint8Array(0),
    };
    const answer = await this.call({
      command: COMMAND.QUERY_INFO,
      body: QueryInfoRequest,
      value,
      doing: 'looking at',
      payload: most,
    });
    return body.decode(decodeBody(answer, QueryInfoResponse).output);
  }

  /** set changes one information class of the file; `least` is the size that Windows' own structure of it has. */
  async set<T>(infoClass: number, body: Struct<T>, value: T, least = 0): Promise<void> {
    const octets = body.encode(value);
    const input = octets.length < least ? concat(octets, new Uint8Array(least - octets.length)) : octets;
    const request = { infoType: INFO_TYPE.FILE, infoClass, additionalInformation: 0, fileId: this.fileId, input };
    await this.call({
      command: COMMAND.SET_INFO,
      body: SetInfoRequest,
      value: request,
      doing: 'changing',
      payload: input.length,
    });
  }

  /** close gives the file back; the machine has done everything asked before when it answers. */
  async close(): Promise<void> {
    await this.call({ command: COMMAND.CLOSE, body: CloseRequest, value: { flags: 0, fileId: this.fileId }, doing: 'closing' });
  }

  /** release closes without waiting: for files that were only looked at, where the answer changes nothing. */
  release(): void {
    this.close().catch(() => {}); // a connection that broke tells whoever waits for something
  }
}
