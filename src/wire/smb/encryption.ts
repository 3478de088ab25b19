import { concat, Writer, type Bytes } from '#wire/bytes';
import { aeadKey, nonceLength, open, sealParts, type AeadKey } from '#wire/crypto';
import { aeadName, type CipherName } from './keys.ts';
import { TRANSFORM_AAD_AT, TRANSFORM_SIZE, TransformHeader } from './messages/index.ts';

const SIGNATURE_AT = 4;
const blank = new Uint8Array(16);

/** Sealer encrypts what one side of a session sends, [MS-SMB2] 3.1.4.3. */
export class Sealer {
  readonly #cipher: CipherName;
  readonly #key: AeadKey;
  readonly #sessionId: bigint;
  #count = 0n;

  constructor(cipher: CipherName, key: Uint8Array, sessionId: bigint) {
    this.#cipher = cipher;
    this.#key = aeadKey(key);
    this.#sessionId = sessionId;
  }

  /** seal gives the transform header and the ciphertext, with `reserve` free octets in front; no nonce comes twice under one key. */
  seal(plain: Uint8Array, reserve = 0): Bytes {
    return concat(...this.sealParts([plain], reserve));
  }

  /** sealParts does the same for a message that lies in several places, and gives what is to be sent part by part. */
  sealParts(parts: readonly Uint8Array[], reserve = 0): Bytes[] {
    const nonce = new Uint8Array(16);
    new DataView(nonce.buffer).setBigUint64(0, ++this.#count, true);
    const w = new Writer(reserve + TRANSFORM_SIZE);
    w.zeros(reserve);
    w.base = reserve;
    const originalMessageSize = parts.reduce((sum, part) => sum + part.length, 0);
    TransformHeader.write(w, { signature: blank, nonce, originalMessageSize, sessionId: this.#sessionId });
    const name = aeadName(this.#cipher);
    const head = w.done();
    const aad = head.subarray(reserve + TRANSFORM_AAD_AT, reserve + TRANSFORM_SIZE);
    const { ciphertexts, tag } = sealParts(name, this.#key, nonce.subarray(0, nonceLength(name)), aad, parts);
    head.set(tag, reserve + SIGNATURE_AT);
    return [head, ...ciphertexts];
  }
}

/** Opener decrypts what the other side of a session sends. */
export class Opener {
  readonly #cipher: CipherName;
  readonly #key: AeadKey;
  readonly #sessionId: bigint;

  constructor(cipher: CipherName, key: Uint8Array, sessionId: bigint) {
    this.#cipher = cipher;
    this.#key = aeadKey(key);
    this.#sessionId = sessionId;
  }

  /** open gives the plain frame, or undefined when it is of another session, of another length than it says, or was changed. */
  open(frame: Bytes): Bytes | undefined {
    const head = TransformHeader.decode(frame);
    const sealed = frame.subarray(TRANSFORM_SIZE);
    if (head.sessionId !== this.#sessionId || head.originalMessageSize !== sealed.length) return undefined;
    const name = aeadName(this.#cipher);
    const aad = frame.subarray(TRANSFORM_AAD_AT, TRANSFORM_SIZE);
    return open(name, this.#key, head.nonce.subarray(0, nonceLength(name)), aad, sealed, head.signature);
  }
}
