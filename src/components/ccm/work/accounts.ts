import { raise } from '#base/errors';
import { logonName, passwordPurpose, type Account, type AccountRecord } from '#records/account';
import type { Ccr, CcrRecord, Claimed } from '#records/ccr';
import { ntlmCredential, type Credential } from '#wire/auth';
import type { Accounts, PushAccount } from '../attempt/context.ts';
import type { CcmParts } from './parts.ts';
import { Places } from './places.ts';

/** PushAccounts makes credentials of the accounts that the record chooses; a password is open only while a credential is made of it. */
export class PushAccounts implements Accounts {
  readonly #parts: Pick<CcmParts, 'account' | 'vault' | 'clock' | 'random'>;
  readonly #record: AccountRecord;
  readonly #places: Places;
  /** The accounts as they stand at the turn of the machine that waited for it. */
  readonly #current = new WeakMap<PushAccount, Account>();

  constructor(parts: Pick<CcmParts, 'account' | 'vault' | 'clock' | 'random'> & { ccr: CcrRecord }) {
    this.#parts = parts;
    this.#record = parts.account;
    this.#places = new Places(parts.ccr, parts.clock);
  }

  /** within gives the accounts to one claimed attempt, which waits where `cap` attempts have the account it is about to use. */
  within(claimed: Claimed, cap: number): Accounts {
    return {
      choose: (ccr) => this.choose(ccr),
      enter: async (account, ccr, signal) => {
        await this.#places.take(claimed, account.name, cap, signal);
        return this.enter(account, ccr, signal);
      },
      left: (account, ccr) => this.left(account, ccr),
      worked: (account, ccr) => this.worked(account, ccr),
      failed: (account, ccr, win32) => this.failed(account, ccr, win32),
    };
  }

  async choose(ccr: Ccr): Promise<PushAccount[]> {
    const { machineKey, name, domain, addresses, resourceId } = ccr;
    const chosen = await this.#record.chooseFor({ machineKey, name, domain, addresses, resourceId });
    return chosen.map((account) => {
      const { id, name: known, username } = account;
      const shown: PushAccount = {
        id,
        name: known,
        username,
        credential: (machine) => this.#credential(this.#current.get(shown) ?? account, machine),
      };
      return shown;
    });
  }

  #credential(account: Account, machine: string): Credential {
    const { vault, clock, random } = this.#parts;
    let opened: Uint8Array;
    try {
      opened = vault.open(account.sealedPassword, passwordPurpose(account.username));
    } catch (cause) {
      throw raise('PP_PUSH_ACCOUNT_UNREADABLE', { account: account.name }, { cause });
    }
    const password = new TextDecoder('utf-8', { ignoreBOM: true }).decode(opened);
    opened.fill(0);
    const { username, domain } = logonName(account.username, machine);
    return ntlmCredential({ username, domain, password, clock, random });
  }

  /** enter waits, and meanwhile the password may be changed: an old one would be refused, and two refusals stop the account for everybody. */
  async enter(account: PushAccount, ccr: Ccr, signal: AbortSignal): Promise<boolean> {
    if (!(await this.#record.enter(account.id, ccr.machineKey, signal, ccr.id))) return false;
    let current: Account | undefined;
    try {
      current = await this.#record.current(account.id);
    } finally {
      if (!current) await this.left(account, ccr);
    }
    if (current) this.#current.set(account, current);
    return current !== undefined;
  }

  worked(account: PushAccount, ccr: Ccr): Promise<void> {
    return this.#record.worked(account.id, ccr.machineKey);
  }

  async failed(account: PushAccount, ccr: Ccr, win32: number): Promise<void> {
    await this.#record.failed(account.id, ccr.machineKey, win32);
  }

  left(account: PushAccount, ccr: Ccr): Promise<void> {
    return this.#record.left(account.id, ccr.machineKey);
  }
}
