import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '#base/clock';
import { CcrRecord } from '#records/ccr';
import { testDatabase } from '#test/database';

const CHILD = `
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { CcrRecord } from '#records/ccr';
import { openDatabase } from '#store/database';
const db = await openDatabase({ dataDir: '/nonexistent', url: process.argv[1], clock: systemClock, log: silentLog, connections: 2 });
const ccrs = new CcrRecord(db, systemClock);
const worker = await ccrs.claims.registerWorker('to be killed', 3_600_000);
const got = await ccrs.claims.take({ worker, limit: 2, caps: { perSubnet: 9, perAccount: 9 } });
console.log(JSON.stringify(got.map((c) => c.ccr.name)));
setInterval(() => {}, 1000);
`;

test('the CCRs of a process that is killed are free again as soon as it is dead', async () => {
  const base = await testDatabase();
  const ccrs = new CcrRecord(base.db, systemClock);
  await ccrs.requestMany(['PC1', 'PC2', 'PC3'].map((name) => ({ name, source: 'push' as const, requestedBy: 'test' })));
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', CHILD, base.url], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = (await Promise.race([
      once(createInterface(child.stdout), 'line'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`the child ended with ${code} before it had claimed`))),
    ])) as [string];
    assert.deepEqual(JSON.parse(line), ['PC1', 'PC2']);
    assert.equal(await ccrs.claims.reclaimDead(), 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    // The server notices the closed connection by itself; that takes a moment and has no event for us.
    let freed = 0;
    for (let tries = 0; freed === 0 && tries < 1200; tries++) {
      freed = await ccrs.claims.reclaimDead();
      if (freed === 0) await systemClock.sleep(25);
    }
    assert.equal(freed, 2);
    const worker = await ccrs.claims.registerWorker('next');
    const got = await ccrs.claims.take({ worker, limit: 9, caps: { perSubnet: 9, perAccount: 9 } });
    assert.deepEqual(got.map((c) => c.ccr.name).toSorted(), ['PC1', 'PC2', 'PC3']);
    assert.equal(got.find((c) => c.ccr.name === 'PC1')!.ccr.attempts, 2);
    await worker.leave(systemClock.now());
  } finally {
    child.kill('SIGKILL');
    await base.close();
  }
});
