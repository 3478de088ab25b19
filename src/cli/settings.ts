import { usage } from './failure.ts';

type Groups = Record<string, Record<string, unknown>>;

/**
 * changesOf reads `group.name=value` as the settings that are there want it: text stays text, a number becomes one, a list is written as
 * JSON or with commas, and `null` takes an optional one away. What is not known is sent as it is: the site says what is wrong with it.
 */
export function changesOf(assignments: readonly string[], now: Groups): Groups {
  const changes = new Map<string, Map<string, unknown>>();
  for (const assignment of assignments) {
    const match = /^([A-Za-z]+)\.([A-Za-z]+)=(.*)$/s.exec(assignment);
    if (!match)
      throw usage(`${assignment.slice(0, 80)}: a setting is changed by group.name=value, for example ccr.retryMinutes=30`);
    const [, group, name, text] = match as unknown as [string, string, string, string];
    const values = changes.get(group) ?? changes.set(group, new Map()).get(group)!;
    if (values.has(name)) throw usage(`${group}.${name} is given twice`);
    const known = Object.hasOwn(now, group) && Object.hasOwn(now[group]!, name) ? now[group]![name] : undefined;
    values.set(name, valueOf(text, known));
  }
  return Object.fromEntries([...changes].map(([group, values]) => [group, Object.fromEntries(values)]));
}

function valueOf(text: string, now: unknown): unknown {
  if (text === 'null') return null;
  if (typeof now === 'string') return text;
  if (Array.isArray(now) && !text.startsWith('[')) return text === '' ? [] : text.split(',').map((part) => plain(part.trim()));
  return plain(text);
}

/** plain is what JSON makes of a text, or the text. */
function plain(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** linesOf shows settings as they are given back to `site settings`. */
export function linesOf(settings: Groups): string[] {
  return Object.entries(settings).flatMap(([group, values]) =>
    Object.entries(values).map(([name, value]) => `${group}.${name}=${Array.isArray(value) ? value.join(',') : String(value)}`),
  );
}
