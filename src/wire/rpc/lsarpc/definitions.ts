import {
  array,
  contextHandle,
  i32,
  ndr,
  octets,
  record,
  u16,
  u32,
  u8,
  union,
  unicodeString,
  unique,
  wstr,
} from '../ndr/index.ts';
import { operation, type RpcInterface } from '../operation.ts';
import { sid } from './sid.ts';

/** LSARPC is the Local Security Authority Remote Protocol ([MS-LSAD] 1.9); of it what stock clients ask before anything else, and what an account is ([MS-LSAT]). */
export const LSARPC: RpcInterface = {
  name: 'lsarpc',
  uuid: '12345778-1234-abcd-ef00-0123456789ab',
  version: 0,
  minorVersion: 0,
  pipe: 'lsarpc',
};

/** NTSTATUS, unlike the other interfaces. */
const status = u32;

/** [MS-LSAD] 2.2.9 LSAPR_OBJECT_ATTRIBUTES, of which a server looks at nothing ([MS-LSAD] 3.1.4.4.1). */
const objectAttributes = record({
  length: u32,
  rootDirectory: unique(u8),
  objectName: unique(unicodeString),
  attributes: u32,
  securityDescriptor: unique(u8),
  qualityOfService: unique(record({ length: u32, impersonationLevel: u16, contextTracking: u8, effectiveOnly: u8 })),
});

/** [MS-LSAD] 2.2.4.1 LSAPR_POLICY_INFORMATION, the levels that name the domain and its SID. */
const policyInformation = union(u16, {
  3: record({ name: unicodeString, sid: unique(sid) }),
  5: record({ name: unicodeString, sid: unique(sid) }),
  12: record({ name: unicodeString, dnsDomain: unicodeString, dnsForest: unicodeString, guid: octets(16, 4), sid: unique(sid) }),
});

/** [MS-LSAD] 3.1.4.9.4 LsarClose */
export const lsarClose = operation(
  0,
  'LsarClose',
  ndr('LsarClose', { handle: contextHandle }),
  ndr('LsarClose answer', { handle: contextHandle, status }),
);

/** [MS-LSAD] 3.1.4.4.2 LsarOpenPolicy; the system name is one character. */
export const lsarOpenPolicy = operation(
  6,
  'LsarOpenPolicy',
  ndr('LsarOpenPolicy', { systemName: unique(u16), objectAttributes, desiredAccess: u32 }),
  ndr('LsarOpenPolicy answer', { policy: contextHandle, status }),
);

/** [MS-LSAD] 3.1.4.4.4 LsarQueryInformationPolicy */
export const lsarQueryInformationPolicy = operation(
  7,
  'LsarQueryInformationPolicy',
  ndr('LsarQueryInformationPolicy', { policy: contextHandle, level: u16 }),
  ndr('LsarQueryInformationPolicy answer', { information: unique(policyInformation), status }),
);

/** [MS-LSAD] 3.1.4.4.1 LsarOpenPolicy2 */
export const lsarOpenPolicy2 = operation(
  44,
  'LsarOpenPolicy2',
  ndr('LsarOpenPolicy2', { systemName: unique(wstr), objectAttributes, desiredAccess: u32 }),
  ndr('LsarOpenPolicy2 answer', { policy: contextHandle, status }),
);

/** [MS-LSAD] 3.1.4.4.3 LsarQueryInformationPolicy2 */
export const lsarQueryInformationPolicy2 = operation(
  46,
  'LsarQueryInformationPolicy2',
  ndr('LsarQueryInformationPolicy2', { policy: contextHandle, level: u16 }),
  ndr('LsarQueryInformationPolicy2 answer', { information: unique(policyInformation), status }),
);

/** PolicyRight.LOOKUP_NAMES is all that a question for names needs ([MS-LSAD] 2.2.1.1.2 POLICY_LOOKUP_NAMES). */
export const PolicyRight = { LOOKUP_NAMES: 0x0000_0800 } as const;

/** LookupLevel.WKSTA searches all that the machine knows, its own accounts first ([MS-LSAT] 2.2.16 LSAP_LOOKUP_LEVEL). */
export const LookupLevel = { WKSTA: 1 } as const;

/** [MS-LSAT] 2.2.12 LSAPR_REFERENCED_DOMAIN_LIST */
const referencedDomains = record({
  entries: u32,
  domains: unique(array(record({ name: unicodeString, sid: unique(sid) }), 1000)),
  maxEntries: u32,
});

/** [MS-LSAT] 2.2.24 LSAPR_TRANSLATED_SID_EX2, 2.2.25 LSAPR_TRANSLATED_SIDS_EX2 */
const translatedSids = record({
  entries: u32,
  sids: unique(array(record({ use: u16, sid: unique(sid), domainIndex: i32, flags: u32 }), 1000)),
});

/** [MS-LSAT] 3.1.4.6 LsarLookupNames3 */
export const lsarLookupNames3 = operation(
  68,
  'LsarLookupNames3',
  ndr('LsarLookupNames3', {
    policy: contextHandle,
    count: u32,
    names: array(unicodeString, 1000),
    translated: translatedSids,
    level: u16,
    mapped: u32,
    options: u32,
    clientRevision: u32,
  }),
  ndr('LsarLookupNames3 answer', { domains: unique(referencedDomains), translated: translatedSids, mapped: u32, status }),
);
