import { readFileSync } from 'node:fs';

/** version is that of this command. */
export const version = (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string })
  .version;

const numbers = (text: string) => text.split(/[.+-]/, 3).map((part) => Number(part) || 0);

/** otherVersion says what it means that a site server is of another version than this command; nothing where it is the same. */
export function otherVersion(served: string | null, own = version): string | undefined {
  if (served === own) return undefined;
  // Servers of before it was told were older than any command that asks.
  const [here, there] = [numbers(own), numbers(served ?? '')];
  const at = here.findIndex((number, i) => number !== (there[i] ?? 0));
  const isOlder = served === null || (at !== -1 && (there[at] ?? 0) < here[at]!);
  const said = `this command is of version ${own} and the site server ${served === null ? 'of an earlier one' : `of ${served}`}`;
  return isOlder
    ? `${said}, which may not know what it is asked for: use the pushpoint command of the server, or update the server`
    : `${said}, which may want or tell what this command does not know: update this command`;
}
