import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Framing } from './framing.ts';

/** What the HTTP server, and who handles a request, ask of a socket beside the stream itself. */
const GETTERS = [
  'remoteAddress',
  'remotePort',
  'remoteFamily',
  'localAddress',
  'localPort',
  'localFamily',
  'bytesRead',
  'bytesWritten',
  'timeout',
] as const;
const TLS_GETTERS = ['encrypted', 'authorized', 'authorizationError', 'alpnProtocol', 'servername'] as const;
const METHODS = ['setTimeout', 'setNoDelay', 'setKeepAlive', 'ref', 'unref', 'address'] as const;
const TLS_METHODS = [
  'getPeerCertificate',
  'getPeerX509Certificate',
  'getCertificate',
  'getCipher',
  'getProtocol',
  'getSession',
  'isSessionReused',
  'exportKeyingMaterial',
  'getFinished',
  'getPeerFinished',
] as const;

/**
 * VerbStream stands between a socket and Node's HTTP parser: what is read passes Framing, what is written passes unchanged. It has no
 * handle of its own, so the server reads it through 'data' events and never takes the socket away from under it.
 */
export class VerbStream extends Duplex {
  readonly #socket: Socket;
  readonly #framing = new Framing();
  #poisoned = false;

  constructor(socket: Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => {
      const held = this.#framing.end();
      if (held.length > 0) this.push(held);
      this.push(null);
    });
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    socket.on('timeout', () => this.emit('timeout'));
    socket.pause();
  }

  #take(chunk: Buffer): void {
    const { octets, poisoned } = this.#framing.push(chunk);
    if (this.#poisoned) return;
    if (octets.length > 0 && !this.push(octets)) this.#socket.pause();
    if (!poisoned) return;
    // The parser answers 400 to the poison and the line is closed soon; what still comes is read and dropped, so that the peer hears why.
    this.#poisoned = true;
    this.#socket.resume();
    this.push(null);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, encoding, done);
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], done: (error?: Error | null) => void): void {
    this.#socket.cork();
    chunks.forEach(({ chunk, encoding }, i) => this.#socket.write(chunk, encoding, i === chunks.length - 1 ? done : undefined));
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  /** destroySoon closes once everything is written; the server calls it after the last response. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** below is the socket this stands on; only for the forwarding at the end of this file. */
  static below(stream: VerbStream): Socket & Partial<TLSSocket> {
    return stream.#socket as Socket & Partial<TLSSocket>;
  }
}

for (const name of [...GETTERS, ...TLS_GETTERS]) {
  Object.defineProperty(VerbStream.prototype, name, {
    get: function (this: VerbStream) {
      return VerbStream.below(this)[name];
    },
  });
}
for (const name of [...METHODS, ...TLS_METHODS]) {
  Object.defineProperty(VerbStream.prototype, name, {
    value(this: VerbStream, ...args: unknown[]): unknown {
      const below = VerbStream.below(this);
      const method = below[name] as ((...a: unknown[]) => unknown) | undefined;
      const result = method?.apply(below, args);
      return result === below ? this : result;
    },
  });
}
