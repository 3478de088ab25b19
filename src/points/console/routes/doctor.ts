import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { raise } from '#base/errors';
import type { Examination } from '#records/doctor';
import { validName } from '#records/resource';
import type { ConsoleParts } from '../server.ts';
import { choicesOf, line, strict } from '../shapes.ts';

/** host: a machine; without one the site server is examined. logon: false keeps to what needs no credential. */
const Wish = Type.Object({ host: Type.Optional(line(300, 1)), logon: Type.Optional(Type.Boolean()) }, strict);
const Id = Type.Object({ id: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }) });

/** examinationJson is an examination in the fixed names of the API. */
function examinationJson({
  id,
  host,
  logon,
  state,
  headline,
  error,
  checks,
  wantedBy,
  wantedAt,
  startedAt,
  finishedAt,
}: Examination) {
  return { id, host, logon, state, headline, error, checks, wantedBy, wantedAt, startedAt, finishedAt };
}

/**
 * doctorRoutes: examinations. They are recorded here and made by CCM, for no point uses a credential. Asking for one needs the right to push, since
 * it makes the push accounts log on.
 */
export function doctorRoutes(api: FastifyInstance, parts: ConsoleParts): void {
  api.post<{ Body: Static<typeof Wish> }>(
    '/doctor',
    {
      config: { scope: 'push' },
      schema: {
        summary: 'Have a machine examined, step by step as a push would go, without installing; or the site server itself',
        body: Wish,
      },
    },
    async ({ body, who, ip }) => {
      const host = body.host === undefined ? undefined : await oneMachine(parts, body.host);
      const logon = host !== undefined && body.logon !== false;
      return parts.database.transaction(async (tx) => {
        const made = await parts.doctor.request({ host, logon, by: who }, tx);
        const object = host ?? 'site server';
        await parts.audit.write({ who, what: 'doctor', object, detail: { id: made.id, logon }, address: ip }, tx);
        return examinationJson(made);
      });
    },
  );
  api.get<{ Params: Static<typeof Id> }>(
    '/doctor/:id',
    { schema: { summary: 'One examination, with what was found so far', params: Id } },
    async ({ params: { id } }) => {
      const found = await parts.doctor.byId(Number(id));
      if (!found) throw raise('PP_API_NOT_FOUND', { kind: 'examination', name: id });
      return examinationJson(found);
    },
  );
}

/** A name that several machines have would be examined at random. */
async function oneMachine({ resource }: ConsoleParts, text: string): Promise<string> {
  const { name, domain, fqdn } = validName(text);
  const found = await resource.find(name, domain || undefined);
  if (found.length > 1) throw raise('PP_API_AMBIGUOUS', { name, count: found.length, choices: choicesOf(found) });
  return fqdn ?? name;
}
