import { raise } from '#base/errors';
import { Refusals } from '#records/account';
import type { Ccr } from '#records/ccr';
import type { Accounts, PushAccount } from '../attempt/context.ts';
import type { DoctorParts } from './parts.ts';

/**
 * CarefulAccounts keeps people from locking an account by looking again and again: a machine that refused its password lately is not asked for the
 * same once more. Pushes are paced by their retry interval; examinations come as fast as somebody types.
 */
export class CarefulAccounts implements Accounts {
  readonly #accounts: Accounts;
  readonly #refusals: Refusals;

  constructor(accounts: Accounts, { database, clock }: Pick<DoctorParts, 'database' | 'clock'>) {
    this.#accounts = accounts;
    this.#refusals = new Refusals(database, clock);
  }

  choose(ccr: Ccr): Promise<PushAccount[]> {
    return this.#accounts.choose(ccr);
  }

  /** enter looks once it is this machine's turn, so that of several examinations at once the later ones know what the first one heard. */
  async enter(account: PushAccount, ccr: Ccr, signal: AbortSignal): Promise<boolean> {
    if (!(await this.#accounts.enter(account, ccr, signal))) return false;
    let entered = false;
    try {
      const refused = await this.#refusals.last(account.id, ccr.machineKey);
      entered = refused === undefined;
      if (refused === undefined) return true;
      throw raise('PP_DOCTOR_REFUSED_BEFORE', { host: ccr.name, account: account.username, at: refused.toISOString() });
    } finally {
      if (!entered) await this.#accounts.left(account, ccr);
    }
  }

  left(account: PushAccount, ccr: Ccr): Promise<void> {
    return this.#accounts.left(account, ccr);
  }

  worked(account: PushAccount, ccr: Ccr): Promise<void> {
    return this.#accounts.worked(account, ccr);
  }

  failed(account: PushAccount, ccr: Ccr, win32: number): Promise<void> {
    return this.#accounts.failed(account, ccr, win32);
  }
}
