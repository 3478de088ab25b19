import { resolveSrv } from 'node:dns/promises';
import { statfs } from 'node:fs/promises';
import { win32 } from 'node:path';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { clientFetch } from '#client/fetch';
import { baseName, layout, type TargetHost } from '#client/host';
import { filesOf, mutexes } from './files.ts';
import { ServiceControl } from './service-control.ts';
import { FactsReader, type Run } from './windows-facts.ts';

/** WindowsSurroundings is what a run of the agent on Windows is given. */
export interface WindowsSurroundings {
  signal: AbortSignal;
  /** Of the bundle; CcmExec.exe lies beside it. */
  modulePath: string;
  run: Run;
  /** local gives where a Windows path lies for this process: itself, but where another system holds the disk. */
  local: (path: string) => string;
}

const WINDOWS = /^C:\\Windows(?=\\|$)/i;

/** windowsHost is a Windows machine as the agent sees it. What Node cannot do there CcmExec.exe does, so that both agents are one client. */
export function windowsHost({ signal, modulePath, run, local }: WindowsSurroundings): TargetHost {
  const program = win32.join(win32.dirname(modulePath), baseName(layout.agentFile));
  const facts = new FactsReader(run, program, systemClock);
  const { windows } = facts.now();
  const place = (path: string) => local(path.replace(WINDOWS, () => windows.replace(/\\$/, '')));
  const files = filesOf(place);
  return {
    get name() {
      return facts.now().name;
    },
    get domain() {
      return facts.now().domain;
    },
    get fqdn() {
      return facts.now().fqdn;
    },
    get os() {
      return facts.now().os;
    },
    get architecture() {
      return facts.now().architecture;
    },
    get hardwareId() {
      return facts.now().hardwareId;
    },
    addresses: () => facts.now().addresses,
    installerSettings: () => {
      const { properties, clientVersion: version } = facts.now();
      return properties === '' ? undefined : { properties, version };
    },
    modulePath,
    signal,
    clock: systemClock,
    random: systemRandom,
    print: (line) => void process.stdout.write(`${line}\n`),
    ...files,
    writeFile: async (path, bytes, { secret = false } = {}) => {
      if (!secret) return files.writeFile(path, bytes);
      // Its access list has to be there before its first octet, which Node cannot do.
      const { status } = run(program, ['keep', baseName(path)], bytes);
      if (status !== 0) throw Object.assign(new Error(`${path} could not be kept (${status})`), { code: status });
    },
    freeBytes: async () => {
      const { bavail, bsize } = await statfs(place('C:\\Windows'));
      return bavail * bsize;
    },
    mutex: mutexes(),
    services: new ServiceControl(run, `${windows}\\System32\\sc.exe`),
    fetch: clientFetch,
    srv: (name) => resolveSrv(name),
  };
}
