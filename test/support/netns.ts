import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Fleet } from '#test/netns-fleet';

const FLEET = fileURLToPath(new URL('netns-fleet.ts', import.meta.url));

/** NAME_SERVER answers DNS in the network of the machines. */
export const NAME_SERVER = '10.78.0.1';

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}

/** hasNetworks tells whether this machine lets us make network namespaces. */
export function hasNetworks(): boolean {
  const name = `pp-try-${process.pid}`;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return false;
  spawnSync('ip', ['netns', 'del', name]);
  return true;
}

/**
 * Networks are two network namespaces with a line between them: `near` is where a site server runs, in `far` the machines of a Fleet answer
 * for their addresses. What is sent to any other address of `routes` is dropped there: nobody answers, and nobody says that nobody does.
 */
export class Networks {
  static #made = 0;
  readonly near: string;
  readonly #far: string;
  #fleet: ChildProcess | undefined;

  private constructor() {
    const number = ++Networks.#made;
    this.near = `pp-near-${process.pid}-${number}`;
    this.#far = `pp-far-${process.pid}-${number}`;
  }

  /** make makes both; `routes` are what `near` sends to `far`, `local` what answers there. */
  static make(o: { routes: string[]; local: string[] }): Networks {
    const nets = new Networks();
    const { near } = nets;
    const far = nets.#far;
    try {
      // Names in `near` are asked of the name server of the test.
      mkdirSync(`/etc/netns/${near}`, { recursive: true });
      writeFileSync(`/etc/netns/${near}/resolv.conf`, `nameserver ${NAME_SERVER}\n`);
      for (const name of [near, far]) {
        ip('netns', 'add', name);
        ip('-n', name, 'link', 'set', 'lo', 'up');
        // Packets for addresses that nobody has are dropped, and a machine of IPv6 may listen on an address that is a route only.
        for (const set of [
          '0 > /proc/sys/net/ipv4/ip_forward',
          '0 > /proc/sys/net/ipv6/conf/all/forwarding',
          '1 > /proc/sys/net/ipv6/ip_nonlocal_bind',
        ])
          spawnSync('ip', ['netns', 'exec', name, 'sh', '-c', `echo ${set}`]);
      }
      ip('link', 'add', 'line', 'netns', near, 'type', 'veth', 'peer', 'name', 'line', 'netns', far);
      for (const [name, v4, v6] of [
        [near, '192.0.2.1/30', 'fd00:2::1/64'],
        [far, '192.0.2.2/30', 'fd00:2::2/64'],
      ] as const) {
        ip('-n', name, 'address', 'add', v4, 'dev', 'line');
        ip('-n', name, '-6', 'address', 'add', v6, 'dev', 'line', 'nodad');
        ip('-n', name, 'link', 'set', 'line', 'up');
      }
      for (const route of [`${NAME_SERVER}/32`, ...o.routes])
        ip('-n', near, 'route', 'add', route, 'via', route.includes(':') ? 'fd00:2::2' : '192.0.2.2');
      const batch = [`${NAME_SERVER}/32`, ...o.local].map((one) => `route add local ${one} dev lo\n`).join('');
      const done = spawnSync('ip', ['-n', far, '-batch', '-'], { input: batch, encoding: 'utf8' });
      if (done.status !== 0) throw new Error(`ip -batch: ${done.stderr}`);
    } catch (error) {
      nets.#remove();
      throw error;
    }
    return nets;
  }

  /** serve starts the machines; it is over when they listen. */
  async serve(fleet: Fleet): Promise<void> {
    const child = spawn('ip', ['netns', 'exec', this.#far, process.execPath, FLEET], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#fleet = child;
    child.stdin.end(JSON.stringify(fleet));
    const ready = once(createInterface({ input: child.stdout }), 'line');
    const [line] = (await Promise.race([
      ready,
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`the machines ended with ${code}`))),
    ])) as [string];
    if (line !== 'ready') throw new Error(line);
  }

  async close(): Promise<void> {
    const child = this.#fleet;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    }
    this.#remove();
  }

  #remove(): void {
    for (const name of [this.near, this.#far]) spawnSync('ip', ['netns', 'del', name]);
    rmSync(`/etc/netns/${this.near}`, { recursive: true, force: true });
  }
}

/** tcpOf reads the counters of TCP in the network of a process; ActiveOpens are the connections begun. */
export function tcpOf(pid: number): Record<string, number> {
  const [names, values] = readFileSync(`/proc/${pid}/net/snmp`, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' ').slice(1)) as [string[], string[]];
  return Object.fromEntries(names.map((name, i) => [name, Number(values[i])]));
}
