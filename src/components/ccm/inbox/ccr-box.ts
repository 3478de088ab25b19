import { basename, join } from 'node:path';
import { raise } from '#base/errors';
import { whyNotName, type Device } from '#records/resource';
import { Inbox, type InboxFile } from '#store/inbox';
import { readCcrFile, type CcrFile } from '../ccr-file/index.ts';
import type { InboxParts } from './parts.ts';

/** CcrBox takes in the CCR files that people and programs drop into inboxes/ccr.box; what is no CCR goes to its `bad` with the reason. */
export class CcrBox {
  readonly #parts: InboxParts;
  #end: (() => Promise<void>) | undefined;

  constructor(parts: InboxParts) {
    this.#parts = parts;
  }

  start(): void {
    const { clock, log, inboxes } = this.#parts;
    const inbox = new Inbox({ dir: join(inboxes, 'ccr.box'), clock, log: log.with({ inbox: 'ccr.box' }) });
    this.#end = inbox.take((file) => this.#take(file));
  }

  async stop(): Promise<void> {
    await this.#end?.();
    this.#end = undefined;
  }

  async #take(dropped: InboxFile): Promise<void> {
    const { ccr, resource, audit, serverLog, database } = this.#parts;
    if (!/\.ccr$/i.test(dropped.name)) throw raise('PP_CCR_FILE_NAME', { file: basename(dropped.name) });
    const file = readCcrFile(dropped.bytes);
    serverLog.line(`Received request: "${basename(dropped.name)}" for machine name: "${file.machineName}" on queue: "Incoming".`);
    const known = await resource.find(file.machineName, file.domain);
    const device = known.length === 1 ? known[0] : undefined;
    await database.transaction(async (tx) => {
      const { made } = await ccr.request(
        { ...requestOf(file, device), requestedBy: file.pushpoint.requestedBy ?? 'ccr.box' },
        tx,
      );
      await audit.write(
        { who: 'ccr.box', what: 'ccr.file', object: file.machineName, detail: { file: dropped.name, forced: file.forced, made } },
        tx,
      );
    });
    serverLog.line(`Stored request "${basename(dropped.name)}", machine name "${file.machineName}", in queue "Processing".`);
  }
}

function requestOf(file: CcrFile, device: Device | undefined) {
  return {
    name: file.machineName,
    domain: file.domain ?? device?.domain,
    resourceId: device?.id,
    addresses: [...new Set([...file.ipAddresses, ...(device?.addresses ?? [])])],
    // A port comes from a trusted import only, never from a file or a name.
    smbPort: device?.smbPort,
    resourceNames: file.resourceNames.filter((name) => whyNotName(name) === undefined),
    forced: file.forced,
    includeDcs: file.pushEvenIfDc,
    reinstall: file.pushpoint.reinstall,
    inspectOnly: file.pushpoint.inspectOnly,
    package: file.pushpoint.package,
    initialRequestDate: file.initialRequestDate,
    source: 'file' as const,
  };
}
