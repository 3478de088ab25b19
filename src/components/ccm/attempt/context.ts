import type { Clock } from '#base/clock';
import type { Log } from '#base/log';
import type { Random } from '#base/random';
import type { Ccr } from '#records/ccr';
import type { SiteSettings } from '#records/site';
import type { Credential } from '#wire/auth';
import type { connectSmb, SmbSession } from '#wire/smb';
import type { probeTcp } from '#wire/tcp';

import type { Journal } from '../journal.ts';
import type { Wanted } from './identity.ts';
import type { Stop } from './interrupted.ts';
import type { Timeline } from './timeline.ts';

/** Network is how attempts reach machines; handed in, so that tests and the lab decide what is there. */
export interface Network {
  probe: typeof probeTcp;
  connect: typeof connectSmb;
  /** resolve gives the addresses of a name, or raises PP_NET_NAME_UNKNOWN. */
  resolve(name: string): Promise<string[]>;
}

/** PushAccount is one account to try: how it is shown, and the credential it becomes for one machine. */
export interface PushAccount {
  id: number;
  name: string;
  username: string;
  credential(machine: string): Credential;
}

/** Accounts chooses accounts for a machine and learns how they fared. */
export interface Accounts {
  /** choose gives at most two, the remembered one first. */
  choose(ccr: Ccr): Promise<PushAccount[]>;
  /** enter waits until this machine may log on with the account; false when it was stopped meanwhile. Then one of the other three follows. */
  enter(account: PushAccount, ccr: Ccr, signal: AbortSignal): Promise<boolean>;
  /** left ends a turn that said nothing about the account. */
  left(account: PushAccount, ccr: Ccr): Promise<void>;
  worked(account: PushAccount, ccr: Ccr): Promise<void>;
  failed(account: PushAccount, ccr: Ccr, win32: number): Promise<void>;
}

/** Push is what is laid on a machine and started there. */
export interface Push {
  name: string;
  version: string;
  /** Bootstrap as it is called on the machine, with its bytes and their hash. */
  bootstrap: { file: string; bytes: Uint8Array; sha256: string };
  arguments: string | undefined;
  setupService: string;
  verifyService: string;
  minimumBuild: number | undefined;
  architectures: string[] | undefined;
  freeBytes: number | undefined;
}

/** AttemptContext is everything one attempt works with. */
export interface AttemptContext {
  ccr: Ccr;
  fence: number;
  wanted: Wanted;
  /** Addresses to try first, the ones discovery has now before those of the request, and the port. */
  addresses: readonly string[];
  port: number;
  site: string;
  /** The primary that clients of this site belong to. */
  clientSite: string;
  settings: SiteSettings['ccr'];
  push: Push;
  /** What proves that an earlier attempt of this CCR, which was cut, has succeeded: then only its lock is to be taken away. */
  proven: string | undefined;
  network: Network;
  accounts: Accounts;
  clock: Clock;
  random: Random;
  log: Log;
  journal: Journal;
  timeline: Timeline;
  stop: Stop;
  /** stillOurs tells whether nobody cancelled, paused or took over the CCR meanwhile. */
  stillOurs(): Promise<boolean>;
  /** mobileClient makes this machine's own mobileclient.tcf, with a token that is good once. */
  mobileClient(): Promise<Uint8Array>;
  /** tokenCcr tells which CCR a registration token found on the machine was made for. */
  tokenCcr(tokenId: string): Promise<number | undefined>;
  /** connected is told what was agreed with the machine. */
  connected(session: SmbSession, account: PushAccount): void;
}
