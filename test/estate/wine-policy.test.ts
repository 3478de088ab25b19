import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { systemClock } from '#base/clock';
import { buildNative } from '#client/native';
import { HonestMp } from '#test/honest-mp';
import { wineMachine } from '#test/wine-machine';
import { PAYLOAD, sha256, VERSION } from '#test/wine-setup';

/** What a policy asks of the agent in CcmExec.exe beside settings: another site, another version. */

const { peers, wine, agent } = wineMachine();
agent.trial = { hurry: 300 };
const SETUP = 'windows/ccmsetup/new-setup.exe';
const status = () => agent.status();
const lives = (until: () => boolean) => agent.lives(until);

test(
  'a client moves to another site: it looks whether that takes it, says farewell to the old one, and registers anew',
  peers,
  async (t) => {
    const mp = await agent.pushed(t);
    const { guid } = status();
    const other = await HonestMp.start(t, systemClock);
    other.site = 'P02';
    other.version = '0.0.9';
    mp.policy = { revision: 'm1', migrate: { site: 'P02', managementPoints: [other.url] } };
    await lives(() => /Could not move to site P02: this client .* is newer than site P02/.test(agent.log()));
    assert.deepEqual([status().site, mp.farewells.length, other.registrations.length], ['P01', 0, 0]);
    other.version = '0.1.0';
    // What failed is tried again after an hour, so the administrator asks anew.
    mp.policy = { revision: 'm2' };
    await lives(() => agent.memory()['policyRevision'] === 'm2' && status().site === 'P01');
    mp.policy = { revision: 'm3', migrate: { site: 'P02', managementPoints: [other.url] } };
    await lives(() => other.registrations.length === 1 && status().site === 'P02' && other.states.length === 1);
    assert.deepEqual(
      mp.farewells.map((one) => [one.guid, one.reason]),
      [[guid, 'migrate']],
    );
    assert.deepEqual([other.registrations[0]!.guid, other.registrations[0]!.site], [guid, 'P02']);
    assert.deepEqual([other.states[0]!.stateId, other.states[0]!.signed, other.states[0]!.site], [700, true, 'P02']);
    assert.match(wine.text('windows/SMSCFG.INI'), /Assigned Site Code=P02/);
    assert.ok(!wine.has('windows/CCM/site.key'), 'the old site proves nothing any more');
    // Started again it stays there, though the installation names the old site.
    const heard = mp.asked.length;
    await lives(() => other.heartbeats.length === 1);
    assert.equal(mp.asked.length, heard);
  },
);

test('a policy that nothing proves moves and upgrades nobody', peers, async (t) => {
  const mp = await agent.pushed(t);
  const evil = await HonestMp.start(t, systemClock);
  evil.site = 'EVL';
  mp.prove = undefined;
  mp.policy = { revision: 'm1', migrate: { site: 'EVL', managementPoints: [evil.url] } };
  await lives(() => /asks to move to site EVL, and nothing proves that it comes from the site/.test(agent.log()));
  assert.deepEqual([evil.asked.length, status().site], [0, 'P01']);
});

/** A program that is easy to know: it writes a file. */
const BOOTSTRAP = readBootstrap();

function readBootstrap(): Buffer {
  return peers.skip === undefined ? readFileSync(buildNative(VERSION).files['ccmsetup.exe']) : Buffer.alloc(0);
}

test(
  'an upgrade brings the bootstrap of the new version by its hash and runs that; another file is never run',
  peers,
  async (t) => {
    const mp = await agent.pushed(t);
    const payload = Buffer.from('a payload of another version');
    const file = (name: string, bytes: Buffer) => ({ name, sha256: sha256(bytes), size: bytes.length });
    mp.policy = {
      revision: 'u1',
      upgrade: {
        version: '0.9.0',
        files: [file('first.bin', PAYLOAD), file('new.bin', payload), file('new-setup.exe', BOOTSTRAP)],
        bootstrap: 'new-setup.exe',
        payload: 'new.bin',
        requires: { minimumBuild: 10_000, architectures: ['x64'] },
        prerequisites: [{ file: 'first.bin', command: 'cmd.exe /c copy first.bin first.out' }],
        command: 'cmd.exe /c copy new.bin taken.bin',
      },
    };
    mp.files.set('new.bin', payload);
    mp.files.set('first.bin', PAYLOAD);
    mp.before = (request, response) => {
      if (!request.url!.endsWith('/new-setup.exe')) return false;
      // As long as the right one, and not it.
      response.writeHead(200, { 'content-length': BOOTSTRAP.length }).end(Buffer.alloc(BOOTSTRAP.length, 0x90));
      return true;
    };
    await lives(() => /Could not upgrade to 0\.9\.0/.test(agent.log()));
    assert.match(agent.log(), /new-setup\.exe did not come with the expected hash/);
    assert.ok(!wine.has(SETUP));
    assert.equal(await wine.service('ccmsetup'), undefined);
    mp.before = () => false;
    mp.files.set('new-setup.exe', BOOTSTRAP);
    // Asked for anew, so that it is tried at once.
    wine.put('windows/CCM/client.json', wine.text('windows/CCM/client.json').replace(/,\s*"tried": \{[^}]*\}/, ''));
    await lives(() => /return code/.test(wine.text('windows/ccmsetup/logs/ccmsetup.log')));
    assert.deepEqual(readFileSync(wine.path(SETUP)), BOOTSTRAP);
    assert.match(wine.text('windows/ccmsetup/logs/ccmsetup.log'), /client 0\.9\.0[\s\S]*return code 0/);
    assert.deepEqual(readFileSync(wine.path('windows/ccmsetup/taken.bin')), payload);
    assert.deepEqual(readFileSync(wine.path('windows/ccmsetup/first.out')), PAYLOAD, 'what the new version needs comes first');
    assert.match(wine.text('windows/CCM/mobileclient.tcf'), /\[Requires\]\r\nMinimumBuild=10000\r\nArchitectures=x64\r\n/);
    assert.equal(mp.states.at(-1)!.stateId, 400);
  },
);
