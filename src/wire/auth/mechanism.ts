import type { Bytes } from '#wire/bytes';
import type { PeerNames } from './credential.ts';

/** MechanismKeys is what both sides have once a mechanism has said its last word. */
export interface MechanismKeys {
  sessionKey: Bytes;
  /** sign makes the integrity code that the mechListMIC is. */
  sign(message: Uint8Array): Bytes;
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** Mechanism is a way to prove who one is (NTLM, Kerberos), carried by SPNEGO; this is the client's half of it. */
export interface Mechanism {
  readonly name: 'ntlm' | 'kerberos';
  /** oid is the contents octets of the object identifier. */
  readonly oid: Bytes;
  readonly peer: PeerNames | undefined;
  start(): Promise<Bytes>;
  /** next takes the peer's token; undefined when the mechanism has nothing more to send. */
  next(token: Uint8Array): Promise<Bytes | undefined>;
  /** keys is undefined until the mechanism is through. */
  readonly keys: MechanismKeys | undefined;
}
