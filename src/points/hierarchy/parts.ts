import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { AuditRecord } from '#records/audit';
import type { LinkHandlers, LinkRecord, SiteKey } from '#records/link';
import type { SiteRecord } from '#records/site';
import type { ContentStore } from '#store/content';
import type { Database } from '#store/database';

/** HierarchyParts is what the hierarchy point answers from. It signs with the site's key and opens no secret. */
export interface HierarchyParts {
  database: Database;
  site: SiteRecord;
  link: LinkRecord;
  audit: AuditRecord;
  content: ContentStore;
  handlers: LinkHandlers;
  key: SiteKey;
  /** Public key of the vault, which children seal secrets for. */
  sealKey: string;
  version: string;
  clock: Clock;
  random: Random;
  log: Log;
  /** SHA-256 of the TLS key of this listener, where it speaks TLS itself. */
  pin?: string | undefined;
  /** The longest time a poll is held; 20 s where nothing is said. */
  holdMs?: number | undefined;
}
