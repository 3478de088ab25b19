import { Type, type TSchema } from 'typebox';
import { Check, Convert, Default, Errors } from 'typebox/value';
import type { FastifySchemaCompiler } from 'fastify';
import { raise } from '#base/errors';
import { shownName } from '#records/resource';

/** strict refuses what a schema does not name: a misspelt `dryRun` must not become a real push. */
export const strict = { additionalProperties: false };

const ONE_LINE = '^[^\\u0000-\\u001f\\u007f]*$';

/** line is one line of text; control characters stand in no name, and PostgreSQL keeps no NUL. */
export const line = (maxLength: number, minLength = 0) => Type.String({ minLength, maxLength, pattern: ONE_LINE });

/** Page is the query of every list: a cursor from the last answer and how many items are wanted. */
export const Page = Type.Object(
  { cursor: Type.Optional(line(500)), limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }) },
  strict,
);

/** Named is the path of one thing. */
export const Named = Type.Object({ name: line(300, 1) });

/** Names are those of up to 10,000 machines; each is judged by itself, so that one wrong name does not spoil the rest. */
export const Names = Type.Array(Type.String({ minLength: 1, maxLength: 300 }), { minItems: 1, maxItems: 10_000 });

/**
 * schemaCompiler judges requests by their schemas. Nothing is dropped and nothing guessed; only the text of a query becomes the number it
 * says. The complaint names the field and the rule, never the value, which may be a password.
 */
export const schemaCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  return (given: unknown) => {
    const value = httpPart === 'querystring' ? Default(schema, Convert(schema, given)) : given;
    if (Check(schema, value)) return { value };
    const [first] = Errors(schema, value);
    const where = shownName(`${httpPart}${first?.instancePath ?? ''}`);
    return { error: raise('PP_API_INVALID', { why: `${where} ${whyOf(first)}` }) };
  };
};

function whyOf(error: { keyword: string; message?: string } | undefined): string {
  if (error?.keyword === 'boolean') return 'is not known here';
  if (error?.message?.includes(ONE_LINE)) return 'holds a control character, and must be one line of text';
  return error?.message ?? 'does not have the right form';
}

/** splitName takes NAME or NAME.DOMAIN apart; what stands behind the first dot is a domain, or the rest of an FQDN. */
export function splitName(text: string): { name: string; domain?: string } {
  const dot = text.indexOf('.');
  return dot === -1 ? { name: text } : { name: text.slice(0, dot), domain: text.slice(dot + 1) };
}

interface OfMachine {
  name: string;
  domain: string;
}

/** choicesOf names machines of one name by their domains. */
export function choicesOf(found: readonly OfMachine[]): string {
  return found.map(({ name, domain }) => (domain === '' ? name : `${name}.${domain}`)).join(', ');
}

/** theOne gives the only element of a list, or the error that tells why there is none. */
export function theOne<T extends OfMachine>(kind: string, given: string, found: T[]): T {
  const name = shownName(given);
  if (found.length === 1) return found[0]!;
  if (found.length === 0) throw raise('PP_API_NOT_FOUND', { kind, name });
  throw raise('PP_API_AMBIGUOUS', { name, count: found.length, choices: choicesOf(found) });
}
