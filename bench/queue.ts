/**
 * Measures the queue of CCRs: `node bench/queue.ts [seconds]`. It starts a PostgreSQL of its own in a temporary folder, queues 1,000 and
 * then 100,000 CCRs, and lets workers claim them and complete them with nine steps each, keeping the queue at its length. It prints CCRs
 * a second, the cost of one, and how long a claim and an outcome took.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { systemRandom } from '#base/random';
import { CcrRecord, migrations as ccr, type CcrRequest, type Claimed, type Worker } from '#records/ccr';
import { migrations as client } from '#records/client';
import { migrations as resource } from '#records/resource';
import { migrations as site, SiteRecord } from '#records/site';
import { migrate, openDatabase } from '#store/database';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    queued: { type: 'string', default: '1000,100000' },
    rounds: { type: 'string', default: '3' },
    limit: { type: 'string', default: '64' },
  },
});
const SECONDS = Number(positionals[0] ?? 10);
const LOOPS = 4;
const LIMIT = Number(options.limit);
const SLICE = 900;
const CAPS = { perSubnet: 32, perAccount: 128 };
const STEPS = ['probe', 'logon', 'admin-share', 'inspect', 'lock', 'decide', 'copy', 'start', 'release'];
const clock = systemClock;

const say = (line: string) => process.stdout.write(`${line}\n`);
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / Math.max(values.length, 1);

let made = 0;
function wishes(count: number): CcrRequest[] {
  return Array.from({ length: count }, () => {
    const n = made++;
    // 400 subnets, so that caps are counted and do not stop the run.
    return {
      name: `PC${n}`,
      domain: 'CORP',
      addresses: [`10.${n % 4}.${n % 100}.${(n % 250) + 1}`],
      source: 'push',
      requestedBy: 'bench',
    };
  });
}

async function fill(record: CcrRecord, count: number): Promise<number> {
  const begun = clock.monotonic();
  for (let left = count; left > 0; left -= 1000) await record.requestMany(wishes(Math.min(left, 1000)));
  return (count / (clock.monotonic() - begun)) * 1000;
}

async function finish(record: CcrRecord, claimed: Claimed, took: number[]): Promise<void> {
  const attempt = record.claims.attempt(claimed);
  attempt.connected({
    account: `CORP\\push${claimed.ccr.id % 8}`,
    dialect: '3.1.1',
    signing: 'AES-GMAC',
    encryption: 'AES-128-GCM',
  });
  for (const name of STEPS)
    attempt.step({ name, outcome: 'ok', startedAt: clock.now(), durationMs: 3, detail: 'as it should be' });
  const begun = clock.monotonic();
  if (!(await record.claims.complete(claimed, 'the client registered'))) throw new Error('a claim was lost');
  took.push(clock.monotonic() - begun);
}

interface Round {
  rate: number;
  claimMs: number;
  completeMs: number;
}

/** slice works SLICE of what is queued off and gives how long that took. */
async function slice(record: CcrRecord, worker: Worker, claims: number[], completes: number[]): Promise<number> {
  let left = SLICE;
  const loop = async () => {
    while (left > 0) {
      const limit = Math.min(LIMIT, left);
      left -= limit;
      const begun = clock.monotonic();
      const got = await record.claims.take({ worker, limit, caps: CAPS });
      claims.push(clock.monotonic() - begun);
      left += limit - got.length;
      await Promise.all(got.map((claimed) => finish(record, claimed, completes)));
    }
  };
  const begun = clock.monotonic();
  await Promise.all(Array.from({ length: LOOPS }, loop));
  return clock.monotonic() - begun;
}

/** round repeats slices; what was worked off is queued again outside the measured time, so that each slice meets the same length. */
async function round(record: CcrRecord, queued: number): Promise<Round> {
  const worker = await record.claims.registerWorker('bench', 600_000);
  const claims: number[] = [];
  const completes: number[] = [];
  let ms = 0;
  let done = 0;
  for (const until = clock.monotonic() + SECONDS * 1000; clock.monotonic() < until; done += SLICE) {
    ms += await slice(record, worker, claims, completes);
    await fill(record, queued - (await record.countByState()).queued);
  }
  await worker.leave(clock.now());
  return { rate: (done / ms) * 1000, claimMs: mean(claims), completeMs: mean(completes) };
}

const folder = await mkdtemp(path.join(tmpdir(), 'pushpoint-bench-'));
const db = await openDatabase({ dataDir: folder, clock, log: silentLog });
try {
  await migrate(db, [ccr, client, resource, site], clock);
  await new SiteRecord(db, clock, systemRandom).create({ code: 'B01', kind: 'primary' });
  const record = new CcrRecord(db, clock);
  for (const queued of options.queued.split(',').map(Number)) {
    const rate = await fill(record, Math.max(0, queued - (await record.countByState()).queued));
    await db.query('analyze ccr');
    say(`${queued} queued (made at ${rate.toFixed(0)}/s)`);
    for (let n = 1; n <= Number(options.rounds); n++) {
      const r = await round(record, queued);
      say(
        `  round ${n}: ${r.rate.toFixed(0)} claimed and completed/s, ${(1000 / r.rate).toFixed(3)} ms each; claim of ${LIMIT}: ${r.claimMs.toFixed(1)} ms, outcome: ${r.completeMs.toFixed(1)} ms`,
      );
    }
  }
} finally {
  await db.close();
  await rm(folder, { recursive: true, force: true });
}
