import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { PushpointError } from '#base/errors';
import {
  openRegistry,
  openRpc,
  openServiceManager,
  serverInfo,
  srvsvc,
  svcctl,
  winreg,
  type Service,
  type ServiceManager,
} from '#wire/rpc';
import { readWhole } from '#lab/disk';
import type { LabHost } from '#lab/host';
import type { SmbSession, SmbTree } from '#wire/smb';
import { logOn, startHost } from '#test/lab-host';

const withWin32 = (code: number) => (error: unknown) => error instanceof PushpointError && error.win32 === code;
const program = (main: string) =>
  new TextEncoder().encode(`//pushpoint-bootstrap\nexport async function main(host, args) { ${main} }\n`);
const PATH = 'C:\\Windows\\ccmsetup\\ccmsetup.exe';
const FILE = 'ccmsetup\\ccmsetup.exe';

interface Push {
  host: LabHost;
  session: SmbSession;
  admin: SmbTree;
  manager: ServiceManager;
}

async function begin(t: TestContext, options: Parameters<typeof startHost>[1] = {}): Promise<Push> {
  const { host } = await startHost(t, options);
  const session = await logOn(host);
  t.after(() => session.close());
  const admin = await session.tree('ADMIN$');
  const ipc = await session.tree('IPC$');
  const manager = await openServiceManager(await openRpc(await ipc.openPipe('svcctl'), svcctl.SVCCTL));
  return { host, session, admin, manager };
}

async function setUp({ admin, manager }: Push, bytes: Uint8Array, binaryPath = `"${PATH}" /a "b c"`): Promise<Service> {
  await admin.mkdir('ccmsetup');
  await admin.writeFile(FILE, bytes);
  return manager.create({ name: 'ccmsetup', displayName: 'ccmsetup', binaryPath, startType: 'demand' });
}

/** reached waits until a service stands as wanted; the states pass within milliseconds. */
async function reached(service: Service, wanted: string): Promise<Awaited<ReturnType<Service['status']>>> {
  for (let tries = 0; tries < 500; tries++) {
    const status = await service.status();
    if (status.state === wanted) return status;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`the service never got ${wanted}`);
}

const report = async (host: LabHost, name: string) =>
  new TextDecoder().decode((await readWhole(host.machine.disk, ['Windows', name])) ?? new Uint8Array(0));

test('a pushed program runs with its machine, its arguments and its own signal, and stops when the service is stopped', async (t) => {
  const push = await begin(t);
  const main = `
    await host.writeFile('C:\\\\Windows\\\\report.txt', new TextEncoder().encode(JSON.stringify({
      args, name: host.name, fqdn: host.fqdn, os: host.os, module: host.modulePath, addresses: host.addresses() })));
    await new Promise((resolve) => host.signal.addEventListener('abort', resolve));
    await host.appendFile('C:\\\\Windows\\\\report.txt', new TextEncoder().encode(' stopped'));
    return 0;`;
  const service = await setUp(push, program(main));
  await service.start(['more']);
  const status = await reached(service, 'running');
  assert.ok(status.pid);
  await assert.rejects(push.admin.writeFile(FILE, program('return 1')), withWin32(32));
  await assert.rejects(service.start(), withWin32(1056));
  await service.stop();
  assert.equal((await reached(service, 'stopped')).win32ExitCode, 0);
  const [json, after] = (await report(push.host, 'report.txt')).split(' stopped');
  assert.equal(after, '');
  assert.deepEqual(JSON.parse(json!), {
    args: ['/a', 'b c', 'more'],
    name: 'WS-1',
    fqdn: 'ws-1.corp.example',
    os: { name: 'Windows 11 Enterprise', version: '10.0.26100', type: 'workstation' },
    module: PATH,
    addresses: [push.host.address],
  });
  await push.admin.writeFile(FILE, program('return 7'));
  await service.start();
  assert.notEqual((await reached(service, 'stopped')).win32ExitCode, 0);
});

test('a file that is missing or no program is refused with 2 and 193, one that breaks ends with a code', async (t) => {
  const push = await begin(t);
  const service = await setUp(push, new TextEncoder().encode('MZ not for us'));
  await assert.rejects(service.start(), withWin32(193));
  await push.admin.writeFile(FILE, new TextEncoder().encode('//pushpoint-bootstrap\nexport const main = 3;'));
  await assert.rejects(service.start(), withWin32(193));
  await push.admin.writeFile(FILE, new TextEncoder().encode('//pushpoint-bootstrap\nthis is no { JavaScript'));
  await assert.rejects(service.start(), withWin32(193));
  await push.admin.remove(FILE);
  await assert.rejects(service.start(), withWin32(2));
  await push.admin.writeFile(FILE, program('throw new Error("broken")'));
  await service.start();
  assert.notEqual((await reached(service, 'stopped')).win32ExitCode, 0);
});

test('a program makes, starts, stops and removes services, and leaves values in the registry', async (t) => {
  const push = await begin(t, { switches: { remoteRegistry: 'running' } });
  const agent =
    '//pushpoint-bootstrap\\nexport const main = (host) => new Promise((r) => host.signal.addEventListener("abort", () => r(0)));';
  const main = `
    await host.writeFile('C:\\\\Windows\\\\CCM\\\\CcmExec.exe', new TextEncoder().encode('${agent}'));
    const wish = { name: 'CcmExec', displayName: 'SMS Agent Host', binaryPath: 'C:\\\\Windows\\\\CCM\\\\CcmExec.exe', startType: 'auto' };
    await host.services.create(wish);
    let again; try { await host.services.create(wish); } catch (error) { again = error.code; }
    await host.services.start('CcmExec');
    await host.registry.set('SOFTWARE\\\\Microsoft\\\\SMS\\\\Mobile Client', { ProductVersion: '1.2.3' });
    await host.services.remove('ccmsetup');
    const release = host.mutex('Global\\\\x');
    const second = host.mutex('global\\\\X');
    await host.writeFile('C:\\\\Windows\\\\report.txt', new TextEncoder().encode([again, typeof release, typeof second].join()));
    return 0;`;
  const service = await setUp(push, program(main));
  await service.start();
  await service.close();
  const client = await found(push.manager, 'CcmExec');
  await reached(client, 'running');
  // Each look lets go of it again: one that has it open is one for whom it stays.
  for (let tries = 0; tries < 200; tries++) {
    const still = await push.manager.open('ccmsetup');
    if (!still) break;
    await still.close();
  }
  assert.equal(await push.manager.open('ccmsetup'), undefined, 'it is gone once nobody has it open and it has ended');
  assert.equal(await report(push.host, 'report.txt'), '1073,function,undefined');
  const ipc = await push.session.tree('IPC$');
  const registry = openRegistry(await openRpc(await ipc.openPipe('winreg'), winreg.WINREG));
  const key = await registry.key('HKLM', 'software\\microsoft\\sms\\mobile client');
  assert.equal(await key?.string('ProductVersion'), '1.2.3');
  const version = await registry.key('HKLM', 'SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion');
  assert.equal(await version?.string('CurrentBuildNumber'), '26100');
  await client.stop();
  await reached(client, 'stopped');
});

async function found(manager: ServiceManager, name: string): Promise<Service> {
  for (let tries = 0; tries < 500; tries++) {
    const service = await manager.open(name);
    if (service) return service;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`there never was a service ${name}`);
}

test('a program reaches points on loopback from the address of its machine, and nothing beyond', async (t) => {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} from ${request.socket.remoteAddress}`);
    response.end('hello');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const push = await begin(t, { address: '127.20.7.7' });
  const main = `
    const answer = await host.fetch('http://127.0.0.1:${port}/a?b', { method: 'POST', body: new Uint8Array([1]) });
    let outside; try { await host.fetch('http://192.0.2.1/'); } catch (error) { outside = error.code; }
    await host.writeFile('C:\\\\Windows\\\\report.txt', new TextEncoder().encode([answer.status, await answer.text(), outside].join()));
    return 0;`;
  const service = await setUp(push, program(main));
  await service.start();
  await reached(service, 'stopped');
  assert.equal(await report(push.host, 'report.txt'), '200,hello,ENETUNREACH');
  assert.deepEqual(seen, ['POST /a?b from 127.20.7.7']);
});

test('switches: 1053, a bootstrap that fails, an old setup that does or does not stop, a client that is there', async (t) => {
  const push = await begin(t, { switches: { startTimesOut: true, clientInstalled: { version: '9.9', site: 'P01' } } });
  const { host } = push;
  const service = await setUp(push, program('return 0'));
  await assert.rejects(service.start(), withWin32(1053));
  await host.set({ startTimesOut: false, bootstrapFails: 1603 });
  await service.start();
  const { win32ExitCode, serviceExitCode } = await reached(service, 'stopped');
  assert.equal(win32ExitCode === 1066 ? serviceExitCode : win32ExitCode, 1603);
  await service.delete();
  await service.close();
  const client = await found(push.manager, 'CcmExec');
  assert.equal((await client.status()).state, 'running');
  await host.set({ oldSetupRunning: 'stuck' });
  const stuck = await found(push.manager, 'ccmsetup');
  await assert.rejects(push.admin.writeFile(FILE, program('return 0')), withWin32(32));
  await stuck.stop().catch(() => undefined);
  assert.notEqual((await stuck.status()).state, 'stopped');
  await host.set({ oldSetupRunning: 'stoppable' });
  const old = await found(push.manager, 'ccmsetup');
  await old.stop();
  await reached(old, 'stopped');
  await push.admin.writeFile(FILE, program('return 0'));
  await host.repair();
  assert.equal(await push.manager.open('CcmExec'), undefined);
});

test('the winreg pipe follows the RemoteRegistry service: running, stopped, started by the first look', async (t) => {
  const push = await begin(t);
  const ipc = await push.session.tree('IPC$');
  await assert.rejects(
    ipc.openPipe('winreg'),
    (error: unknown) => error instanceof PushpointError && error.ntstatus === 0xc0000034,
  );
  const service = await found(push.manager, 'RemoteRegistry');
  await assert.rejects(service.start(), withWin32(1058));
  await service.change({ startType: 'demand' });
  await service.start();
  await reached(service, 'running');
  await (await ipc.openPipe('winreg')).close();
  await service.stop();
  await reached(service, 'stopped');
  await assert.rejects(ipc.openPipe('winreg'), PushpointError);
  await push.host.set({ remoteRegistry: 'running' });
  await (await ipc.openPipe('winreg')).close();
});

test('each kind of machine says of itself what it is', async (t) => {
  for (const [profile, type, major] of [
    ['windows-11', 0x1003, 10],
    ['server-2022', 0x9003, 10],
    ['domain-controller', 0x902b, 10],
    ['windows-xp', 0x1003, 5],
    ['nas', 0x809a03, 6],
  ] as const) {
    const { host } = await startHost(t, { profile });
    const session = await logOn(host);
    const ipc = await session.tree('IPC$');
    const info = await serverInfo(await openRpc(await ipc.openPipe('srvsvc'), srvsvc.SRVSVC), host.name);
    assert.deepEqual([info.name, info.type >>> 0, info.major], [host.name, type, major]);
    if (profile === 'nas') await assert.rejects(ipc.openPipe('svcctl'), PushpointError);
    await session.logoff();
  }
});

test('a machine that stops ends its programs', async (t) => {
  const push = await begin(t);
  const main = `await new Promise((resolve) => host.signal.addEventListener('abort', resolve));
    await host.writeFile('C:\\\\Windows\\\\report.txt', new TextEncoder().encode('ended')); return 0;`;
  const service = await setUp(push, program(main));
  await service.start();
  await reached(service, 'running');
  await push.host.stop();
  assert.equal(await report(push.host, 'report.txt'), 'ended');
});

test('a machine can go down the moment the bootstrap runs, and be slow in everything it answers', async (t) => {
  const push = await begin(t);
  const service = await setUp(push, program('await new Promise((r) => host.signal.addEventListener("abort", r)); return 0;'));
  await push.host.set({ slowMs: 40 });
  const from = performance.now();
  for (let i = 0; i < 3; i++) await push.admin.stat('win.ini');
  assert.ok(performance.now() - from >= 3 * 40, 'each request waits');
  await push.host.set({ slowMs: 0, vanishAt: 'start' });
  await service.start().catch(() => undefined);
  await assert.rejects(service.status(), (error: unknown) => error instanceof PushpointError && error.again === 'retry');
  await assert.rejects(logOn(push.host), (error: unknown) => error instanceof PushpointError && error.win32 === 53);
});
