import type { Clock } from '#base/clock';
import type { Random } from '#base/random';
import type { Identity, LogonAcceptor, LogonStep } from '#lab/smb';
import { SpnegoAcceptor, type PeerNames } from '#wire/auth';
import { STATUS } from '#wire/status';
import type { Account, AccountBook, LabDomain } from './accounts.ts';

interface Found {
  book: AccountBook;
  account: Account | undefined;
  /** label is how the client named the account, `CORP\push`. */
  label: string;
  isLocal: boolean;
}

const MOST_NAMES = 1000;

/** LogonLog counts who tried to log on to one host, by `DOMAIN\name` as the client said it. */
export class LogonLog {
  readonly #counts = new Map<string, { succeeded: number; failed: number }>();

  note(label: string, succeeded: boolean): void {
    // Names come from whoever knocks; only so many are kept apart.
    const key = this.#counts.size < MOST_NAMES || this.#counts.has(label) ? label : 'others';
    const counts = this.#counts.get(key) ?? { succeeded: 0, failed: 0 };
    counts[succeeded ? 'succeeded' : 'failed']++;
    this.#counts.set(key, counts);
  }

  /** of gives the counts of one account; names are compared as the client said them. */
  of(label: string): { succeeded: number; failed: number } {
    return { succeeded: 0, failed: 0, ...this.#counts.get(label) };
  }

  get all(): { account: string; succeeded: number; failed: number }[] {
    return [...this.#counts].map(([account, counts]) => ({ account, ...counts }));
  }

  /** tried is how many logons were tried by anybody. */
  get tried(): number {
    return this.all.reduce((sum, one) => sum + one.succeeded + one.failed, 0);
  }
}

/** LogonDeskOptions is what a desk must know of its host. */
export interface LogonDeskOptions {
  hostName: string;
  local: AccountBook;
  domain: LabDomain | undefined;
  names: () => PeerNames;
  ordinaryRights: () => boolean;
  clock: Clock;
  random: Random;
}

/** LogonDesk takes the logons of one host: local accounts, and those of the domain it belongs to. */
export class LogonDesk {
  readonly log = new LogonLog();
  readonly #options: LogonDeskOptions;

  constructor(options: LogonDeskOptions) {
    this.#options = options;
  }

  /** Whose account is meant: `CORP\push`, `push@corp.example`, `.\admin`, or a name alone, which is local first. */
  #find(username: string, domain: string): Found {
    const { local, domain: member } = this.#options;
    const label = domain === '' ? username : `${domain}\\${username}`;
    const at = username.lastIndexOf('@');
    const upn = domain === '' && at > 0 ? { name: username.slice(0, at), domain: username.slice(at + 1) } : undefined;
    if (member && upn && member.isNamed(upn.domain))
      return { book: member.accounts, account: member.accounts.find(upn.name), label, isLocal: false };
    if (member?.isNamed(domain)) return { book: member.accounts, account: member.accounts.find(username), label, isLocal: false };
    const own = local.find(username);
    if (!own && domain === '' && member)
      return { book: member.accounts, account: member.accounts.find(username), label, isLocal: false };
    return { book: local, account: own, label, isLocal: true };
  }

  #identity(found: Found): Identity {
    const { hostName, domain, ordinaryRights } = this.#options;
    const account = found.account!;
    const full = account.administrator && !(found.isLocal && account.filtered) && !(!found.isLocal && ordinaryRights());
    return { username: account.username, domain: found.isLocal ? hostName : domain!.netbios, administrator: full };
  }

  hint(): Uint8Array {
    return this.#acceptor(() => undefined).hint();
  }

  #acceptor(lookup: (username: string, domain: string) => Found | undefined): SpnegoAcceptor {
    const { names, clock, random } = this.#options;
    return new SpnegoAcceptor({
      names: names(),
      clock,
      random,
      lookup(username, domain) {
        const account = lookup(username, domain)?.account;
        return account && { ...account.secret, state: account.state };
      },
    });
  }

  /** begin starts one logon. */
  begin(): LogonAcceptor {
    let found: Found | undefined;
    const acceptor = this.#acceptor((username, domain) => (found = this.#find(username, domain)));
    return {
      accept: async (token): Promise<LogonStep> => {
        const step = acceptor.accept(token);
        if (!step.done || !found) return step;
        this.log.note(found.label, step.status === STATUS.SUCCESS);
        if (found.account) found.book.took(found.account, step.status);
        return step.status === STATUS.SUCCESS ? { ...step, identity: this.#identity(found) } : { status: step.status };
      },
    };
  }
}
