import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { DeploymentState } from '#messages';
import { labSite, type LabKind } from '#test/lab-site';
import { waitFor } from '#test/push-site';

/** What the return codes of ccmsetup (facts D2) mean to the site, told by its service or by its state message: one table for both. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** ERROR_SERVICE_SPECIFIC_ERROR: the code beside it is the service's own. */
const own = (specific: number) => ({ win32: 1066, specific });

interface Case {
  /** How the service of the bootstrap stops. */
  ends?: number | { win32: number; specific: number };
  /** What the bootstrap told, signed: a state id, and its return code where it says one. */
  told?: [DeploymentState, number?];
  /** State and error of the CCR after a look at the machine; no error: it is still verified. */
  wanted: [string, string?, number?];
}

const FAILED: Case['wanted'] = ['retry', 'PP_PUSH_SETUP_FAILED', 1603];
const BUSY: Case['wanted'] = ['retry', 'PP_PUSH_SETUP_BUSY', 1618];
const UNFIT: Case['wanted'] = ['retry', 'PP_PUSH_SETUP_UNFIT', 1633];
const HASH: Case['wanted'] = ['retry', 'PP_PUSH_SETUP_HASH', 13];
const RESTART: Case['wanted'] = ['verifying', 'PP_PUSH_RESTART_PENDING', 3010];

const CASES: Record<string, Case> = {
  'S-0': { ends: 0, wanted: ['verifying'] },
  'S-6': { ends: own(6), wanted: FAILED },
  'S-7': { ends: own(7), wanted: RESTART },
  'S-3010': { ends: 3010, wanted: RESTART },
  'S-1641': { ends: 1641, wanted: RESTART },
  'S-8': { ends: own(8), wanted: BUSY },
  'S-9': { ends: own(9), wanted: UNFIT },
  'S-10': { ends: own(10), wanted: HASH },
  // A number without 1066 is one of Windows, whatever it means to ccmsetup.
  'W-8': { ends: 8, wanted: ['retry', 'PP_SMB_RESOURCES', 8] },
  'S-1603': { ends: own(1603), wanted: ['retry', 'PP_SETUP_FATAL', 1603] },
  'M-313': { told: [313, 6], wanted: FAILED },
  'M-301': { told: [301], wanted: FAILED },
  'M-317': { told: [317, 7], wanted: RESTART },
  'M-401': { told: [401, 7], wanted: RESTART },
  'M-312': { told: [312, 9], wanted: UNFIT },
  'M-325': { told: [325, 10], wanted: HASH },
  'M-400': { told: [400, 0], wanted: ['verifying'] },
};

test('each return code of ccmsetup, from its service and from its state message; a restart that is needed is no failure', async (t) => {
  const kinds = Object.entries(CASES).map(([name, { ends = 0 }]): [string, LabKind] => [
    name,
    { switches: { bootstrapFails: ends } },
  ]);
  const { site, hosts } = await labSite(t, Object.fromEntries(kinds));
  await site.startCcm();
  const names = Object.keys(CASES);
  await site.push(names);
  // A bootstrap that ended before the first look at its service is judged at the start, the others a minute later.
  for (const name of names) await site.until(name, 'verifying', 'retry');
  for (const [name, { told }] of Object.entries(CASES)) {
    if (!told) continue;
    const [device] = await site.records.resource.find(name);
    const message = {
      topicType: 800,
      topicId: randomUUID(),
      stateId: told[0],
      at: site.clock.now().toISOString(),
      name,
      domain: 'CORP',
      ...(told[1] !== undefined && { exitCode: told[1] }),
    };
    await site.records.client.state(message, { proven: true, resourceId: device!.id });
  }
  await site.skip(MINUTE + 1000);
  await waitFor('all to be looked at', async () => {
    const { items } = await site.records.ccr.list({ limit: 100 });
    return items.every((c) => c.state !== 'processing' && (c.state !== 'verifying' || (c.nextAttemptAt ?? 0) > site.clock.now()));
  });
  const seen: Record<string, unknown> = {};
  const wanted: Record<string, unknown> = {};
  for (const [name, one] of Object.entries(CASES)) {
    const { state, lastError, lastErrorCode } = await site.show(name);
    seen[name] = [state, lastError, lastErrorCode];
    wanted[name] = [one.wanted[0], one.wanted[1], one.wanted[2]];
  }
  assert.deepEqual(seen, wanted);

  // An hour later: what only has to be restarted is not installed again, and is a client as soon as its service runs.
  const restarting = names.filter((name) => CASES[name]!.wanted === RESTART);
  for (const name of restarting.slice(1)) {
    const service = { name: 'CcmExec', displayName: 'SMS Agent Host', binaryPath: 'C:\\Windows\\CCM\\CcmExec.exe' };
    hosts[name]!.machine.standIn({ ...service, stoppable: true });
  }
  await site.skip(HOUR);
  for (const name of restarting.slice(1)) assert.equal((await site.until(name, 'complete')).attempts, 1, name);
  await waitFor('the one that nobody restarts', async () => (await site.show(restarting[0]!)).nextAttemptAt! > site.clock.now());
  const left = await site.show(restarting[0]!);
  assert.deepEqual([left.state, left.lastError, left.attempts], ['verifying', 'PP_PUSH_RESTART_PENDING', 1]);
  assert.match(left.lastErrorText!, /^S-7 has to be restarted/);
  // One that ended well and brought no client is tried again at once.
  await waitFor('the next try of the one without a client', async () => (await site.show('S-0')).attempts === 2);
});
