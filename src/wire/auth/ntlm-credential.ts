import type { Clock } from '#base/clock';
import { raise } from '#base/errors';
import type { Random } from '#base/random';
import type { Credential } from './credential.ts';
import { NtlmInitiator } from './ntlm-initiator.ts';
import { ntHash, ntowfV2 } from './ntlm-keys.ts';
import { SpnegoInitiator } from './spnego-initiator.ts';

export interface NtlmAccount {
  username: string;
  /** domain is the NetBIOS or DNS name of the domain, the host's name for a local account, or '' for user@domain. */
  domain: string;
  password: string;
  /** workstation is the name we give ourselves, as it appears in the Security event log of the host; none by default. */
  workstation?: string;
  clock: Clock;
  random: Random;
}

const LONGEST_NAME = 256;

function checkNames(account: string, ...names: string[]): void {
  const bad = (why: string) => raise('PP_AUTH_ACCOUNT_NAME', { account, why });
  if (names[0] === '') throw bad('the user name is empty');
  for (const name of names) {
    if (name.length > LONGEST_NAME) throw bad(`a part of it is longer than ${LONGEST_NAME} characters`);
    if (/[\\\u0000-\u001f]/.test(name)) throw bad('there is a backslash or a control character inside a part of it');
  }
}

/**
 * ntlmCredential is an account that logs on with NTLMv2. The password goes in here and does not come out: what stays is a key made of it,
 * in a closure, so that neither inspect nor JSON nor an error can show it.
 */
export function ntlmCredential(account: NtlmAccount): Credential {
  const { username, domain, clock, random } = account;
  const workstation = account.workstation ?? '';
  const label = domain === '' ? username : `${domain}\\${username}`;
  checkNames(label, username, domain, workstation);
  const key = ntowfV2(ntHash(account.password), username, domain);
  return {
    label,
    authenticator: (options) =>
      new SpnegoInitiator(
        new NtlmInitiator({ username, domain, workstation, ntowf: () => key }, options, clock, random),
        options.target,
      ),
  };
}
