export { Disk, type OpenHow } from './disk.ts';
export { DiskError } from './disk-error.ts';
export type { FileInfo, OpenFile } from './open-file.ts';
export { splitPath } from './paths.ts';
export { listWhole, makeFolders, readWhole, removeWhole, writeWhole } from './whole.ts';
