import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { suite, test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock';
import { buildBundle } from '#client/bundle';
import { writeMobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { InitMachine } from '#test/init-machine';
import { need } from '#test/need';
import { SECRET } from '#test/target';

/** The init scripts of machines without systemd, run by what runs them there. */

const FOLDER = 'var/lib/pushpoint-setup';
const NODE = 'usr/local/bin/node';

async function until(holds: () => boolean | Promise<boolean>, what: () => string | Promise<string>): Promise<void> {
  const end = systemClock.monotonic() + 60_000;
  while (!(await holds())) {
    if (systemClock.monotonic() > end) assert.fail(await what());
    await systemClock.sleep(100);
  }
}

const mounts =
  'd=$(mktemp -d) && mount -t tmpfs tmpfs $d && mkdir $d/u $d/w $d/m && mount -t overlay overlay -o lowerdir=/,upperdir=$d/u,workdir=$d/w $d/m';

function wanted(...peers: Parameters<typeof need>): { skip?: string } {
  const options = need('root', 'curl', ...peers);
  if (options.skip !== undefined || spawnSync('unshare', ['-m', 'sh', '-c', mounts]).status === 0) return options;
  const skip = 'SKIPPED, this machine mounts no overlay';
  process.stderr.write(`${skip}\n`);
  return { skip };
}

/** installed is a machine on which the client runs and is registered. */
async function installed(t: TestContext, kind: 'sysv' | 'openrc') {
  const machine = await InitMachine.start(kind);
  t.after(() => machine.stop());
  const mp = await HonestMp.start(t, systemClock);
  // The test's Node.js has a place that such a machine need not have.
  machine.write(NODE, readFileSync(process.execPath), 0o755);
  const before = machine.own();
  const agent = await buildBundle('machine');
  mp.files.set('CcmExec.mjs', agent);
  mp.tokens.set('token-0001', { secret: SECRET, used: false });
  machine.write(`${FOLDER}/ccmsetup.sh`, readFileSync('client/linux/ccmsetup.sh'), 0o755);
  const sha256 = createHash('sha256').update(agent).digest('hex');
  machine.write(
    `${FOLDER}/mobileclient.tcf`,
    writeMobileClient({
      properties: '',
      site: 'P01',
      managementPoints: [mp.url],
      fallbackStatusPoint: mp.url,
      payload: { file: 'CcmExec.mjs', sha256, size: agent.length, version: '1.0.0' },
      registration: { machine: `pp-${kind}`, tokenId: 'token-0001', token: SECRET, expires: '2099-01-01T00:00:00.000Z' },
    }),
  );
  const run = await machine.run('sh', `/${FOLDER}/ccmsetup.sh`, '/noservice');
  assert.equal(run.code, 0, `${run.out}\n${machine.text('var/log/pushpoint-client/CcmExec.log')}`);
  await until(
    () => mp.states.some(({ stateId }) => stateId === 700),
    () => machine.text('var/log/pushpoint-client/CcmExec.log'),
  );
  return { machine, mp, before };
}

/** lives starts, stops and kills the service by its tool; it ends stopped. */
async function lives(machine: InitMachine, service: (verb: string) => Promise<{ code: number; out: string }>): Promise<void> {
  const agent = () => machine.text('run/pushpoint-client.pid.agent').trim();
  const runs = async (pid: string) =>
    (await machine.run('sh', '-c', `tr '\\0' ' ' </proc/${pid}/cmdline | grep -q CcmExec.mjs`)).code === 0;
  const status = await service('status');
  assert.equal(status.code, 0, status.out);
  const first = agent();
  assert.ok(await runs(first));
  assert.equal((await service('start')).code, 0, 'started twice it is one');
  assert.equal(agent(), first);
  if (machine.kind === 'sysv') {
    // The agent is killed: what watches it, the same for both, starts it again ten seconds later.
    await machine.run('kill', '-KILL', first);
    await until(
      async () => agent() !== first && (await runs(agent())),
      async () => (await machine.run('ps', 'axf')).out,
    );
  }
  // What watches it is killed, and the agent with it: the next start gives one agent, not two.
  const second = agent();
  await machine.run('kill', '-KILL', machine.text('run/pushpoint-client.pid').trim());
  assert.notEqual((await service('status')).code, 0);
  await service('stop');
  assert.equal((await service('start')).code, 0);
  await until(
    async () => agent() !== '' && agent() !== second && (await runs(agent())) && !(await runs(second)),
    async () => (await machine.run('ps', 'axf')).out,
  );
  const stopped = await service('stop');
  assert.equal(stopped.code, 0, stopped.out);
  assert.equal((await machine.run('pgrep', '-f', 'CcmExec.mjs')).out, '');
  assert.notEqual((await service('status')).code, 0);
}

suite('machines without systemd', { concurrency: true }, () => {
  test(
    'sysv: in the runlevels, started, stopped, alive again after a kill, and removed without a trace',
    wanted('update-rc.d'),
    async (t) => {
      const { machine, mp, before } = await installed(t, 'sysv');
      const links = (await machine.run('sh', '-c', 'cd /etc && echo rc[0-6S].d/*pushpoint-client')).out.trim().split(' ');
      assert.deepEqual(
        links.map((path) => path.replace(/\d\dpushpoint-client$/, '')),
        ['rc0.d/K', 'rc1.d/K', 'rc2.d/S', 'rc3.d/S', 'rc4.d/S', 'rc5.d/S', 'rc6.d/K'],
      );
      await lives(machine, (verb) => machine.run('service', 'pushpoint-client', verb));
      assert.equal((await machine.run('service', 'pushpoint-client', 'restart')).code, 0);
      const removed = await machine.run('sh', `/${FOLDER}/ccmsetup.sh`, '/uninstall', '/noservice');
      assert.equal(removed.code, 0, removed.out);
      assert.equal(mp.farewells.length, 1, removed.out);
      assert.deepEqual(machine.own(), before);
      assert.equal((await machine.run('pgrep', '-f', 'CcmExec.mjs')).out, '');
    },
  );

  test(
    'OpenRC: in the default runlevel, started, stopped, alive again after a kill, and removed without a trace',
    wanted('openrc-run'),
    async (t) => {
      const { machine, mp, before } = await installed(t, 'openrc');
      assert.match((await machine.run('rc-update', 'show', 'default')).out, /pushpoint-client/);
      await lives(machine, (verb) => machine.run('rc-service', 'pushpoint-client', verb));
      const removed = await machine.run('sh', `/${FOLDER}/ccmsetup.sh`, '/uninstall', '/noservice');
      assert.equal(removed.code, 0, removed.out);
      assert.equal(mp.farewells.length, 1, removed.out);
      assert.deepEqual(machine.own(), before);
      assert.equal((await machine.run('rc-update', 'show', 'default')).out.includes('pushpoint-client'), false);
    },
  );
});
