import { catalogue, isCode, PushpointError, raise, type Code } from '#base/errors';
import type { SmbSession } from '#wire/smb';

import { bounded, STEP_LIMIT_MS } from './bounded.ts';
import type { AttemptContext, PushAccount } from './context.ts';
import { checkIdentity } from './identity.ts';
import type { Found } from './probe.ts';
import type { Note } from './timeline.ts';

/** LoggedOn is a session and the account that opened it. */
export interface LoggedOn {
  session: SmbSession;
  account: PushAccount;
}

/** open connects and logs on with one account; the host is asked for its name before the account is used. */
export async function open(context: AttemptContext, found: Found, account: PushAccount): Promise<SmbSession> {
  const { network, clock, random, log, wanted, stop } = context;
  const connecting = network.connect({
    host: wanted.name,
    address: found.address,
    port: found.port,
    line: found.line,
    credential: account.credential(wanted.name),
    clock,
    random,
    log,
    signal: stop.hard,
    checkPeer: (peer) => checkIdentity(wanted, peer),
  });
  const limit = { clock, host: wanted.name, doing: 'the logon', ms: STEP_LIMIT_MS.logon, signal: stop.hard };
  return bounded(connecting, {
    ...limit,
    // A session that comes too late belongs to nobody.
    cut: () => void connecting.then((late) => late.close()).catch(() => {}),
  });
}

/** Answers that say something about the account and not about the machine. By row: one row comes with several Win32 codes (1326, 86, 1317). */
const ABOUT_ACCOUNT: ReadonlySet<Code> = new Set<Code>([
  'PP_LOGON_FAILURE',
  'PP_LOGON_RESTRICTED',
  'PP_LOGON_HOURS',
  'PP_LOGON_WORKSTATION',
  'PP_LOGON_PASSWORD_EXPIRED',
  'PP_LOGON_PASSWORD_CHANGE',
  'PP_LOGON_ACCOUNT_DISABLED',
  'PP_LOGON_ACCOUNT_EXPIRED',
  'PP_LOGON_ACCOUNT_LOCKED',
  'PP_LOGON_TYPE',
  'PP_LOGON_GUEST',
  'PP_LOGON_REFUSED',
]);

/** aboutAccount is the Win32 code of the row that says so, by which accounts are stopped; undefined where another account would fare no better. */
function aboutAccount(error: PushpointError): number | undefined {
  return ABOUT_ACCOUNT.has(error.code) ? catalogue[error.code as 'PP_LOGON_FAILURE'].win32 : undefined;
}

/**
 * logon tries the accounts for this machine, at most two, the remembered one first. Only an answer about the account leads to the
 * next one; anything else ends the step, so that no account is shown around.
 */
export async function logon(context: AttemptContext, found: Found, chosen: PushAccount[], note: Note): Promise<LoggedOn> {
  const { ccr, journal, accounts } = context;
  if (chosen.length === 0) throw raise('PP_PUSH_NO_ACCOUNT', { machine: ccr.name });
  let last: unknown;
  for (const account of chosen.slice(0, 2)) {
    context.stop.soft.throwIfAborted();
    if (!(await accounts.enter(account, ccr, context.stop.soft))) {
      note(`account ${account.name} was stopped meanwhile`);
      continue;
    }
    journal.connecting(account.username);
    let session: SmbSession;
    try {
      session = await open(context, found, account);
    } catch (error) {
      const stops = error instanceof PushpointError ? aboutAccount(error) : undefined;
      if (!(error instanceof PushpointError) || stops === undefined) {
        await accounts.left(account, ccr);
        throw error;
      }
      await accounts.failed(account, ccr, stops);
      journal.connectFailed(account.username, error.win32 ?? stops);
      if (last !== undefined) note(error.message);
      last ??= error;
      if (chosen.length > 1 && account === chosen[0]) note(`${error.message}; trying the next account`);
      continue;
    }
    await accounts.worked(account, ccr).catch((error: unknown) => {
      // Nobody else knows this session: left open it would stand on the machine, and keep this process from ending.
      session.close();
      throw error;
    });
    note(`logged on as ${account.username}`);
    note(
      `SMB ${dialectName(session.dialect)}, signed ${session.signing}${session.cipher ? `, encrypted ${session.cipher}` : ''}`,
    );
    context.connected(session, account);
    return { session, account };
  }
  throw last ?? raise('PP_PUSH_NO_ACCOUNT', { machine: ccr.name });
}

/** wrongHost tells whether the machine that answered is another one than the one that is meant. */
export function wrongHost(error: unknown): boolean {
  return isCode(error, 'PP_LOGON_WRONG_HOST');
}

function dialectName(dialect: number): string {
  const names: Record<number, string> = { 0x202: '2.0.2', 0x210: '2.1', 0x300: '3.0', 0x302: '3.0.2', 0x311: '3.1.1' };
  return names[dialect] ?? `0x${dialect.toString(16)}`;
}
