import { after, before, type TestContext } from 'node:test';
import { need, type Peer } from '#test/need';
import { Wine } from '#test/wine';
import { WineAgent } from '#test/wine-agent';
import { TestPoint } from '#test/wine-point';
import { Bootstrap, PAYLOAD } from '#test/wine-setup';

/** WineMachine is the machine that all tests of one file share, and what runs on it. */
export interface WineMachine {
  /** peers are the options of each test: what it needs beside Wine and a compiler stands there too. */
  peers: { skip?: string };
  wine: Wine;
  setup: Bootstrap;
  agent: WineAgent;
}

/** wineMachine switches a machine on before the tests of a file and throws it away after them. */
export function wineMachine(...more: Peer[]): WineMachine {
  const peers = need('wine64', 'x86_64-w64-mingw32-gcc', 'wixl', ...more);
  const wine = new Wine();
  before(async () => {
    if (peers.skip === undefined) await wine.start();
  });
  after(() => wine.stop());
  return { peers, wine, setup: new Bootstrap(wine), agent: new WineAgent(wine) };
}

/** testPoint is a point that lives as long as one test. */
export async function testPoint(
  t: TestContext,
  body: Buffer = PAYLOAD,
  o: Parameters<typeof TestPoint.start>[1] = {},
): Promise<TestPoint> {
  const made = await TestPoint.start(body, o);
  t.after(() => made.close());
  return made;
}
