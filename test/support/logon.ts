import { ManualClock } from '#base/clock';
import type { Random } from '#base/random';
import {
  ntHash,
  ntlmCredential,
  SpnegoAcceptor,
  type AcceptorAnswer,
  type Authenticator,
  type AuthenticatorOptions,
  type PeerNames,
} from '#wire/auth';
import { STATUS } from '#wire/status';

/** A password that can be found again wherever it leaks to. */
export const canary = 'C4nary-ünd-Bird!';

export const clock = new ManualClock('2026-01-05T08:00:00Z');

/** countingRandom gives other octets each time and the same ones in each run. */
export function countingRandom(start = 1): Random {
  let next = start;
  return {
    bytes: (length) => Uint8Array.from({ length }, () => (next = (next * 73 + 41) % 251)),
    uuid: () => '00000000-0000-4000-8000-000000000000',
    fraction: () => 0.5,
  };
}

export const hostNames: PeerNames = {
  netbiosComputer: 'PC7',
  netbiosDomain: 'CORP',
  dnsComputer: 'pc7.corp.example',
  dnsDomain: 'corp.example',
  dnsForest: 'corp.example',
  osVersion: { major: 10, minor: 0, build: 26100 },
};

const states = ['active', 'locked', 'disabled', 'expired', 'password-expired', 'password-must-change'] as const;

/** hostAcceptor takes logons of `push` and of one account for each state, named after it. */
export function hostAcceptor(names: PeerNames = hostNames): SpnegoAcceptor {
  const hash = ntHash(canary);
  return new SpnegoAcceptor({
    names,
    clock,
    random: countingRandom(7),
    lookup: (username, domain) => {
      if (username === 'push' && domain === 'CORP') return { ntHash: hash };
      if (username === 'barred') return STATUS.LOGON_TYPE_NOT_GRANTED;
      if (username === 'Guest') return { ntHash: hash };
      const state = states.find((s) => s === username);
      return state && { ntHash: hash, state };
    },
  });
}

export function pushAuthenticator(
  account: { username?: string; password?: string } = {},
  options: Partial<AuthenticatorOptions> = {},
): Authenticator {
  const credential = ntlmCredential({
    username: account.username ?? 'push',
    domain: 'CORP',
    password: account.password ?? canary,
    workstation: 'SITE1',
    clock,
    random: countingRandom(),
  });
  return credential.authenticator({ target: 'cifs/pc7.corp.example', ...options });
}

export type Step = 'init' | 'challenge' | 'authenticate' | 'completed';

/**
 * logOn runs a whole logon the way SMB carries it, in as many legs as it takes; `between` may change each token on its way. It gives the
 * acceptor's last answer; what the initiator raises is thrown.
 */
export async function logOn(
  client: Authenticator,
  host: SpnegoAcceptor,
  between: (token: Uint8Array, step: Step) => Uint8Array = (token) => token,
): Promise<AcceptorAnswer> {
  let token: Uint8Array | undefined = await client.start();
  let step: 'init' | 'authenticate' = 'init';
  for (;;) {
    const answer = host.accept(between(token, step));
    if (answer.done && answer.status !== STATUS.SUCCESS) return answer;
    token = await client.next(between(answer.token ?? new Uint8Array(0), step === 'init' ? 'challenge' : 'completed'));
    if (answer.done) return answer;
    if (token === undefined) throw new Error('the initiator has nothing more to say and the acceptor waits');
    step = 'authenticate';
  }
}
