import { createHmac, createSecretKey } from 'node:crypto';
import { bytesEqual, type Bytes } from '#wire/bytes';
import { aesCmac, gmac } from '#wire/crypto';
import type { SigningName } from './keys.ts';
import { COMMAND, FLAG } from './messages/index.ts';

const COMMAND_AT = 12;
const FLAGS_AT = 16;
const MESSAGE_ID_AT = 24;
const SIGNATURE_AT = 48;
const SIGNATURE_END = 64;

/** [MS-SMB2] 3.1.4.1: the message id, then bit 0 = sent by the server, bit 1 = a CANCEL. */
function gmacNonce(message: Uint8Array): Bytes {
  const nonce = new Uint8Array(12);
  nonce.set(message.subarray(MESSAGE_ID_AT, MESSAGE_ID_AT + 8));
  const isCancel = message[COMMAND_AT] === COMMAND.CANCEL && message[COMMAND_AT + 1] === 0;
  nonce[8] = (message[FLAGS_AT]! & FLAG.SERVER_TO_REDIR ? 1 : 0) | (isCancel ? 2 : 0);
  return nonce;
}

function signatureOf(name: SigningName, key: Uint8Array, message: Uint8Array): Uint8Array {
  if (name === 'AES-GMAC') return gmac(key, gmacNonce(message), message);
  if (name === 'AES-CMAC') return aesCmac(key, message);
  return createHmac('sha256', createSecretKey(key))
    .update(message)
    .digest()
    .subarray(0, SIGNATURE_END - SIGNATURE_AT);
}

/** signMessage sets the SIGNED flag and the signature in place; `message` is one whole message with its padding in a compound. */
export function signMessage(name: SigningName, key: Uint8Array, message: Uint8Array): void {
  message[FLAGS_AT]! |= FLAG.SIGNED;
  message.fill(0, SIGNATURE_AT, SIGNATURE_END);
  message.set(signatureOf(name, key, message), SIGNATURE_AT);
}

/** verifyMessage tells whether a message is signed and its signature is right; the message is left as it was. */
export function verifyMessage(name: SigningName, key: Uint8Array, message: Uint8Array): boolean {
  if (!(message[FLAGS_AT]! & FLAG.SIGNED)) return false;
  const signature = new Uint8Array(message.subarray(SIGNATURE_AT, SIGNATURE_END));
  // Zeroed in place and put back: a copy of the whole message would cost more than the signature.
  message.fill(0, SIGNATURE_AT, SIGNATURE_END);
  const wanted = signatureOf(name, key, message);
  message.set(signature, SIGNATURE_AT);
  return bytesEqual(signature, wanted);
}
