import type { FastifyInstance } from 'fastify';
import type { Random } from '#base/random';
import { pointsDocument } from '#messages';
import type { AuditRecord } from '#records/audit';
import type { CcrRecord } from '#records/ccr';
import type { ClientRecord } from '#records/client';
import type { DiscoveryRecord } from '#records/discovery';
import type { PackageRecord } from '#records/package';
import type { ResourceRecord } from '#records/resource';
import type { SiteRecord } from '#records/site';
import type { ContentStore } from '#store/content';
import type { Database } from '#store/database';
import { createListener, type ListenerParts } from '#wire/http';
import type { AdmissionWish } from './admission.ts';
import { ccmSystem } from './ccm-system.ts';
import { refuseContent } from './blocked-content.ts';
import { clientFiles } from './client-files.ts';
import { machineCcr } from './machine-ccr.ts';
import { mpList } from './mp-list.ts';
import { nativeMode } from './native.ts';
import type { Paces } from './pace.ts';

/** ManagementParts is what the management point answers from. It cannot open a secret and never connects to anybody. */
export interface ManagementParts extends ListenerParts {
  database: Database;
  site: SiteRecord;
  client: ClientRecord;
  resource: ResourceRecord;
  package: PackageRecord;
  ccr: CcrRecord;
  discovery: DiscoveryRecord;
  audit: AuditRecord;
  content: ContentStore;
  random: Random;
  /** The version that its OpenAPI document names. */
  version?: string;
  /** What the HTTPS listener of this process shows, where this one has none of its own. */
  certificate?: { cert: string | Buffer } | undefined;
  /** How many requests are let in at once. */
  admission?: { registrations?: Partial<AdmissionWish>; heartbeats?: Partial<AdmissionWish> };
  /** The bandwidth that several listeners of one process share. */
  paces?: Paces;
  /** Build number that MPLIST shows as the version of the site. */
  build: string;
  /** also adds routes of other points that share this listener. */
  also?: ((app: FastifyInstance) => void) | undefined;
}

/** createManagementPoint makes the point that clients talk to; the caller binds its `server` to a listener. */
export function createManagementPoint(parts: ManagementParts): Promise<FastifyInstance> {
  return createListener(parts, (app) => {
    // Apart from the other points of the listener, which answer in native mode too.
    void app.register(async (api) => {
      nativeMode(api, parts);
      machineCcr(api, parts);
      mpList(api, parts);
      const document = pointsDocument(parts.version ?? '');
      api.get('/ccm_system/openapi.json', async () => document);
      refuseContent(api, parts);
      clientFiles(api, parts);
      ccmSystem(api, parts);
    });
    parts.also?.(app);
  });
}
