import { CcrBox } from './ccr-box.ts';
import type { InboxParts } from './parts.ts';
import { RetryBox } from './retry-box.ts';
import { TcfWriter } from './tcf-writer.ts';

export type { InboxParts } from './parts.ts';

/** CcmInbox is the role `inbox`: the folders of the queue and mobileclient.tcf. Exactly one process of a site has it. */
export class CcmInbox {
  readonly #box: CcrBox;
  readonly #retry: RetryBox;
  readonly #tcf: TcfWriter;

  constructor(parts: InboxParts) {
    this.#box = new CcrBox(parts);
    this.#retry = new RetryBox(parts);
    this.#tcf = new TcfWriter(parts);
  }

  async start(): Promise<void> {
    await this.#tcf.start();
    this.#retry.start();
    this.#box.start();
  }

  async stop(): Promise<void> {
    await this.#box.stop();
    await this.#retry.stop();
    await this.#tcf.stop();
  }
}
