import { readText } from './input.ts';

/** No machine has a longer name (RFC 1035 section 2.3.4), and the API takes no longer ones. */
const LONGEST = 300;
/** So many names the server takes at once. */
const AT_ONCE = 10_000;

/** linesFrom gives the lines of -f FILE; blank ones and those beginning with # or ; do not count. */
export async function linesFrom(file: string | undefined): Promise<string[]> {
  const lines = file === undefined ? [] : (await readText(file)).split(/\r?\n|\r/);
  return lines.map((line) => line.trim()).filter((line) => line !== '' && !/^[#;]/.test(line));
}

/** namesFrom joins the names of the command line with those of -f FILE, one a line. */
export async function namesFrom(args: readonly string[], file: string | undefined): Promise<string[]> {
  const names = await linesFrom(file);
  // Names are the same in upper and lower case; the one that came first is shown.
  const once = new Map<string, string>();
  for (const name of [...args, ...names]) if (!once.has(name.toUpperCase())) once.set(name.toUpperCase(), name);
  return [...once.values()];
}

/**
 * inParts lets work be done on any number of names, as many at a time as one call to the server takes. Names that are no names at all for
 * their length are answered by `tooLong`, so that one line of rubbish in a file does not spoil the rest.
 */
export async function inParts<T>(
  names: readonly string[],
  work: (part: string[]) => Promise<T[]>,
  tooLong: (name: string, reason: string) => T,
): Promise<T[]> {
  const isRight = (name: string) => name !== '' && name.length <= LONGEST;
  const right = names.filter(isRight);
  const done: T[] = [];
  for (let at = 0; at < right.length; at += AT_ONCE) done.push(...(await work(right.slice(at, at + AT_ONCE))));
  for (const name of names.filter((one) => !isRight(one)))
    done.push(
      tooLong(name.length > 60 ? `${name.slice(0, 57)}...` : name, name === '' ? 'it is empty' : 'it is too long for a name'),
    );
  return done;
}
