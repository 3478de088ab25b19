import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '#base/clock';
import { sendRaw, TestSite } from '#test/points';

/** What strangers may send to the points: bodies that grow, end early or are two requests, and words that want to be log lines. */

const mebi = (octets: number) => Math.round(octets / 2 ** 20);
/** A hundred mebibytes of nothing in a hundred kibibytes. */
const BOMB = gzipSync(Buffer.alloc(100 << 20));

test('a body that says it is compressed is never opened', async (t) => {
  const site = await TestSite.make(t);
  const mp = await site.managementPoint();
  const { call } = await site.console();
  const before = process.memoryUsage();
  for (const coding of ['gzip', 'deflate', 'br', 'zstd']) {
    const headers = { 'content-encoding': coding, 'content-type': 'application/json' };
    const state = await fetch(`${mp.url}/ccm_system/state`, { method: 'POST', headers, body: BOMB });
    assert.ok(state.status >= 400 && state.status < 500, `${coding}: ${state.status}`);
    const api = await call('POST', '/devices/import', BOMB, { ...headers, 'content-type': 'text/csv' });
    assert.ok(api.status >= 400 && api.status < 500, `${coding}: ${api.status} ${api.text}`);
  }
  const grown = process.memoryUsage();
  assert.ok(mebi(grown.rss - before.rss) < 80, `${mebi(grown.rss - before.rss)} MiB`);
  assert.ok(!site.logged.join('').includes('request failed'), site.logged.join(''));
});

test('a body that ends early, and a peer that goes away in the middle of it, do nothing and are no defect', async (t) => {
  const site = await TestSite.make(t);
  await site.know('PC042');
  const mp = await site.managementPoint();
  const { url } = await site.console();
  const consolePort = Number(new URL(url).port);
  const csv = 'name;domain\r\nEVIL1;CORP\r\n';
  const cut: [port: number, octets: string][] = [
    [mp.port, 'SMS_POST /sms_mp/machine.ccr?mn=PC042&dn=CORP HTTP/1.1\r\nHost: mp\r\nContent-Length: 1000\r\n\r\nabc'],
    [mp.port, 'POST /ccm_system/state HTTP/1.1\r\nHost: mp\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab'],
    [
      consolePort,
      `POST /api/v1/devices/import HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer ${site.token}\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\n${csv}`,
    ],
  ];
  for (const [port, octets] of cut) {
    for (const gently of [true, false]) {
      const socket = net.connect({ port, host: '127.0.0.1' });
      socket.on('error', () => {});
      socket.resume();
      await once(socket, 'connect');
      const closed = once(socket, 'close');
      socket.write(octets, () => (gently ? socket.end() : socket.resetAndDestroy()));
      await closed;
    }
  }
  assert.deepEqual(await site.records.resource.find('EVIL1'), []);
  assert.deepEqual((await site.records.ccr.list({})).items, []);
  assert.equal((await fetch(`${mp.url}/SMS_MP/.sms_aut?MPLIST`)).status, 200);
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  assert.ok(!site.logged.join('').includes('PP_DEFECT'), site.logged.join(''));
});

test('of a request that frames in two ways nothing is done, and nothing that came behind it', async (t) => {
  const site = await TestSite.make(t);
  await site.know('PC042', 'PC043');
  const mp = await site.managementPoint();
  const ask = (name: string, more = '') => `SMS_POST /sms_mp/machine.ccr?mn=${name}&dn=CORP HTTP/1.1\r\nHost: mp\r\n${more}\r\n`;
  const hidden = ask('PC043');
  for (const head of [
    `Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    `Transfer-Encoding: chunked\r\nContent-Length: ${hidden.length}\r\n\r\n0\r\n\r\n${hidden}`,
    `Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`,
    `Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    `Transfer-Encoding: chunked\r\n\r\n0;a="\n"\r\n\r\n${hidden}`,
    `X: y\r\n Transfer-Encoding: chunked\r\n\r\n${hidden}`,
  ]) {
    const said = await sendRaw(mp.port, [`SMS_POST /sms_mp/machine.ccr?mn=PC042&dn=CORP HTTP/1.1\r\nHost: mp\r\n${head}`]);
    assert.match(said, /HTTP\/1\.1 400 /, head);
    assert.ok(!/HTTP\/1\.1 200/.test(said), head);
    const { items } = await site.records.ccr.list({});
    assert.ok(!items.some(({ name }) => name === 'PC043'), `it slipped in: ${JSON.stringify(head)}`);
  }
  // Each of two that are right is done: pipelined, and with the other's request line inside a body.
  const said = await sendRaw(mp.port, [
    ask('PC042', `Content-Length: ${hidden.length}\r\n`) + hidden,
    ask('PC042', 'Connection: close\r\n'),
  ]);
  assert.equal(said.match(/HTTP\/1\.1 200 /g)?.length, 2);
  const { items } = await site.records.ccr.list({});
  assert.deepEqual(
    items.map(({ name }) => name),
    ['PC042'],
  );
});

test('words that want to be log lines stay words', async (t) => {
  const site = await TestSite.make(t);
  const mp = await site.managementPoint();
  const { url, call } = await site.console();
  const forged = '"}\r\n{"time":"x","level":"error","event":"forged"}\u2028\u0085\u202e$$<SMS_CCM><x>';
  const word = encodeURIComponent(forged);
  for (const path of [`/sms_mp/machine.ccr?mn=${word}&dn=${word}`, `/CCM_Client/${word}`, `/${word}`, `/SMS_MP/.sms_aut?${word}`])
    for (const method of ['GET', 'POST']) await (await fetch(mp.url + path, { method, headers: { 'user-agent': word } })).text();
  await sendRaw(mp.port, [`SMS_POST /sms_mp/machine.ccr?mn=${word}&dn=CORP HTTP/1.1\r\nHost: mp\r\nConnection: close\r\n\r\n`]);
  await call('POST', '/push', { names: [forged] });
  await call('POST', '/accounts', { name: forged, username: forged, password: 'x', scope: { kind: 'site' } });
  await (
    await fetch(`${url}/api/v1/ccrs/${word}`, { headers: { authorization: `Bearer ${forged.replace(/[^\x20-\x7e]/g, '')}` } })
  ).text();
  for (const line of site.logged) {
    assert.ok(line.endsWith('\n') && !/[\r\n]/.test(line.slice(0, -1)), JSON.stringify(line));
    assert.notEqual((JSON.parse(line) as { event: string }).event, 'forged');
  }
});

test('who is refused before his body has come may not go on sending it', async (t) => {
  const site = await TestSite.make(t);
  const { url } = await site.console();
  const mp = await site.managementPoint();
  const rows: [port: number, target: string, type: string, status: number][] = [
    [Number(new URL(url).port), '/api/v1/content', 'application/octet-stream', 401],
    [mp.port, '/nowhere', 'text/plain', 413],
  ];
  await Promise.all(
    rows.map(async ([port, target, type, status]) => {
      const socket = net.connect({ port, host: '127.0.0.1' });
      socket.on('error', () => {});
      let said = '';
      socket.on('data', (part: Buffer) => (said += part.toString('latin1')));
      socket.write(`POST ${target} HTTP/1.1\r\nHost: c\r\nContent-Type: ${type}\r\nContent-Length: 100000000000\r\n\r\n`);
      await once(socket, 'data');
      assert.match(said, new RegExp(`^HTTP/1\\.1 ${status} `), target);
      const from = systemClock.monotonic();
      while (!socket.destroyed && systemClock.monotonic() - from < 15_000) {
        socket.write(Buffer.alloc(64 << 10));
        await systemClock.sleep(20);
      }
      assert.ok(socket.destroyed, `${target}: the line is still open`);
    }),
  );
});
