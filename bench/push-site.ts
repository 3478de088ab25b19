/**
 * The site server of bench/push.ts, in a process of its own: database, records, CCM and management point as the executive wires them, and a
 * network that counts. It pushes to some machines to get warm, rests, pushes to the rest, and answers with what that cost.
 */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import type { AddressInfo } from 'node:net';
import { loadavg } from 'node:os';
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
import { quantile } from './figures.ts';
import type { LabFound } from './push-lab.ts';
import { inertProgram, padded } from './push-payload.ts';

/** SiteOrder is what the parent asks for. */
export interface SiteOrder {
  folder: string;
  lab: LabFound;
  /** warm machines come first and are not counted. */
  warm: number;
  payloadBytes: number;
  /** inert: the pushed program runs and does nothing; client: it is our ccmsetup, which installs the agent, which reports in here. */
  program: 'inert' | 'client';
  protection: 'encrypted' | 'signed';
  concurrency: number;
  /** Only eight logons with one account are under way at once; slow machines need more accounts to be all busy at the same time. */
  manyAccounts: boolean;
  database?: string | undefined;
  /** profile is a folder for a CPU profile of the counted pushes. */
  profile?: string | undefined;
}

/** SiteCost is the answer; times in milliseconds, sizes in octets. */
export interface SiteCost {
  pushes: number;
  states: Record<string, number>;
  errors: Record<string, number>;
  cpu: { user: number; system: number; idle: number; perPush: number };
  startedAfter: number;
  completeAfter: number | undefined;
  push: { median: number; p95: number };
  connections: number;
  turnArounds: { median: number; most: number };
  bytesOut: number;
  bytesIn: number;
  atOnce: number;
  rss: { rested: number; peak: number };
  protection: string[];
  load: number;
}

const REST_MS = 3000;
const LOOK_MS = 250;
const PATIENCE_MS = 300_000;
const NO_NUMBER = { median: 0, most: 0 };

interface Left {
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

  network(protection: SiteOrder['protection']): Network {
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

async function open(order: SiteOrder) {
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
  const { concurrency } = order;
  // Each machine of the fleet stands on its own address of few subnets, which is not how a site's machines stand.
  await all.site.updateSettings({ ccr: { concurrency, perSubnet: concurrency, perAccount: concurrency } }, 'bench');
  const sealedPassword = vault.seal(lab.password, passwordPurpose(lab.username));
  if (!order.manyAccounts)
    await all.account.add({ name: 'push', username: lab.username, sealedPassword, scope: { kind: 'site' } });
  for (let n = 0; order.manyAccounts && n < 100; n++) {
    const pattern = `*${String(n).padStart(2, '0')}`;
    await all.account.add({ name: `push ${n}`, username: lab.username, sealedPassword, scope: { kind: 'host', pattern } });
  }
  const bootstrap =
    order.program === 'inert'
      ? inertProgram(order.payloadBytes)
      : padded(await buildBundle('ccmsetup'), order.payloadBytes, true);
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

type Open = Awaited<ReturnType<typeof open>>;

type Wishes = Parameters<CcrRecord['requestMany']>[0];

/** wishesFor looks the machines up; that is done before the count begins, as it is not a part of a push. */
async function wishesFor({ all }: Open, names: string[]): Promise<Wishes> {
  const wishes = [];
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

async function request({ all }: Open, wishes: Wishes): Promise<void> {
  for (let at = 0; at < wishes.length; at += 1000) await all.ccr.requestMany(wishes.slice(at, at + 1000));
}

/** settled waits until no CCR is on its way any more; looking costs the process a little, before and during a run alike. */
async function settled({ all }: Open, order: SiteOrder, count: number): Promise<void> {
  const until = clock.monotonic() + PATIENCE_MS;
  for (;;) {
    const n = await all.ccr.countByState();
    const done = n.complete + n.skipped + n.failed + n.retry + n.waiting + (order.program === 'inert' ? n.verifying : 0);
    if (done >= count) return;
    if (clock.monotonic() > until) throw new Error(`the pushes do not end: ${JSON.stringify(n)}`);
    await clock.sleep(LOOK_MS);
  }
}

interface Timed {
  state: string;
  error: string | null;
  logon: Date | null;
  started: Date | null;
  finished: Date | null;
}

const TIMES = `select c.state, c.last_error as error, c.finished_at as finished,
  (select min(s.started_at) from ccr_step s where s.ccr_id = c.id and s.name = 'logon') as logon,
  (select max(s.started_at + s.duration_ms * interval '1 millisecond') from ccr_step s
    where s.ccr_id = c.id and s.name = 'start' and s.outcome = 'ok') as started
  from ccr c where c.name = any($1)`;

function tally(values: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

async function idleRate({ all }: Open): Promise<number> {
  const before = process.cpuUsage();
  const from = clock.monotonic();
  while (clock.monotonic() - from < REST_MS) {
    await all.ccr.countByState();
    await clock.sleep(LOOK_MS);
  }
  const spent = process.cpuUsage(before);
  return (spent.user + spent.system) / 1000 / (clock.monotonic() - from);
}

/** profiling takes a CPU profile of the counted pushes alone, where one is wanted; the returned function ends it. */
async function profiling({ profile }: SiteOrder): Promise<() => Promise<void>> {
  if (profile === undefined) return () => Promise.resolve();
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 250 });
  await session.post('Profiler.start');
  return async () => {
    const { profile: found } = await session.post('Profiler.stop');
    session.disconnect();
    mkdirSync(profile, { recursive: true });
    writeFileSync(path.join(profile, `push-${process.pid}.cpuprofile`), JSON.stringify(found));
  };
}

async function measure(o: Open, order: SiteOrder): Promise<SiteCost> {
  const names = order.lab.hosts.map((host) => host.name);
  const counted = names.slice(order.warm);
  const wishes = await wishesFor(o, counted);
  await request(o, await wishesFor(o, names.slice(0, order.warm)));
  await settled(o, order, order.warm);
  const idle = await idleRate(o);
  const rested = process.memoryUsage.rss();
  o.counter.reset();
  const profiled = await profiling(order);
  const cpu = process.cpuUsage();
  const from = clock.monotonic();
  await request(o, wishes);
  await settled(o, order, names.length);
  const spent = process.cpuUsage(cpu);
  const wall = clock.monotonic() - from;
  await profiled();
  await o.all.ccr.flush();
  const rows = await o.database.query<Timed & Record<string, unknown>>(TIMES, [counted]);
  const { left, first } = o.counter;
  const pushes = rows.filter((row) => row.started !== null);
  const last = (pick: (row: Timed) => Date | null) => Math.max(...rows.map((row) => pick(row)?.getTime() ?? 0)) - first;
  const took = pushes.map((row) => row.started!.getTime() - row.logon!.getTime());
  const of = (pick: (one: Left) => number) => left.map(pick);
  return {
    pushes: pushes.length,
    states: tally(rows.map((row) => row.state)),
    errors: tally(rows.flatMap((row) => row.error ?? [])),
    cpu: {
      user: spent.user / 1000,
      system: spent.system / 1000,
      idle: idle * wall,
      perPush: ((spent.user + spent.system) / 1000 - idle * wall) / counted.length,
    },
    startedAfter: last((row) => row.started),
    completeAfter: rows.every((row) => row.state === 'complete') ? last((row) => row.finished) : undefined,
    push: { median: quantile(took, 0.5), p95: quantile(took, 0.95) },
    connections: o.counter.connections / counted.length,
    turnArounds:
      left.length === 0
        ? NO_NUMBER
        : {
            median: quantile(
              of((s) => s.turnArounds),
              0.5,
            ),
            most: Math.max(...of((s) => s.turnArounds)),
          },
    bytesOut: quantile(
      of((s) => s.bytesOut),
      0.5,
    ),
    bytesIn: quantile(
      of((s) => s.bytesIn),
      0.5,
    ),
    atOnce: o.counter.most,
    rss: { rested, peak: process.resourceUsage().maxRSS * 1024 },
    protection: [...o.counter.protection],
    load: loadavg()[0]!,
  };
}

async function run(order: SiteOrder): Promise<void> {
  // A benchmark that is killed leaves neither this process nor its database behind.
  const alone = new Promise<never>((_, reject) => process.once('disconnect', () => reject(new Error('the benchmark is gone'))));
  alone.catch(() => {});
  const o = await open(order);
  try {
    process.send!(await Promise.race([measure(o, order), alone]));
  } finally {
    // What is being verified stays so: this database is thrown away.
    await o.ccm.stop();
    o.point.server.closeAllConnections();
    await o.point.close();
    await o.database.close();
  }
}

if (process.send) {
  process.once('message', (order: SiteOrder) => {
    run(order).then(
      () => process.disconnect(),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
        process.exit(1);
      },
    );
  });
}
