/** Numbers of a version, without what follows a hyphen or a plus; undefined when it does not begin with a number. */
function numbersOf(version: string): number[] | undefined {
  const plain = /^\d{1,9}(?:\.\d{1,9}){0,5}/.exec(version)?.[0];
  return plain?.split('.').map(Number);
}

/** compareVersions is negative when `a` is older than `b`, positive when it is newer; undefined when one of them is no version. */
export function compareVersions(a: string, b: string): number | undefined {
  const [x, y] = [numbersOf(a), numbersOf(b)];
  if (!x || !y) return undefined;
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
