import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '#base/clock';
import { JsonLog } from '#base/log';
import { Authority, selfMade } from '#test/certificate';
import { readTls, TlsFiles } from '../../src/executive/tls-files.ts';

const FAR = new Date('2049-01-01');

test('a revocation list that was replaced is read within half a minute; a wrong one is told and changes nothing; an expired one is told', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tls-files-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const authority = new Authority();
  const { cert, key } = selfMade();
  const empty = authority.revoke([], FAR);
  const wish = {
    certificateFile: write('mp.pem', cert),
    keyFile: write('mp.key', key),
    clientCaFile: write('ca.pem', authority.cert),
    clientCrlFile: write('ca.crl', empty),
  };
  const clock = new ManualClock('2026-01-05T08:00:00Z');
  const logged: string[] = [];
  const log = new JsonLog(clock, (line) => logged.push(line), 'debug');
  const tls = readTls(wish, clock.now());
  let renewed = 0;
  const files = new TlsFiles(wish, { tls, clock, log, renewed: () => renewed++ });
  t.after(() => files.stop());
  await clock.advance(60_000);
  assert.deepEqual([renewed, logged.length], [0, 0]);

  const revoked = authority.revoke([0x10, 0x11], FAR);
  write('ca.crl', revoked);
  await clock.advance(30_000);
  assert.equal(renewed, 1);
  assert.equal(tls.clients?.crl, revoked);

  write('ca.crl', revoked.slice(0, 100));
  await clock.advance(30_000);
  assert.deepEqual([renewed, tls.clients?.crl === revoked], [1, true]);
  assert.match(logged.at(-1)!, /cannot be used; the old contents stay/);

  const late = authority.revoke([0x10], new Date('2026-01-06T00:00:00Z'));
  write('ca.crl', late);
  await clock.advance(30_000);
  assert.equal(renewed, 2);
  logged.length = 0;
  await clock.advance(86_400_000);
  assert.match(logged.at(-1)!, /the certificate revocation list has expired/);

  const other = selfMade();
  write('mp.pem', other.cert);
  write('mp.key', other.key);
  write('ca.crl', empty);
  await clock.advance(30_000);
  assert.equal(tls.cert.toString(), other.cert);
});
