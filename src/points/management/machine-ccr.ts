import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PushpointError, raise } from '#base/errors';
import { validDomain, validName } from '#records/resource';
import { ALIAS } from '#wire/http';
import { Rate } from './rate.ts';
import type { ManagementParts } from './server.ts';

/** A request may come from a logon script of every machine of a building behind one address, but not from a loop. */
const BURST = 60;
const PER_SECOND = 5;

/** What VBScript writes for False in the languages it knows, and what people write by hand; every other word is true (D2's `fkey` is localised). */
const FALSE_WORDS = new Set([
  '',
  '0',
  'no',
  'false',
  'falsch',
  'faux',
  'falso',
  'falskt',
  'falsk',
  'onwaar',
  'epätosi',
  'fałsz',
  'nepravda',
  'hamis',
  'yanlış',
  'ложь',
  'false()',
]);

function isTrue(word: string | undefined): boolean {
  return !FALSE_WORDS.has((word ?? '').trim().toLowerCase());
}

/** queryOf reads the query with keys in any case, the first of each; a wrong escape is a wrong request. */
function queryOf(request: FastifyRequest): Map<string, string> {
  const mark = request.url.indexOf('?');
  const found = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(mark === -1 ? '' : request.url.slice(mark + 1))) {
    if (!found.has(key.toLowerCase())) found.set(key.toLowerCase(), value);
  }
  return found;
}

/** bearerOf is the token of an Authorization header, if it has the form of one. */
function bearerOf(request: FastifyRequest): string | undefined {
  return /^Bearer ([A-Za-z0-9._~+/=-]{16,512})$/.exec(request.headers.authorization ?? '')?.[1];
}

/**
 * machineCcr answers `SMS_POST /sms_mp/machine.ccr?mn=&dn=&fkey=` as the management point of 2003 did (D2): 200 = a CCR was made or merged.
 * By the site's setting: `off` = 404 for everybody; `known` = only machines that a trusted source has named, everybody else 404, so that
 * nobody can point the push account at a host of his choice; `authenticated` = only with an API token. The options `ct` and `dc`
 * never worked there (KB886055): `ct` is taken and has no meaning, `dc` counts only from an authenticated caller.
 */
export function machineCcr(app: FastifyInstance, parts: ManagementParts): void {
  const rate = new Rate(parts.clock, BURST, PER_SECOND);
  app.addHttpMethod(ALIAS.SMS_POST, { hasBody: true });
  app.route({
    method: ALIAS.SMS_POST,
    url: '/sms_mp/machine.ccr',
    handler: async (request, reply) => {
      rate.take(request.ip);
      const query = queryOf(request);
      const asked = { mn: query.get('mn') ?? '', dn: query.get('dn') ?? '', fkey: query.get('fkey') };
      try {
        await make(parts, request, asked, query);
        return await reply.type('text/plain').send('CCR made\r\n');
      } catch (error) {
        const code = error instanceof PushpointError ? error.code : 'PP_DEFECT';
        await parts.audit.write({
          who: 'anonymous',
          what: 'sms_post.refused',
          object: asked.mn.slice(0, 300),
          detail: { code },
          address: request.ip,
        });
        throw error;
      }
    },
  });
}

async function make(
  parts: ManagementParts,
  request: FastifyRequest,
  asked: { mn: string; dn: string; fkey: string | undefined },
  query: Map<string, string>,
): Promise<void> {
  const { ccr: settings } = (await parts.site.here()).settings;
  if (settings.smsPost === 'off') throw raise('PP_MP_NOT_HERE');
  const caller = settings.smsPost === 'authenticated' ? await callerOf(parts, request) : undefined;
  const { name, domain: rest } = validName(asked.mn);
  const domain = validDomain(asked.dn) || rest;
  const found = (await parts.resource.find(name, domain || undefined)).filter((device) => device.trusted || caller !== undefined);
  if (found.length === 0 && caller === undefined) throw raise('PP_MP_NOT_HERE');
  if (found.length > 1)
    throw raise('PP_API_AMBIGUOUS', { name, count: found.length, choices: found.map((d) => `${d.name}.${d.domain}`).join(', ') });
  const device = found[0];
  const forced = isTrue(asked.fkey);
  const who = caller ?? `SMS_POST from ${request.ip}`;
  await parts.database.transaction(async (tx) => {
    const { made } = await parts.ccr.request(
      {
        name: device?.name ?? name,
        domain: device?.domain || domain,
        resourceId: device?.id,
        addresses: device?.addresses,
        smbPort: device?.smbPort,
        forced,
        includeDcs: caller !== undefined && query.has('dc') && isTrue(query.get('dc')),
        source: 'sms_post',
        requestedBy: who,
      },
      tx,
    );
    await parts.audit.write({ who, what: 'sms_post', object: name, detail: { domain, forced, made }, address: request.ip }, tx);
  });
}

async function callerOf(parts: ManagementParts, request: FastifyRequest): Promise<string> {
  const given = bearerOf(request);
  const token = given === undefined ? undefined : await parts.site.checkToken(given);
  if (!token) throw raise('PP_API_UNAUTHORIZED');
  return token.label;
}
