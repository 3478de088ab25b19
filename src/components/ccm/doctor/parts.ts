import type { BoundaryRecord } from '#records/boundary';
import type { DiscoveryRecord } from '#records/discovery';
import type { LinkRecord } from '#records/link';
import type { Check, DoctorRecord } from '#records/doctor';
import type { greetSmb, speaksSmb1 } from '#wire/smb';
import type { Network } from '../attempt/context.ts';
import type { CcmParts } from '../work/parts.ts';
import type { askPoint } from './ask-point.ts';

/** DoctorNetwork is what doctor asks beside what attempts do: greetings without a credential, names of addresses, points over HTTP. */
export interface DoctorNetwork extends Network {
  greet: typeof greetSmb;
  speaksSmb1: typeof speaksSmb1;
  /** reverse gives the names of an address; none where it has none. */
  reverse(address: string): Promise<string[]>;
  askPoint: typeof askPoint;
}

/** ServerParts is what the examination of the site server works with. */
export type ServerParts = Pick<CcmParts, 'database' | 'site' | 'account' | 'package' | 'ccr' | 'content' | 'clock' | 'log'> & {
  link: Pick<LinkRecord, 'list'>;
  network: Pick<DoctorNetwork, 'askPoint'>;
  /** local looks at the machine that the site server runs on: folders, disk, keys, roles. */
  local: () => Promise<Check[]>;
};

/** DoctorParts is what doctor works with. */
export interface DoctorParts extends CcmParts {
  doctor: DoctorRecord;
  boundary: BoundaryRecord;
  link: Pick<LinkRecord, 'list'>;
  discovery: DiscoveryRecord;
  network: DoctorNetwork;
  local: () => Promise<Check[]>;
}
