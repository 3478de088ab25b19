/** joinPath puts parts of a Windows path together with single backslashes. */
export function joinPath(...parts: string[]): string {
  return parts
    .map((part, i) => (i === 0 ? part.replace(/\\+$/, '') : part.replace(/^\\+|\\+$/g, '')))
    .filter((part) => part !== '')
    .join('\\');
}

/** folderOf is the folder a Windows path lies in. */
export function folderOf(path: string): string {
  const at = path.lastIndexOf('\\');
  return at === -1 ? '' : path.slice(0, at);
}

/** baseName is the last part of a Windows path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('\\') + 1);
}
