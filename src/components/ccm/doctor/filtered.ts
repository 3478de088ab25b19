import { PushpointError } from '#base/errors';
import { logonName } from '#records/account';
import type { PushAccount } from '../attempt/context.ts';
import type { Target } from '../attempt/target.ts';
import { findingOf, type Finding } from './findings.ts';

/** DOMAIN_USER_RID_ADMIN, which the built-in Administrator has under whatever name ([MS-DTYP] 2.4.2.4). */
const BUILT_IN = 500;

/**
 * filteredFinding tells more of a local account to which ADMIN$ was refused than the timeline of a CCR does: the machine is asked whether the
 * account is the built-in Administrator, which UAC leaves its rights over the network unless a policy of its own says otherwise.
 */
export async function filteredFinding(
  target: Target,
  machine: string,
  { username }: PushAccount,
  refused: PushpointError,
): Promise<Finding> {
  const finding = findingOf(refused);
  const rid = await ridOf(target, logonName(username, machine).username);
  if (rid === undefined) return finding;
  if (rid !== BUILT_IN)
    return {
      ...finding,
      found: `${finding.found}; it has RID ${rid} there, so it is not the built-in Administrator (RID ${BUILT_IN}), which alone UAC leaves its rights`,
    };
  return {
    ...finding,
    found: `${finding.found}; it is the built-in Administrator there (RID ${BUILT_IN}), which UAC does not filter as a rule`,
    cause:
      'The policy "User Account Control: Admin Approval Mode for the Built-in Administrator account" (FilterAdministratorToken = 1) has this account filtered as well, or somebody changed who may open ADMIN$.',
    remedy:
      'Use a domain account that is administrator there; or set LocalAccountTokenFilterPolicy = 1, or FilterAdministratorToken = 0 (both DWORD, below HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Policies\\System) on the machine.',
  };
}

/** Whatever keeps the machine from answering, the refusal stays what is told. */
async function ridOf(target: Target, username: string): Promise<number | undefined> {
  try {
    await target.openPipes();
    return await target.rid(username);
  } catch (error) {
    if (error instanceof PushpointError) return undefined;
    throw error;
  }
}
