export type { Authenticator, AuthenticatorOptions, Credential, PeerNames } from './credential.ts';
