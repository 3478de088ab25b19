export type { Authenticator, AuthenticatorOptions, Credential, PeerNames } from './credential.ts';
export { ntHash } from './ntlm-keys.ts';
export { ntlmCredential, type NtlmAccount } from './ntlm-credential.ts';
export type { AcceptorAccount, AcceptorOptions, AccountLookup } from './ntlm-acceptor.ts';
export { SpnegoAcceptor, type AcceptorAnswer } from './spnego-acceptor.ts';
