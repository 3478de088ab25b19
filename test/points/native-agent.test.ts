import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { main } from '#client/agent';
import { layout } from '#client/host';
import { writeMobileClient, type MobileClient } from '#messages';
import type { ListenerTls } from '#wire/http';
import { furnish, lives, service, statusOf } from '#test/agent-run';
import { Authority, selfMade } from '#test/certificate';
import { live, Machine } from '#test/memory-host';
import { manual, TestSite } from '#test/points';
import { scratch } from '#test/scratch';
import { posixHost } from '#client/machine';

/** The agent in TypeScript and our management point in native mode, which judges its certificate by authority and revocation list. */

const FAR = new Date('2049-01-01');
type AgentStatus = NonNullable<Awaited<ReturnType<typeof statusOf>>>;
const forever = new Promise<never>(() => {});

async function nativeSite(t: TestContext) {
  const site = await TestSite.make(t);
  await site.records.site.runs('0.1.0');
  const authority = new Authority();
  const server = selfMade();
  const tls: ListenerTls = { ...server, clients: { ca: authority.cert, crl: authority.revoke([], FAR) } };
  const { url } = await site.managementPoint({ tls });
  await site.records.site.setPoint('mp', { address: url }, 'test');
  await site.records.site.updateSettings({ points: { mode: 'native' } }, 'test');
  return { site, authority, tls, url, pin: server.pin };
}

test('in native mode the agent registers and is heard with its certificate, and is refused without, and once it is revoked', async (t) => {
  const { site, authority, tls, url, pin } = await nativeSite(t);
  const machine = new Machine(manual());
  furnish(machine, [url], { token: false, change: { certificatePins: [pin] } });
  const log = () => `${machine.text(layout.agentLog)}${machine.text(layout.policyLog)}`;
  const told = () => JSON.parse(machine.text(layout.status) ?? '{}') as Partial<AgentStatus>;
  const known = async () => (await site.records.client.byName(machine.name))[0];

  await lives(machine, () => /wants a client certificate/.test(log()));
  assert.match(log(), /none was shown; there is no C:\\Windows\\CCM\\certificate\.pem/);
  assert.match((await statusOf(machine))?.lastError ?? '', /wants a client certificate: .*none was shown/);
  assert.equal(await known(), undefined);

  const first = authority.issue('pc042.corp.example');
  machine.put(layout.certificate, first.cert);
  machine.put(layout.certificateKey, first.key);
  await lives(machine, () => told().state === 'registered');
  const registered = (await known())!.lastSeenAt;
  await lives(machine, () => told().lastHeartbeatAt !== undefined);
  assert.ok((await known())!.lastSeenAt > registered, 'the heartbeat was heard');
  assert.equal((await known())?.approval, 'pending');

  // While it runs: revoked, and then given another one.
  tls.clients = { ca: authority.cert, crl: authority.revoke([first.serial], FAR) };
  const stop = await service(machine, () => /it was revoked/.test(log()));
  const second = authority.issue('pc042.corp.example');
  machine.put(layout.certificate, second.cert);
  machine.put(layout.certificateKey, second.key);
  const before = told().lastPolicyAt;
  await live(machine, forever, () => told().lastPolicyAt !== before);
  assert.equal(await stop(), 0);
  for (const { key } of [first, second])
    for (const line of key.split('\n').slice(1, -2))
      for (const [path, file] of machine.files)
        assert.ok(path === layout.certificateKey.toLowerCase() || !Buffer.from(file.bytes).includes(line), path);
});

test('on Linux, from the files that CCMCERTFILE and CCMKEYFILE name', async (t) => {
  const { site, authority, url, pin } = await nativeSite(t);
  const root = mkdtempSync(join(scratch, 'pushpoint-native-'));
  t.after(() => rmSync(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));
  const file = (name: string) => join(root, name);
  const read = (path: string) => {
    try {
      return readFileSync(join(root, path), 'utf8');
    } catch {
      return '';
    }
  };
  const config: MobileClient = {
    properties: `CCMCERTFILE=${file('pc.pem')} CCMKEYFILE=${file('pc.key')}`,
    site: 'P01',
    managementPoints: [url],
    payload: { file: 'CcmExec.mjs', sha256: 'ab'.repeat(32), size: 1, version: '1.0.0' },
    certificatePins: [pin],
  };
  mkdirSync(join(root, 'var/lib/pushpoint-client'), { recursive: true });
  writeFileSync(join(root, 'var/lib/pushpoint-client/mobileclient.tcf'), writeMobileClient(config));
  /** runs lets the agent run until its files say what is wanted, half a minute at most. */
  const runs = async (says: () => boolean) => {
    const stop = new AbortController();
    let ended: number | undefined;
    const running = main(posixHost(stop.signal, root), []).then((code) => (ended = code));
    let hasSaid = false;
    const since = systemClock.monotonic();
    while (!hasSaid && ended === undefined && systemClock.monotonic() - since < 30_000) {
      await systemClock.sleep(20);
      hasSaid = says();
    }
    stop.abort();
    assert.equal(await running, 0, read('var/log/pushpoint-client/CcmExec.log'));
    assert.ok(hasSaid, read('var/log/pushpoint-client/CcmExec.log'));
  };
  await runs(() => /none was shown; there is no \/.*pc\.pem/.test(read('var/log/pushpoint-client/CcmExec.log')));
  const { cert, key } = authority.issue('linux.corp.example');
  writeFileSync(file('pc.pem'), cert);
  writeFileSync(file('pc.key'), key);
  chmodSync(file('pc.key'), 0o600);
  await runs(() => /"state": "registered"/.test(read('var/lib/pushpoint-client/status.json')));
  const name = hostname()
    .split('.')[0]!
    .replace(/[^A-Za-z0-9_-]/g, '-')
    .slice(0, 63);
  assert.equal((await site.records.client.byName(name))[0]?.approval, 'pending');
  assert.match(read('var/log/pushpoint-client/CcmExec.log'), /are shown that of CN=linux\.corp\.example/);
});
