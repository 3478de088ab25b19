import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { ManualClock } from '#base/clock';
import { proving } from '#client/certificate';
import { clientFetch, hostFetch } from '#client/fetch';
import { layout } from '#client/host';
import { ClientLog } from '#client/log';
import { readProperties } from '#client/properties';
import { Authority, selfMade } from '#test/certificate';
import { Machine } from '#test/memory-host';

const authority = new Authority();

/** asking is a server that asks for a certificate and takes everybody; `shown` is whose it saw. */
async function asking(t: TestContext) {
  const certificate = selfMade();
  const shown: (string | undefined)[] = [];
  const server = createServer({ ...certificate, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    shown.push((request.socket as TLSSocket).getPeerX509Certificate()?.subject);
    response.end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    pin: certificate.pin,
    cert: certificate.cert,
    shown,
  };
}

/** furnished is a machine that proves itself by what the installation says. */
function furnished(properties = '') {
  const machine = new Machine();
  const plain = machine.program(layout.agentFile);
  const log = new ClientLog(plain, layout.agentLog, 'CcmExec');
  const host = proving(plain, readProperties(properties), log);
  return { machine, host, log, text: async () => (await log.flush(), machine.text(layout.agentLog) ?? '') };
}

for (const ask of [hostFetch, clientFetch])
  test(`${ask.name}: a certificate is shown to who asks, with a pin and without`, async (t) => {
    const server = await asking(t);
    const certificate = authority.issue('PC042');
    const before = getCACertificates('default');
    t.after(() => setDefaultCACertificates(before));
    setDefaultCACertificates([server.cert]);
    for (const init of [{ pins: [server.pin], certificate }, { certificate }, { pins: [server.pin] }, {}])
      assert.equal((await ask(server.url, { method: 'POST', body: new Uint8Array([1]), ...init })).status, 200);
    assert.deepEqual(server.shown, ['CN=PC042', 'CN=PC042', undefined, undefined]);
    await assert.rejects(ask(server.url, { pins: ['ab'.repeat(32)], certificate }), { code: 'PP_CLIENT_PIN' });
    assert.equal(server.shown.length, 4);
  });

test('certificate and key lie in the folder of the client, and a renewed one is shown with the next request', async (t) => {
  const server = await asking(t);
  const { machine, host, text } = furnished();
  const ask = async () => (await host.fetch(server.url, { pins: [server.pin] })).status;
  assert.equal(await ask(), 200);
  assert.match(host.unproven!()!, /there is no C:\\Windows\\CCM\\certificate\.pem/);
  assert.equal(await text(), '', 'nobody wanted one to be there');
  const secrets: string[] = [];
  for (const name of ['PC042', 'PC042 renewed']) {
    const { cert, key } = authority.issue(name);
    secrets.push(...key.split('\n').slice(1, -2));
    machine.put(layout.certificate, `${cert}${authority.cert}`);
    machine.put(layout.certificateKey, key);
    assert.deepEqual([await ask(), await ask(), host.unproven!()], [200, 200, undefined]);
  }
  machine.files.delete(layout.certificate.toLowerCase());
  assert.equal(await ask(), 200);
  assert.deepEqual(server.shown, [undefined, ...Array(2).fill('CN=PC042'), ...Array(2).fill('CN=PC042 renewed'), undefined]);
  const said = await text();
  assert.equal(said.match(/are shown that of CN=PC042, valid until 2049-01-01T/g)?.length, 1);
  assert.match(said, /No client certificate can be shown: there is no C:\\Windows\\CCM\\certificate\.pem/);
  for (const secret of secrets) assert.ok(!said.includes(secret));
});

test('CCMCERTFILE and CCMKEYFILE name other files, and one file may hold both', async (t) => {
  const server = await asking(t);
  const { cert, key } = authority.issue('PC042');
  const apart = furnished(String.raw`CCMCERTFILE="C:\Program Files\enrolled\pc.pem" CCMKEYFILE=D:\keys\pc.key`);
  apart.machine.put(String.raw`C:\Program Files\enrolled\pc.pem`, cert);
  apart.machine.put(String.raw`D:\keys\pc.key`, key);
  const together = furnished('CCMCERTFILE=/etc/ssl/private/pc.pem');
  together.machine.put('/etc/ssl/private/pc.pem', `${key}${cert}`);
  for (const { host } of [apart, together]) assert.equal((await host.fetch(server.url, { pins: [server.pin] })).status, 200);
  assert.deepEqual(server.shown, ['CN=PC042', 'CN=PC042']);
  assert.deepEqual(readProperties('CCMCERTFILE=pc.pem CCMKEYFILE=..\\pc.key'), readProperties(''), 'no whole paths');
});

test('what cannot be shown is not, the log says why in one line, and the request goes out without', async (t) => {
  const server = await asking(t);
  const { machine, host, text } = furnished();
  const good = authority.issue('PC042');
  const forServers = selfMade();
  const put = (cert: string, key: string) => {
    machine.put(layout.certificate, cert);
    machine.put(layout.certificateKey, key);
  };
  const cases: [cert: string, key: string, why: RegExp][] = [
    ['', good.key, /certificate\.pem holds no certificate in PEM/],
    ['-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', good.key, /holds a certificate that cannot be read/],
    [good.cert, '', /certificate\.key holds no private key in PEM/],
    [good.cert, good.key.replace(/\n.{8}/, '\nAAAAAAAA'), /certificate\.key holds a key that cannot be read/],
    [good.cert, authority.issue('PC043').key, /certificate\.key holds the key of another certificate/],
    ['x'.repeat(70_000), good.key, /certificate\.pem is longer than 65536 bytes/],
  ];
  const web = authority.issueFor('serverAuth', 'web');
  cases.push([web.cert, web.key, /certificate\.pem is not for client authentication/]);
  const old = authority.issue('old', new Date('2025-06-01'));
  cases.push([old.cert, old.key, /certificate\.pem has expired on 2025-06-01T00:00:00Z/]);
  for (const [cert, key, why] of cases) {
    put(cert, key);
    assert.equal((await host.fetch(server.url, { pins: [server.pin] })).status, 200);
    assert.match(host.unproven!()!, why);
    assert.match(await text(), why);
  }
  machine.unreadable.add(layout.certificate.toLowerCase());
  assert.equal((await host.fetch(server.url, { pins: [server.pin] })).status, 200);
  assert.match(await text(), /certificate\.pem cannot be read \(EIO\)/);
  assert.deepEqual(new Set(server.shown), new Set([undefined]));
  machine.unreadable.clear();
  // One that names no purpose is for all.
  put(forServers.cert, forServers.key);
  assert.equal((await host.fetch(server.url, { pins: [server.pin] })).status, 200);
  assert.equal(server.shown.at(-1), 'CN=Pushpoint test');
  assert.doesNotMatch(await text(), /PRIVATE KEY/);
});

test('one that expires, or begins, while the client runs', async (t) => {
  const server = await asking(t);
  const machine = new Machine(new ManualClock('2048-12-31T23:00:00Z'));
  const host = proving(machine.program(layout.agentFile), readProperties(''));
  const { cert, key } = authority.issue('PC042');
  machine.put(layout.certificate, `${cert}${key}`);
  const shows = async () => (await host.fetch(server.url, { pins: [server.pin] }), server.shown.at(-1) !== undefined);
  assert.equal(await shows(), true);
  await machine.clock.advance(2 * 3_600_000);
  assert.equal(await shows(), false);
  const early = new Machine(new ManualClock('2019-12-31T23:00:00Z'));
  const young = proving(early.program(layout.agentFile), readProperties(''));
  early.put(layout.certificate, `${cert}${key}`);
  await young.fetch(server.url, { pins: [server.pin] });
  assert.match(young.unproven!()!, /is not valid before 2020-01-01T00:00:00Z/);
});

test('over plain HTTP no file is read', async () => {
  const { machine, host } = furnished();
  machine.unreadable.add(layout.certificate.toLowerCase());
  await assert.rejects(host.fetch('http://127.0.0.1:1/'));
  assert.equal(host.unproven!(), undefined);
});
