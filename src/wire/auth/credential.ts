import type { Bytes } from '#wire/bytes';

/** PeerNames is what the reached host says of itself before it has proven anything; whether it is the wanted host is decided by it. */
export interface PeerNames {
  netbiosComputer?: string;
  netbiosDomain?: string;
  dnsComputer?: string;
  dnsDomain?: string;
  dnsForest?: string;
  timestamp?: Date;
  osVersion?: { major: number; minor: number; build: number };
}

/** Authenticator is one logon on one connection; tokens are SPNEGO ([MS-SPNG]) whatever the mechanism inside. */
export interface Authenticator {
  readonly mechanism: 'ntlm' | 'kerberos';
  /** start makes the first token (negTokenInit). */
  start(): Promise<Bytes>;
  /**
   * next takes the peer's token and makes the next one; undefined when nothing is left to say. It verifies what the peer must prove,
   * so it is also called with what came along with SUCCESS, even if that is empty.
   */
  next(token: Uint8Array): Promise<Bytes | undefined>;
  /** peer is known after the peer's first token, or undefined where the mechanism names nobody. */
  readonly peer: PeerNames | undefined;
  /** sessionKey is the full exported key; it raises PP_AUTH_INCOMPLETE until next has taken the peer's last token. */
  sessionKey(): Bytes;
}

export interface AuthenticatorOptions {
  /** target is the service principal name of the wanted host, for example 'cifs/host.corp.example'. */
  target: string;
  /** checkPeer is called with the names the peer gives, before anything is computed from the secret; it throws to stop the logon. */
  checkPeer?: (peer: PeerNames) => void;
}

/** Credential is an account that can log on; what proves it is known to its mechanism only and is never shown. */
export interface Credential {
  /** label names the account, for example 'CORP\push'; never the secret. */
  readonly label: string;
  authenticator(options: AuthenticatorOptions): Authenticator;
}
