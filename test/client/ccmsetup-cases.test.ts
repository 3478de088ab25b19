import assert from 'node:assert/strict';
import { test } from 'node:test';
import { main } from '#client/ccmsetup';
import { writeMobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';
import { cases, plainTcf, serve, wantedOf } from '#test/setup-cases';
import { outcomeOf } from '#test/setup-outcome';
import { SETUP, TCF } from '#test/target';

/** ccmsetup in TypeScript against the table that the one in C is held to as well (test/estate/wine-by-hand.test.ts). */

for (const [title, one] of Object.entries(cases)) {
  test(title, async (t) => {
    const machine = new Machine();
    machine.free = 50_000_000_000;
    machine.run = async (command) => Number(/ exit (\d+)$/.exec(command)![1]);
    const kind = one.https ? 'https' : 'http';
    const mp = await HonestMp.start(t, machine.clock, kind);
    const other = await HonestMp.start(t, machine.clock, kind);
    serve(mp);
    one.mp?.(mp);
    machine.put(SETUP, '//pushpoint-bootstrap');
    const tcf = writeMobileClient({ ...plainTcf(mp, machine.name), ...one.tcf?.(mp, other) });
    machine.put(TCF, one.edit?.(Buffer.from(tcf).toString()) ?? tcf);
    for (const [path, bytes] of Object.entries(one.files ?? {})) machine.put(`C:\\${path.replaceAll('/', '\\')}`, bytes);
    const args = (one.args ?? []).map((argument) => argument.replace('@', mp.url));
    const code = await live(machine, main(machine.program(SETUP), ['/noservice', ...args]));
    assert.deepEqual(outcomeOf(mp, code, one.elsewhere && other), wantedOf(one));
  });
}
