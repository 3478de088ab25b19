import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { buildNative, windowsPackage } from '#client/native';
import { makeFolders } from '#lab/disk';
import { LabHost } from '#lab/host';
import { serveNamedPipes } from '#lab/rpc';
import { need } from '#test/need';
import { startSmbd, type Smbd } from '#test/smbd';
import { brief, WholeSite, type Shown } from '#test/whole-site';
import { Wine } from '#test/wine';

/**
 * The whole push with nothing of ours on the target but what is pushed: Samba carries logon and files into the drive of a machine of Wine,
 * its service manager is Wine's own, and what it starts is ccmsetup.exe, msiexec and CcmExec.exe.
 */

const peers = need('smbd', 'root', 'wine64', 'x86_64-w64-mingw32-gcc', 'wixl');
const PASSWORD = 'Lab-Only-7!';
const SETUP_LOG = 'windows/ccmsetup/logs/ccmsetup.log';

let wine: Wine;
let site: WholeSite;
let smbd: Smbd;
const ends: (() => unknown)[] = [];

before(async () => {
  if (peers.skip !== undefined) return;
  // A build holds this process up, and so the connections that the site has by then.
  for (const version of ['0.1.0', '0.2.0']) buildNative(version);
  wine = await new Wine().start();
  ends.push(() => wine.stop());
  site = new WholeSite();
  ends.push(() => site.close());
  await (await site.create()).run();
  await site.prepare({
    csv: 'name,domain,fqdn,ip,smbPort\r\n',
    account: { username: '%machinename%\\Administrator', password: PASSWORD },
  });
  smbd = await startSmbd({ ownPipes: true, admin: wine.path('windows'), name: wine.name });
  ends.push(() => smbd.stop());
  const port = await wine.serviceManager();
  // Wine has no remote registry and no server service: those two are answered by a lab machine.
  const folder = mkdtempSync(join(tmpdir(), 'pph-'));
  ends.push(() => rmSync(folder, { recursive: true, force: true }));
  const beside = new LabHost({
    name: wine.name,
    profile: 'windows-10',
    folder,
    clock: systemClock,
    random: systemRandom,
    switches: { remoteRegistry: 'running' },
  });
  ends.push(() => beside.machine.stop());
  await makeFolders(beside.machine.disk, ['Windows']);
  ends.push(
    await serveNamedPipes({
      folder: smbd.pipes,
      pipes: ['svcctl', 'winreg', 'srvsvc'],
      administrators: ['root'],
      open: (pipe, identity) => (pipe === 'svcctl' ? new PassedOn(port) : beside.machine.rpc.pipe(pipe, identity)),
    }),
  );
  const fqdn = `${hostname().split('.')[0]}.lab.example`;
  await site.importCsv(`name,domain,fqdn,ip,smbPort\r\n${smbd.host},,${fqdn},${smbd.address},${smbd.port}\r\n`);
});

after(async () => {
  for (const end of ends.reverse()) await end();
});

/** PassedOn is one pipe of the service manager, on the other side of the relay. */
class PassedOn {
  readonly #socket: Socket;
  #waiting = Buffer.alloc(0);
  #arrived: () => void = () => {};
  #ended = false;

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (data) => {
      this.#waiting = Buffer.concat([this.#waiting, data]);
      this.#arrived();
    });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.#ended = true;
      this.#arrived();
    });
  }

  async take(message: Uint8Array): Promise<Uint8Array[]> {
    this.#socket.write(message);
    if ((message[3]! & 2) === 0) return [];
    const answers: Uint8Array[] = [];
    for (;;) {
      while (this.#waiting.length < 16 || this.#waiting.length < this.#waiting.readUInt16LE(8)) {
        if (this.#ended) throw new Error('the service manager has gone');
        await new Promise<void>((resolve) => (this.#arrived = resolve));
      }
      const length = this.#waiting.readUInt16LE(8);
      const answer = Uint8Array.from(this.#waiting.subarray(0, length));
      this.#waiting = this.#waiting.subarray(length);
      answers.push(answer);
      if (answer[3]! & 2) return answers;
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function addPackage(version: string): Promise<void> {
  const { definition, files } = windowsPackage(version);
  const stored = [];
  for (const { name, bytes } of files) {
    const { body } = await site.call<object>('POST', '/content', Buffer.from(bytes), 'application/octet-stream');
    stored.push({ ...body, name });
  }
  await site.send('POST', '/packages', { definition: { ...definition, default: true }, files: stored });
}

async function verdict(): Promise<Shown> {
  let last: Shown | undefined;
  await wine.eventually('a verdict', async () => {
    last = await site.show(wine.name);
    return ['complete', 'skipped', 'failed', 'retry', 'waiting'].includes(last.state);
  });
  return last!;
}

test('the whole push: smbd, service control, ccmsetup.exe, our management point, MSI, CcmExec, reported in', peers, async () => {
  await addPackage('0.1.0');
  await site.push(wine.name, { force: true });
  const done = await verdict();
  assert.equal(done.state, 'complete', `${JSON.stringify(done.steps, undefined, 1)}\n${wine.text(SETUP_LOG)}`);
  assert.match(brief(done.steps), /probe logon admin-share inspect lock decide copy start release verify/);
  assert.match(done.proof!, /reported in/);
  await wine.eventually('ccmsetup to take its service away', async () => (await wine.service('ccmsetup')) === undefined);
  assert.match(wine.text(SETUP_LOG), /exiting with return code 0/);
  assert.equal((await wine.service('CcmExec'))?.state, 'running');
  const client = await site.get<{ items: { name: string; approval: string; version: string }[] }>('/clients');
  assert.deepEqual(
    client.items.map(({ name, approval, version }) => [name, approval, version]),
    [[wine.name, 'approved', '0.1.0']],
  );
  assert.ok(!existsInTcf(), 'no token stays on the machine');
});

function existsInTcf(): boolean {
  return (
    /^Token=/m.test(readFileSync(wine.path('windows/ccmsetup/mobileclient.tcf'), 'utf8')) ||
    wine.has('windows/CCM/registration.token')
  );
}

const agentLog = () => wine.text('windows/CCM/logs/CcmExec.log') + wine.text('windows/CCM/logs/PolicyAgent.log');

async function shownClient(): Promise<{ version: string; guid: string }> {
  const { items } = await site.get<{ items: { version: string; guid: string }[] }>('/clients');
  assert.equal(items.length, 1);
  return items[0]!;
}

async function policy(kind: string, more: object = {}): Promise<() => Promise<{ counts: { done?: number } }>> {
  const { id } = await site.send<{ id: number }>('POST', '/policies', { kind, clients: [wine.name], ...more });
  // A client asks each hour, and when it starts.
  await wine.run('net.exe', 'stop', 'CcmExec');
  await wine.run('net.exe', 'start', 'CcmExec');
  return () => site.get(`/policies/${id}`);
}

test('upgraded by policy: the agent knows that its site asks, and lets ccmsetup do it', peers, async () => {
  const before = await shownClient();
  await addPackage('0.2.0');
  const state = await policy('upgrade', { package: 'pushpoint-client' });
  await wine
    .eventually('the new version at the site', async () => (await shownClient()).version === '0.2.0')
    .catch((cause: unknown) => {
      throw new Error(agentLog(), { cause });
    });
  assert.equal((await shownClient()).guid, before.guid, 'the same client');
  assert.match(agentLog(), /The policy asks to upgrade to 0\.2\.0/);
  await wine.eventually('ccmsetup to take its service away', async () => (await wine.service('ccmsetup')) === undefined);
  assert.match(wine.text(SETUP_LOG), /Hash of client\.msi is right[\s\S]*exiting with return code 0/);
  await wine.eventually('the policy to be done', async () => (await state()).counts.done === 1);
});

test('a policy that nothing proves is not done', peers, async () => {
  const key = readFileSync(wine.path('windows/CCM/site.key'));
  wine.remove('windows/CCM/site.key');
  await policy('uninstall');
  await wine.eventually('the refusal', () =>
    /asks to uninstall this client, and nothing proves that it comes from the site/.test(agentLog()),
  );
  assert.equal((await wine.service('CcmExec'))?.state, 'running');
  assert.equal(await wine.service('ccmsetup'), undefined);
  wine.put('windows/CCM/site.key', key);
});

test('uninstalled by policy: it says farewell, and nothing runs any more', peers, async () => {
  const state = await policy('uninstall');
  await wine
    .eventually('the agent to be gone', async () => (await wine.service('CcmExec')) === undefined)
    .catch((cause: unknown) => {
      throw new Error(agentLog(), { cause });
    });
  await wine.eventually('ccmsetup to take itself away', () => !wine.has('windows/ccmsetup'));
  assert.ok(!wine.has('windows/CCM') && !wine.has('windows/SMSCFG.INI'));
  assert.equal(await wine.service('ccmsetup'), undefined);
  await wine.eventually('the policy to be done', async () => (await state()).counts.done === 1);
});
