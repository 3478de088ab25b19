import {
  bytes,
  constant,
  countOf,
  lengthOf,
  located,
  offsetOf,
  Reader,
  repeat,
  reserved,
  rest,
  struct,
  u16,
  u32,
  u64,
  Writer,
  type Codec,
  type Of,
  type Struct,
} from '#wire/bytes';
import { DIALECT } from './constants.ts';
import { readContexts, writeContexts, type NegotiateContext } from './negotiate-contexts.ts';

/** [MS-SMB2] 2.2.3 SMB2 NEGOTIATE Request, without its contexts */
const RequestFixed = struct('NEGOTIATE request', {
  structureSize: constant(u16, 36),
  dialectCount: countOf('dialects', u16),
  securityMode: u16,
  reserved: reserved(2),
  capabilities: u32,
  clientGuid: bytes(16),
  contextOffset: u32, // with the next two: ClientStartTime, always 0, if 3.1.1 is not offered
  contextCount: u16,
  reserved2: reserved(2),
  dialects: repeat(u16, 64),
});

/** [MS-SMB2] 2.2.4 SMB2 NEGOTIATE Response, without its contexts */
const ResponseFixed = struct('NEGOTIATE response', {
  structureSize: constant(u16, 65),
  securityMode: u16,
  dialect: u16,
  contextCount: u16, // reserved below 3.1.1
  serverGuid: bytes(16),
  capabilities: u32,
  maxTransactSize: u32,
  maxReadSize: u32,
  maxWriteSize: u32,
  systemTime: u64,
  serverStartTime: u64,
  tokenOffset: offsetOf('token', u16),
  tokenLength: lengthOf('token', u16),
  contextOffset: u32, // reserved below 3.1.1
  token: located(rest),
});

type WithContexts<T> = Omit<T, 'contextOffset' | 'contextCount'> & { contexts: NegotiateContext[] };
export type NegotiateRequest = WithContexts<Of<typeof RequestFixed>>;
export type NegotiateResponse = WithContexts<Of<typeof ResponseFixed>>;

type Fixed = { contextOffset: number; contextCount: number };

/** The offset and the count of the contexts mean that only when `has311` says so; where the offset stands differs. */
function withContexts<F extends Fixed>(
  fixed: Struct<F>,
  offsetAt: number,
  has311: (value: F) => boolean,
): Struct<WithContexts<F>> {
  const codec: Codec<WithContexts<F>> = {
    read(r) {
      const { contextOffset, contextCount, ...value } = fixed.read(r);
      const whole = { ...value, contextOffset, contextCount } as unknown as F;
      return { ...value, contexts: has311(whole) ? readContexts(r, contextOffset, contextCount) : [] };
    },
    write(w, value) {
      const at = w.at;
      const count = value.contexts.length;
      fixed.write(w, { ...value, contextOffset: 0, contextCount: count } as unknown as F);
      if (count === 0) return;
      w.align(8);
      const offset = w.at - w.base;
      w.patch(at + offsetAt, () => w.u32(offset));
      writeContexts(w, value.contexts);
    },
  };
  return {
    ...codec,
    name: fixed.name,
    decode: (octets, options) => codec.read(new Reader(octets, fixed.name, options)),
    encode(value) {
      const w = new Writer();
      codec.write(w, value);
      return w.done();
    },
  };
}

/** NegotiateRequest is [MS-SMB2] 2.2.3, with the contexts that 3.1.1 adds. */
export const NegotiateRequest: Struct<NegotiateRequest> = withContexts(RequestFixed, 28, (v) =>
  v.dialects.includes(DIALECT.SMB311),
);

/** NegotiateResponse is [MS-SMB2] 2.2.4, with the contexts that 3.1.1 adds. */
export const NegotiateResponse: Struct<NegotiateResponse> = withContexts(ResponseFixed, 60, (v) => v.dialect === DIALECT.SMB311);
