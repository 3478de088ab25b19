/**
 * The site server that the benchmarks measure: database, records, CCM and management point as the executive wires them, and a network that
 * counts.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { systemClock as clock } from '#base/clock';
import { raise } from '#base/errors';
import { JsonLog, LogFile, ServerLog } from '#base/log';
import { systemRandom as random } from '#base/random';
import { buildBundle } from '#client/bundle';
import { Ccm, type Network } from '#components/ccm';
import { createManagementPoint } from '#points/management';
import { AccountRecord, migrations as account, passwordPurpose } from '#records/account';
import { AuditRecord, migrations as audit } from '#records/audit';
import { BoundaryRecord, migrations as boundary } from '#records/boundary';
import { CcrRecord, migrations as ccr } from '#records/ccr';
import { ClientRecord, migrations as client } from '#records/client';
import { DiscoveryRecord, migrations as discovery } from '#records/discovery';
import { migrations as packages, PackageRecord } from '#records/package';
import { migrations as resource, parseDevices, ResourceRecord } from '#records/resource';
import { migrations as site, SiteRecord } from '#records/site';
import { ContentStore } from '#store/content';
import { migrate, openDatabase, type Database } from '#store/database';
import { createVaultKeys, openVault } from '#store/vault';
import { connectSmb, type SmbSession } from '#wire/smb';
import { probeTcp } from '#wire/tcp';
import type { LabFound } from './push-lab.ts';
import { briefProgram, inertProgram, padded } from './push-payload.ts';

/** SiteWish is what the site is to be like. */
export interface SiteWish {
  folder: string;
  lab: LabFound;
  payloadBytes: number;
  /**
   * inert: the pushed program runs and does nothing; brief: it installs a service and ends; client: it is our ccmsetup, which installs the
   * agent, which reports in here.
   */
  program: 'inert' | 'brief' | 'client';
  protection: 'encrypted' | 'signed';
  concurrency: number;
  /** Only eight logons with one account are under way at once; slow machines need more accounts to be all busy at the same time. */
  manyAccounts: boolean;
  database?: string | undefined;
  /** verifyMinutes are the minutes after which a machine is looked at again, where not those of the defaults. */
  verifyMinutes?: number[] | undefined;
}

/** Left is what a session had cost when it ended. */
export interface Left {
  turnArounds: number;
  bytesOut: number;
  bytesIn: number;
}

/** Counter is the real network, counted. */
class Counter {
  connections = 0;
  now = 0;
  most = 0;
  first = Infinity;
  left: Left[] = [];
  protection = new Set<string>();

  reset(): void {
    Object.assign(this, { connections: 0, most: 0, first: Infinity, left: [] });
  }

  network(protection: SiteWish['protection']): Network {
    return {
      probe: (options) => {
        this.connections++;
        return probeTcp(options);
      },
      connect: async (options) => {
        // A connection that the probe made is gone on with, unless it is lost.
        if (!options.line?.held) this.connections++;
        this.first = Math.min(this.first, clock.now().getTime());
        this.most = Math.max(this.most, ++this.now);
        try {
          const session = await connectSmb({ ...options, encryption: protection === 'signed' ? 'off' : 'offered' });
          this.#watch(session);
          return session;
        } catch (error) {
          this.now--;
          throw error;
        }
      },
      resolve: (host) => Promise.reject(raise('PP_NET_NAME_UNKNOWN', { host })),
    };
  }

  #watch(session: SmbSession): void {
    this.protection.add(`${session.dialect.toString(16)} ${session.signing} ${session.cipher ?? 'not encrypted'}`);
    const leave = session.logoff.bind(session);
    session.logoff = async () => {
      await leave();
      this.now--;
      this.left.push({ ...session.stats });
    };
  }
}

function records(database: Database) {
  const known = {
    site: new SiteRecord(database, clock, random),
    boundary: new BoundaryRecord(database, clock),
    resource: new ResourceRecord(database, clock),
    ccr: new CcrRecord(database, clock),
  };
  return {
    ...known,
    account: new AccountRecord(database, clock),
    package: new PackageRecord(database, clock),
    client: new ClientRecord(database, clock, random),
    discovery: new DiscoveryRecord(database, clock, known),
    audit: new AuditRecord(database, clock),
  };
}

/** openSite makes such a site in an empty folder and starts it. */
export async function openSite(order: SiteWish) {
  const { folder, lab } = order;
  const [siteLines, ccmLines] = ['pushpoint.log', 'ccm.log'].map((name) => new LogFile(folder, name, undefined, clock));
  const log = new JsonLog(clock, (line) => siteLines!.write(line));
  const serverLog = new ServerLog(clock, 'SMS_CLIENT_CONFIG_MANAGER', (line) => ccmLines!.write(line));
  const database = await openDatabase({ dataDir: folder, url: order.database, clock, log, connections: 16 });
  await migrate(database, [site, boundary, audit, account, packages, resource, client, ccr, discovery], clock);
  await createVaultKeys(path.join(folder, 'vault'), {});
  const vault = await openVault({ dir: path.join(folder, 'vault'), env: {} });
  const content = new ContentStore({ dir: path.join(folder, 'content'), random });
  const all = records(database);
  await all.site.create({ code: 'B01', kind: 'primary' });
  const { concurrency, verifyMinutes } = order;
  // Each machine of the fleet stands on its own address of few subnets, which is not how a site's machines stand.
  await all.site.updateSettings(
    { ccr: { concurrency, perSubnet: concurrency, perAccount: concurrency, ...(verifyMinutes && { verifyMinutes }) } },
    'bench',
  );
  const sealedPassword = vault.seal(lab.password, passwordPurpose(lab.username));
  if (!order.manyAccounts)
    await all.account.add({ name: 'push', username: lab.username, sealedPassword, scope: { kind: 'site' } });
  for (let n = 0; order.manyAccounts && n < 100; n++) {
    const pattern = `*${String(n).padStart(2, '0')}`;
    await all.account.add({ name: `push ${n}`, username: lab.username, sealedPassword, scope: { kind: 'host', pattern } });
  }
  const bootstrap =
    order.program === 'client'
      ? padded(await buildBundle('ccmsetup'), order.payloadBytes, true)
      : (order.program === 'inert' ? inertProgram : briefProgram)(order.payloadBytes);
  const files = [
    { name: 'ccmsetup.exe', ...(await content.put(bootstrap)) },
    { name: 'CcmExec.exe', ...(await content.put(await buildBundle('agent'))) },
  ];
  const definition = {
    name: 'bench',
    version: '1.0.0',
    platform: 'windows' as const,
    bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
    payload: { file: 'CcmExec.exe' },
    verify: { service: 'CcmExec' },
  };
  await all.package.add(definition, files, 'bench');
  const { rows } = parseDevices(new TextEncoder().encode(lab.csv), 'csv');
  await all.resource.importDevices(rows, { source: 'import', site: 'B01', trusted: true });
  const point = await createManagementPoint({ database, ...all, content, clock, random, log, build: '0100' });
  point.server.listen(0, '127.0.0.1');
  await once(point.server, 'listening');
  await all.site.setPoint('mp', { address: `http://127.0.0.1:${(point.server.address() as AddressInfo).port}` }, 'bench');
  const counter = new Counter();
  const network = counter.network(order.protection);
  const ccm = new Ccm({ database, ...all, content, vault, network, clock, random, log, serverLog });
  await ccm.start();
  return { database, all, counter, ccm, point };
}

export type OpenSite = Awaited<ReturnType<typeof openSite>>;

export type Wishes = Parameters<CcrRecord['requestMany']>[0];

/** wishesFor looks the machines up; that is done before the count begins, as it is not a part of a push. */
export async function wishesFor({ all }: OpenSite, names: string[]): Promise<Wishes> {
  const wishes: Wishes[number][] = [];
  for (const name of names) {
    const [device] = await all.resource.find(name);
    wishes.push({
      name,
      domain: device!.domain,
      resourceId: device!.id,
      addresses: device!.addresses,
      smbPort: device!.smbPort,
      resourceNames: device!.fqdn ? [device!.fqdn] : [],
      source: 'push' as const,
      requestedBy: 'bench',
    });
  }
  return wishes;
}

/** request asks for pushes, as many at a time as the record takes. */
export async function request({ all }: OpenSite, wishes: Wishes): Promise<void> {
  for (let at = 0; at < wishes.length; at += 1000) await all.ccr.requestMany(wishes.slice(at, at + 1000));
}
