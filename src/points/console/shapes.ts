import { Type } from 'typebox';
import { raise } from '#base/errors';

/** Page is the query of every list: a cursor from the last answer and how many items are wanted. */
export const Page = Type.Object({
  cursor: Type.Optional(Type.String({ maxLength: 500 })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
});

/** Named is the path of one thing. */
export const Named = Type.Object({ name: Type.String({ minLength: 1, maxLength: 300 }) });

/** splitName takes NAME or NAME.DOMAIN apart; what stands behind the first dot is a domain, or the rest of an FQDN. */
export function splitName(text: string): { name: string; domain?: string } {
  const dot = text.indexOf('.');
  return dot === -1 ? { name: text } : { name: text.slice(0, dot), domain: text.slice(dot + 1) };
}

/** theOne gives the only element of a list, or the error that tells why there is none. */
export function theOne<T extends { name: string; domain?: string | null }>(kind: string, name: string, found: T[]): T {
  if (found.length === 1) return found[0]!;
  if (found.length === 0) throw raise('PP_API_NOT_FOUND', { kind, name });
  throw raise('PP_API_AMBIGUOUS', {
    name,
    count: found.length,
    choices: found.map((f) => [f.name, f.domain].filter(Boolean).join('.')).join(', '),
  });
}
