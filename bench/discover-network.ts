/**
 * Measures network discovery: `node bench/discover-network.ts [connections a second]` (default 2,500). In two network namespaces of its own
 * it runs a whole site server, and 2,000 machines among 65,536 addresses; all others are silent, nobody says that nobody is there. The
 * site asks them all on three ports. It prints how long that took, the memory of the site server's process at its peak, and the rate as the kernel counted
 * it. It needs root and iproute2.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { NAME_SERVER, Networks, tcpOf } from '#test/netns';
import type { Machine } from '#test/netns-fleet';
import { reverseName, type Zone } from '#test/tiny-dns';
import { systemClock } from '#base/clock';

const RATE = Number(process.argv.find((word) => /^\d+$/.test(word)) ?? 2500);
const GROUPS = 250;
const EACH = 8;
const NETWORK = '10.77.0.0-10.77.255.255';
const COMMAND = fileURLToPath(new URL('../bin/pushpoint', import.meta.url));
const SAMPLE_MS = 25;
const SECOND_MS = 1000;
const ASK_MS = 5000;
const MOST_SAMPLE_MS = 3;

const clock = systemClock;
const say = (line: string) => process.stdout.write(`${line}\n`);

const machines: Machine[] = [];
const zone: Zone = {};
for (let i = 0; i < GROUPS * EACH; i++) {
  const address = `10.77.${i >> 3}.${8 + (i & 7)}`;
  const name = `pc-${String(i).padStart(5, '0')}`;
  const fqdn = `${name}.corp.example`;
  zone[fqdn] = [address];
  zone[reverseName(address)] = [fqdn];
  const smb = {
    netbiosComputer: name.toUpperCase(),
    netbiosDomain: 'CORP',
    dnsComputer: fqdn,
    dnsDomain: 'corp.example',
    osVersion: { major: 10, minor: 0, build: 26100 },
  };
  // Seven of ten are like Windows, the others speak SSH only and have their names from DNS.
  machines.push(i % 10 < 7 ? { addresses: [address], smb } : { addresses: [address], ssh: 'SSH-2.0-OpenSSH_9.2p1 Debian-2' });
}

interface Ready {
  console: string;
}

interface Run {
  id: number;
  state: string;
  done: number;
  took: number;
  report: Record<string, unknown> & {
    asked: number;
    connections: number;
    busiestSecond: number;
    named: object;
    machines: object;
  };
}

const folder = mkdtempSync(join(tmpdir(), 'pushpoint-discover-'));
chmodSync(folder, 0o711);
const nets = Networks.make({
  routes: ['10.77.0.0/16'],
  local: Array.from({ length: GROUPS }, (_, i) => `10.77.${i}.8/29`),
});
const inNear = (args: string[]) =>
  spawn('ip', ['netns', 'exec', nets.near, 'sh', COMMAND, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });

async function command<T>(...args: string[]): Promise<T> {
  const child = inNear([...args, '--data', join(folder, 'P01'), '--json']);
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`);
  return JSON.parse(out) as T;
}

try {
  await nets.serve({ machines, zone, nameServer: NAME_SERVER });
  await command('site', 'create', 'P01', '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0');
  const server = inNear(['up', '--data', join(folder, 'P01'), '--json']);
  try {
    const [line] = (await once(createInterface({ input: server.stdout }), 'line')) as [string];
    const ready = JSON.parse(line) as Ready;
    say(`${machines.length} of 65,536 addresses answer; at most ${RATE} connections a second; site server at ${ready.console}`);
    const opens: { at: number; n: number }[] = [];
    // A sample that took long says nothing about a moment.
    const sample = () => {
      const at = clock.monotonic();
      const n = tcpOf(server.pid!)['ActiveOpens']!;
      if (clock.monotonic() - at < MOST_SAMPLE_MS) opens.push({ at, n });
    };
    let run = await command<Run>('discover', 'network', NETWORK, '--rate', String(RATE), '--at-once', '6000');
    const begun = clock.monotonic();
    for (let ticks = 1; run.state === 'queued' || run.state === 'running'; ticks++) {
      sample();
      await clock.sleep(SAMPLE_MS);
      if (ticks % (ASK_MS / SAMPLE_MS) === 0) run = await command<Run>('discover', 'show', String(run.id));
    }
    sample();
    // The most between two samples that are at most a second apart.
    let most = 0;
    for (const [i, { at, n }] of opens.entries())
      for (const later of opens.slice(i + 1, i + 1 + SECOND_MS / SAMPLE_MS))
        if (later.at <= at + SECOND_MS) most = Math.max(most, later.n - n);
    const peak = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    say(
      `${run.state} in ${(run.took / 1000).toFixed(1)} s (seen from outside ${((clock.monotonic() - begun) / 1000).toFixed(1)} s)`,
    );
    say(`peak memory of the site server's process: ${peak.toFixed(0)} MB`);
    say(`connections begun, by the kernel's count: ${most} in the busiest second; by the run's own: ${run.report.busiestSecond}`);
    say(JSON.stringify({ ...run.report, notes: (run.report['notes'] as unknown[]).slice(0, 3) }));
  } finally {
    const gone = once(server, 'exit');
    server.kill('SIGTERM');
    await gone;
  }
} finally {
  await nets.close();
  rmSync(folder, { recursive: true, force: true });
}
