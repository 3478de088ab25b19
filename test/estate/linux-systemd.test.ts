import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock';
import { buildBundle } from '#client/bundle';
import { writeMobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { need } from '#test/need';
import { Systemd, hasNspawn } from '#test/nspawn';
import { SECRET } from '#test/target';

const FOLDER = 'var/lib/pushpoint-setup';
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function until(holds: () => boolean, what: () => string): Promise<void> {
  const end = systemClock.monotonic() + 90_000;
  while (!holds()) {
    if (systemClock.monotonic() > end) assert.fail(what());
    await systemClock.sleep(200);
  }
}

/** Where the machine has the test's Node.js: it has a /tmp of its own, so the place that it has here may not be seen there. */
const NODE = '/opt/pushpoint-test-node';

/** runtime is a runtime package: node in a tar file, here one that only points to that. */
function runtime(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'pushpoint-runtime-'));
  mkdirSync(join(folder, 'node/bin'), { recursive: true });
  writeFileSync(join(folder, 'node/bin/node'), `#!/bin/sh\nexec ${NODE} "$@"\n`, { mode: 0o755 });
  const { stdout } = spawnSync('tar', ['-cz', '-C', folder, 'node'], { maxBuffer: 1_000_000 });
  rmSync(folder, { recursive: true });
  return stdout;
}

const wanted = need('root', 'ip', 'curl', 'systemd-nspawn');
const options = wanted.skip === undefined && !hasNspawn() ? { skip: 'SKIPPED, this machine mounts no overlay' } : wanted;
if (options.skip?.startsWith('SKIPPED, this')) process.stderr.write(`${options.skip}\n`);

test(
  'a real systemd: detached as a unit, installed as a service that comes back when it is killed, and removed by policy without a trace',
  options,
  async (t) => {
    const machine = await Systemd.boot();
    t.after(() => machine.stop());
    const mp = await HonestMp.start(t, systemClock, 'http', machine.near);
    mkdirSync(join(machine.root, 'opt'), { recursive: true });
    copyFileSync(process.execPath, join(machine.root, NODE));
    const everything = () => machine.own();
    const before = everything();

    const agent = await buildBundle('machine');
    const node = runtime();
    mp.files.set('CcmExec.mjs', agent);
    mp.files.set('node.tar.gz', node);
    mp.tokens.set('token-0001', { secret: SECRET, used: false });
    mkdirSync(join(machine.root, FOLDER));
    copyFileSync('client/linux/ccmsetup.sh', join(machine.root, FOLDER, 'ccmsetup.sh'));
    const command = 'tar -xzf node.tar.gz -C "$CLIENT_FOLDER"';
    writeFileSync(
      join(machine.root, FOLDER, 'mobileclient.tcf'),
      writeMobileClient({
        properties: 'SMSSITECODE=AUTO',
        site: 'P01',
        managementPoints: [mp.url],
        fallbackStatusPoint: mp.url,
        payload: { file: 'CcmExec.mjs', sha256: sha256(agent), size: agent.length, version: '1.0.0' },
        prerequisites: [{ file: 'node.tar.gz', sha256: sha256(node), size: node.length, command, check: 'node:24' }],
        registration: { machine: machine.name, tokenId: 'token-0001', token: SECRET, expires: '2099-01-01T00:00:00.000Z' },
      }),
    );
    assert.equal(machine.run('sh', `/${FOLDER}/ccmsetup.sh`).code, 0);
    const log = () => machine.text(`${FOLDER}/logs/ccmsetup.log`);
    const ids = () => mp.states.map((s) => s.stateId);
    await until(
      () => ids().includes(400) && ids().includes(700),
      () => `${ids().join()}\n${log()}`,
    );
    assert.deepEqual([mp.registrations[0]!.name, mp.registrations[0]!.tokenId], [machine.name, 'token-0001']);
    assert.deepEqual(mp.registrations[0]!.addresses, [machine.near.replace(/1$/, '2')]);
    assert.equal(machine.run('systemctl', 'is-enabled', 'pushpoint-client').out.trim(), 'enabled');

    machine.run('systemctl', 'kill', '-s', 'KILL', 'pushpoint-client');
    await until(
      () => machine.run('systemctl', 'show', '-p', 'NRestarts', '--value', 'pushpoint-client').out.trim() === '1',
      () => machine.run('systemctl', 'status', 'pushpoint-client').out,
    );
    await until(
      () => machine.run('systemctl', 'is-active', 'pushpoint-client').out.trim() === 'active',
      () => 'not active',
    );

    const [guid] = [...mp.clients.keys()];
    mp.policy = { revision: 'bye', uninstall: true };
    mp.prove = { token: SECRET, guid: guid! };
    machine.run('systemctl', 'restart', 'pushpoint-client');
    await until(
      () => mp.farewells.length === 1 && !everything().some((path) => /pushpoint-(?:client|setup|ccmsetup)/.test(path)),
      () =>
        `${log()}\n${everything()
          .filter((path) => /pushpoint-(?:client|setup|ccmsetup)/.test(path))
          .join('\n')}`,
    );
    assert.equal(mp.farewells[0]!.guid, guid);
    assert.deepEqual(everything(), before);
    assert.notEqual(machine.run('systemctl', 'cat', 'pushpoint-client').code, 0);
  },
);
