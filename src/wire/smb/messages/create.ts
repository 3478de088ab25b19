import {
  constant,
  lengthOf,
  located,
  offsetOf,
  Reader,
  reserved,
  struct,
  u16,
  u32,
  u64,
  u8,
  utf16Rest,
  type Bytes,
  type Codec,
  type Of,
} from '#wire/bytes';

/** [MS-SMB2] 2.2.14.1 SMB2_FILEID */
export const FileId = struct('FILEID', { persistent: u64, volatile: u64 });
export type FileId = Of<typeof FileId>;

/** NO_FILE is the file id of an IOCTL that belongs to no open. */
export const NO_FILE: FileId = { persistent: 0xffff_ffff_ffff_ffffn, volatile: 0xffff_ffff_ffff_ffffn };

/** CreateContext is one entry of the list behind CREATE, [MS-SMB2] 2.2.13.2; the name is four ASCII letters in most. */
export interface CreateContext {
  name: string;
  data: Bytes;
}

const MOST_CONTEXTS = 32;
const latin1 = {
  read: (octets: Uint8Array) => String.fromCharCode(...octets),
  write: (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0)),
};

/** [MS-SMB2] 2.2.13.2 SMB2_CREATE_CONTEXT, a chain in which each says where the next begins; its own offsets count from itself. */
const createContexts: Codec<CreateContext[]> = {
  read(r) {
    const list: CreateContext[] = [];
    while (r.left > 0) {
      if (list.length === MOST_CONTEXTS) throw r.fail(`more than ${MOST_CONTEXTS} create contexts`);
      const at = r.at;
      const next = r.u32();
      const nameOffset = r.u16();
      const nameLength = r.u16();
      r.skip(2);
      const dataOffset = r.u16();
      const dataLength = r.u32();
      if (next !== 0 && (next < 16 || next % 8))
        throw r.fail(`the next create context cannot begin ${next} octets further on`, at);
      if (nameLength > 64) throw r.fail(`a create context's name of ${nameLength} octets`, at + 6);
      const one = new Reader(r.octets, r.message, { at, end: next === 0 ? r.end : Math.min(at + next, r.end), base: at });
      one.field = r.field;
      const name = latin1.read(one.part(nameOffset, nameLength).rest());
      list.push({ name, data: dataLength === 0 ? r.bytes(0) : one.part(dataOffset, dataLength).rest() });
      if (next === 0) break;
      r.at = at;
      r.skip(next);
    }
    return list;
  },
  write(w, list) {
    list.forEach(({ name, data }, index) => {
      const at = w.at;
      w.u32(0).u16(16).u16(name.length).u16(0);
      w.u16(data.length ? 16 + Math.ceil(name.length / 8) * 8 : 0).u32(data.length);
      w.bytes(latin1.write(name));
      if (data.length) w.align(8, at).bytes(data);
      if (index === list.length - 1) return;
      w.align(8, at);
      const next = w.at - at;
      w.patch(at, () => w.u32(next));
    });
  },
};

/** [MS-SMB2] 2.2.13 SMB2 CREATE Request */
export const CreateRequest = struct('CREATE request', {
  structureSize: constant(u16, 57),
  securityFlags: reserved(1),
  oplockLevel: u8,
  impersonationLevel: u32,
  smbCreateFlags: reserved(8),
  reserved: reserved(8),
  desiredAccess: u32,
  fileAttributes: u32,
  shareAccess: u32,
  createDisposition: u32,
  createOptions: u32,
  nameOffset: offsetOf('name', u16),
  nameLength: lengthOf('name', u16),
  contextsOffset: offsetOf('contexts', u32),
  contextsLength: lengthOf('contexts', u32),
  name: located(utf16Rest),
  contexts: located(createContexts, { alignment: 8, zeroIfEmpty: true }),
});

/** [MS-SMB2] 2.2.14 SMB2 CREATE Response */
export const CreateResponse = struct('CREATE response', {
  structureSize: constant(u16, 89),
  oplockLevel: u8,
  flags: u8,
  createAction: u32,
  creationTime: u64,
  lastAccessTime: u64,
  lastWriteTime: u64,
  changeTime: u64,
  allocationSize: u64,
  endOfFile: u64,
  fileAttributes: u32,
  reserved2: reserved(4),
  fileId: FileId,
  contextsOffset: offsetOf('contexts', u32),
  contextsLength: lengthOf('contexts', u32),
  contexts: located(createContexts, { zeroIfEmpty: true }),
});
