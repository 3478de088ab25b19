import {
  bytes,
  countOf,
  lengthOf,
  located,
  Reader,
  repeat,
  rest,
  struct,
  u16,
  utf16Rest,
  type Bytes,
  type Of,
  type Writer,
} from '#wire/bytes';
import { CONTEXT } from './constants.ts';

/** NegotiateContext is one entry of the list that dialect 3.1.1 adds to NEGOTIATE, [MS-SMB2] 2.2.3.1. */
export interface NegotiateContext {
  type: number;
  data: Bytes;
}

/** [MS-SMB2] 2.2.3.1.1 SMB2_PREAUTH_INTEGRITY_CAPABILITIES */
export const PreauthIntegrity = struct('PREAUTH_INTEGRITY context', {
  hashCount: countOf('hashes', u16),
  saltLength: lengthOf('salt', u16),
  hashes: repeat(u16, 16),
  salt: located(rest),
});

/** [MS-SMB2] 2.2.3.1.2 SMB2_ENCRYPTION_CAPABILITIES */
export const EncryptionCapabilities = struct('ENCRYPTION context', {
  cipherCount: countOf('ciphers', u16),
  ciphers: repeat(u16, 16),
});

/** [MS-SMB2] 2.2.3.1.4 SMB2_NETNAME_NEGOTIATE_CONTEXT_ID */
export const NetName = struct('NETNAME context', { name: utf16Rest });

/** [MS-SMB2] 2.2.3.1.7 SMB2_SIGNING_CAPABILITIES */
export const SigningCapabilities = struct('SIGNING context', {
  algorithmCount: countOf('algorithms', u16),
  algorithms: repeat(u16, 16),
});

/** NegotiateContexts is what the contexts of one side say; what is not there was not said. */
export interface NegotiateContexts {
  preauth?: Of<typeof PreauthIntegrity>;
  ciphers?: number[];
  netName?: string;
  signings?: number[];
}

/** packContexts makes the list in ascending order of type, which Windows asks for. */
export function packContexts(what: NegotiateContexts): NegotiateContext[] {
  const list: NegotiateContext[] = [];
  if (what.preauth) list.push({ type: CONTEXT.PREAUTH_INTEGRITY, data: PreauthIntegrity.encode(what.preauth) });
  if (what.ciphers?.length)
    list.push({ type: CONTEXT.ENCRYPTION, data: EncryptionCapabilities.encode({ ciphers: what.ciphers }) });
  if (what.netName) list.push({ type: CONTEXT.NETNAME, data: NetName.encode({ name: what.netName }) });
  if (what.signings?.length)
    list.push({ type: CONTEXT.SIGNING, data: SigningCapabilities.encode({ algorithms: what.signings }) });
  return list;
}

/** Each side says each of these at most once: of two, nobody knows which one the other side goes by. */
const KNOWN: readonly number[] = [CONTEXT.PREAUTH_INTEGRITY, CONTEXT.ENCRYPTION, CONTEXT.NETNAME, CONTEXT.SIGNING];

/** unpackContexts reads the contexts that are known here; others are passed over. [MS-SMB2] 3.3.5.4 refuses a known one that stands there twice. */
export function unpackContexts(list: NegotiateContext[]): NegotiateContexts {
  const what: NegotiateContexts = {};
  const seen = new Set<number>();
  for (const { type, data } of list) {
    if (KNOWN.includes(type) && seen.has(type)) throw twice(type, data);
    seen.add(type);
    if (type === CONTEXT.PREAUTH_INTEGRITY) what.preauth = PreauthIntegrity.decode(data);
    else if (type === CONTEXT.ENCRYPTION) what.ciphers = EncryptionCapabilities.decode(data).ciphers;
    else if (type === CONTEXT.NETNAME) what.netName = NetName.decode(data).name;
    else if (type === CONTEXT.SIGNING) what.signings = SigningCapabilities.decode(data).algorithms;
  }
  return what;
}

function twice(type: number, data: Bytes): Error {
  const r = new Reader(data, 'negotiate contexts');
  r.field = 'type';
  return r.fail(`context ${type} stands there twice`, 0);
}

const Entry = struct('negotiate context', {
  type: u16,
  dataLength: lengthOf('data', u16),
  reserved: bytes(4),
  data: located(rest),
});
const MOST_CONTEXTS = 32;

/** readContexts reads `count` contexts from `offset` on; each begins at a multiple of 8. */
export function readContexts(r: Reader, offset: number, count: number): NegotiateContext[] {
  if (count > MOST_CONTEXTS) throw r.fail(`${count} negotiate contexts, at most ${MOST_CONTEXTS} are taken`);
  const list: NegotiateContext[] = [];
  if (count === 0) return list;
  r.field = 'contexts';
  const part = r.part(offset, r.end - r.base - offset);
  for (let i = 0; i < count; i++) {
    part.align(8);
    const { type, data } = Entry.read(part);
    part.skip(data.length);
    list.push({ type, data });
  }
  return list;
}

/** writeContexts writes them 8-aligned, the last one without padding after it. */
export function writeContexts(w: Writer, list: NegotiateContext[]): void {
  for (const { type, data } of list) {
    w.align(8);
    Entry.write(w, { type, reserved: new Uint8Array(4), data });
  }
}
