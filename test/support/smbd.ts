import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#base/clock';
import { probeTcp } from '#wire/tcp';

const ADDRESS = '127.0.0.1';
const NAME = 'PPSMBD';
const USERNAME = 'Administrator';
const PASSWORD = 'Lab-Only-7!';
const READY_MS = 30_000;
const POLL_MS = 50;

export interface SmbdOptions {
  /** encrypt is `smb encrypt`; 'required' takes clients of 3.1.1 only. */
  encrypt?: 'off' | 'desired' | 'required';
  /** extra lines go into the [global] section; they win over what stands there. */
  extra?: string[];
  /** share lines go into [ADMIN$]; they win over what stands there. */
  share?: string[];
  /** ownPipes keeps Samba's RPC servers away, so that a test's own sockets in `pipes` answer. */
  ownPipes?: boolean;
  /** name is what it calls itself. */
  name?: string;
  /** admin is the folder that ADMIN$ shows; without one it is a fresh one. */
  admin?: string;
}

/** Smbd is one private smbd with one administrator and the share ADMIN$. */
export interface Smbd {
  readonly address: string;
  readonly port: number;
  /** host is the name it gives itself. */
  readonly host: string;
  readonly username: string;
  readonly password: string;
  /** folder is what ADMIN$ shows. */
  readonly folder: string;
  /** pipes is where unix sockets named as pipes are looked for (`<ncalrpc dir>/np`). */
  readonly pipes: string;
  readonly conf: string;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, ADDRESS);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function configuration(home: string, port: number, options: SmbdOptions): string {
  const dirs = ['private', 'lock', 'state', 'cache', 'pid'].map((name) => `${name} directory = ${join(home, name)}`);
  const encrypt = options.encrypt ?? 'desired';
  const global = [
    `netbios name = ${options.name ?? NAME}`,
    'workgroup = PPLAB',
    'server role = standalone server',
    `smb ports = ${port}`,
    'bind interfaces only = yes',
    'interfaces = 127.0.0.1/8',
    'disable netbios = yes',
    ...dirs,
    `ncalrpc dir = ${join(home, 'rpc')}`,
    `passdb backend = tdbsam:${join(home, 'private', 'passdb.tdb')}`,
    `username map = ${join(home, 'users.map')}`,
    `log file = ${join(home, 'log.smbd')}`,
    'server signing = mandatory',
    'map to guest = never',
    'load printers = no',
    'printcap name = /dev/null',
    'disable spoolss = yes',
    `server smb encrypt = ${encrypt}`,
    ...(encrypt === 'required' ? ['server min protocol = SMB3_11'] : ['server min protocol = SMB2_02']),
    ...(options.ownPipes ? ['rpc start on demand helpers = no'] : []),
    ...(options.extra ?? []),
  ];
  const share = [
    `path = ${options.admin ?? join(home, 'admin')}`,
    'read only = no',
    'admin users = root',
    'browseable = yes',
    ...(options.share ?? []),
  ];
  return `[global]\n${global.join('\n')}\n\n[ADMIN$]\n${share.join('\n')}\n`;
}

async function until(what: string, isSo: () => Promise<boolean> | boolean, clock = systemClock): Promise<void> {
  const end = clock.monotonic() + READY_MS;
  while (!(await isSo())) {
    if (clock.monotonic() > end) throw new Error(`${what}: not so after ${READY_MS} ms`);
    await clock.sleep(POLL_MS);
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

function pidIn(file: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(file, 'latin1'), 10) || undefined;
  } catch {
    return undefined;
  }
}

async function stopped(smbd: ChildProcess, home: string): Promise<void> {
  // Its helper is started on demand, in a session of its own, and would go on answering with old state.
  const helper = pidIn(join(home, 'pid', 'samba-dcerpcd.pid'));
  const gone = smbd.exitCode === null && smbd.signalCode === null ? once(smbd, 'exit') : Promise.resolve();
  smbd.kill('SIGTERM'); // it takes its whole process group with it, which is its own
  if (helper !== undefined && isAlive(helper)) process.kill(helper, 'SIGTERM');
  await gone;
  if (helper !== undefined) await until('samba-dcerpcd has ended', () => !isAlive(helper));
  rmSync(home, { recursive: true, force: true });
}

async function begin(home: string, conf: string, port: number): Promise<ChildProcess> {
  const smbd = spawn('smbd', ['-F', '--no-process-group', '-s', conf, '-l', home], {
    detached: true, // a session of its own: smbd kills its process group when it is told to stop
    stdio: 'ignore',
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  let ended: string | undefined;
  smbd.on('exit', (code, signal) => (ended = `smbd ended with ${code ?? signal}`));
  smbd.on('error', (error) => (ended = error.message));
  await until('smbd listens', async () => {
    if (ended !== undefined) throw new Error(ended);
    const probe = probeTcp({ address: ADDRESS, port, timeoutMs: 1_000, clock: systemClock });
    return probe.then(
      () => true,
      () => false,
    );
  });
  return smbd;
}

/** startSmbd starts a private smbd on loopback; it needs root and Samba. Stop it when done, it leaves nothing behind. */
export async function startSmbd(options: SmbdOptions = {}): Promise<Smbd> {
  const home = mkdtempSync(join(tmpdir(), 'pps-')); // short: a unix socket's path has at most 107 characters
  const folders = ['private', 'lock', 'state', 'cache', 'pid', 'rpc', 'rpc/np', 'admin'];
  for (const name of folders) mkdirSync(join(home, name), { mode: 0o755 });
  chmodSync(join(home, 'rpc/np'), 0o700);
  writeFileSync(join(home, 'users.map'), `root = ${USERNAME}\n`);
  const port = await freePort();
  const conf = join(home, 'smb.conf');
  writeFileSync(conf, configuration(home, port, options));
  const added = spawnSync('smbpasswd', ['-c', conf, '-s', '-a', 'root'], {
    input: `${PASSWORD}\n${PASSWORD}\n`,
    encoding: 'utf8',
  });
  if (added.status !== 0) throw new Error(`smbpasswd: ${added.stderr}`);
  const smbd = await begin(home, conf, port);
  const stop = () => stopped(smbd, home);
  return {
    address: ADDRESS,
    port,
    host: options.name ?? NAME,
    username: USERNAME,
    password: PASSWORD,
    folder: options.admin ?? join(home, 'admin'),
    pipes: join(home, 'rpc/np'),
    conf,
    stop,
  };
}
