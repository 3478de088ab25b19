import { isIP } from 'node:net';
import { raise } from '#base/errors';
import type { Clock } from '#base/clock';
import type { DoctorNetwork } from './parts.ts';
import type { Finding } from './findings.ts';

const POINT_MS = 10_000;
const DAY_MS = 86_400_000;
/** So long before its end a certificate is worth a word. */
const SOON_DAYS = 30;

/** isLoopback tells an address of this machine alone. */
export function isLoopback(host: string): boolean {
  const plain = host.replace(/^\[|\]$/g, '').toLowerCase();
  return plain === 'localhost' || plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'));
}

function isNowhere(host: string): boolean {
  const plain = host.replace(/^\[|\]$/g, '');
  return plain === '0.0.0.0' || plain === '::';
}

/** pointFinding asks a management point at its advertised address, as a client would: for the list of management points. */
export async function pointFinding(
  network: Pick<DoctorNetwork, 'askPoint'>,
  clock: Clock,
  point: { address: string; pins: readonly string[] },
  o: { loopbackIsFine: boolean; signal?: AbortSignal | undefined },
): Promise<Finding> {
  const { hostname } = new URL(point.address);
  if (isNowhere(hostname))
    throw raise('PP_DOCTOR_POINT', {
      url: point.address,
      why: 'no client can connect to the address that stands for all addresses',
    });
  const url = `${point.address.replace(/\/+$/, '')}/SMS_MP/.sms_aut?MPLIST`;
  const { status, text, ms, certificate } = await network.askPoint({ url, clock, timeoutMs: POINT_MS, signal: o.signal });
  if (status !== 200) throw raise('PP_DOCTOR_POINT', { url, why: `it answered ${status}` });
  if (!/<MPList[\s>]/i.test(text))
    throw raise('PP_DOCTOR_POINT', { url, why: 'what it answered is no list of management points' });
  const found = `${point.address} answered the request for its list of management points after ${ms} ms`;
  const wrong = certificateFinding(certificate, point.pins, clock.now());
  if (wrong) return { ...wrong, found: `${found}, but ${wrong.found}` };
  if (isLoopback(hostname) && !o.loopbackIsFine)
    return {
      verdict: 'warning',
      found: `${found}, but it is an address of this machine alone`,
      cause: 'A client would look for the management point on its own machine.',
      remedy: 'Say where clients reach it: pushpoint point set mp --address http://NAME-OF-THIS-SERVER:PORT',
    };
  return { found };
}

function certificateFinding(
  certificate: { from: Date; until: Date; sha256: string } | undefined,
  pins: readonly string[],
  now: Date,
): Finding | undefined {
  if (!certificate) return undefined;
  const { from, until, sha256 } = certificate;
  if (pins.length > 0 && !pins.includes(sha256))
    return {
      verdict: 'problem',
      found: 'its certificate is not the one that clients are told to expect',
      cause: 'The certificate was renewed or exchanged, and the pin of the point was not.',
      remedy: `Say which one it is: pushpoint point set mp --pin ${sha256}; clients that know only the old one have to be pushed again.`,
    };
  if (from.getTime() > now.getTime())
    return {
      verdict: 'problem',
      found: `its certificate is good only from ${from.toISOString()} on`,
      cause: 'The clock of the site server is behind, or the certificate was made for later.',
      remedy: 'Set the clock of the site server right, or give the point a certificate that is good now.',
    };
  const days = Math.floor((until.getTime() - now.getTime()) / DAY_MS);
  if (days >= SOON_DAYS) return undefined;
  const remedy = 'Have the certificate renewed, start the site server with the new one, and set its pin with point set mp --pin.';
  return days < 0
    ? { verdict: 'problem', found: `its certificate expired on ${until.toISOString()}`, remedy }
    : { verdict: 'warning', found: `its certificate expires on ${until.toISOString()}, in ${days} days`, remedy };
}
