import { raise } from '#base/errors';

/** The roles that a process of a site can have in this release. */
export const ROLES = ['inbox', 'ccm', 'ddm', 'discovery', 'hierarchy', 'mp', 'slp', 'fsp', 'console'] as const;
export type Role = (typeof ROLES)[number];

/** readRoles checks a list of roles; without one it is all of them. */
export function readRoles(given: readonly string[] | undefined): Set<Role> {
  if (given === undefined) return new Set(ROLES);
  const unknown = given.filter((role) => !(ROLES as readonly string[]).includes(role));
  if (unknown.length > 0 || given.length === 0)
    throw raise('PP_CLI_USAGE', { why: `roles are ${ROLES.join(', ')}; not ${unknown.join(', ') || 'none'}` });
  return new Set(given as Role[]);
}
