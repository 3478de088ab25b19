import type { Clock } from '#base/clock';
import type { Log, ServerLog } from '#base/log';
import type { Random } from '#base/random';
import type { AccountRecord } from '#records/account';
import type { AuditRecord } from '#records/audit';
import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { PackageRecord } from '#records/package';
import type { ResourceRecord } from '#records/resource';
import type { SiteRecord } from '#records/site';
import type { ContentStore } from '#store/content';
import type { Database } from '#store/database';
import type { Vault } from '#store/vault';
import type { Network } from '../attempt/context.ts';

/** CcmParts is what the Client Configuration Manager works with. */
export interface CcmParts {
  database: Database;
  site: SiteRecord;
  account: AccountRecord;
  package: PackageRecord;
  resource: ResourceRecord;
  client: ClientRecord;
  ccr: CcrRecord;
  audit: AuditRecord;
  content: ContentStore;
  vault: Vault;
  network: Network;
  clock: Clock;
  random: Random;
  log: Log;
  /** logs/ccm.log */
  serverLog: ServerLog;
}
