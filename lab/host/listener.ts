import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';

/** Presence is whether a machine can be reached: it answers, refuses, or takes connections and says nothing. */
export type Presence = 'online' | 'closed' | 'silent';

/**
 * Listener is the one TCP port of a lab host. Going offline ends all connections; coming back takes the same address and port. A machine
 * that drops packets cannot be played without the rights of root, so 'silent' takes the connection and never says a word.
 */
export class Listener {
  readonly address: string;
  readonly #serve: (socket: Socket) => void;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port: number;
  #presence: Presence = 'closed';
  #turn: Promise<void> = Promise.resolve();

  constructor(address: string, port: number, serve: (socket: Socket) => void) {
    this.address = address;
    this.#port = port;
    this.#serve = serve;
  }

  get port(): number {
    return this.#port;
  }

  /** to changes the presence; the changes happen one after the other. */
  to(presence: Presence): Promise<void> {
    this.#presence = presence;
    if (presence !== 'online') this.#hangUp();
    this.#turn = this.#turn.catch(() => {}).then(() => this.#follow());
    return this.#turn;
  }

  #hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async #follow(): Promise<void> {
    if (this.#presence === 'closed') {
      const server = this.#server;
      this.#server = undefined;
      this.#hangUp();
      if (!server) return;
      server.close();
      await once(server, 'close');
    } else if (!this.#server) await this.#listen();
  }

  async #listen(): Promise<void> {
    const server = createServer({ noDelay: true }, (socket) => this.#took(socket));
    server.listen({ host: this.address, port: this.#port, backlog: 256 });
    await once(server, 'listening'); // rejects with what 'error' says
    server.on('error', () => {});
    this.#server = server;
    const at = server.address();
    if (at && typeof at === 'object') this.#port = at.port;
  }

  #took(socket: Socket): void {
    if (this.#presence === 'closed') return void socket.destroy();
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    if (this.#presence === 'online') this.#serve(socket);
    else socket.resume();
  }
}
