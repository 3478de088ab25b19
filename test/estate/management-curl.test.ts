import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { BOOTSTRAP, TestSite, manual } from '#test/points';
import { need } from '#test/need';

const run = promisify(execFile);

for (const kind of ['http', 'https'] as const) {
  test(
    `the request of D2 by curl over ${kind}, and the client files on the same connection`,
    need('curl', 'openssl'),
    async (t) => {
      const site = await TestSite.make(t, manual());
      await site.know('PC042');
      const cert = path.join(site.folder, 'cert.pem');
      const key = path.join(site.folder, 'key.pem');
      const subject = ['-subj', '/CN=mp.corp.example', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
      const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
      await run('openssl', [...request, ...subject, '-keyout', key, '-out', cert]);
      const tls = kind === 'https' ? { cert: await readFile(cert), key: await readFile(key) } : undefined;
      const { url } = await site.managementPoint(tls ? { tls } : {});
      const curl = async (...args: string[]) => {
        const common = ['-sS', '--cacert', cert, '--max-time', '20', '-w', '\n%{http_code} %{num_connects}\n'];
        const { stdout } = await run('curl', [...common, ...args], { maxBuffer: 10_000_000 });
        return stdout;
      };
      const asked = await curl('-X', 'SMS_POST', `${url}/sms_mp/machine.ccr?mn=PC042&dn=CORP&fkey=True`);
      assert.equal(asked, 'CCR made\r\n\n200 1\n');
      const [ccr] = await site.records.ccr.find('PC042');
      assert.deepEqual([ccr!.forced, ccr!.source, ccr!.state], [true, 'sms_post', 'queued']);
      assert.match(
        await curl('-X', 'SMS_POST', `${url}/sms_mp/machine.ccr?mn=STRANGER&dn=CORP&fkey=True`),
        /PP_MP_NOT_HERE[^]*\n404 1\n$/,
      );
      assert.match(
        await curl('-X', 'SMS_POST', '-d', 'x=1', `${url}/sms_mp/machine.ccr?mn=a%40b`),
        /PP_REQUEST_NAME[^]*\n400 1\n$/,
      );

      const next = ['--next', '-sS', '--cacert', cert, '-w', '\n%{http_code} %{num_connects}\n'];
      const smsPost = ['-X', 'SMS_POST', `${url}/sms_mp/machine.ccr?mn=PC042&fkey=Falsch`];
      const requests = [[`${url}/SMS_MP/.sms_aut?MPLIST1`], next, smsPost, next, ['-I', `${url}/CCM_Client/ccmsetup.exe`]];
      const one = await curl(...requests.flat());
      assert.match(
        one,
        /SiteCode="P01"[^]*\n200 1\nCCR made\r\n\n200 0\nHTTP\/1\.1 200 OK[^]*content-length: 100000[^]*\n200 0\n$/,
      );
      assert.equal((await site.records.ccr.find('PC042'))[0]!.requestCount, 2);

      const file = path.join(site.folder, 'got');
      assert.match(await curl('-o', file, '-r', '0-49999', `${url}/CCM_Client/ccmsetup.exe`), /206/);
      assert.match(await curl('-o', file, '-C', '-', `${url}/CCM_Client/ccmsetup.exe`), /206/);
      assert.ok((await readFile(file)).equals(BOOTSTRAP), 'a download that was cut is resumed');
      assert.match(await curl('-H', `If-None-Match: "${site.sha256}"`, `${url}/CCM_Client/ccmsetup.exe`), /^\n304 /);
      const answer = await curl(`${url}/SMS_MP/.sms_aut?MPCERT`);
      if (!tls) return assert.match(answer, /404 1\n$/);
      const { stdout: der } = await run('openssl', ['x509', '-in', cert, '-outform', 'der'], { encoding: 'buffer' });
      const shown = Buffer.from(/<X509Certificate>([0-9A-F]+)</.exec(answer)![1]!, 'hex');
      assert.equal(createHash('sha256').update(shown).digest('hex'), createHash('sha256').update(der).digest('hex'));
      await assert.rejects(run('curl', ['-sS', '--max-time', '5', '--tls-max', '1.1', '-k', url]), 'nothing older than TLS 1.2');
      await assert.rejects(
        run('curl', ['-sS', '--max-time', '5', url.replace('https', 'http')]),
        'no plain HTTP on the TLS port',
      );
      assert.match(await curl('--http2', `${url}/SMS_MP/.sms_aut?MPLIST`), /<MPList>[^]*200 1\n$/);
    },
  );
}
