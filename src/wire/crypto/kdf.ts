import { createHmac, createSecretKey } from 'node:crypto';
import { Writer, type Bytes } from '#wire/bytes';

const text = new TextEncoder();

/** The counter and the length are big-endian, unlike everything else on this wire. */
function bigEndian32(value: number): Bytes {
  const octets = new Uint8Array(4);
  new DataView(octets.buffer).setUint32(0, value);
  return octets;
}

/**
 * kdfCounter is the key derivation of NIST SP 800-108 in counter mode with HMAC-SHA256 and 32-bit counter and length, as
 * [MS-SMB2] 3.1.4.2 uses it: `label` and `context` are given without the zero octet that ends the label there; a textual context
 * ('SmbSign') gets its own ending zero octet, a hash is taken as it is.
 */
export function kdfCounter(key: Uint8Array, label: string, context: string | Uint8Array, bits: 128 | 256 = 128): Bytes {
  const input = new Writer()
    .bytes(bigEndian32(1))
    .bytes(text.encode(`${label}\0`))
    .u8(0)
    .bytes(typeof context === 'string' ? text.encode(`${context}\0`) : context)
    .bytes(bigEndian32(bits));
  return new Uint8Array(
    createHmac('sha256', createSecretKey(key))
      .update(input.done())
      .digest()
      .subarray(0, bits / 8),
  );
}
