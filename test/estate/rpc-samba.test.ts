import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { isCode } from '#base/errors';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { serveNamedPipes } from '#lab/rpc';
import { labRpc } from '#test/lab-rpc';
import { need } from '#test/need';
import { startSmbd, type Smbd } from '#test/smbd';
import { ntlmCredential } from '#wire/auth';
import {
  lsarpc,
  openRegistry,
  openRpc,
  openServiceManager,
  serverInfo,
  serverTime,
  shareInfo,
  srvsvc,
  svcctl,
  winreg,
  type RpcInterface,
  type RpcOptions,
} from '#wire/rpc';
import { connectSmb } from '#wire/smb';

/** Our RPC client over our SMB client, against RPC servers of Samba, whose code is not ours. */

async function pipes(t: TestContext, smbd: Smbd): Promise<(wanted: RpcInterface, o?: RpcOptions) => ReturnType<typeof openRpc>> {
  const { address, port, username, password } = smbd;
  const credential = ntlmCredential({ username, domain: '', password, clock: systemClock, random: systemRandom });
  const session = await connectSmb({
    host: smbd.host,
    address,
    port,
    credential,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  t.after(() => session.logoff());
  const ipc = await session.tree('IPC$');
  return async (wanted, o = {}) => openRpc(await ipc.openPipe(wanted.pipe), wanted, o);
}

function setValue(smbd: Smbd, key: string, name: string, type: string, ...value: string[]): void {
  execFileSync('net', ['-s', smbd.conf, 'registry', 'createkey', key], { stdio: 'ignore' });
  execFileSync('net', ['-s', smbd.conf, 'registry', 'setvalue', key, name, type, ...value], { stdio: 'ignore' });
}

/** Octets that come at a time, and the longest fragment: both must not matter. */
const sizes: RpcOptions[] = [{}, { readSize: 64 }, { maxFragment: 1432 }, { maxFragment: 2048, readSize: 100 }];

test("Samba's service manager answers our client: open, list, configuration, status", need('root', 'smbd', 'net'), async (t) => {
  const smbd = await startSmbd();
  t.after(() => smbd.stop());
  const open = await pipes(t, smbd);
  for (const size of sizes) {
    const manager = await openServiceManager(await open(svcctl.SVCCTL, size));
    const names = (await manager.list()).map((one) => one.name);
    assert.ok(names.includes('Spooler') && names.includes('NETLOGON'), names.join());
    assert.equal(await manager.open('ccmsetup'), undefined);
    const spooler = await manager.open('Spooler', svcctl.ServiceRight.QUERY_CONFIG | svcctl.ServiceRight.QUERY_STATUS);
    assert.ok(spooler);
    const config = await spooler.config();
    assert.equal(config.displayName, 'Print Spooler');
    assert.match(config.binaryPath, /svcctl/);
    assert.match((await spooler.status()).state, /^(running|stopped)$/);
    await spooler.close();
    // It has no CreateService, and says so with a fault; the pipe is as good as before.
    await assert.rejects(
      manager.create({ name: 'x', displayName: 'x', binaryPath: 'x', startType: 'demand' }),
      (error) => isCode(error, 'PP_RPC_INTERFACE_UNKNOWN') && error.win32 === 1745,
    );
    assert.equal(await manager.open('ccmsetup'), undefined);
    await manager.close();
  }
});

test("Samba's registry answers our client: keys, texts, numbers, long values, lists", need('root', 'smbd', 'net'), async (t) => {
  const smbd = await startSmbd();
  t.after(() => smbd.stop());
  const key = 'HKLM\\SOFTWARE\\Microsoft\\SMS\\Mobile Client';
  const long = 'x'.repeat(3000);
  setValue(smbd, key, 'ProductVersion', 'sz', '2.50.4253.3000');
  setValue(smbd, key, 'Long', 'sz', long);
  setValue(smbd, key, 'Number', 'dword', '4711');
  setValue(smbd, `${key}\\Below`, 'Several', 'multi_sz', 'one', 'two');
  const open = await pipes(t, smbd);
  for (const size of sizes) {
    const registry = openRegistry(await open(winreg.WINREG, size));
    const client = await registry.key('HKLM', 'SOFTWARE\\Microsoft\\SMS\\Mobile Client');
    assert.ok(client);
    assert.equal(await client.string('ProductVersion'), '2.50.4253.3000');
    assert.equal(await client.string('Long'), long);
    assert.equal(await client.dword('Number'), 4711);
    assert.equal(await client.dword('Long'), undefined);
    assert.equal(await client.value('None'), undefined);
    assert.deepEqual(await client.subkeys(), ['Below']);
    const values = await client.values();
    assert.deepEqual(values.map((one) => one.name).sort(), ['Long', 'Number', 'ProductVersion']);
    assert.equal(values.find((one) => one.name === 'Long')?.data.length, 6002);
    await client.close();
    assert.equal(await registry.key('HKLM', 'SOFTWARE\\Nowhere'), undefined);
    const product = await registry.key('HKLM', 'SYSTEM\\CurrentControlSet\\Control\\ProductOptions');
    assert.equal(await product?.string('ProductType'), 'ServerNT');
  }
});

test(
  "Samba's server service answers our client: itself, its shares, its clock, its accounts",
  need('root', 'smbd'),
  async (t) => {
    const smbd = await startSmbd();
    t.after(() => smbd.stop());
    const open = await pipes(t, smbd);
    for (const size of sizes) {
      const rpc = await open(srvsvc.SRVSVC, size);
      const info = await serverInfo(rpc, smbd.address);
      assert.equal(info.name, smbd.host);
      assert.equal(info.platformId, 500);
      assert.equal(info.major, 6);
      assert.ok(info.type & srvsvc.ServerType.SERVER_NT);
      const share = await shareInfo(rpc, smbd.address, 'ADMIN$');
      assert.equal(share?.name, 'ADMIN$');
      assert.match(share?.path ?? '', /^C:\\tmp\\.*admin$/);
      assert.equal(await shareInfo(rpc, smbd.address, 'NONE'), undefined);
      const lsa = await open(lsarpc.LSARPC, size);
      assert.match((await lsarpc.accountSid(lsa, smbd.host, `${smbd.host}\\root`)) ?? '', /^S-1-5-21(?:-\d+){4}$/);
      assert.equal(await lsarpc.accountSid(lsa, smbd.host, `${smbd.host}\\nobody-here`), undefined);
      const difference = (await serverTime(rpc, smbd.address)).getTime() - systemClock.now().getTime();
      assert.ok(Math.abs(difference) < 5000, `${difference} ms`);
    }
  },
);

for (const encrypt of ['off', 'required'] as const) {
  const name = `our client installs a service through smbd (encryption ${encrypt}) on our RPC server`;
  test(name, need('root', 'smbd'), async (t) => {
    const lab = labRpc({ missing: ['winreg'] });
    const smbd = await startSmbd({ ownPipes: true, encrypt });
    t.after(() => smbd.stop());
    const { server } = lab;
    const stop = await serveNamedPipes({
      folder: smbd.pipes,
      pipes: server.names(),
      administrators: ['root'],
      open: (pipe, identity) => server.pipe(pipe, identity),
    });
    t.after(stop);
    const open = await pipes(t, smbd);
    const manager = await openServiceManager(await open(svcctl.SVCCTL));
    const service = await manager.create({
      name: 'ccmsetup',
      displayName: 'ccmsetup',
      binaryPath: '"C:\\Windows\\ccmsetup\\ccmsetup.exe" /runservice',
      startType: 'demand',
    });
    await service.start(['SMSSITECODE=P01', 'x'.repeat(20_000)]);
    assert.equal((await service.settled(systemClock, 10_000)).state, 'running');
    assert.deepEqual(lab.started[0]?.args, ['SMSSITECODE=P01', 'x'.repeat(20_000)]);
    await service.stop();
    const report = await service.settled(systemClock, 10_000);
    assert.deepEqual([report.state, report.win32ExitCode], ['stopped', 0]);
    await service.delete();
    await service.close();
    assert.equal(await manager.open('ccmsetup'), undefined);
    // A stopped RemoteRegistry is a pipe that is not there.
    await assert.rejects(open(winreg.WINREG), (error) => isCode(error, 'PP_SMB_NO_PIPE'));
    assert.deepEqual(lab.complaints, []);
  });
}
