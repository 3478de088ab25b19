import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { flushLogs } from '#base/log';
import { runSite } from '#executive';
import { Authority, selfMade } from '#test/certificate';
import { WholeSite } from '#test/whole-site';

test('one process has locator and fallback status point only, another the management point; each answers its own', async (t) => {
  const site = await new WholeSite().create();
  const few = await runSite({ data: site.data, roles: ['slp', 'fsp'], signals: false });
  const mp = await runSite({ data: site.data, roles: ['mp'], signals: false });
  t.after(async () => {
    await few.stop();
    await mp.stop();
    await site.close();
  });
  const status = async (url: string | undefined, path: string, body?: string) =>
    (await fetch(`${url}${path}`, body === undefined ? {} : { method: 'POST', body })).status;
  assert.deepEqual(
    [await status(few.ready.points, '/sms_slp/sites/P01'), await status(mp.ready.points, '/ccm_system/sites/P01')],
    [200, 200],
  );
  assert.deepEqual(
    [await status(few.ready.points, '/SMS_MP/.sms_aut?MPLIST'), await status(mp.ready.points, '/sms_slp/sites/P01')],
    [404, 404],
  );
  assert.equal(await status(few.ready.points, '/ccm_system/heartbeat', '{}'), 404);
  const answer = (await (await fetch(`${mp.ready.points}/ccm_system/sites/p01`)).json()) as { version?: string };
  assert.match(answer.version!, /^\d+\.\d+\.\d+/);
  const document = (await (await fetch(`${mp.ready.points}/ccm_system/openapi.json`)).json()) as { info: { version: string } };
  assert.equal(document.info.version, answer.version);
});

test('once a site is stopped no line of its log waits: its folder may be moved or taken away', async (t) => {
  const site = await new WholeSite().create();
  t.after(() => site.close());
  const running = await runSite({ data: site.data, signals: false });
  await running.stop();
  const log = join(site.data, 'logs', 'pushpoint.log');
  const { size } = statSync(log);
  flushLogs();
  assert.equal(statSync(log).size, size);
});

test('up takes authorities and revocation lists for native mode, and refuses files that are none', async (t) => {
  const site = await new WholeSite().create();
  const folder = join(site.folder, 'tls');
  mkdirSync(folder);
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const authority = new Authority();
  const { cert, key } = selfMade();
  const files = {
    listen: '127.0.0.1:0',
    certificateFile: write('mp.pem', cert),
    keyFile: write('mp.key', key),
    clientCaFile: write('ca.pem', authority.cert),
    clientCrlFile: write('ca.crl', authority.revoke([], new Date('2049-01-01'))),
  };
  const wrong = { ...files, clientCrlFile: write('no.crl', 'nothing') };
  for (const https of [wrong, { ...files, clientCaFile: wrong.clientCrlFile }, { ...files, clientCaFile: undefined }])
    await assert.rejects(runSite({ data: site.data, roles: ['mp'], https, signals: false }), (error: { code: string }) =>
      ['PP_CLI_FILE', 'PP_CLI_USAGE'].includes(error.code),
    );
  const mp = await runSite({ data: site.data, roles: ['mp', 'console'], https: files, signals: false });
  t.after(async () => {
    await mp.stop();
    await site.close();
  });
  const shown = await (await fetch(`${mp.ready.points}/SMS_MP/.sms_aut?MPCERT`)).text();
  assert.equal(shown, `<X509Certificate>${new X509Certificate(cert).raw.toString('hex').toUpperCase()}</X509Certificate>`);
  site.console = mp.ready.console!;
  await site.send('PUT', '/points/mp', { address: 'https://mp.corp.example:8443' });
  await site.send('PATCH', '/settings', { points: { mode: 'native' } });
  const ask = (shown: object) =>
    new Promise<number>((resolve, reject) => {
      const sent = request(
        `${mp.ready.pointsHttps}/SMS_MP/.sms_aut?MPLIST`,
        { rejectUnauthorized: false, agent: false, ...shown },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        },
      );
      sent.on('error', reject);
      sent.end();
    });
  assert.deepEqual(
    [await ask({}), await ask(authority.issue('PC1')), await ask(new Authority('x').issue('PC1'))],
    [403, 200, 403],
  );
  assert.equal((await fetch(`${mp.ready.points}/SMS_MP/.sms_aut?MPLIST`)).status, 403);
});
