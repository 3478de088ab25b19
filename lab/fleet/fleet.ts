import { join } from 'node:path';
import type { Clock } from '#base/clock';
import { silentLog, type Log } from '#base/log';
import type { Random } from '#base/random';
import { LabDomain, LabHost, type ProfileName } from '#lab/host';
import { findPlaces } from './addresses.ts';
import { plan, type Expected, type Plan } from './mixes.ts';

export interface FleetOptions {
  /** windows is how many hosts there are. */
  windows: number;
  mix?: 'healthy' | 'mixed';
  /** folder gets one folder a host, made when something first looks at it. */
  folder: string;
  clock: Clock;
  random: Random;
  log?: Log;
  /** addresses is the first of them, in 127.0.0.0/8. */
  addresses?: string;
  /** port is common to all; 0 takes any that is free. */
  port?: number;
  /** seed makes the same fleet again: same names, same order, same hardware ids. */
  seed?: number;
  domain?: { netbios: string; dns: string };
  password?: string;
}

/** FleetHost is a lab host with what is wrong with it and how a push to it ends for now. */
export interface FleetHost {
  host: LabHost;
  trouble: string | undefined;
  expected: Expected;
}

/** Fleet is many lab hosts of one domain, one account that may push to them, and the file by which a site imports them. */
export interface Fleet {
  hosts: FleetHost[];
  domain: LabDomain;
  account: { username: string; password: string };
  /** csv is the import file, with ip and smbPort. */
  csv(): string;
  find(name: string): FleetHost | undefined;
  /** repair makes a host healthy, so that the next try succeeds. */
  repair(name: string): Promise<void>;
  stop(): Promise<void>;
}

const KIND: Record<ReturnType<typeof kindOf>, string> = { ws: 'WS', srv: 'SRV', dc: 'DC', nas: 'NAS' };
const START_AT_ONCE = 64;

function kindOf(profile: ProfileName): 'ws' | 'srv' | 'dc' | 'nas' {
  if (profile === 'nas') return 'nas';
  if (profile === 'domain-controller') return 'dc';
  return profile.startsWith('server') ? 'srv' : 'ws';
}

/** seeded gives the same fractions each time for one seed. */
function seeded(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function names(plans: Plan[]): string[] {
  const counts = new Map<string, number>();
  return plans.map(({ profile }) => {
    const prefix = KIND[kindOf(profile)];
    const next = (counts.get(prefix) ?? 0) + 1;
    counts.set(prefix, next);
    return `${prefix}-${String(next).padStart(4, '0')}`;
  });
}

function csvOf(hosts: FleetHost[]): string {
  const rows = hosts.map(({ host }) => {
    const os = host.profile.isWindows ? host.profile.title : '';
    return [host.name, host.memberOf, host.fqdn, host.address, os, host.type, host.port].join(',');
  });
  return ['name,domain,fqdn,ip,os,type,smbPort', ...rows, ''].join('\r\n');
}

async function inBatches<T>(list: T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < list.length; at += START_AT_ONCE) await Promise.all(list.slice(at, at + START_AT_ONCE).map(work));
}

/** startFleet makes the hosts and lets them listen. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { windows: count, mix = 'healthy', folder, clock, random, seed = 1 } = options;
  const fraction = seeded(seed);
  const plans = plan(count, mix, fraction);
  const account = { username: 'push', password: options.password ?? 'Push-Only-1!' };
  const domain = new LabDomain({
    netbios: options.domain?.netbios ?? 'CORP',
    dns: options.domain?.dns ?? 'corp.example',
    accounts: [{ ...account, administrator: true }],
  });
  const places = await findPlaces(count, { ...(options.addresses && { first: options.addresses }), port: options.port ?? 0 });
  const hosts = names(plans).map((name, index): FleetHost => {
    const { profile, switches, accounts, trouble, expected } = plans[index]!;
    const host = new LabHost({
      name,
      profile,
      folder: join(folder, name),
      clock,
      random,
      log: options.log ?? silentLog,
      domain,
      accounts: accounts ?? [],
      address: places.address(index),
      port: places.port,
      ...(switches && { switches }),
    });
    return { host, trouble, expected };
  });
  const stop = () => inBatches(hosts, ({ host }) => host.stop());
  try {
    await inBatches(hosts, ({ host }) => host.start());
  } catch (error) {
    await stop();
    throw error;
  }
  const find = (name: string) => hosts.find(({ host }) => host.name === name.toUpperCase());
  return {
    hosts,
    domain,
    account: { username: `${domain.netbios}\\${account.username}`, password: account.password },
    csv: () => csvOf(hosts),
    find,
    async repair(name) {
      const found = find(name);
      if (!found) throw new RangeError(`the fleet has no host ${name}`);
      await found.host.repair();
      found.trouble = undefined;
      if (found.host.profile.isWindows && found.host.profile.version.major >= 10) found.expected = { state: 'complete' };
    },
    stop,
  };
}
