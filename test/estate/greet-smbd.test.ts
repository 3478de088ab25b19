import assert from 'node:assert/strict';
import { test } from 'node:test';
import { need } from '#test/need';
import { startSmbd } from '#test/smbd';
import { systemClock } from '#base/clock';
import { systemRandom } from '#base/random';
import { greetSmb } from '#wire/smb';
import { connectTcp } from '#wire/tcp';

test('a real smbd tells its NetBIOS name to a greeting, and no build of Windows', need('smbd', 'root'), async (t) => {
  const smbd = await startSmbd({ name: 'GREETED' });
  t.after(() => smbd.stop());
  const { address, port } = smbd;
  const socket = await connectTcp({ address, port, timeoutMs: 5000, clock: systemClock });
  const told = await greetSmb({ socket, address, port, clock: systemClock, random: systemRandom, timeoutMs: 10_000 });
  assert.equal(told.why, undefined);
  assert.equal(told.peer?.netbiosComputer, 'GREETED');
  assert.equal(told.peer.osVersion?.build, 0);
  assert.equal(told.signingRequired, true);
  assert.equal(told.dialect, 0x311);
});
