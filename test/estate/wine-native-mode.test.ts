import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { test, type TestContext } from 'node:test';
import { Authority, selfMade } from '#test/certificate';
import { TestSite } from '#test/points';
import { testPoint, wineMachine } from '#test/wine-machine';
import { PAYLOAD, payloadOf, TAKEN } from '#test/wine-setup';

/** Native mode: the management point asks for a client certificate, and ccmsetup.exe shows the one of the machine. */

const { peers, wine, setup } = wineMachine('openssl');

/**
 * wholeKey makes a key of which no number begins with a zero octet: Wine 8 takes a shorter one out of a PFX as another number, and signs wrongly
 * then, with one key in twenty or so.
 */
function wholeKey(): string {
  for (;;) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { d, p, q, dp, dq, qi } = privateKey.export({ format: 'jwk' });
    const sizes = [d, p, q, dp, dq, qi].map((one) => Buffer.from(one!, 'base64url').length);
    if (sizes.join(' ') === '256 128 128 128 128 128') return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  }
}

/** enrol gives the machine a certificate of its own, as an enrolment by group policy does. */
async function enrol(name: string, usage: string): Promise<void> {
  const at = (file: string) => wine.path(file);
  const subject = ['-subj', `/CN=${name}`, '-addext', `extendedKeyUsage=${usage}`];
  writeFileSync(at('k.pem'), wholeKey());
  const made = spawnSync('openssl', ['req', '-x509', '-key', at('k.pem'), '-out', at('c.pem'), ...subject]);
  assert.equal(made.status, 0, String(made.stderr));
  const old = ['-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'PBE-SHA1-3DES', '-macalg', 'sha1'];
  const pfx = ['-export', '-inkey', at('k.pem'), '-in', at('c.pem'), '-out', at('c.pfx'), '-passout', 'pass:', ...old];
  const packed = spawnSync('openssl', ['pkcs12', ...pfx]);
  assert.equal(packed.status, 0, String(packed.stderr));
  const source = new URL('../support/import-pfx.c', import.meta.url).pathname;
  const built = spawnSync('x86_64-w64-mingw32-gcc', ['-O1', '-s', '-o', at('import.exe'), source, '-lcrypt32'], {
    encoding: 'utf8',
  });
  assert.equal(built.status, 0, built.stderr);
  assert.equal((await wine.run(String.raw`C:\import.exe`, String.raw`C:\c.pfx`)).code, 0);
}

/** nativeSite is a site whose management point wants a certificate of its authority; `attempt` lets ccmsetup try to download from it. */
async function nativeSite(t: TestContext) {
  const site = await TestSite.make(t);
  const authority = new Authority();
  const shown = selfMade();
  const tls = { ...shown, clients: { ca: authority.cert, crl: authority.revoke([], new Date('2049-01-01')) } };
  const { url } = await site.managementPoint({ tls });
  await site.records.site.setPoint('mp', { address: 'https://mp.corp.example:8443' }, 'test');
  await site.records.site.updateSettings({ points: { mode: 'native' } }, 'test');
  const fsp = await testPoint(t);
  const attempt = async () => {
    const config = { managementPoints: [url], payload: payloadOf(PAYLOAD), fallbackStatusPoint: fsp.url };
    setup.lay({ ...config, certificatePins: [shown.pin] });
    assert.equal(await setup.byHand('/retry:1', '/downloadtimeout:1'), 6);
    const { stateId, exitCode, detail } = fsp.states.at(-1)!;
    assert.equal(exitCode, 6);
    return [stateId, detail!] as const;
  };
  return { site, attempt };
}

test(
  'a site in native mode and a machine without a certificate: state 315; without the file it is still 308',
  peers,
  async (t) => {
    const { site, attempt } = await nativeSite(t);
    const [state, detail] = await attempt();
    assert.equal(state, 315);
    assert.match(detail, /for want of a client certificate: .* wants a client certificate: .*none was shown/);
    await site.records.site.updateSettings({ points: { mode: 'mixed' } }, 'test');
    assert.equal((await attempt())[0], 308);
  },
);

test('a client certificate of the machine is shown to a point that asks for one; one for servers is not', peers, async (t) => {
  const tls = selfMade();
  const shown: (string | undefined)[] = [];
  const server = createServer(
    { key: tls.key, cert: tls.cert, requestCert: true, rejectUnauthorized: false },
    (request, answer) => {
      const name = (request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined;
      shown.push(name);
      if (name === undefined) answer.writeHead(403).end();
      else answer.writeHead(200, { 'content-length': PAYLOAD.length }).end(PAYLOAD);
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const lay = () => setup.lay({ managementPoints: [url], payload: payloadOf(PAYLOAD), certificatePins: [tls.pin] });
  await enrol('a-server.corp.example', 'serverAuth');
  lay();
  assert.equal(await setup.byHand('/retry:1', '/downloadtimeout:1'), 6);
  setup.told(/answered 403/);
  assert.deepEqual(shown, [undefined]);
  await enrol('pc042.corp.example', 'clientAuth');
  lay();
  assert.equal(await setup.byHand('/retry:1', '/downloadtimeout:1'), 0, setup.lines().join('\n'));
  assert.deepEqual(shown, [undefined, 'pc042.corp.example']);
  assert.deepEqual(readFileSync(wine.path(TAKEN)), PAYLOAD);
});
