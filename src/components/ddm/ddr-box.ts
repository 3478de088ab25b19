import { extname, join } from 'node:path';
import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Log, ServerLog } from '#base/log';
import type { AuditRecord } from '#records/audit';
import type { DiscoveryRecord } from '#records/discovery';
import { parseDevices, type ImportFormat, type Rejected } from '#records/resource';
import type { SiteRecord } from '#records/site';
import { Inbox, type InboxFile } from '#store/inbox';

/** DdrBoxParts is what the folder of DDRs works with. */
export interface DdrBoxParts {
  site: SiteRecord;
  discovery: DiscoveryRecord;
  audit: AuditRecord;
  clock: Clock;
  log: Log;
  serverLog: ServerLog;
  /** <data>/inboxes */
  inboxes: string;
}

const FORMATS: Record<string, ImportFormat> = { '.ddr': 'ddr', '.json': 'json', '.csv': 'csv', '.txt': 'text' };
/** A hundred thousand machines fit into less. */
const LARGEST = 64 * 1024 * 1024;
/** A .reason names so many DDRs. */
const NAMED = 100;

/**
 * DdrBox takes in the files that are dropped into inboxes/ddm.box, as the original's DDM did: DDRs, and lists of machines. Who may write
 * there is an administrator of the site, so they are trusted like an import. A file with anything wrong in it goes to bad_ddrs with the
 * reason; what was right in it has been taken in, and to drop it again once it is corrected does no harm.
 */
export class DdrBox {
  readonly #parts: DdrBoxParts;
  #end: (() => Promise<void>) | undefined;

  constructor(parts: DdrBoxParts) {
    this.#parts = parts;
  }

  start(): void {
    const { clock, log, inboxes } = this.#parts;
    const options = {
      dir: join(inboxes, 'ddm.box'),
      bad: 'bad_ddrs',
      limit: LARGEST,
      clock,
      log: log.with({ inbox: 'ddm.box' }),
    };
    this.#end = new Inbox(options).take((file) => this.#take(file));
  }

  async stop(): Promise<void> {
    await this.#end?.();
    this.#end = undefined;
  }

  async #take({ name, bytes }: InboxFile): Promise<void> {
    const { site, discovery, audit, serverLog } = this.#parts;
    const format = FORMATS[extname(name).toLowerCase()];
    if (!format) throw raise('PP_DDR_FILE_NAME', { name });
    const { rows, rejected, ignored } = parseDevices(bytes, format);
    const { code } = await site.here();
    const done = await discovery.take(rows, { source: 'import', site: code });
    const wrong = [...rejected, ...done.rejected].sort((a, b) => a.line - b.line);
    const { added, changed, unchanged, assigned, requested } = done;
    const detail = { file: name, added, changed, unchanged, assigned, requested, rejected: wrong.length };
    await audit.write({ who: 'ddm.box', what: 'ddr.file', object: `${rows.length} machines`, detail });
    serverLog.line(
      `Processed file ${name}: ${added} new, ${changed} changed, ${unchanged} unchanged, ${wrong.length} rejected` +
        `${ignored.length > 0 ? `; not understood: ${ignored.join(', ')}` : ''}.`,
    );
    for (const { line, name: machine, first } of done.repeated)
      serverLog.line(`At ${line}: ${machine} is the machine at ${first} again; the two were merged.`);
    if (wrong.length === 0) return;
    serverLog.line(`File ${name} moved to bad_ddrs: ${lineOf(wrong[0]!)}`);
    throw raise('PP_DDR_REJECTED', { rejected: wrong.length, all: rows.length + rejected.length }, { detail: detailOf(wrong) });
  }
}

const lineOf = ({ line, reason }: Rejected) => `at ${line}: ${reason}`;

function detailOf(wrong: readonly Rejected[]): string {
  const more = wrong.length > NAMED ? [`and ${wrong.length - NAMED} more`] : [];
  return [...wrong.slice(0, NAMED).map(lineOf), ...more].join('\n');
}
