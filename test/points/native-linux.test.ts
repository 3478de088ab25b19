import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ListenerTls } from '#wire/http';
import { Authority, selfMade } from '#test/certificate';
import { LinuxTarget } from '#test/linux-push';
import { need } from '#test/need';
import { BOOTSTRAP, TestSite } from '#test/points';

/** ccmsetup.sh and our management point in native mode: what it downloads with is judged by authority and revocation list. */

test(
  'in native mode ccmsetup.sh downloads with the certificate of the machine, and says what it lacks',
  need('curl', 'openssl'),
  async (t) => {
    const site = await TestSite.make(t);
    const authority = new Authority();
    const server = selfMade();
    const tls: ListenerTls = { ...server, clients: { ca: authority.cert, crl: authority.revoke([], new Date('2049-01-01')) } };
    const { url } = await site.managementPoint({ tls });
    await site.records.site.setPoint('mp', { address: url }, 'test');
    await site.records.site.updateSettings({ points: { mode: 'native' } }, 'test');
    const target = new LinuxTarget(t);
    const payload = { file: 'ccmsetup.exe', sha256: site.sha256, size: BOOTSTRAP.length, version: '1.0.0', command: 'true' };
    const push = (properties: string) =>
      void target.push([url], BOOTSTRAP, { certificatePins: [server.pin], payload, properties, registration: undefined });
    const limits = ['/retry:2', '/downloadtimeout:1'];

    push('');
    assert.equal(await target.run(limits), 6, target.log);
    assert.match(
      target.log,
      /answered 403: .*\r?\n.*wants a client certificate, and there is no .*pushpoint-client\/certificate\.pem/,
    );

    const { cert, key, serial } = authority.issue('linux.corp.example');
    const [certFile, keyFile] = [join(target.root, 'pc.pem'), join(target.root, 'pc.key')];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
    chmodSync(keyFile, 0o600);
    push(`CCMCERTFILE=${certFile} CCMKEYFILE=${keyFile}`);
    assert.equal(await target.run(limits), 0, target.log);

    // Both in one file, at the place that needs no word.
    const folder = join(target.root, 'var/lib/pushpoint-client');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'certificate.pem'), `${cert}${key}`, { mode: 0o600 });
    push('');
    assert.equal(await target.run([...limits, '/forceinstall']), 0, target.log);

    tls.clients = { ca: authority.cert, crl: authority.revoke([serial], new Date('2049-01-01')) };
    assert.equal(await target.run([...limits, '/forceinstall']), 6);
    for (const line of key.split('\n').slice(1, -2)) assert.ok(!target.log.includes(line));
  },
);
