/** COMMAND numbers of [MS-SMB2] 2.2.1. */
export const COMMAND = {
  NEGOTIATE: 0x00,
  SESSION_SETUP: 0x01,
  LOGOFF: 0x02,
  TREE_CONNECT: 0x03,
  TREE_DISCONNECT: 0x04,
  CREATE: 0x05,
  CLOSE: 0x06,
  FLUSH: 0x07,
  READ: 0x08,
  WRITE: 0x09,
  LOCK: 0x0a,
  IOCTL: 0x0b,
  CANCEL: 0x0c,
  ECHO: 0x0d,
  QUERY_DIRECTORY: 0x0e,
  CHANGE_NOTIFY: 0x0f,
  QUERY_INFO: 0x10,
  SET_INFO: 0x11,
  OPLOCK_BREAK: 0x12,
} as const;

/** FLAG bits of the header, [MS-SMB2] 2.2.1. */
export const FLAG = {
  SERVER_TO_REDIR: 0x0000_0001,
  ASYNC_COMMAND: 0x0000_0002,
  RELATED_OPERATIONS: 0x0000_0004,
  SIGNED: 0x0000_0008,
} as const;

/** DIALECT revisions, [MS-SMB2] 2.2.3; WILDCARD is what a server answers to a multi-protocol negotiate. */
export const DIALECT = {
  SMB202: 0x0202,
  SMB210: 0x0210,
  SMB300: 0x0300,
  SMB302: 0x0302,
  SMB311: 0x0311,
  WILDCARD: 0x02ff,
} as const;

/** SECURITY_MODE bits of NEGOTIATE and SESSION_SETUP. */
export const SECURITY_MODE = { SIGNING_ENABLED: 1, SIGNING_REQUIRED: 2 } as const;

/** CAPABILITY bits of NEGOTIATE, [MS-SMB2] 2.2.3 and 2.2.4. */
export const CAPABILITY = {
  DFS: 0x01,
  LEASING: 0x02,
  LARGE_MTU: 0x04,
  MULTI_CHANNEL: 0x08,
  PERSISTENT_HANDLES: 0x10,
  DIRECTORY_LEASING: 0x20,
  ENCRYPTION: 0x40,
} as const;

/** CONTEXT types of NEGOTIATE in 3.1.1, [MS-SMB2] 2.2.3.1. */
export const CONTEXT = {
  PREAUTH_INTEGRITY: 1,
  ENCRYPTION: 2,
  COMPRESSION: 3,
  NETNAME: 5,
  TRANSPORT: 6,
  RDMA: 7,
  SIGNING: 8,
} as const;

/** HASH_SHA512 is the only preauthentication hash there is. */
export const HASH_SHA512 = 1;

/** CIPHER ids, [MS-SMB2] 2.2.3.1.2. */
export const CIPHER = { AES_128_CCM: 1, AES_128_GCM: 2, AES_256_CCM: 3, AES_256_GCM: 4 } as const;

/** SIGNING ids, [MS-SMB2] 2.2.3.1.7. */
export const SIGNING = { HMAC_SHA256: 0, AES_CMAC: 1, AES_GMAC: 2 } as const;

/** SESSION_FLAG bits of the SESSION_SETUP response, [MS-SMB2] 2.2.6. */
export const SESSION_FLAG = { IS_GUEST: 1, IS_NULL: 2, ENCRYPT_DATA: 4 } as const;

/** SHARE_TYPE of the TREE_CONNECT response, [MS-SMB2] 2.2.10. */
export const SHARE_TYPE = { DISK: 1, PIPE: 2, PRINT: 3 } as const;

/** SHARE_FLAG bits that matter here, [MS-SMB2] 2.2.10. */
export const SHARE_FLAG = { ENCRYPT_DATA: 0x0000_8000 } as const;

/** ACCESS mask bits for files, folders and pipes, [MS-SMB2] 2.2.13.1. */
export const ACCESS = {
  READ_DATA: 0x0000_0001,
  WRITE_DATA: 0x0000_0002,
  APPEND_DATA: 0x0000_0004,
  READ_EA: 0x0000_0008,
  WRITE_EA: 0x0000_0010,
  EXECUTE: 0x0000_0020,
  DELETE_CHILD: 0x0000_0040,
  READ_ATTRIBUTES: 0x0000_0080,
  WRITE_ATTRIBUTES: 0x0000_0100,
  DELETE: 0x0001_0000,
  READ_CONTROL: 0x0002_0000,
  SYNCHRONIZE: 0x0010_0000,
  MAXIMUM_ALLOWED: 0x0200_0000,
  GENERIC_ALL: 0x1000_0000,
  GENERIC_WRITE: 0x4000_0000,
  GENERIC_READ: 0x8000_0000,
} as const;

/** ATTRIBUTE bits of files, [MS-FSCC] 2.6. */
export const ATTRIBUTE = {
  READONLY: 0x01,
  HIDDEN: 0x02,
  SYSTEM: 0x04,
  DIRECTORY: 0x10,
  ARCHIVE: 0x20,
  NORMAL: 0x80,
  COMPRESSED: 0x800,
  ENCRYPTED: 0x4000,
} as const;

/** SHARE_ACCESS bits of CREATE. */
export const SHARE_ACCESS = { READ: 1, WRITE: 2, DELETE: 4 } as const;

/** DISPOSITION of CREATE: what to do when the file is there, and when it is not. */
export const DISPOSITION = { SUPERSEDE: 0, OPEN: 1, CREATE: 2, OPEN_IF: 3, OVERWRITE: 4, OVERWRITE_IF: 5 } as const;

/** CREATE_ACTION in the CREATE response. */
export const CREATE_ACTION = { SUPERSEDED: 0, OPENED: 1, CREATED: 2, OVERWRITTEN: 3 } as const;

/** CREATE_OPTION bits that matter here, [MS-SMB2] 2.2.13. */
export const CREATE_OPTION = {
  DIRECTORY_FILE: 0x0000_0001,
  WRITE_THROUGH: 0x0000_0002,
  SEQUENTIAL_ONLY: 0x0000_0004,
  NON_DIRECTORY_FILE: 0x0000_0040,
  DELETE_ON_CLOSE: 0x0000_1000,
  OPEN_REPARSE_POINT: 0x0020_0000,
} as const;

/** IMPERSONATION levels of CREATE. */
export const IMPERSONATION = { ANONYMOUS: 0, IDENTIFICATION: 1, IMPERSONATION: 2, DELEGATE: 3 } as const;

/** FSCTL codes, [MS-SMB2] 2.2.31. */
export const FSCTL = {
  DFS_GET_REFERRALS: 0x0006_0194,
  PIPE_PEEK: 0x0011_400c,
  PIPE_WAIT: 0x0011_0018,
  PIPE_TRANSCEIVE: 0x0011_c017,
  QUERY_NETWORK_INTERFACE_INFO: 0x0014_01fc,
  VALIDATE_NEGOTIATE_INFO: 0x0014_0204,
} as const;

/** IOCTL_IS_FSCTL is the one flag of the IOCTL request. */
export const IOCTL_IS_FSCTL = 1;

/** QUERY_DIRECTORY_FLAG bits, [MS-SMB2] 2.2.33. */
export const QUERY_DIRECTORY_FLAG = { RESTART_SCANS: 1, RETURN_SINGLE_ENTRY: 2, INDEX_SPECIFIED: 4, REOPEN: 16 } as const;

/** INFO_TYPE of QUERY_INFO and SET_INFO, [MS-SMB2] 2.2.37. */
export const INFO_TYPE = { FILE: 1, FILESYSTEM: 2, SECURITY: 3, QUOTA: 4 } as const;

/** FILE_INFO classes, [MS-FSCC] 2.4. */
export const FILE_INFO = {
  DIRECTORY: 1,
  FULL_DIRECTORY: 2,
  BOTH_DIRECTORY: 3,
  BASIC: 4,
  STANDARD: 5,
  INTERNAL: 6,
  EA: 7,
  ACCESS: 8,
  NAMES: 12,
  RENAME: 10,
  DISPOSITION: 13,
  POSITION: 14,
  MODE: 16,
  ALIGNMENT: 17,
  ALL: 18,
  ALLOCATION: 19,
  END_OF_FILE: 20,
  STREAM: 22,
  NETWORK_OPEN: 34,
  ATTRIBUTE_TAG: 35,
  ID_BOTH_DIRECTORY: 37,
  ID_FULL_DIRECTORY: 38,
} as const;

/** FS_INFO classes, [MS-FSCC] 2.5. */
export const FS_INFO = { VOLUME: 1, SIZE: 3, DEVICE: 4, ATTRIBUTE: 5, FULL_SIZE: 7, OBJECT_ID: 8, SECTOR_SIZE: 11 } as const;

/** CLOSE_POSTQUERY_ATTRIB asks CLOSE to answer with the attributes. */
export const CLOSE_POSTQUERY_ATTRIB = 1;
