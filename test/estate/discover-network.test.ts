import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { need } from '#test/need';
import { NAME_SERVER, Networks, tcpOf } from '#test/netns';
import type { Machine } from '#test/netns-fleet';
import { scratch } from '#test/scratch';
import { reverseName, type Zone } from '#test/tiny-dns';
import { systemClock } from '#base/clock';

/**
 * Network discovery as an administrator runs it: a whole site server in a network namespace of its own, machines in another one, most
 * addresses between them silent. Nothing here knows more than the command tells.
 */

const COMMAND = fileURLToPath(new URL('../../bin/pushpoint', import.meta.url));
const RATE = 1500;

const windows = (name: string, more: object = {}) => ({
  netbiosComputer: name.toUpperCase().slice(0, 15),
  netbiosDomain: 'CORP',
  dnsComputer: `${name}.corp.example`,
  dnsDomain: 'corp.example',
  osVersion: { major: 10, minor: 0, build: 26100 },
  ...more,
});
const LINUX = 'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3';

const machines: Machine[] = [
  { addresses: ['10.77.0.9'], smb: windows('ws-1') },
  // One machine at two addresses, and at one of IPv6; DNS knows the first only.
  { addresses: ['10.77.0.10', '10.77.1.10', 'fd00:77::10'], smb: windows('twin') },
  // Two machines of no domain that call themselves the same.
  {
    addresses: ['10.77.0.11'],
    smb: { netbiosComputer: 'COPY', netbiosDomain: 'COPY', osVersion: { major: 10, minor: 0, build: 19045 } },
  },
  {
    addresses: ['10.77.1.11'],
    smb: { netbiosComputer: 'COPY', netbiosDomain: 'COPY', osVersion: { major: 10, minor: 0, build: 19045 } },
  },
  // It calls itself a domain controller that is elsewhere.
  { addresses: ['10.77.0.12'], smb: windows('dc-1') },
  {
    addresses: ['10.77.0.13'],
    smb: { netbiosComputer: 'NAS', netbiosDomain: 'NAS', osVersion: { major: 6, minor: 1, build: 0 } },
  },
  { addresses: ['10.77.1.12'], ssh: LINUX },
  // Its reverse name leads somewhere else.
  { addresses: ['10.77.1.13'], ssh: LINUX },
  { addresses: ['10.77.1.14'], ssh: LINUX },
  { addresses: ['10.77.0.14'], smb: windows('evil', { netbiosComputer: 'A@b:80/x', dnsComputer: 'x@evil:80' }) },
];
const zone: Zone = {
  'ws-1.corp.example': ['10.77.0.9'],
  'twin.corp.example': ['10.77.0.10'],
  'dc-1.corp.example': ['10.99.0.1'],
  'lin-1.corp.example': ['10.77.1.12'],
  [reverseName('10.77.1.12')]: ['lin-1.corp.example'],
  'elsewhere.corp.example': ['10.99.0.2'],
  [reverseName('10.77.1.13')]: ['elsewhere.corp.example'],
  // The second interface of the first machine has a name of its own.
  'ws-1-backup.corp.example': ['10.77.0.9'],
  [reverseName('10.77.0.9')]: ['ws-1-backup.corp.example'],
};

interface Run {
  id: number;
  kind: string;
  state: string;
  total: number;
  done: number;
  took: number;
  report: {
    asked: number;
    skipped: number;
    answered: number;
    unnamed: number;
    connections: number;
    busiestSecond: number;
    ports: Record<string, Record<string, number>>;
    named: Record<string, number>;
    machines: Record<string, number>;
    notes: { address: string; name?: string; what: string }[];
  };
}

interface Device {
  name: string;
  domain?: string;
  fqdn?: string;
  addresses: string[];
  os?: string;
  type: string;
  trusted: boolean;
}

class Estate {
  readonly #nets: Networks;
  readonly #data: string;
  pid = 0;

  constructor(nets: Networks, data: string) {
    this.#nets = nets;
    this.#data = data;
  }

  #spawn(args: readonly string[]) {
    const all = ['netns', 'exec', this.#nets.near, 'sh', COMMAND, ...args, '--data', this.#data, '--json'];
    return spawn('ip', all, { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  async say<T>(...args: string[]): Promise<T> {
    const child = this.#spawn(args);
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    assert.equal(code, 0, `${args.join(' ')}: ${err}`);
    return JSON.parse(out) as T;
  }

  /** up runs the site; the function it gives stops it. */
  async up(): Promise<() => Promise<void>> {
    const child = this.#spawn(['up']);
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`up ended with ${code}: ${err}`))),
    ]);
    this.pid = child.pid!;
    return async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    };
  }

  async until(id: number, isSo: (run: Run) => boolean): Promise<Run> {
    for (;;) {
      const run = await this.say<Run>('discover', 'show', String(id));
      if (isSo(run)) return run;
      assert.ok(!['done', 'failed', 'cancelled'].includes(run.state), `the run is ${run.state}`);
      await systemClock.sleep(200);
    }
  }
}

async function estate(t: TestContext): Promise<Estate> {
  const folder = mkdtempSync(join(scratch, 'pushpoint-discover-'));
  chmodSync(folder, 0o711);
  const nets = Networks.make({
    routes: ['10.77.0.0/16', 'fd00:77::/64'],
    local: ['10.77.0.8/29', '10.77.1.8/29', 'fd00:77::10/124'],
  });
  t.after(async () => {
    await nets.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await nets.serve({ machines, zone, nameServer: NAME_SERVER });
  const made = new Estate(nets, join(folder, 'P01'));
  await made.say('site', 'create', 'P01', '--listen', '127.0.0.1:0', '--console', '127.0.0.1:0');
  return made;
}

describe('network discovery in networks of its own', need('ip', 'root'), () => {
  test('machines among thousands of silent addresses are found; the rate is kept as the kernel counts it', async (t) => {
    const site = await estate(t);
    const stop = await site.up();
    t.after(stop);
    // Domain controller DC-1 is known from an import; what calls itself so must not become it.
    const known = join(scratch, `known-${process.pid}.csv`);
    const { writeFileSync } = await import('node:fs');
    writeFileSync(known, 'name,domain,fqdn,ip,os,type\nDC-1,CORP,dc-1.corp.example,10.99.0.1,Windows Server 2022,dc\n');
    t.after(() => rmSync(known, { force: true }));
    await site.say('device', 'import', known);

    const targets = ['10.77.0.0-10.77.15.255', 'fd00:77::/120'];
    const asked = await site.say<Run>(
      'discover',
      'network',
      ...targets,
      '--exclude',
      '10.77.3.0/24',
      '--rate',
      String(RATE),
      '--trusted',
    );
    assert.equal(asked.total, 4096 - 256 + 256);
    const samples: { at: number; n: number }[] = [];
    let run = asked;
    while (run.state === 'queued' || run.state === 'running') {
      for (let i = 0; i < 10; i++) {
        const at = systemClock.monotonic();
        samples.push({ at, n: tcpOf(site.pid)['ActiveOpens']! });
        await systemClock.sleep(100);
      }
      run = await site.say<Run>('discover', 'show', String(asked.id));
    }
    const { report } = run;
    assert.equal(run.state, 'done', JSON.stringify(run));
    assert.equal(report.asked, 4096);
    // Every address of the two /29 and of the /124 has a machine behind it, which refuses what it does not speak.
    assert.equal(report.answered, 32);
    // On a busy machine one or the other may end otherwise than by its time; the message says how.
    const otherwise = 4096 - 32 - report.ports['445']!['silent']!;
    assert.ok(otherwise >= 0 && otherwise <= 8, JSON.stringify(report.ports));
    assert.ok(report.busiestSecond <= RATE, `${report.busiestSecond} in a second`);
    assert.ok(report.connections > 3 * 4000);
    const [first, last] = [samples[0]!, samples.at(-1)!];
    // Counted by the kernel over the whole run, whatever else this server and its command connected to.
    const mean = ((last.n - first.n) / (last.at - first.at)) * 1000;
    assert.ok(mean <= RATE * 1.05, `${mean} connections a second on the wire`);

    const { items } = await site.say<{ items: Device[] }>('device', 'list');
    const by = new Map(items.map((device) => [device.name.toUpperCase(), device]));
    const ws = by.get('WS-1')!;
    assert.equal(ws.fqdn, 'ws-1.corp.example');
    assert.equal(ws.trusted, true, 'DNS confirms it, and the run was declared trusted');
    assert.equal(ws.os, 'Windows 11 or Windows Server 2025');
    assert.equal(ws.type, 'unknown');
    assert.ok(!by.has('WS-1-BACKUP'), 'the name of an interface became a machine');
    assert.deepEqual(by.get('TWIN')!.addresses, ['10.77.0.10'], 'a trusted row has the addresses that DNS confirms');
    assert.equal(by.get('COPY')!.trusted, false);
    assert.equal(by.get('COPY')!.addresses.length, 1);
    assert.deepEqual(by.get('DC-1')!.addresses, ['10.99.0.1'], 'a machine took the address of one that is known');
    assert.equal(by.get('NAS')!.os, 'Samba');
    assert.equal(by.get('NAS')!.trusted, false);
    assert.equal(by.get('LIN-1')!.os, 'Debian Linux');
    assert.equal(by.get('LIN-1')!.trusted, false, 'a name from reverse DNS alone is never trusted');
    assert.ok(!by.has('ELSEWHERE'), 'a reverse name that leads elsewhere became a machine');
    assert.deepEqual([...by.keys()].sort(), ['COPY', 'DC-1', 'LIN-1', 'NAS', 'TWIN', 'WS-1']);

    const notes = report.notes.map(({ address, what }) => `${address} ${what}`).join('\n');
    assert.match(notes, /10\.77\.0\.12 it calls itself dc-1\.corp\.example, but DNS does not give this address/);
    assert.match(notes, /another machine at 10\.77\.\d\.11 has the same name, COPY/);
    assert.match(notes, /10\.77\.0\.14 .*name/);

    // A delta run with the method's own settings asks nobody who was found since the last full one.
    await site.say('discover', 'set', 'network', '10.77.0.0/28', '--rate', String(RATE), '--trusted');
    const full = await site.say<Run>('discover', 'run', 'network', '--wait');
    assert.equal(full.state, 'done');
    assert.equal(full.report.machines['added'], 0);
    const delta = await site.say<Run>('discover', 'run', 'network', '--delta', '--wait');
    assert.equal(delta.kind, 'delta');
    assert.equal(delta.report.skipped, 4, 'WS-1, TWIN, COPY and NAS are known');
    assert.equal(delta.report.asked, 10);
  });

  test('a run is cancelled while it is under way; another one goes on after a restart where it was', async (t) => {
    const site = await estate(t);
    let stop = await site.up();
    t.after(() => stop());
    const slow = ['10.77.32.0-10.77.63.255', '--rate', '500', '--ports', '445'];
    const first = await site.say<Run>('discover', 'network', ...slow);
    await site.until(first.id, (run) => run.done > 0);
    await site.say('discover', 'cancel', String(first.id));
    for (;;) {
      const run = await site.say<Run>('discover', 'show', String(first.id));
      if (run.state === 'cancelled') {
        assert.ok(run.done < run.total);
        break;
      }
      assert.equal(run.state, 'running');
      await systemClock.sleep(100);
    }

    const second = await site.say<Run>('discover', 'network', ...slow);
    const before = await site.until(second.id, (run) => run.done > 500);
    await stop();
    stop = await site.up();
    const after = await site.until(second.id, (run) => run.state === 'running' && run.done > before.done);
    assert.ok(after.report.connections >= before.report.connections);
    const done = await site.until(second.id, (run) => run.state === 'done');
    assert.equal(done.done, 8192);
    // Of those under way at the stop some are asked twice, and none is left out.
    assert.ok(done.report.asked >= 8192 - 600 && done.report.connections < 2 * 8192, JSON.stringify(done.report));
  });
});
