import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CcrRecord, Claims, type Claimed } from '#records/ccr';
import { ResourceRecord } from '#records/resource';
import { labSite } from '#test/lab-site';
import { waitFor } from '#test/push-site';

const HOUR = 3_600_000;

test('a defect of ours counts as an attempt: it is named, has its hour, and is given up like any other', async (t) => {
  const { site } = await labSite(t, { 'PC-1': {} });
  await site.records.site.updateSettings({ ccr: { maxAttempts: 3 } }, 'test');
  class Broken extends ResourceRecord {
    override byId(): ReturnType<ResourceRecord['byId']> {
      return Promise.reject(new TypeError('x is not a function'));
    }
  }
  await site.startCcm({ resource: new Broken(site.database, site.clock) });
  await site.push('PC-1');
  for (let tries = 1; tries <= 3; tries++) {
    await waitFor(`try ${tries}`, async () => {
      const { attempts, state } = await site.show('PC-1');
      return attempts === tries && ['retry', 'failed'].includes(state);
    });
    const now = await site.show('PC-1');
    assert.equal(now.lastError, 'PP_PUSH_DEFECT');
    assert.equal(now.lastErrorCode, 1003);
    assert.equal(now.steps.map((s) => `${s.name} ${s.outcome} ${s.code}`).join(), 'decide failed PP_PUSH_DEFECT');
    assert.doesNotMatch(JSON.stringify(now), /defect\.test\.ts|node:internal/, 'the stack stands in the log only');
    if (tries === 3) break;
    const rest = now.nextAttemptAt!.getTime() - site.clock.now().getTime();
    assert.ok(rest > 0.4 * HOUR && rest < 1.1 * HOUR, `the next try is in ${rest} ms`);
    await site.skip(1.1 * HOUR);
  }
  const last = await site.show('PC-1');
  assert.equal(last.state, 'failed');
  assert.match(last.lastErrorText!, /given up after 3 attempts within 7 days; last: step decide ended with an unexpected error/);
  assert.equal(site.lines.filter((line) => /working a CCR failed.*x is not a function.*defect\.test\.ts/.test(line)).length, 3);
});

test('a step that the database does not take costs the step, not the CCR', async (t) => {
  const { site } = await labSite(t, { 'PC-1': { switches: { offline: 'closed' } } });
  let poisoned = 0;
  class Poisoning extends Claims {
    override retry(claimed: Claimed, o: Parameters<Claims['retry']>[1]): Promise<boolean> {
      if (poisoned++ === 0)
        this.attempt(claimed).step({ name: 'probe', outcome: 'ok', startedAt: site.clock.now(), durationMs: 1e12 });
      return super.retry(claimed, o);
    }
  }
  const claims = new Poisoning(site.database, site.clock);
  await site.startCcm({ ccr: new CcrRecord(site.database, site.clock, claims) });
  await site.push('PC-1');
  const tried = await site.until('PC-1', 'retry');
  assert.equal(tried.lastError, 'PP_PUSH_DEFECT');
  assert.equal(tried.attempts, 1);
  assert.ok(tried.nextAttemptAt!.getTime() - site.clock.now().getTime() > 0.4 * HOUR);
});

test('a defect in a verification is looked for again in an hour, and installs nothing a second time', async (t) => {
  const { site, hosts } = await labSite(t, { 'PC-1': {} });
  let broken = 0;
  class Broken extends ResourceRecord {
    override byId(...o: Parameters<ResourceRecord['byId']>): ReturnType<ResourceRecord['byId']> {
      return hosts['PC-1']!.logons.tried > 0 && broken++ === 0 ? Promise.reject(new TypeError('x is null')) : super.byId(...o);
    }
  }
  // The program only stands there, so nothing reports in and the machine itself is looked at.
  await hosts['PC-1']!.set({ bootstrapFails: 0 });
  await site.startCcm({ resource: new Broken(site.database, site.clock) });
  await site.push('PC-1');
  await site.until('PC-1', 'verifying');
  await site.skip(61_000);
  await waitFor('the defect', async () => (await site.show('PC-1')).lastError === 'PP_PUSH_DEFECT');
  const now = await site.show('PC-1');
  assert.equal(now.state, 'verifying');
  assert.equal(now.attempts, 1);
  assert.ok(now.nextAttemptAt!.getTime() - site.clock.now().getTime() > 0.9 * HOUR);
});
