import type { Clock } from '#base/clock';
import type { Log, ServerLog } from '#base/log';
import type { AuditRecord } from '#records/audit';
import type { CcrRecord } from '#records/ccr';
import type { ResourceRecord } from '#records/resource';
import type { Database } from '#store/database';
import type { Surroundings } from '../work/surroundings.ts';

/** InboxParts is what the role `inbox` works with: the folders on disk that are the interface of the queue. */
export interface InboxParts {
  database: Database;
  ccr: CcrRecord;
  resource: ResourceRecord;
  audit: AuditRecord;
  surroundings: Surroundings;
  clock: Clock;
  log: Log;
  serverLog: ServerLog;
  /** <data>/inboxes */
  inboxes: string;
  /** <data>/bin, where mobileclient.tcf stands */
  bin: string;
}
