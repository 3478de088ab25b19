import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PushpointError, raise } from '#base/errors';
import { shownName, validDomain, validName, type Device } from '#records/resource';
import { ALIAS, plainAddress, Rate } from '#wire/http';
import { Refusals } from './refusals.ts';
import type { ManagementParts } from './server.ts';

/** A request may come from a logon script of every machine of a building behind one address, but not from a loop. */
const BURST = 200;
const PER_SECOND = 5;
/** Nothing is read from the body; scripts send none. */
const LARGEST_BODY = 4096;
/** Tokens of these scopes may ask for a CCR. */
const SCOPES = ['admin', 'push'];

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
]);

function isTrue(word: string | undefined): boolean {
  return !FALSE_WORDS.has((word ?? '').trim().toLowerCase());
}

/** queryOf reads the query with keys in any case, the first of each. */
function queryOf(request: FastifyRequest): Map<string, string> {
  const mark = request.url.indexOf('?');
  const found = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(mark === -1 ? '' : request.url.slice(mark + 1))) {
    if (!found.has(key.toLowerCase())) found.set(key.toLowerCase(), value);
  }
  return found;
}

/**
 * machineCcr answers `SMS_POST /sms_mp/machine.ccr?mn=&dn=&fkey=` as the management point of 2003 did (D2): 200 = a CCR was made or merged.
 * By the site's setting: `off` = 404 for everybody; `known` = only machines that a trusted source has named, everybody else 404, so that
 * nobody can point the push account at a host of his choice; `authenticated` = only with an API token. The options `ct` and `dc`
 * never worked there (KB886055): `ct` is taken and has no meaning, `dc` counts only from an authenticated caller.
 */
export function machineCcr(app: FastifyInstance, parts: ManagementParts): void {
  const rate = new Rate(parts.clock, BURST, PER_SECOND);
  const refusals = new Refusals(parts, 'sms_post.refused');
  app.addHook('onClose', () => refusals.close());
  app.addHttpMethod(ALIAS.SMS_POST, { hasBody: true });
  app.route({
    method: ALIAS.SMS_POST,
    url: '/sms_mp/machine.ccr',
    bodyLimit: LARGEST_BODY,
    handler: async (request, reply) => {
      const address = plainAddress(request.ip);
      const query = queryOf(request);
      try {
        rate.take(address);
        await make(parts, request, address, query);
      } catch (error) {
        const code = error instanceof PushpointError ? error.code : 'PP_DEFECT';
        await refusals.note({ object: shownName(query.get('mn') ?? ''), code, address });
        throw error;
      }
      return reply.type('text/plain').send('CCR made\r\n');
    },
  });
}

async function make(
  parts: ManagementParts,
  request: FastifyRequest,
  address: string,
  query: ReadonlyMap<string, string>,
): Promise<void> {
  const { smsPost } = (await parts.site.here()).settings.ccr;
  if (smsPost === 'off') throw raise('PP_MP_NOT_HERE');
  const caller = smsPost === 'authenticated' ? await callerOf(parts, request) : undefined;
  const { name, domain: rest } = validName(query.get('mn') ?? '');
  const domain = validDomain(query.get('dn') ?? '') || rest;
  const device = await deviceOf(parts, name, domain);
  // A machine that nobody has named and one that only names itself are the same to a stranger.
  if (!device && caller === undefined) throw raise('PP_MP_NOT_HERE');
  const forced = isTrue(query.get('fkey'));
  const who = caller ?? `SMS_POST from ${address}`;
  await parts.database.transaction(async (tx) => {
    const { made } = await parts.ccr.request(
      {
        name: device?.name ?? name,
        domain: device?.domain || domain,
        resourceId: device?.id,
        addresses: device?.addresses,
        smbPort: device?.smbPort,
        forced,
        includeDcs: caller !== undefined && isTrue(query.get('dc')),
        source: 'sms_post',
        requestedBy: who,
      },
      tx,
    );
    await parts.audit.write({ who, what: 'sms_post', object: name, detail: { domain, forced, made }, address }, tx);
  });
}

/** deviceOf is the machine of that name that a trusted source knows, if there is exactly one. */
async function deviceOf(parts: ManagementParts, name: string, domain: string): Promise<Device | undefined> {
  const found = (await parts.resource.find(name, domain || undefined)).filter((device) => device.trusted);
  if (found.length > 1) throw raise('PP_MP_AMBIGUOUS', { name });
  return found[0];
}

async function callerOf(parts: ManagementParts, request: FastifyRequest): Promise<string> {
  const given = /^Bearer ([A-Za-z0-9._~+/=-]{16,512})$/.exec(request.headers.authorization ?? '')?.[1];
  const token = given === undefined ? undefined : await parts.site.tokens.check(given);
  if (!token?.scopes.some((scope) => SCOPES.includes(scope))) throw raise('PP_API_UNAUTHORIZED');
  return token.label;
}
