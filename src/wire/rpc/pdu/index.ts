export { bodyOf, encodePdu, fragments, PduStream, type Pdu } from './framing.ts';
export {
  Bind,
  BindAck,
  BindNak,
  BindResult,
  Fault,
  HEADER_SIZE,
  PduHeader,
  NakReason,
  NDR,
  PduFlag,
  PduType,
  RejectReason,
  Request,
  Response,
  type ContextResult,
  type Syntax,
} from './messages.ts';
