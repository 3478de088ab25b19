import assert from 'node:assert/strict';
import { main, status } from '#client/agent';
import { layout } from '#client/host';
import { writeMobileClient, type MobileClient } from '#messages';
import { HonestMp } from '#test/honest-mp';
import { Machine, live } from '#test/memory-host';
import { SECRET } from '#test/target';

/** TOKEN is the id of the registration token that ccmsetup left. */
export const TOKEN = 'token-0001';
/** guidOf is the SMSID that stands in SMSCFG.INI. */
export const guidOf = (machine: Machine) => /SMS Unique Identifier=(.*)/.exec(machine.text(layout.identity) ?? '')?.[1]?.trim();
/** statusOf is what the agent last said of itself. */
export const statusOf = (machine: Machine) => status(machine.program(layout.agentFile));

/** furnish lays down what ccmsetup leaves behind. */
export function furnish(
  machine: Machine,
  points: string[],
  options: { token?: boolean; change?: Partial<MobileClient> } = {},
): void {
  const config: MobileClient = {
    properties: '',
    site: 'P01',
    managementPoints: points,
    payload: { file: 'client.mjs', sha256: 'ab'.repeat(32), size: 1, version: '1.0.0' },
    ...options.change,
  };
  machine.put(layout.agentConfig, writeMobileClient(config));
  if (options.token === false) return;
  machine.put(layout.token, JSON.stringify({ tokenId: TOKEN, token: SECRET, expires: '2099-01-01T00:00:00.000Z' }));
}

/** service starts the agent, lets it live until the condition holds, and gives what stops it. */
export async function service(machine: Machine, until: () => boolean, product?: string): Promise<() => Promise<number>> {
  const stop = new AbortController();
  const running = main(machine.program(layout.agentFile, { signal: stop.signal }), [], product);
  await live(machine, running, until);
  return () => {
    stop.abort();
    return running;
  };
}

/** lives starts the agent and stops it again once the condition holds. */
export async function lives(machine: Machine, until: () => boolean, product?: string): Promise<void> {
  const stop = await service(machine, until, product);
  assert.equal(await stop(), 0);
}

/** both makes a machine and its management point. */
export async function both(t: Parameters<typeof HonestMp.start>[0], options: Parameters<typeof furnish>[2] = {}) {
  const machine = new Machine();
  const mp = await HonestMp.start(t, machine.clock);
  mp.tokens.set(TOKEN, { secret: SECRET, used: false });
  furnish(machine, [mp.url], options);
  return { machine, mp };
}
