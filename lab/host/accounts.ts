import { ntHash, type AcceptorAccount } from '#wire/auth';
import { STATUS } from '#wire/status';

export type AccountState = NonNullable<AcceptorAccount['state']>;

/** AccountSpec is an account as a test or the fleet asks for it. */
export interface AccountSpec {
  username: string;
  password: string;
  /** administrator: a member of the machine's Administrators. */
  administrator?: boolean;
  /** filtered: a local administrator who is not the built-in one gets no administrator's token over the network (UAC). */
  filtered?: boolean;
  state?: AccountState;
}

/** Account is one that exists; its password is kept as its NT hash only, where nothing prints it. */
export class Account {
  readonly username: string;
  readonly administrator: boolean;
  readonly filtered: boolean;
  state: AccountState;
  /** tries counts the logons since it was made. */
  readonly tries = { succeeded: 0, failed: 0, inARow: 0 };
  #ntHash: Uint8Array;

  constructor(spec: AccountSpec) {
    this.username = spec.username;
    this.administrator = spec.administrator ?? false;
    this.filtered = spec.filtered ?? false;
    this.state = spec.state ?? 'active';
    this.#ntHash = ntHash(spec.password);
  }

  /** setPassword is what an administrator does when it was forgotten; it also unlocks. */
  setPassword(password: string): void {
    this.#ntHash = ntHash(password);
    this.tries.inARow = 0;
    if (this.state === 'locked') this.state = 'active';
  }

  get secret(): Pick<AcceptorAccount, 'ntHash'> {
    return { ntHash: this.#ntHash };
  }
}

/** AccountBook holds the accounts of one machine or one domain, and locks those that are guessed at. */
export class AccountBook {
  /** lockAfter wrong passwords in a row lock an account; 0 never does. */
  lockAfter: number;
  readonly #accounts = new Map<string, Account>();

  constructor(options: { accounts?: AccountSpec[]; lockAfter?: number } = {}) {
    this.lockAfter = options.lockAfter ?? 0;
    for (const spec of options.accounts ?? []) this.add(spec);
  }

  add(spec: AccountSpec): Account {
    const account = new Account(spec);
    this.#accounts.set(spec.username.toLowerCase(), account);
    return account;
  }

  find(username: string): Account | undefined {
    return this.#accounts.get(username.toLowerCase());
  }

  get all(): Account[] {
    return [...this.#accounts.values()];
  }

  /** took notes how a logon ended. */
  took(account: Account, status: number): void {
    if (status === STATUS.SUCCESS) {
      account.tries.succeeded++;
      account.tries.inARow = 0;
      return;
    }
    account.tries.failed++;
    if (status !== STATUS.LOGON_FAILURE) return;
    account.tries.inARow++;
    if (this.lockAfter > 0 && account.tries.inARow >= this.lockAfter && account.state === 'active') account.state = 'locked';
  }
}

/** LabDomain is an Active Directory domain as far as its members need it: names, and accounts that hold on all of them. */
export class LabDomain {
  /** netbios is for example `CORP`, dns `corp.example`. */
  readonly netbios: string;
  readonly dns: string;
  readonly accounts: AccountBook;

  constructor(options: { netbios: string; dns: string; accounts?: AccountSpec[]; lockAfter?: number }) {
    this.netbios = options.netbios;
    this.dns = options.dns;
    this.accounts = new AccountBook(options);
  }

  /** isNamed tells whether a client means this domain. */
  isNamed(domain: string): boolean {
    const wanted = domain.toLowerCase();
    return wanted === this.netbios.toLowerCase() || wanted === this.dns.toLowerCase();
  }
}
