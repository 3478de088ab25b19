import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from '#base/clock';
import { readMpList } from '#messages';
import { selfMade } from '#test/certificate';
import { TestSite, openFiles, sendRaw, until } from '#test/points';

test('who sends a head or a body octet by octet is cut off, and so is who stops reading', async (t) => {
  const site = await TestSite.make(t);
  const { port } = await site.managementPoint({ patience: { headMs: 200, requestMs: 400, idleMs: 600 } });
  const trickle = async (start: string, octet: string): Promise<{ ms: number; said: string }> => {
    const from = systemClock.monotonic();
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    let said = '';
    socket.on('data', (data) => (said += data.toString('latin1')));
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(start);
    // A reset is an end as well as any; `once` of node:events would take it for a failure.
    const closed = new Promise((resolve) => socket.once('close', resolve));
    while (!socket.destroyed && systemClock.monotonic() - from < 8000) {
      socket.write(octet);
      await systemClock.sleep(50);
    }
    await closed;
    return { ms: systemClock.monotonic() - from, said };
  };
  const head = await trickle('GET / HTTP/1.1\r\nX: ', 'a');
  assert.match(head.said, /^HTTP\/1\.1 408 /);
  const verb = await trickle('SMS_P', '');
  assert.match(verb.said, /^HTTP\/1\.1 408 /);
  const body = await trickle('POST /ccm_system/state HTTP/1.1\r\nHost: mp\r\nContent-Length: 100000\r\n\r\n', 'a');
  for (const { ms } of [head, verb, body]) assert.ok(ms < 4000, `cut off after ${ms} ms`);

  const big = Buffer.alloc(32 * 1024 * 1024);
  const stored = await site.parts.content.put(big);
  const [old] = await site.records.package.list();
  await site.records.package.add(old!.definition, [{ name: 'ccmsetup.exe', ...stored }], 'test');
  const reader = net.connect(port, '127.0.0.1');
  reader.on('error', () => {});
  reader.write('GET /CCM_Client/ccmsetup.exe HTTP/1.1\r\nHost: mp\r\n\r\n');
  await once(reader, 'data');
  reader.pause();
  await until(() => openFiles(site.folder) === 1);
  // Nobody reads, so the point gives up and closes the file too.
  await until(() => openFiles(site.folder) === 0);
  let length = 0;
  reader.on('data', (part) => (length += part.length)).resume();
  await once(reader, 'close');
  assert.ok(length < big.length);
});

test('large heads, many headers, a missing host and nonsense are refused without a defect', async (t) => {
  const site = await TestSite.make(t);
  const { port, url } = await site.managementPoint();
  const get = (more: string, target = '/SMS_MP/.sms_aut?MPLIST') => `GET ${target} HTTP/1.1\r\n${more}Connection: close\r\n\r\n`;
  assert.match(await sendRaw(port, [get(`Host: mp\r\nX: ${'a'.repeat(20_000)}\r\n`)]), /^HTTP\/1\.1 431 /);
  assert.match(await sendRaw(port, [get('Host: mp\r\n', `/${'a'.repeat(20_000)}`)]), /^HTTP\/1\.1 4(31|14|00) /);
  assert.match(await sendRaw(port, [get('')]), /^HTTP\/1\.1 400 /);
  assert.match(await sendRaw(port, ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03']), /^HTTP\/1\.1 400 /);
  assert.match(await sendRaw(port, [get('Host: a\r\nHost: b\r\n')]), /^HTTP\/1\.1 (200|400) /);
  assert.match(
    await sendRaw(port, [get('Host: evil.example:99\r\nX-Forwarded-Host: evil\r\n')]),
    /^HTTP\/1\.1 200 [^]*mp\.corp\.example/,
  );
  const long = await fetch(`${url}/ccm_system/state`, { method: 'POST', body: 'x'.repeat(300_000) });
  assert.equal(long.status, 413);
  assert.ok(!site.logged.join('').includes('request failed'));
});

test('every refusal is a problem with code, cause, remedy and the time of the site', async (t) => {
  const site = await TestSite.make(t);
  const { url } = await site.managementPoint();
  for (const [method, path, status] of [
    ['GET', '/nowhere', 404],
    ['DELETE', '/CCM_Client/ccmsetup.exe', 404],
    ['POST', '/ccm_system/heartbeat', 401],
    ['GET', '/SMS_MP/.sms_aut?NOTHING', 404],
    ['GET', '/CCM_Client/%zz', 404],
  ] as const) {
    const answer = await fetch(url + path, { method });
    assert.equal(answer.status, status, path);
    assert.match(answer.headers.get('content-type')!, /^application\/problem\+json/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    const problem = (await answer.json()) as Record<string, string>;
    assert.ok(problem['code']!.startsWith('PP_') && problem['cause'] && problem['remedy']);
    assert.ok(Math.abs(Date.parse(problem['serverTime']!) - systemClock.now().getTime()) < 60_000);
  }
});

test('what the parser of HTTP refuses is a problem as well: a verb that nobody has, TLS on a plain port, a long head, a slow one', async (t) => {
  const site = await TestSite.make(t);
  const { port } = await site.managementPoint({ patience: { headMs: 200 } });
  const { url } = await site.console();
  const get = (more: string) => `GET / HTTP/1.1\r\nHost: mp\r\n${more}\r\n`;
  for (const [octets, status, code] of [
    ['BREW / HTTP/1.1\r\nHost: mp\r\n\r\n', 400, 'PP_HTTP_UNREADABLE'],
    ['BREW / HTTP/1.1\r\nHost: mp\r\nContent-Length: 90000\r\n\r\n'.padEnd(90_000, 'x'), 400, 'PP_HTTP_UNREADABLE'],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'PP_HTTP_UNREADABLE'],
    ['GET / SPDY/3\r\n\r\n', 400, 'PP_HTTP_UNREADABLE'],
    [get('Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'), 400, 'PP_HTTP_UNREADABLE'],
    [get(`X: ${'{"event":"forged"}'.repeat(3000)}\r\n`), 431, 'PP_HTTP_HEAD'],
    ['GET / HTTP/1.1\r\nX: y', 408, 'PP_HTTP_SLOW'],
  ] as const)
    // The console is patient for longer.
    for (const at of status === 408 ? [port] : [port, Number(new URL(url).port)]) {
      const said = await sendRaw(at, [octets]);
      const [head, body] = said.split('\r\n\r\n');
      assert.match(head!, new RegExp(`^HTTP/1\\.1 ${status} `), `${octets.slice(0, 60)}: ${said}`);
      assert.match(head!, /^content-type: application\/problem\+json\r\n[^]*^connection: close/im);
      const problem = JSON.parse(body!) as Record<string, string>;
      assert.deepEqual([problem['code'], problem['status']], [code, status]);
      assert.ok(problem['detail'] && problem['cause'] && problem['remedy'] && Date.parse(problem['serverTime']!) > 0);
      assert.ok(!said.includes('forged'));
    }
  assert.ok(!site.logged.join('').includes('request failed'), site.logged.join(''));
});

test('a listener with as many connections as it holds tells the next ones when to come again, and the log what to do', async (t) => {
  const site = await TestSite.make(t);
  const { port, url } = await site.managementPoint({ connections: 4 });
  const open = Array.from({ length: 4 }, () => net.connect({ port, host: '127.0.0.1' }).on('error', () => {}));
  await Promise.all(open.map((socket) => once(socket, 'connect')));
  for (let n = 0; n < 3; n++) {
    const said = await sendRaw(port, []);
    assert.match(said, /^HTTP\/1\.1 503 [^]*retry-after: (1[5-9]|2\d)\r\n[^]*"code":"PP_HTTP_FULL"/i);
  }
  const told = site.logged.filter((line) => line.includes('more connections than this process holds'));
  assert.equal(told.length, 1, site.logged.join(''));
  assert.match(told[0]!, /ulimit -n[^]*"holds":4/);
  for (const socket of open) socket.destroy();
  // The places of those that went are free as soon as the listener hears of it.
  let status = 0;
  for (let tries = 0; tries < 1000 && status !== 200; tries++) {
    if (tries > 0) await systemClock.sleep(20);
    status = await fetch(`${url}/SMS_MP/.sms_aut?MPLIST`).then((answer) => answer.status);
  }
  assert.equal(status, 200);
});

test('a database that is gone is a 503 with Retry-After, and a defect tells nothing of its inside', async (t) => {
  const site = await TestSite.make(t);
  const broken = site.parts.database;
  const query = () => Promise.reject(Object.assign(new Error('secret inside'), { code: 'X' }));
  const { url } = await site.managementPoint({
    site: Object.assign(Object.create(site.records.site), { here: query, branch: query }) as never,
  });
  const defect = await fetch(`${url}/SMS_MP/.sms_aut?MPLIST`);
  assert.equal(defect.status, 500);
  const text = await defect.text();
  assert.match(text, /PP_DEFECT/);
  assert.ok(!text.includes('secret inside'));
  assert.match(site.logged.at(-1)!, /secret inside/);
  const closed = await site.managementPoint();
  await broken.close();
  const answer = await fetch(`${closed.url}/SMS_MP/.sms_aut?MPLIST`);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get('retry-after'), '30');
});

test('MPLIST and its kin name the management points of this site, and the certificate where there is one', async (t) => {
  const site = await TestSite.make(t);
  const certificate = selfMade();
  const { url } = await site.managementPoint();
  const secure = await site.managementPoint({ tls: certificate });
  await site.records.site.learn({ code: 'S01', kind: 'secondary', parent: 'P01' });
  await site.records.site.setPoint('mp', { address: 'http://far.example:8480', site: 'S01' }, 'test');
  const text = async (what: string) => (await fetch(`${url}/SMS_MP/.sms_aut?${what}`)).text();
  const one = { name: 'MP', fqdn: 'mp.corp.example', version: '0100', url: 'http://mp.corp.example:8480' };
  assert.deepEqual(readMpList(await text('MPLIST')), [one]);
  assert.deepEqual(readMpList(await text('mplist1')), [{ ...one, siteCode: 'P01' }]);
  assert.ok(!(await text('MPLIST')).includes('SiteCode'));
  const far = { name: 'FAR', fqdn: 'far.example', version: '0100', siteCode: 'S01', url: 'http://far.example:8480' };
  assert.deepEqual(readMpList(await text('MPLIST2&s01')), [far]);
  assert.deepEqual(readMpList(await text('MPLIST2')), [{ ...one, siteCode: 'P01' }]);
  assert.match(await text('MPLIST2&X99'), /PP_SITE_UNKNOWN/);
  assert.equal(
    await text('MPKEYINFORMATION'),
    '<MPKEYINFORMATION><FQDN>mp.corp.example</FQDN><SITECODE>P01</SITECODE></MPKEYINFORMATION>',
  );
  assert.equal((await fetch(`${url}/SMS_MP/.sms_aut?MPCERT`)).status, 404);
  await site.records.site.setPoint('mp', { on: false }, 'test');
  assert.deepEqual(readMpList(await text('MPLIST')), []);
  assert.equal(await text('MPKEYINFORMATION'), '<MPKEYINFORMATION><FQDN></FQDN><SITECODE>P01</SITECODE></MPKEYINFORMATION>');
  assert.ok(secure.url.startsWith('https://'));
});
