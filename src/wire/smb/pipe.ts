import { Reader } from '#wire/bytes';
import { STATUS } from '#wire/status';
import { COMMAND, decodeBody, FSCTL, IOCTL_IS_FSCTL, IoctlRequest, IoctlResponse } from './messages/index.ts';
import { chunkSize, type OpenFile, type Place } from './open-file.ts';

/** More to read is not an error: the rest of the message waits in the pipe. */
const MORE = [STATUS.BUFFER_OVERFLOW] as const;

/** SmbPipe is a named pipe in message mode; #wire/rpc speaks over it. One outstanding call at a time. */
export class SmbPipe {
  readonly name: string;
  readonly #file: OpenFile;
  readonly #place: Place;

  constructor(name: string, file: OpenFile, place: Place) {
    this.name = name;
    this.#file = file;
    this.#place = place;
  }

  /** transact writes one message and gives what came back of the answer, at most `maxOut` octets; `read` gives the rest. [MS-SMB2] 2.2.31, FSCTL_PIPE_TRANSCEIVE */
  async transact(request: Uint8Array, maxOut: number): Promise<Uint8Array> {
    const { connection, sizes } = this.#place;
    const most = Math.min(maxOut, chunkSize(connection, sizes.maxTransact));
    const value = {
      ctlCode: FSCTL.PIPE_TRANSCEIVE,
      fileId: this.#file.fileId,
      maxInputResponse: 0,
      maxOutputResponse: most,
      flags: IOCTL_IS_FSCTL,
      input: request as Uint8Array<ArrayBuffer>,
    };
    const payload = Math.max(request.length, most);
    const o = { command: COMMAND.IOCTL, body: IoctlRequest, value, doing: 'calling', payload, room: request.length };
    const answer = await this.#file.call(o, MORE);
    const { output } = decodeBody(answer, IoctlResponse);
    if (output.length > most)
      throw new Reader(answer.octets, 'IOCTL response').fail(`${output.length} octets, asked were ${most}`);
    return output;
  }

  /** write sends one message, or a part of one that `transact` ends. */
  write(data: Uint8Array): Promise<void> {
    return this.#file.write(0, data);
  }

  /** read gives what stands in the pipe, at most `max` octets; it waits if there is nothing yet. */
  read(max: number): Promise<Uint8Array> {
    const { connection, sizes } = this.#place;
    return this.#file.read(0, Math.min(max, chunkSize(connection, sizes.maxRead)), MORE);
  }

  /** close gives the pipe back; what is still open behind it is run down by the machine. */
  close(): Promise<void> {
    return this.#file.close();
  }
}
