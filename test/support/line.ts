import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';

/**
 * Line is a TCP line to a PostgreSQL on a Unix socket that a test can spoil: cut it, let it go silent as when a firewall has forgotten it, or
 * lose the answer to a statement that the server has carried out.
 */
export class Line {
  readonly #pairs = new Set<[Socket, Socket]>();
  readonly #server: net.Server;
  #losing: { text: string; lost: () => void } | undefined;

  private constructor(path: string) {
    this.#server = net.createServer((near) => this.#join(near, net.connect({ path })));
  }

  /** open gives a line to the database of a URL that names a socket folder, and the URL that leads over it. */
  static async open(url: string): Promise<{ line: Line; url: string }> {
    const far = new URL(url);
    const line = new Line(`${far.searchParams.get('host')!}/.s.PGSQL.5432`);
    line.#server.listen(0, '127.0.0.1');
    await once(line.#server, 'listening');
    const { port } = line.#server.address() as AddressInfo;
    return { line, url: `postgresql://${far.searchParams.get('user') ?? far.username}@127.0.0.1:${port}${far.pathname}` };
  }

  #join(near: Socket, far: Socket): void {
    const pair: [Socket, Socket] = [near, far];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) socket.on('error', end).on('close', end);
    near.on('data', (octets) => {
      far.write(octets);
      if (!this.#losing || !octets.includes(this.#losing.text)) return;
      const { lost } = this.#losing;
      this.#losing = undefined;
      // The server does it; what it answers to that goes nowhere.
      far.removeAllListeners('data');
      far.once('data', () => {
        end();
        lost();
      });
    });
    far.on('data', (octets) => near.write(octets));
  }

  /** cut ends all connections; new ones are possible at once. */
  cut(): void {
    for (const [near, far] of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  /** silence lets nothing more through on the connections there are, and says so to nobody. */
  silence(): void {
    for (const [near, far] of this.#pairs) {
      near.removeAllListeners('data').pause();
      far.removeAllListeners('data').pause();
    }
  }

  /** loseAnswer lets the next statement that holds a text be carried out, and cuts its connection before the answer. */
  loseAnswer(text: string): Promise<void> {
    return new Promise((lost) => (this.#losing = { text, lost }));
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
