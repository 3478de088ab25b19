import { STATUS, statusName } from '#wire/status';

/** DiskError says no in the words of Windows: it carries the NTSTATUS that a real machine answers. */
export class DiskError extends Error {
  readonly status: number;

  constructor(status: number, options?: ErrorOptions) {
    super(statusName(status), options);
    this.name = 'DiskError';
    this.status = status;
  }
}

const STATUS_OF_ERRNO: Record<string, number> = {
  ENOENT: STATUS.OBJECT_NAME_NOT_FOUND,
  ENOTDIR: STATUS.OBJECT_PATH_NOT_FOUND,
  EACCES: STATUS.ACCESS_DENIED,
  EPERM: STATUS.ACCESS_DENIED,
  ELOOP: STATUS.ACCESS_DENIED,
  EROFS: STATUS.MEDIA_WRITE_PROTECTED,
  EEXIST: STATUS.OBJECT_NAME_COLLISION,
  ENOTEMPTY: STATUS.DIRECTORY_NOT_EMPTY,
  EISDIR: STATUS.FILE_IS_A_DIRECTORY,
  ENOSPC: STATUS.DISK_FULL,
  EDQUOT: STATUS.DISK_FULL,
  EFBIG: STATUS.DISK_FULL,
  EMFILE: STATUS.TOO_MANY_OPENED_FILES,
  ENFILE: STATUS.TOO_MANY_OPENED_FILES,
  ENAMETOOLONG: STATUS.OBJECT_NAME_INVALID,
  EINVAL: STATUS.INVALID_PARAMETER,
};

/** toDiskError gives what the host's own file system said the name that Windows has for it. */
export function toDiskError(error: unknown): DiskError {
  if (error instanceof DiskError) return error;
  const errno = error instanceof Error && 'code' in error ? String(error.code) : '';
  return new DiskError(STATUS_OF_ERRNO[errno] ?? STATUS.IO_DEVICE_ERROR, { cause: error });
}
