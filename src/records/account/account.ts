import { BlockList, isIP } from 'node:net';
import { raise } from '#base/errors';
import { nameKey, namePattern, shownName, whyNotName } from '#records/resource';

/** Scope says on which machines an account may be used. */
export type Scope = { kind: 'site' } | { kind: 'host'; pattern: string } | { kind: 'subnet'; cidr: string };

export type AccountState = 'unproven' | 'usable' | 'stopped';

/** Account is a push account; its password is sealed. */
export interface Account {
  id: number;
  name: string;
  username: string;
  scope: Scope;
  state: AccountState;
  stopReason: string | undefined;
  sealedPassword: Uint8Array;
}

/** passwordPurpose is what an account's password is sealed for: a sealed password moved to another user name cannot be opened. */
export function passwordPurpose(username: string): string {
  return `account/${validUsername(username)}`;
}

/** AccountListed is an account as people see it: without the password, sealed or not. */
export interface AccountListed extends Omit<Account, 'sealedPassword'> {
  stopCode: number | undefined;
  stoppedAt: Date | undefined;
  workedAt: Date | undefined;
  createdAt: Date;
  changedAt: Date;
  /** On how many machines it is the one that worked last. */
  hosts: number;
}

/** AccountRow is a row of table account. */
export interface AccountRow {
  id: number;
  name: string;
  username: string;
  sealed_password: Buffer;
  scope_kind: 'site' | 'host' | 'subnet';
  scope_value: string;
  state: AccountState;
  stop_code: number | null;
  stop_reason: string | null;
  stopped_at: Date | null;
  created_at: Date;
  changed_at: Date;
  worked_at: Date | null;
  refused_by: string | null;
  refused_at: Date | null;
}

/** scopeOf reads the scope of a row. */
export function scopeOf(row: Pick<AccountRow, 'scope_kind' | 'scope_value'>): Scope {
  if (row.scope_kind === 'host') return { kind: 'host', pattern: row.scope_value };
  return row.scope_kind === 'subnet' ? { kind: 'subnet', cidr: row.scope_value } : { kind: 'site' };
}

/** accountOf turns a row into an Account. */
export function accountOf(row: AccountRow): Account {
  return {
    id: row.id,
    name: row.name,
    username: row.username,
    scope: scopeOf(row),
    state: row.state,
    stopReason: row.stop_reason ?? undefined,
    sealedPassword: new Uint8Array(row.sealed_password),
  };
}

/** isLocal tells whether a user name means an own account of each machine (`%machinename%\x`), of which one refusing says nothing of others. */
export function isLocal(username: string): boolean {
  return /^(%machinename%|\.)\\/i.test(username);
}

/** LogonName is what a logon needs of a user name. */
export interface LogonName {
  domain: string;
  username: string;
}

/** logonName takes a user name apart for one machine: `%machinename%` becomes its name, a user principal name keeps its domain. */
export function logonName(username: string, machine: string): LogonName {
  const at = username.indexOf('\\');
  if (at < 0) return { domain: '', username };
  const domain = username.slice(0, at);
  return { domain: isLocal(username) ? machine.split('.', 1)[0]! : domain, username: username.slice(at + 1) };
}

/** validUsername lets in `DOMAIN\user`, `%machinename%\user` and `user@domain`; a bare name could mean any of them. */
export function validUsername(given: string): string {
  const username = given.trim();
  const refuse = (why: string) => raise('PP_ACCOUNT_USERNAME', { username: shownName(username), why });
  const user = /^[^\\/"[\]:;|=,+*?<>@\u0000-\u001f]{1,256}$/;
  const at = username.indexOf('\\');
  if (at >= 0) {
    const domain = username.slice(0, at);
    if (!isLocal(username) && (domain === '' || whyNotName(`x.${domain}`))) throw refuse('its domain is not a name of a domain');
    if (!user.test(username.slice(at + 1))) throw refuse('its user has characters that no account has');
    return username.replace(/^\.\\/, '%machinename%\\');
  }
  const [name = '', domain, more] = username.split('@');
  if (domain === undefined || more !== undefined) throw refuse('it says neither DOMAIN\\user nor user@domain');
  if (!user.test(name) || whyNotName(`x.${domain}`)) throw refuse('it is no user@domain');
  return username;
}

/** validScope lets in a pattern of host names or a subnet. */
export function validScope(scope: Scope): Scope {
  if (scope.kind === 'host') {
    if (!/^[A-Za-z0-9*?.-]{1,253}$/.test(scope.pattern)) throw raise('PP_ACCOUNT_SCOPE', { scope: shownName(scope.pattern) });
    return { kind: 'host', pattern: nameKey(scope.pattern) };
  }
  if (scope.kind === 'subnet') {
    const [address = '', bits = ''] = scope.cidr.split('/');
    const family = isIP(address);
    if (family === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128))
      throw raise('PP_ACCOUNT_SCOPE', { scope: shownName(scope.cidr) });
  }
  return scope;
}

/** Machine is what the choice of an account looks at. */
export interface Machine {
  name: string;
  domain?: string | undefined;
  addresses?: readonly string[] | undefined;
  resourceId?: number | undefined;
  /** As the CCR has it; else it is made of the rest in the same way. */
  machineKey?: string | undefined;
}

/** machineKeyOf names a machine as its CCR does. */
export function machineKeyOf(machine: Machine): string {
  if (machine.machineKey !== undefined) return machine.machineKey;
  if (machine.resourceId !== undefined) return `R${machine.resourceId}`;
  return machine.domain ? `${nameKey(machine.name)}.${nameKey(machine.domain)}` : nameKey(machine.name);
}

function patternOf(pattern: string): (machine: Machine) => boolean {
  const fits = namePattern(pattern);
  return (machine) => fits(machine.name, machine.domain);
}

function subnetOf(cidr: string): (machine: Machine) => boolean {
  const [base = '', bits] = cidr.split('/');
  const family = isIP(base) === 6 ? 'ipv6' : 'ipv4';
  const subnet = new BlockList();
  subnet.addSubnet(base, Number(bits), family);
  return ({ addresses = [] }) => addresses.some((a) => isIP(a) === (family === 'ipv6' ? 6 : 4) && subnet.check(a, family));
}

/** fitnessOf gives how exactly a scope is meant for a machine, higher is better; undefined when it is not meant for it at all. */
export function fitnessOf(scope: Scope): (machine: Machine) => number | undefined {
  if (scope.kind === 'site') return () => 0;
  const fits = scope.kind === 'subnet' ? subnetOf(scope.cidr) : patternOf(scope.pattern);
  const rank = scope.kind === 'subnet' ? 1 + Number(scope.cidr.split('/')[1]) : 1000 + scope.pattern.replace(/[*?]/g, '').length;
  return (machine) => (fits(machine) ? rank : undefined);
}
