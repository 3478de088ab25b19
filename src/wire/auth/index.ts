export type { Authenticator, AuthenticatorOptions, Credential, PeerNames } from './credential.ts';
export { ntHash } from './ntlm-keys.ts';
export { ntlmCredential } from './ntlm-credential.ts';
export type { AcceptorAccount } from './ntlm-acceptor.ts';
export { SpnegoAcceptor, type AcceptorAnswer } from './spnego-acceptor.ts';
export { AV, AV_FLAG_MIC, avFlags, avPair, namesOf, withPair } from './av-pairs.ts';
export { exchangeKey, messageMic, NtlmSigner, ntowfV2, ntProof, sessionBaseKey } from './ntlm-keys.ts';
export { Authenticate, AuthenticateHead, Challenge, ClientChallenge, MIC_OFFSET, NTLM_FLAG } from './ntlm-messages.ts';
export { decodeToken, encodeInit, encodeResponse, mechListOf, OID } from './spnego-tokens.ts';
