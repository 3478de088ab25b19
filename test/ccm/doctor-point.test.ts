import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { askPoint } from '#components/ccm';
import { selfMade } from '#test/certificate';
import { isRefusal } from '#test/push-site';

async function served(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

const plain = (t: TestContext, answer: RequestListener) => served(t, createServer(answer));
const ask = (url: string, timeoutMs = 5000) => askPoint({ url, clock: systemClock, timeoutMs });
const why = (pattern: RegExp) => (error: unknown) =>
  isRefusal(error) && error.code === 'PP_DOCTOR_POINT' && pattern.test(error.message);

test('a point over HTTPS is asked although nobody vouches for it, and its certificate is told as clients pin it', async (t) => {
  const { cert, key } = selfMade('281231');
  const server = createSecure({ cert, key }, (request, answer) => answer.end(`${request.method} ${request.url}`));
  const port = await served(t, server);
  const said = await ask(`https://127.0.0.1:${port}/SMS_MP/.sms_aut?MPLIST`);
  assert.deepEqual([said.status, said.text], [200, 'GET /SMS_MP/.sms_aut?MPLIST']);
  assert.equal(said.certificate?.sha256, new X509Certificate(cert).fingerprint256.replaceAll(':', '').toLowerCase());
  assert.equal(said.certificate.until.getUTCFullYear(), 2028);
  assert.equal(said.certificate.from.getTime(), new X509Certificate(cert).validFromDate.getTime());
});

test('a redirect is an answer, not followed; endless bodies are cut; nothing of it hangs', async (t) => {
  const port = await plain(t, (_request, answer) => answer.writeHead(302, { location: 'http://127.0.0.1:9/' }).end());
  assert.equal((await ask(`http://127.0.0.1:${port}/`)).status, 302);
  const endless = await plain(t, (request, answer) => {
    const more = () => void (answer.write('x'.repeat(16_384)) ? setImmediate(more) : answer.once('drain', more));
    request.on('close', () => answer.destroy());
    more();
  });
  assert.ok((await ask(`http://127.0.0.1:${endless}/`)).text.length < 200_000);
  const sockets: (() => void)[] = [];
  const silent = await plain(t, (request) => sockets.push(() => request.socket.destroy()));
  await assert.rejects(ask(`http://127.0.0.1:${silent}/`, 50), why(/did not answer within 50 ms/));
  for (const end of sockets) end();
});

test('why a point cannot be reached is told in words', async (t) => {
  await assert.rejects(ask('http://127.0.0.1:9/'), why(/nothing listens there/));
  const hanging = createServer((request) => request.socket.destroy());
  const port = await served(t, hanging);
  await assert.rejects(ask(`http://127.0.0.1:${port}/`), why(/it hung up/));
  const text = await plain(t, (_request, answer) => answer.end('fine'));
  await assert.rejects(ask(`https://127.0.0.1:${text}/`), why(/cannot be used/));
});
