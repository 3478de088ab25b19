import type { Clock } from '#base/clock';
import { silentLog, type Log } from '#base/log';
import type { Random } from '#base/random';
import type { Identity } from '#lab/smb';
import { RpcEndpoint } from './endpoint.ts';
import { Handles } from './handles.ts';
import { Interference } from './interference.ts';
import { lsarpcOffer, type DomainFacts } from './lsarpc.ts';
import type { Offer } from './offer.ts';
import type { Registry } from './registry.ts';
import type { Services } from './services.ts';
import { srvsvcOffer, type ServerFacts } from './srvsvc.ts';
import { svcctlOffer } from './svcctl.ts';
import { winregOffer } from './winreg.ts';

/** LabRpcHost is the machine behind the RPC server. */
export interface LabRpcHost {
  clock: Clock;
  random: Random;
  log?: Log;
  services: Services;
  registry: Registry;
  server(): ServerFacts;
  domain(): DomainFacts;
  /** What of the usual is not there now: a stopped RemoteRegistry takes `winreg` away, a NAS has no `svcctl`. */
  missing(): ReadonlySet<string>;
}

/** The pipe under which Windows answers a bind on each pipe ([MS-SCMR] 2.1: ntsvcs). */
const SECONDARY: Record<string, string> = {
  svcctl: '\\PIPE\\ntsvcs',
  winreg: '\\PIPE\\winreg',
  srvsvc: '\\PIPE\\srvsvc',
  lsarpc: '\\PIPE\\lsass',
};

/** RpcServer answers svcctl, winreg, srvsvc and lsarpc as a Windows does; each open pipe gets an endpoint of its own. */
export class RpcServer {
  readonly #host: LabRpcHost;
  readonly #offers: Map<string, Offer>;
  readonly interference: Interference;
  readonly #log: Log;
  #association = 0x5000;

  constructor(o: { host: LabRpcHost }) {
    const { host } = o;
    this.#host = host;
    this.#log = host.log ?? silentLog;
    this.interference = new Interference(host.clock);
    this.#offers = new Map([
      ['svcctl', svcctlOffer(host.services)],
      ['winreg', winregOffer(host.registry)],
      ['srvsvc', srvsvcOffer(() => host.server(), host.clock)],
      ['lsarpc', lsarpcOffer(() => host.domain())],
    ]);
  }

  /** names are the pipes that exist now. */
  names(): string[] {
    const missing = this.#host.missing();
    return [...this.#offers.keys()].filter((name) => !missing.has(name));
  }

  /** pipe opens a pipe; undefined when there is none of that name. */
  pipe(name: string, identity: Identity, maxFragment?: number): RpcEndpoint | undefined {
    const wanted = name.toLowerCase();
    if (!this.names().includes(wanted)) return undefined;
    return new RpcEndpoint({
      offers: [this.#offers.get(wanted)!],
      identity,
      handles: new Handles(this.#host.random),
      interference: this.interference,
      secondaryAddress: SECONDARY[wanted]!,
      maxFragment,
      associationGroup: this.#association++,
      broke: (operation, error) => this.#log.error('lab RPC call broke', { operation, error }),
    });
  }
}
