import assert from 'node:assert/strict';
import { Agent, request } from 'node:https';
import { test, type TestContext } from 'node:test';
import { isCode } from '#base/errors';
import { revocationLists, type ListenerTls } from '#wire/http';
import { Authority, selfMade } from '#test/certificate';
import { fuzzCount, fuzzSeed, mutated, Numbers } from '#test/fuzz';
import { manual, TestSite } from '#test/points';

const FAR = new Date('2049-01-01');

async function nativeSite(t: TestContext, crl: (authority: Authority) => string = (a) => a.revoke([], FAR)) {
  const clock = manual();
  const site = await TestSite.make(t, clock);
  const authority = new Authority();
  const tls: ListenerTls = { ...selfMade(), clients: { ca: authority.cert, crl: crl(authority) } };
  const secure = await site.managementPoint({ tls });
  const plain = await site.managementPoint();
  await site.records.site.setPoint('mp', { address: 'https://mp.corp.example:8443' }, 'test');
  await site.records.site.updateSettings({ points: { mode: 'native' } }, 'test');
  return { site, clock, authority, tls, secure, plain };
}

interface Said {
  status: number;
  code: string | undefined;
  text: string;
}

/** asker asks with a certificate over a kept connection. */
function asker(t: TestContext, url: string, shown: { cert?: string; key?: string } = {}) {
  const agent = new Agent({ rejectUnauthorized: false, keepAlive: true, maxSockets: 1, ...shown });
  t.after(() => agent.destroy());
  return (path: string) =>
    new Promise<Said>((resolve, reject) => {
      const sent = request(`${url}${path}`, { agent }, (answer) => {
        let text = '';
        answer.on('data', (part: Buffer) => (text += part.toString('latin1')));
        answer.on('end', () => {
          const json = /json/.test(answer.headers['content-type'] ?? '') ? (JSON.parse(text) as { code?: string }) : {};
          resolve({ status: answer.statusCode ?? 0, code: json.code, text });
        });
      });
      sent.on('error', reject);
      sent.end();
    });
}

test('in native mode HTTP is refused in plain words, and HTTPS without a certificate or with a wrong one too', async (t) => {
  const { authority, secure, plain } = await nativeSite(t);
  const over = await fetch(`${plain.url}/CCM_Client/ccmsetup.exe`);
  assert.equal(over.status, 403);
  assert.equal(((await over.json()) as { code: string }).code, 'PP_MP_NATIVE');
  for (const [shown, why] of [
    [{}, /none was shown/],
    [new Authority('somebody else').issue('PC1'), /not from an authority/],
    [authority.issue('PC2', new Date('2024-01-01')), /has expired/],
  ] as const) {
    const said = await asker(t, secure.url, shown)('/SMS_MP/.sms_aut?MPLIST');
    assert.deepEqual([said.status, said.code], [403, 'PP_MP_CERTIFICATE']);
    assert.match(said.text, why);
  }
  const good = asker(t, secure.url, authority.issue('PC3'));
  for (const path of ['/SMS_MP/.sms_aut?MPLIST', '/CCM_Client/ccmsetup.exe', '/SMS_MP/.sms_aut?MPCERT'])
    assert.equal((await good(path)).status, 200, path);
});

test('locator and fallback status point stay open to those that have no certificate yet', async (t) => {
  const { site, plain } = await nativeSite(t);
  await site.records.boundary.add(['subnet:10.0.0.0/8'], { by: 'test' });
  for (const path of ['/sms_slp/location?address=10.1.2.3', '/ccm_system/sites/P01']) {
    const answer = await fetch(`${plain.url}${path}`);
    assert.deepEqual(((await answer.json()) as { managementPoints: string[] }).managementPoints, [
      'https://mp.corp.example:8443',
    ]);
  }
  assert.equal((await fetch(`${plain.url}/sms_fsp/state`, { method: 'POST', body: '{}' })).status, 404);
});

test('a client that is revoked while it keeps its connection is out with its next request', async (t) => {
  const { authority, tls, secure } = await nativeSite(t);
  const [one, two] = [authority.issue('PC1'), authority.issue('PC2')];
  const [first, second] = [asker(t, secure.url, one), asker(t, secure.url, two)];
  assert.deepEqual(
    [(await first('/SMS_MP/.sms_aut?MPLIST')).status, (await second('/SMS_MP/.sms_aut?MPLIST')).status],
    [200, 200],
  );
  tls.clients = { ca: authority.cert, crl: authority.revoke([one.serial], FAR) };
  const said = await first('/SMS_MP/.sms_aut?MPLIST');
  assert.deepEqual([said.status, said.code], [403, 'PP_MP_CERTIFICATE']);
  assert.match(said.text, /it was revoked/);
  assert.equal((await second('/SMS_MP/.sms_aut?MPLIST')).status, 200);
});

test('who was revoked before is refused in the handshake of OpenSSL already, by the list that was there at the start', async (t) => {
  const { authority, secure } = await nativeSite(t, (a) => a.revoke([0x10], FAR));
  const said = await asker(t, secure.url, authority.issue('PC1'))('/SMS_MP/.sms_aut?MPLIST');
  assert.deepEqual([said.status, said.code], [403, 'PP_MP_CERTIFICATE']);
  assert.equal((await asker(t, secure.url, authority.issue('PC2'))('/SMS_MP/.sms_aut?MPLIST')).status, 200);
});

test('a revocation list that has expired is a clear 503, for new connections and for kept ones', async (t) => {
  const old = await nativeSite(t, (a) => a.revoke([], new Date('2021-01-01')));
  const said = await asker(t, old.secure.url, old.authority.issue('PC1'))('/SMS_MP/.sms_aut?MPLIST');
  assert.deepEqual([said.status, said.code], [503, 'PP_MP_CRL_EXPIRED']);
  assert.match(said.text, /2021-01-01/);

  const until = new Date(Date.now() + 3_600_000);
  const kept = await nativeSite(t, (a) => a.revoke([], until));
  const ask = asker(t, kept.secure.url, kept.authority.issue('PC1'));
  assert.equal((await ask('/SMS_MP/.sms_aut?MPLIST')).status, 200);
  await kept.clock.advance(2 * 3_600_000);
  assert.equal((await ask('/SMS_MP/.sms_aut?MPLIST')).code, 'PP_MP_CRL_EXPIRED');
  kept.tls.clients = { ca: kept.authority.cert, crl: kept.authority.revoke([], FAR) };
  assert.equal((await ask('/SMS_MP/.sms_aut?MPLIST')).status, 200);
});

test('a revocation list of any octets is read or refused, and never anything else', () => {
  const seed = fuzzSeed();
  const numbers = new Numbers(seed);
  const authority = new Authority();
  const der = [[], [0x10], [0x10, 0x11, 0x12]].map((serials) =>
    Buffer.from(authority.revoke(serials, FAR).replace(/-----[^-]+-----|\s/g, ''), 'base64'),
  );
  const [list] = revocationLists(authority.revoke([0x10, 0x7f], FAR));
  assert.deepEqual([[...list!.serials], list!.until], [['10', '7f'], FAR]);
  for (let i = 0; i < fuzzCount(2000); i++) {
    const octets = Buffer.from(mutated(numbers.pick(der), numbers, der));
    const pem = `-----BEGIN X509 CRL-----\n${octets.toString('base64')}\n-----END X509 CRL-----\n`;
    try {
      revocationLists(pem);
    } catch (error) {
      assert.ok(isCode(error, 'PP_TLS_MALFORMED'), `seed ${seed}: ${String(error)} ${octets.toString('hex')}`);
    }
  }
});

test('a site does not become native while it tells clients an http address, and a native one takes none', async (t) => {
  const site = await TestSite.make(t);
  await assert.rejects(site.records.site.updateSettings({ points: { mode: 'native' } }, 'test'), { code: 'PP_SITE_SETTING' });
  await site.records.site.setPoint('mp', { address: 'https://mp.corp.example:8443' }, 'test');
  await site.records.site.updateSettings({ points: { mode: 'native' } }, 'test');
  await assert.rejects(site.records.site.setPoint('mp', { address: 'http://mp.corp.example' }, 'test'), {
    code: 'PP_SITE_POINT_ADDRESS',
    message: /http:\/\/mp.corp.example .*native mode.* https only/,
  });
  await site.records.site.updateSettings({ points: { mode: 'mixed' } }, 'test');
  await site.records.site.setPoint('mp', { address: 'http://mp.corp.example' }, 'test');
});
