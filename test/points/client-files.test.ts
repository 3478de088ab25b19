import assert from 'node:assert/strict';
import { rm, truncate, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { BOOTSTRAP, manual, TestSite, openFiles, sendRaw, until } from '#test/points';

const SIZE = BOOTSTRAP.length;

async function point(t: TestContext) {
  const site = await TestSite.make(t);
  const { url, port } = await site.managementPoint();
  const get = async (headers: Record<string, string> = {}, path = '/CCM_Client/ccmsetup.exe', method = 'GET') => {
    const answer = await fetch(url + path, { method, headers });
    const body = Buffer.from(await answer.arrayBuffer());
    return { status: answer.status, headers: answer.headers, body };
  };
  return { site, url, port, get, etag: `"${site.sha256}"` };
}

test('the whole file comes with its SHA-256 as ETag, by name and by content, in any case of the path', async (t) => {
  const { site, get, etag } = await point(t);
  for (const path of ['/CCM_Client/ccmsetup.exe', '/ccm_client/CCMSETUP.EXE', `/CCM_Client/${site.sha256}/ccmsetup.exe`]) {
    const { status, headers, body } = await get({}, path);
    assert.equal(status, 200, path);
    assert.equal(headers.get('etag'), etag);
    assert.equal(headers.get('accept-ranges'), 'bytes');
    assert.equal(headers.get('content-type'), 'application/octet-stream');
    assert.ok(body.equals(BOOTSTRAP));
  }
});

test('ranges: from, to, last, beyond the end, none that can be served, wrong ones', async (t) => {
  const { get } = await point(t);
  const served: [string, number, number][] = [
    ['bytes=0-0', 0, 0],
    ['bytes=10-19', 10, 19],
    ['bytes=99990-', 99_990, SIZE - 1],
    ['bytes=-10', SIZE - 10, SIZE - 1],
    ['bytes=-999999999999', 0, SIZE - 1],
    ['bytes=50-18446744073709551615', 50, SIZE - 1],
    ['Bytes=7-7', 7, 7],
  ];
  for (const [range, start, end] of served) {
    const { status, headers, body } = await get({ range });
    assert.equal(status, 206, range);
    assert.equal(headers.get('content-range'), `bytes ${start}-${end}/${SIZE}`);
    assert.ok(body.equals(BOOTSTRAP.subarray(start, end + 1)), range);
  }
  for (const range of [`bytes=${SIZE}-`, 'bytes=-0', `bytes=${'9'.repeat(400)}-`]) {
    const { status, headers } = await get({ range });
    assert.equal(status, 416, range);
    assert.equal(headers.get('content-range'), `bytes */${SIZE}`);
  }
  for (const range of [
    'bytes=0-9,5-29',
    'bytes=20-29,0-9',
    `bytes=${Array.from({ length: 11 }, (_, i) => `${i * 9}-${i * 9}`).join()}`,
    'bytes=5-2',
    'bytes=-',
    'octets=0-9',
    'bytes=a-b',
    'bytes=1',
  ]) {
    const { status, body } = await get({ range });
    assert.equal(status, 200, range);
    assert.equal(body.length, SIZE);
  }
});

test('several ranges come as multipart/byteranges; those beyond the end are left out', async (t) => {
  const { get } = await point(t);
  const { status, headers, body } = await get({ range: `bytes=0-9, 20-29,${SIZE}-,-5` });
  assert.equal(status, 206);
  const boundary = /^multipart\/byteranges; boundary=([0-9a-f]{36})$/.exec(headers.get('content-type')!)![1]!;
  const slices = [
    [0, 9],
    [20, 29],
    [SIZE - 5, SIZE - 1],
  ] as const;
  const parts = slices.flatMap(([start, end], i) => [
    Buffer.from(
      `${i === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${start}-${end}/${SIZE}\r\n\r\n`,
    ),
    BOOTSTRAP.subarray(start, end + 1),
  ]);
  assert.ok(body.equals(Buffer.concat([...parts, Buffer.from(`\r\n--${boundary}--\r\n`)])));
  assert.equal(headers.get('content-length'), String(body.length));
  assert.equal((await get({ range: `bytes=${SIZE}-,${SIZE + 5}-` })).status, 416);
  // One that is left over comes as it is.
  assert.equal((await get({ range: `bytes=3-4,${SIZE}-` })).headers.get('content-range'), `bytes 3-4/${SIZE}`);
});

test('bandwidth: a client and the point have what they are given and no more, and a change holds for a download that runs', async (t) => {
  const clock = manual();
  const site = await TestSite.make(t, clock);
  const { url } = await site.managementPoint();
  await site.records.site.updateSettings({ points: { clientBandwidth: 80 } }, 'test');
  let done = false;
  const from = clock.monotonic();
  const all = fetch(`${url}/CCM_Client/ccmsetup.exe`).then(async (answer) => {
    const body = Buffer.from(await answer.arrayBuffer());
    done = true;
    return body;
  });
  // 80 kbit/s are 10,000 octets in a second, so that 100,000 octets take ten of them, less the first piece, which goes at once.
  // Time passes only while the point waits for it, and stands still while it reads the file.
  while (!done) {
    const wait = (clock.nextAt()?.getTime() ?? Infinity) - clock.monotonic();
    if (wait <= 1000) await clock.advance(wait);
    else await systemClock.sleep(1);
  }
  assert.ok((await all).equals(BOOTSTRAP));
  const took = (clock.monotonic() - from) / 1000;
  assert.ok(took > 9 && took < 10, `${took} s`);
  await site.records.site.updateSettings({ points: { clientBandwidth: 0, bandwidth: 0 } }, 'test');
  assert.ok(Buffer.from(await (await fetch(`${url}/CCM_Client/ccmsetup.exe`)).arrayBuffer()).equals(BOOTSTRAP));
});

test('preconditions: If-None-Match, If-Match, If-Range', async (t) => {
  const { get, etag } = await point(t);
  for (const known of [etag, `W/${etag}`, '*', `"x", ${etag}`]) {
    const { status, headers, body } = await get({ 'if-none-match': known, range: 'bytes=0-1' });
    assert.equal(status, 304, known);
    assert.equal(headers.get('etag'), etag);
    assert.equal(body.length, 0);
  }
  assert.equal((await get({ 'if-none-match': '"x"' })).status, 200);
  assert.equal((await get({ 'if-match': etag })).status, 200);
  assert.equal((await get({ 'if-match': '"x"' })).status, 412);
  assert.equal((await get({ 'if-match': `W/${etag}` })).status, 412);
  assert.equal((await get({ 'if-range': etag, range: 'bytes=0-9' })).status, 206);
  for (const condition of ['"x"', `W/${etag}`, 'Sat, 21 Nov 2026 00:00:00 GMT'])
    assert.equal((await get({ 'if-range': condition, range: 'bytes=0-9' })).status, 200, condition);
});

test('HEAD answers as GET without a range and without a body', async (t) => {
  const { get, etag } = await point(t);
  const { status, headers, body } = await get({ range: 'bytes=0-9' }, '/CCM_Client/ccmsetup.exe', 'HEAD');
  assert.equal(status, 200);
  assert.equal(headers.get('content-length'), String(SIZE));
  assert.equal(headers.get('etag'), etag);
  assert.equal(body.length, 0);
});

test('an empty file is served', async (t) => {
  const { site, get } = await point(t);
  const stored = await site.parts.content.put(new Uint8Array());
  // None can be added any more, but an older version took them.
  await site.parts.database.query('update package_file set sha256 = $1, size = 0', [stored.sha256]);
  const { status, headers } = await get();
  assert.equal(status, 200);
  assert.equal(headers.get('content-length'), '0');
  assert.equal((await get({ range: 'bytes=0-' })).status, 416);
});

test('what is not a file of a package is nowhere, whatever tricks the path plays', async (t) => {
  const { site, get, port } = await point(t);
  const hash = site.sha256;
  const paths = [
    'none.exe',
    '%00',
    'ccmsetup.exe%00',
    '..%2f..%2fetc%2fpasswd',
    '%2e%2e',
    '%zz',
    'a'.repeat(300),
    `${hash}/none`,
    hash,
  ];
  for (const path of [...paths, `${'0'.repeat(64)}/ccmsetup.exe`, `..%2f/ccmsetup.exe`, 'x/y/z', '', '%E0%A4%A', "x'--"]) {
    const { status, headers, body } = await get({}, `/CCM_Client/${path}`);
    assert.equal(status, 404, path);
    assert.match(headers.get('content-type')!, /^application\/problem\+json/, path);
    assert.equal((JSON.parse(body.toString()) as { code: string }).code, 'PP_MP_NOT_HERE');
  }
  const raw = async (target: string) => {
    const answer = await sendRaw(port, [`GET ${target} HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n`]);
    return answer.slice(9, 12);
  };
  for (const target of ['/CCM_Client/../../../etc/passwd', '/../CCM_Client/ccmsetup.exe', '//CCM_Client/ccmsetup.exe', '*'])
    assert.match(await raw(target), /^40[04]$/, target);
  // A server takes the absolute form of a target too (RFC 9112 section 3.2.2); its host means nothing here.
  assert.equal(await raw('http://evil.example/CCM_Client/ccmsetup.exe'), '200');
  assert.ok(!site.logged.join('').includes('request failed'));
});

test('a content that is gone, cut short or no file is told as such and logged', async (t) => {
  const { site, get } = await point(t);
  const file = site.parts.content.path(site.sha256);
  const failsWith = async (what: string) => {
    const { status, headers, body } = await get({ range: 'bytes=0-9' });
    assert.equal(status, 500, what);
    assert.equal((JSON.parse(body.toString()) as { code: string }).code, 'PP_MP_CONTENT');
    assert.equal(headers.get('content-range'), null);
    assert.ok(!body.toString().includes(site.folder), 'no path of the server');
    assert.match(site.logged.at(-1)!, /request failed/);
  };
  await truncate(file, 10);
  await failsWith('cut short');
  await rm(file);
  await failsWith('gone');
  assert.equal((await get({}, undefined, 'HEAD')).status, 500);
  await writeFile(file, BOOTSTRAP);
  assert.equal((await get()).status, 200);
});

test('a client that goes away in the middle leaves no open file', async (t) => {
  const { site, port } = await point(t);
  const big = Buffer.alloc(64 * 1024 * 1024, 7);
  const stored = await site.parts.content.put(big);
  const [old] = await site.records.package.list();
  await site.records.package.add(old!.definition, [{ name: 'ccmsetup.exe', ...stored }], 'test');
  assert.equal(openFiles(site.folder), 0);
  for (let i = 0; i < 5; i++) {
    const socket = net.connect(port, '127.0.0.1');
    socket.write('GET /CCM_Client/ccmsetup.exe HTTP/1.1\r\nHost: mp\r\n\r\n');
    await once(socket, 'data');
    socket.pause();
    await until(() => openFiles(site.folder) === 1);
    if (i % 2) socket.destroy();
    else socket.resetAndDestroy();
    await until(() => openFiles(site.folder) === 0);
  }
});

test('twenty downloads at once are all whole', async (t) => {
  const { get } = await point(t);
  const answers = await Promise.all(Array.from({ length: 20 }, () => get()));
  assert.ok(answers.every((a) => a.body.equals(BOOTSTRAP)));
});
