export * from './constants.ts';
export { Header, header, HEADER_SIZE } from './header.ts';
export { decodeBody, encodeMessage, joinCompound, joinParts, splitCompound, type Encoded, type Message } from './message.ts';
export { packContexts, unpackContexts, type NegotiateContext, type NegotiateContexts } from './negotiate-contexts.ts';
export { NegotiateRequest, NegotiateResponse } from './negotiate.ts';
export { Logoff, SessionSetupRequest, SessionSetupResponse } from './session.ts';
export { TreeConnectRequest, TreeConnectResponse, TreeDisconnect } from './tree.ts';
export { CreateRequest, CreateResponse, FileId, NO_FILE, type CreateContext } from './create.ts';
export {
  CloseRequest,
  CloseResponse,
  encodeWrite,
  FlushRequest,
  FlushResponse,
  ReadRequest,
  ReadResponse,
  WriteRequest,
  WriteResponse,
  type WriteFields,
} from './file-io.ts';
export { IoctlRequest, IoctlResponse, ValidateNegotiateRequest, ValidateNegotiateResponse } from './ioctl.ts';
export {
  QueryDirectoryRequest,
  QueryDirectoryResponse,
  QueryInfoRequest,
  QueryInfoResponse,
  SetInfoRequest,
  SetInfoResponse,
} from './query.ts';
export { CancelRequest, Echo, ErrorResponse } from './plain.ts';
export { TRANSFORM_AAD_AT, TRANSFORM_PROTOCOL_ID, TRANSFORM_SIZE, TransformHeader } from './transform.ts';
export {
  BothDirectoryList,
  dateOfFileTime,
  DirectoryList,
  FileAllInformation,
  FileBasicInformation,
  FileDispositionInformation,
  FileEndOfFileInformation,
  FileFsFullSizeInformation,
  FileFsSizeInformation,
  FileNetworkOpenInformation,
  FileRenameInformation,
  FileStandardInformation,
  fileTimeOfDate,
  FullDirectoryList,
  IdBothDirectoryList,
  IdFullDirectoryList,
  NamesList,
} from './file-information.ts';
