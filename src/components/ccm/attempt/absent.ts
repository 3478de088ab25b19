import { isCode } from '#base/errors';

/** absent gives undefined where a file or folder is not there. */
export async function absent<T>(look: Promise<T>): Promise<T | undefined> {
  try {
    return await look;
  } catch (error) {
    if (isCode(error, 'PP_SMB_NO_FILE', 'PP_SMB_NO_PATH')) return undefined;
    throw error;
  }
}
