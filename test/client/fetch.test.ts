import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp, type AddressInfo, type Server } from 'node:net';
import { test, type TestContext } from 'node:test';
import { isCode } from '#base/errors';
import { clientFetch, hostFetch } from '#client/fetch';
import { baseName, folderOf, joinPath } from '#client/host';
import { selfMade } from '#test/certificate';

async function listening(t: TestContext, server: Server & { closeAllConnections(): void }): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

for (const ask of [hostFetch, clientFetch]) {
  test(`${ask.name}: a pinned fetch speaks to the server with that certificate and sends nothing to another`, async (t) => {
    const certificate = selfMade();
    let requests = 0;
    const server = createHttps(certificate, (request, response) => {
      requests++;
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () =>
        response.writeHead(201, { 'x-seen': `${request.method} ${String(request.headers['x-a'])}` }).end(Buffer.concat(parts)),
      );
    });
    const url = `https://${await listening(t, server)}/x`;
    const init = { method: 'POST', headers: { 'x-a': '1' }, body: new Uint8Array([1, 2, 3]) };
    const answer = await ask(url, { ...init, pins: ['ab'.repeat(32), certificate.pin.toUpperCase()] });
    assert.deepEqual([answer.status, answer.headers.get('x-seen')], [201, 'POST 1']);
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), new Uint8Array([1, 2, 3]));
    for (const pins of [['ab'.repeat(32), 'cd'.repeat(32)], []])
      await assert.rejects(ask(url, { ...init, pins }), (error) => isCode(error, 'PP_CLIENT_PIN'));
    await assert.rejects(ask(url, init), 'a self-signed certificate without a pin');
    assert.equal(requests, 1);
  });

  test(`${ask.name}: a pinned fetch ends when it is told to, before and after the answer began`, async (t) => {
    const certificate = selfMade();
    const server = createHttps(certificate, (request, response) => {
      if (request.url === '/half') response.writeHead(200, { 'content-length': 10 }).write('half');
    });
    const url = `https://${await listening(t, server)}`;
    const stop = new AbortController();
    const silent = ask(`${url}/silent`, { pins: [certificate.pin], signal: stop.signal });
    const half = await ask(`${url}/half`, { pins: [certificate.pin], signal: stop.signal });
    stop.abort();
    await assert.rejects(silent);
    await assert.rejects(half.text());
    await assert.rejects(ask(`${url}/x`, { pins: [certificate.pin], signal: stop.signal }));
  });

  test(`${ask.name}: a pinned fetch ends when it is told to, while nobody answers the handshake`, async (t) => {
    const server = createTcp((socket) => t.after(() => socket.destroy()));
    server.listen(0, '127.0.0.1');
    t.after(() => server.close());
    await once(server, 'listening');
    const stop = new AbortController();
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const asked = assert.rejects(ask(url, { pins: ['ab'.repeat(32)], signal: stop.signal }));
    await once(server, 'connection');
    stop.abort();
    await asked;
  });

  test(`${ask.name}: no redirect is followed`, async (t) => {
    let elsewhere = 0;
    const other = await listening(
      t,
      createHttp((_request, response) => response.end(String(elsewhere++))),
    );
    const first = await listening(
      t,
      createHttp((_request, response) => response.writeHead(307, { location: `http://${other}/` }).end()),
    );
    const answer = await ask(`http://${first}/`).catch(() => undefined);
    assert.ok(answer === undefined || answer.status === 307);
    assert.equal(elsewhere, 0);
  });
}

test('clientFetch over plain HTTP: what is sent and answered, and an answer that is cut', async (t) => {
  const server = createHttp((request, response) => {
    if (request.url === '/cut') return response.writeHead(200, { 'content-length': 10 }).write('half', () => response.destroy());
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => response.writeHead(request.url === '/none' ? 204 : 201).end(Buffer.concat(parts)));
  });
  const url = `http://${await listening(t, server)}`;
  const answer = await clientFetch(`${url}/x`, { method: 'POST', body: new Uint8Array([1, 2, 3]) });
  assert.deepEqual([answer.status, new Uint8Array(await answer.arrayBuffer())], [201, new Uint8Array([1, 2, 3])]);
  assert.equal((await clientFetch(`${url}/none`)).status, 204);
  await assert.rejects(clientFetch(`${url}/cut`).then((cut) => cut.arrayBuffer()));
  await assert.rejects(clientFetch('http://127.0.0.1:1/'), /ECONNREFUSED/);
});

test('Windows paths', () => {
  assert.equal(joinPath('C:\\Windows\\', '\\ccmsetup\\', 'a.log'), 'C:\\Windows\\ccmsetup\\a.log');
  assert.equal(folderOf('C:\\Windows\\ccmsetup\\a.log'), 'C:\\Windows\\ccmsetup');
  assert.equal(baseName('C:\\Windows\\ccmsetup\\a.log'), 'a.log');
});
