import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { buildNative } from '#client/native';
import { writeMobileClient, type MobileClient } from '#messages';
import { need } from '#test/need';
import { TestSite } from '#test/points';
import { Wine } from '#test/wine';

/** The bootstrap in C, alone, on a machine of Wine: our own management point, and what can go wrong on the way. */

const peers = need('wine64', 'x86_64-w64-mingw32-gcc', 'wixl');
const SETUP = 'windows/ccmsetup/ccmsetup.exe';
const TCF = 'windows/ccmsetup/mobileclient.tcf';
const LOG = 'windows/ccmsetup/logs/ccmsetup.log';
const VERSION = '0.1.0';

let wine: Wine;
before(async () => {
  if (peers.skip !== undefined) return;
  wine = await Wine.start();
});
after(() => wine?.stop());

const bytes = (length: number) => Buffer.from(Array.from({ length }, (_, i) => (i * 31 + (i >> 9)) & 255));
const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

function lay(config: Partial<MobileClient> & Pick<MobileClient, 'managementPoints' | 'payload'>): void {
  wine.remove('windows/ccmsetup');
  wine.remove('windows/CCM');
  wine.put(SETUP, readFileSync(buildNative(VERSION).files['ccmsetup.exe']));
  wine.put(TCF, writeMobileClient({ properties: '', site: 'P01', ...config }));
}

async function asService(...args: string[]): Promise<void> {
  await wine.run(
    'sc.exe',
    'create',
    'ccmsetup',
    'binPath=',
    ['C:\\windows\\ccmsetup\\ccmsetup.exe', ...args].join(' '),
    'start=',
    'demand',
  );
  await wine.run('net.exe', 'start', 'ccmsetup');
}

test(
  'as a service it downloads from our management point, verifies, installs, tells the site and removes itself',
  peers,
  async (t) => {
    const site = await TestSite.make(t);
    const { url } = await site.managementPoint();
    await site.know(wine.name);
    const payload = bytes(3_000_000);
    const stored = await site.parts.content.put(payload);
    await site.records.package.add(
      {
        name: 'whole',
        version: VERSION,
        platform: 'windows',
        bootstrap: { file: 'ccmsetup.exe', service: 'ccmsetup' },
        payload: { file: 'payload.bin' },
        verify: { service: 'CcmExec' },
      },
      [
        { name: 'payload.bin', ...stored },
        { name: 'ccmsetup.exe', ...stored },
      ],
      'test',
    );
    const expires = '2099-01-01T00:00:00.000Z';
    const token = await site.records.client.issueToken({ name: wine.name, domain: 'CORP', expiresAt: new Date(expires) });
    lay({
      managementPoints: [url],
      payload: {
        file: 'payload.bin',
        sha256: sha256(payload),
        size: payload.length,
        version: VERSION,
        command: 'cmd.exe /c copy payload.bin taken.bin',
      },
      registration: { machine: wine.name, tokenId: token.id, token: token.secret, expires },
    });
    await asService();
    await wine.eventually('the run to end', () => /return code/.test(wine.text(LOG)));
    const log = wine.text(LOG);
    assert.match(log, /exiting with return code 0/, log);
    assert.match(log, new RegExp(`Hash of payload.bin is right: ${sha256(payload)}`));
    assert.deepEqual(readFileSync(wine.path('windows/ccmsetup/taken.bin')), payload);
    const states = await site.records.client.statesOf({ name: wine.name });
    assert.deepEqual(
      states.map((s) => [s.stateId, s.proven]),
      [
        [400, true],
        [100, true],
      ],
    );
    await wine.eventually('the service to be gone', async () => (await wine.service('ccmsetup')) === undefined);
    assert.ok(!wine.text(TCF).includes(token.secret), 'the token does not stay in the file');
  },
);
