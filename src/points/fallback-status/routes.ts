import type { FastifyInstance, FastifyRequest } from 'fastify';
import { raise } from '#base/errors';
import { checked, StateMessage, type StateReply } from '#messages';
import type { FallbackStatusRecord } from '#records/fallback-status';
import type { SiteRecord } from '#records/site';
import { networkOf, plainAddress, Rate, type ListenerParts } from '#wire/http';

/** A run of ccmsetup says less than ten things; a building behind one address is installed in one go. */
const BURST = 1000;
const PER_SECOND = 10;
/** The tail of a log has at most 16,384 characters, each of up to six octets as JSON may write it. */
const LARGEST = 112 * 1024;

/** FallbackStatusParts is what the fallback status point has: a place to put what it hears, and nothing that acts on it. */
export interface FallbackStatusParts extends ListenerParts {
  site: SiteRecord;
  fallbackStatus: FallbackStatusRecord;
}

/**
 * fallbackStatusRoutes takes state messages of clients that have no way to prove themselves or reach no management point (facts F7):
 * `POST /sms_fsp/state`, and `/sms_fsp/.sms_fsp` as of old. Nobody has to sign, so what is said is kept apart, moves no CCR, makes no machine
 * known and changes no client. It answers as long as the site says that it has such a point (`point set fsp`).
 */
export function fallbackStatusRoutes(app: FastifyInstance, parts: FallbackStatusParts): void {
  const rate = new Rate(parts.clock, BURST, PER_SECOND);
  const handler = async (request: FastifyRequest): Promise<StateReply> => {
    const address = plainAddress(request.ip);
    rate.take(address);
    const { here, points } = await parts.site.branch();
    if (!points.some((p) => p.kind === 'fsp' && p.site === here.code && p.on)) throw raise('PP_FSP_OFF', { site: here.code });
    await parts.fallbackStatus.add(messageOf(request), networkOf(address));
    return { accepted: true, serverTime: parts.clock.now().toISOString() };
  };
  for (const url of ['/sms_fsp/state', '/sms_fsp/.sms_fsp'])
    app.post(url, { config: { point: 'fsp' }, bodyLimit: LARGEST }, handler);
}

function messageOf({ body }: FastifyRequest): StateMessage {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body instanceof Uint8Array ? body : new Uint8Array()));
  } catch {
    throw raise('PP_MSG_MALFORMED', { message: 'body', why: 'is no JSON in UTF-8' });
  }
  const message = checked(StateMessage, value, 'StateMessage');
  // A date of the right form may still be none: the 31st of February.
  if (Number.isNaN(new Date(message.at).getTime()))
    throw raise('PP_MSG_MALFORMED', { message: 'StateMessage', why: '/at is no time' });
  return message;
}
