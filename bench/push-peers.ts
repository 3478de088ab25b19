import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock as clock } from '#base/clock';
import type { LabFound } from './push-lab.ts';
import { inertProgram } from './push-payload.ts';

/** PeerCost is what one contender needed for all hosts. */
export interface PeerCost {
  name: string;
  hosts: number;
  right: number;
  cpuMs: number;
  wallMs: number;
  load: number;
}

interface Contender {
  name: string;
  needs: [string, string[]];
  script: string;
  args: string[];
  env?: Record<string, string>;
}

const PYTHON = '/usr/bin/python3';
const LONGEST_MS = 300_000;

interface Said {
  right: number;
  wrong: string[];
  cpuSeconds: number;
}

async function runPeer(one: Contender, hosts: LabFound['hosts']): Promise<Said> {
  const script = fileURLToPath(new URL(`peers/${one.script}`, import.meta.url));
  const options = { env: { ...process.env, ...one.env }, timeout: LONGEST_MS };
  const peer = spawn(PYTHON, [script, ...one.args], { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  peer.stdout.on('data', (octets: Buffer) => (said += octets.toString('utf8')));
  peer.stdin.end(hosts.map(({ name, address, port }) => `${name} ${address} ${port}\n`).join(''));
  const [code] = (await once(peer, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${one.name} ended with ${code}`);
  return JSON.parse(said) as Said;
}

/** contenders share one fleet: each has hosts of its own, because the work leaves something on them. */
async function contenders(lab: LabFound, folder: string, payloadBytes: number): Promise<Contender[]> {
  const [domain, user] = lab.username.split('\\') as [string, string];
  const payload = path.join(folder, 'setup.exe');
  await writeFile(payload, inertProgram(payloadBytes));
  const credentials = path.join(folder, 'credentials');
  await writeFile(credentials, `username=${user}\npassword=${lab.password}\ndomain=${domain}\n`, { mode: 0o600 });
  await chmod(folder, 0o700);
  const env = { BENCH_USER: user, BENCH_DOMAIN: domain, BENCH_PASSWORD: lab.password };
  return [
    { name: 'impacket', needs: [PYTHON, ['-c', 'import impacket']], script: 'impacket-push.py', args: [payload, '8'], env },
    { name: 'smbclient + net rpc', needs: ['net', ['--version']], script: 'samba-push.py', args: [payload, credentials, '4'] },
  ];
}

/** peers lets each contender that is installed push to its share of the hosts, one contender after the other. */
export async function peers(lab: LabFound, folder: string, payloadBytes: number): Promise<PeerCost[]> {
  const all = await contenders(lab, folder, payloadBytes);
  const share = Math.floor(lab.hosts.length / all.length);
  const costs: PeerCost[] = [];
  for (const [index, one] of all.entries()) {
    const [command, args] = one.needs;
    if (spawnSync(command, args).status !== 0) {
      process.stdout.write(`  ${one.name} is not installed and is left out\n`);
      continue;
    }
    const hosts = lab.hosts.slice(index * share, (index + 1) * share);
    const from = clock.monotonic();
    const { right, wrong, cpuSeconds } = await runPeer(one, hosts);
    for (const why of wrong) process.stdout.write(`  ${one.name}: ${why}\n`);
    const wallMs = clock.monotonic() - from;
    costs.push({ name: one.name, hosts: hosts.length, right, cpuMs: cpuSeconds * 1000, wallMs, load: loadavg()[0]! });
  }
  return costs;
}
