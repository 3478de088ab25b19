import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { acceptPostVerbs } from '#wire/http';
import { selfMade } from '#test/certificate';
import { need } from '#test/need';

const run = promisify(execFile);

function answer(request: IncomingMessage, response: ServerResponse): void {
  let length = 0;
  request.on('data', (part: Buffer) => (length += part.length));
  request.on('end', () => response.end(`${request.method} ${request.url} ${length}\n`));
}

for (const kind of ['http', 'https'] as const) {
  test(`curl sends SMS_POST, CCM_POST and BITS_POST over ${kind} on one connection`, need('curl'), async (t) => {
    const server = acceptPostVerbs(kind === 'http' ? createHttp(answer) : createHttps(selfMade(), answer));
    let connections = 0;
    server.on(kind === 'http' ? 'connection' : 'secureConnection', () => connections++);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const url = `${kind}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const common = ['-sS', '-k', '--http1.1', '--max-time', '20'];
    const { stdout } = await run('curl', [
      ...common,
      '-X',
      'SMS_POST',
      `${url}/sms_mp/machine.ccr?mn=PC042&dn=CORP&fkey=True`,
      '--next',
      ...common,
      `${url}/plain`,
      '--next',
      ...common,
      '-X',
      'CCM_POST',
      '-d',
      'SMS_POST / HTTP/1.1',
      `${url}/ccm_system/request`,
      '--next',
      ...common,
      '-X',
      'BITS_POST',
      '-H',
      'Transfer-Encoding: chunked',
      '-d',
      'x'.repeat(100_000),
      `${url}/bits`,
    ]);
    assert.deepEqual(stdout.trim().split('\n'), [
      'SMS_POST /sms_mp/machine.ccr?mn=PC042&dn=CORP&fkey=True 0',
      'GET /plain 0',
      'CCM_POST /ccm_system/request 19',
      'BITS_POST /bits 100000',
    ]);
    assert.equal(connections, 1);
  });
}
