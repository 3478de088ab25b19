export * from './messages/index.ts';
export {
  cipherId,
  cipherName,
  deriveKeys,
  PreauthHash,
  signingId,
  signingName,
  type CipherName,
  type SessionKeys,
  type SigningName,
} from './keys.ts';
export { signMessage, verifyMessage } from './signing.ts';
export { Opener, Sealer } from './encryption.ts';
export { Framer, PREFIX, SocketTransport, type Transport, type TransportEvents } from './transport.ts';
export { connectSmb, openSession, type SmbOptions } from './connect.ts';
export { expectHost } from './names.ts';
export { greetSmb, mayBeSmb1, speaksSmb1, type Greeted } from './greet.ts';
export type { SmbPipe } from './pipe.ts';
export type { SmbSession } from './session.ts';
export type { SmbTree } from './tree.ts';
